"""What `chengxin` says to somebody at a shell: one line and an exit status, never a trace."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from server.sandbox.engines import Engines
from server.sandbox.environment import write_env_file
from server.sandbox.house import House, HouseFailed
from tests.support.town import Town

NOWHERE = "postgresql://nobody@127.0.0.1:1/chengxin"


def run(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", *arguments], env=environment, capture_output=True, text=True, timeout=300
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("username", "password", "role", "code"),
    [
        ("wang.fang", "short", "editor", "password_too_weak (password)"),
        ("wang.fang", "a-long-enough-password", "king", "role_unknown (roles)"),
        ("Wang Fang", "a-long-enough-password", "editor", "invalid_field (username)"),
        ("editor", "a-long-enough-password", "editor", "username_taken (username)"),
    ],
)
def test_create_admin_says_what_it_refuses(town: Town, username: str, password: str, role: str, code: str) -> None:
    environment = town.house.environment | {"CHENGXIN_ADMIN_PASSWORD": password}
    status, said = run(environment, "create-admin", username, "--role", role)
    assert (status, said.startswith(f"Error: {code}: ")) == (1, True), said


@pytest.mark.parametrize("command", ["check-ledger", "migrate"])
def test_a_database_that_is_not_there_is_told_apart_from_broken_books(command: str) -> None:
    status, said = run({}, command, "--url", NOWHERE)
    assert (status, said.startswith("Error: not reached: ")) == (69, True), said


@pytest.mark.parametrize("command", ["check-ledger", "ledger-head --out x", "dead-letters list", "ledger-month list"])
def test_a_command_without_settings_names_the_variable_it_needs(command: str) -> None:
    status, said = run({}, *command.split())
    name = "CHENGXIN_MIGRATION_URL" if command.startswith("ledger-month") else "CHENGXIN_WORKER_DATABASE_URL"
    assert (status, name in said) == (2, True), said


def test_a_role_that_may_not_is_told_so_in_a_line(town: Town) -> None:
    url = town.house.environment["CHENGXIN_DATABASE_URL"]
    status, said = run({}, "ledger-month", "detach", "2020-01", "--url", url)
    assert (status, said.count("\n"), said.startswith("Error: this role may not: ")) == (77, 1, True), said


def test_a_file_of_heads_that_cannot_be_written_is_told_in_a_line(town: Town, tmp_path: Path) -> None:
    status, said = run(town.house.environment, "ledger-head", "--out", str(tmp_path / "nowhere" / "heads"))
    assert (status, said.count("\n"), "cannot be written: " in said) == (73, 1, True), said


@pytest.mark.parametrize("arguments", ["ledger-month list", "check-ledger", "check-ledger --json"])
def test_a_command_whose_reader_has_gone_ends_quietly(town: Town, arguments: str) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "server.cli", *arguments.split()], env=town.house.environment, stdout=writes,
            stderr=subprocess.PIPE, text=True, timeout=300,
        )  # fmt: skip
    finally:
        os.close(writes)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_walk_that_is_done_is_not_told_as_a_new_one(town: Town) -> None:
    def say(*arguments: str) -> str:
        status, said = run(town.house.environment, "expire-points", *arguments)
        assert status == 0, said
        return said

    say()  # by this command or by the worker: today's walk is done now
    assert "already done" in say()
    assert "already done" not in say("--again")
    assert "already done" in say()


def test_a_shell_gets_the_settings_of_the_demo_and_nobody_else(town: Town, tmp_path: Path) -> None:
    file = tmp_path / "env"
    odd = "it's $HOME; `x`"
    for environment in ({"CHENGXIN_OLD": "1"}, town.house.environment | {"CHENGXIN_ODD": odd}):
        write_env_file(file, environment)
    assert file.stat().st_mode & 0o777 == 0o600
    shell = [
        "sh",
        "-c",
        '. "$1" && printf %s "$CHENGXIN_ODD:$CHENGXIN_OLD" && exec "$2" -m server.cli ledger-month list',
    ]
    done = subprocess.run(
        [*shell, "sh", str(file), sys.executable], env={}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0 and done.stdout.startswith(f"{odd}:2"), (done.stdout, done.stderr)


def test_a_worker_without_its_database_ends_and_may_be_started_again(town: Town) -> None:
    status, said = run(town.house.environment | {"CHENGXIN_WORKER_DATABASE_URL": NOWHERE}, "worker")
    assert (status, "Error: not reached: " in said) == (69, True), said


def test_serve_names_a_port_that_is_taken(town: Town) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, said = run(town.house.environment | {"CHENGXIN_PORT": port}, "serve")
    assert status == 69 and '"event": "cannot_listen"' in said and port in said, said


async def test_a_house_does_not_start_where_something_else_listens(engines: Engines, tmp_path: Path) -> None:
    """It would take another house's readiness for its own, and the walk would go through strange rooms."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        house = House(engines.urls, "postgres", folder=tmp_path, port=port)
        with pytest.raises(HouseFailed, match=f"port {port} is taken"):
            await house.start()
        assert house.processes == {}
