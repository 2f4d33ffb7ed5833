"""The embedded engines keep their promises."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from server.sandbox.engines import Engines
from tests.support.databases import ROOT

pytestmark = pytest.mark.fault


async def one(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_a_started_cluster_answers_over_tcp_and_socket_and_has_the_vaults_settings(own_engines: Engines) -> None:
    urls = own_engines.urls
    assert await one(urls.superuser, "SHOW data_checksums") == "on"
    assert await one(urls.dsn("superuser", "postgres", over_socket=True), "SHOW synchronous_commit") == "on"
    assert await one(urls.superuser, "SHOW lock_timeout") == "2s"
    assert await one(urls.superuser, "SHOW listen_addresses") == "127.0.0.1"


async def test_a_wrong_password_is_refused(own_engines: Engines) -> None:
    right = own_engines.urls.passwords["superuser"]
    with pytest.raises(asyncpg.InvalidPasswordError):
        await one(own_engines.urls.superuser.replace(right, "wrong"), "SELECT 1")


async def test_starting_again_reuses_the_running_engines(own_engines: Engines) -> None:
    pid = own_engines.postgres.pid()
    second = Engines(own_engines.folder)
    assert second.start() == own_engines.urls
    assert second.postgres.pid() == pid
    assert second.stop() is False


async def test_the_last_user_stops_the_engines_and_nobody_before(own_engines: Engines) -> None:
    second = Engines(own_engines.folder)
    second.start()
    assert second.stop() is False
    assert await one(own_engines.urls.superuser, "SELECT 1") == 1
    assert own_engines.stop() is True
    assert own_engines.postgres.pid() is None
    assert own_engines.valkey.pid() is None


async def test_after_kill_minus_9_everything_committed_is_there_at_the_same_address(own_engines: Engines) -> None:
    before = own_engines.urls
    await one(before.superuser, "CREATE TABLE kept AS SELECT 7 AS n")
    pid = own_engines.postgres.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    after = own_engines.start()
    assert after == before
    assert await one(after.superuser, "SELECT n FROM kept") == 7


async def test_a_stale_pid_file_with_a_strangers_number_does_not_stop_a_start(own_engines: Engines) -> None:
    own_engines.stop(force=True)
    stranger = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    try:
        stale = own_engines.postgres.data / "postmaster.pid"
        stale.write_text(f"{stranger.pid}\n{own_engines.postgres.data}\n1700000000\n1\n/tmp\n127.0.0.1\n 0 0\nready\n")
        urls = own_engines.start()
        assert await one(urls.superuser, "SELECT 1") == 1
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()


async def test_a_remembered_port_taken_by_a_stranger_is_given_up(own_engines: Engines) -> None:
    own_engines.stop(force=True)
    taken = own_engines.urls.postgres_port
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", taken))
        stranger.listen()
        urls = own_engines.start()
        assert urls.postgres_port != taken
        assert await one(urls.superuser, "SELECT 1") == 1


async def test_two_copies_in_two_folders_do_not_meet(own_engines: Engines, tmp_path: Path) -> None:
    other = Engines(tmp_path / "a rather long folder name, with a blank, because the choice is the user's")
    try:
        urls = other.start()
        assert urls.postgres_port != own_engines.urls.postgres_port
        assert urls.redis != own_engines.urls.redis
        await one(urls.superuser, "CREATE TABLE only_here ()")
        assert await one(own_engines.urls.superuser, "SELECT to_regclass('only_here') IS NULL") is True
    finally:
        other.destroy()


def test_four_processes_starting_one_folder_at_once_share_one_cluster(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    code = (
        "import sys; from server.sandbox.engines import Engines; e = Engines(sys.argv[1]);"
        "print(e.start().postgres_port, flush=True); sys.stdin.read(); e.stop()"
    )
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    ports = {starter.stdout.readline().strip() for starter in starters if starter.stdout}
    for starter in starters:
        starter.communicate("")
    assert len(ports) == 1, f"four starts gave the ports {ports}"
    assert Engines(folder).postgres.pid() is None
    Engines(folder).destroy()


async def test_a_folder_closed_to_others_works(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    engines = Engines(closed / "data")
    try:
        assert await one(engines.start().superuser, "SELECT 1") == 1
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        engines.destroy()
    assert list(closed.iterdir()) == []


async def test_valkey_wants_its_password_and_keeps_nothing_on_disk(own_engines: Engines) -> None:
    url = own_engines.urls.redis
    assert url is not None
    async with Redis.from_url(url) as client:
        await client.set("a", "1")
        assert await client.config_get("save") == {"save": ""}
    own_engines.valkey.stop()
    assert own_engines.start().redis == url
    async with Redis.from_url(url) as client:
        assert await client.get("a") is None
