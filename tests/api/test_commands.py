"""What `chengxin` says to somebody at a shell: one line and an exit status, never a trace."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from server.sandbox.engines import Engines
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
