"""The embedded engines of the demo and the tests: PostgreSQL, and Valkey beside it.

    <folder>/engines.json   ports, socket folder, passwords (mode 0600): remembered between starts
    <folder>/lock           held while engines start or stop
    <folder>/leases         a shared lock of everybody who uses them; the last to leave stops them
    <folder>/pgdata         the cluster (or a link to it, see engine_user)
    <folder>/valkey         Valkey's pid and log

Two processes on one folder share the engines; two folders never meet. A user that is killed loses its lease by itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

from server.sandbox.engine_postgres import SUPERUSER, Postgres
from server.sandbox.engine_user import EngineFailed, EngineUser
from server.sandbox.engine_valkey import Valkey

__all__ = ["ROLES", "EngineFailed", "EngineUrls", "Engines"]

ROLES: Mapping[str, str] = {
    "superuser": SUPERUSER,
    "owner": "chengxin_owner",
    "app": "chengxin_app",
    "worker": "chengxin_worker",
}


@dataclass(frozen=True)
class EngineUrls:
    """Where the engines are. The roles other than the superuser exist once `server.kit.bootstrap` made them."""

    postgres_port: int
    socket_dir: Path
    passwords: Mapping[str, str]
    redis: str | None
    database: str = "chengxin"

    def dsn(self, role: str, database: str | None = None, *, over_socket: bool = False) -> str:
        """The URL of `database` for `role` (a key of ROLES), over TCP or the unix socket."""
        name = self.database if database is None else database
        who = f"{ROLES[role]}:{quote(self.passwords[role])}"
        if over_socket:
            return f"postgresql://{who}@/{name}?host={quote(str(self.socket_dir))}&port={self.postgres_port}"
        return f"postgresql://{who}@127.0.0.1:{self.postgres_port}/{name}"

    @property
    def superuser(self) -> str:
        """The superuser's URL of the maintenance database `postgres`."""
        return self.dsn("superuser", "postgres")

    @property
    def role_passwords(self) -> dict[str, str]:
        """Passwords by role name, as `bootstrap` takes them."""
        return {name: self.passwords[role] for role, name in ROLES.items() if role != "superuser"}


class Engines:
    """PostgreSQL and Valkey in `folder`. Synchronous; call through `asyncio.to_thread` from async code.

    `settings` are server settings on top of `engine_postgres.SETTINGS`; they apply when this start is the one
    that starts the server.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        settings: Mapping[str, str] | None = None,
        valkey: bool = True,
        database: str = "chengxin",
    ) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.database = database
        self._settings = dict(settings or {})
        self._with_valkey = valkey
        self._lease: TextIO | None = None
        self._urls: EngineUrls | None = None
        self._user = EngineUser.current()
        self._postgres: Postgres | None = None
        self._valkey: Valkey | None = None

    @property
    def urls(self) -> EngineUrls:
        """The addresses; only after `start`."""
        if self._urls is None:
            raise EngineFailed("the engines are not started")
        return self._urls

    @property
    def postgres_bin(self) -> Path:
        """The folder of psql, pgbench, pg_dump …"""
        return self.postgres.bin

    @property
    def postgres(self) -> Postgres:
        """The cluster, for faults and log tails."""
        if self._postgres is None:
            self._postgres = Postgres(self.folder, self._user, self._settings)
        return self._postgres

    @property
    def valkey(self) -> Valkey:
        """The cache, for faults."""
        if self._valkey is None:
            self._valkey = Valkey(self.folder, self._user)
        return self._valkey

    def start(self) -> EngineUrls:
        """Make both engines run and take a lease on them. Reuses what runs; a second call heals a killed engine."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            state = self._read_state()
            state.setdefault("passwords", {role: secrets.token_urlsafe(18) for role in ROLES})
            state.setdefault("valkey_password", secrets.token_hex(18))
            self._write_state(state)
            remembered = state.get("socket_dir")
            port, socket_dir = self.postgres.ensure(
                port=state.get("postgres_port"),
                socket_dir=Path(remembered) if remembered else None,
                password=state["passwords"]["superuser"],
            )
            state["postgres_port"], state["socket_dir"] = port, str(socket_dir)
            redis = None
            if self._with_valkey:
                password = state["valkey_password"]
                state["valkey_port"] = self.valkey.ensure(port=state.get("valkey_port"), password=password)
                redis = f"redis://:{password}@127.0.0.1:{state['valkey_port']}/0"
            self._write_state(state)
            self._take_lease()
        self._urls = EngineUrls(port, socket_dir, dict(state["passwords"]), redis, self.database)
        return self._urls

    def stop(self, *, force: bool = False) -> bool:
        """Give the lease back; the last user (or `force`) stops the engines. Answers whether they were stopped."""
        if not self.folder.exists():
            return False
        with self._locked():
            self._drop_lease()
            if not force and self._in_use():
                return False
            self.postgres.stop()
            if self._with_valkey:
                self.valkey.stop()
        return True

    def destroy(self) -> None:
        """Stop by force and delete everything, the data included."""
        if not self.folder.exists():
            return
        self.stop(force=True)
        with self._locked():
            state = self._read_state()
            remembered = state.get("socket_dir")
            self.postgres.destroy(Path(remembered) if remembered else None)
            if self._with_valkey:
                self.valkey.destroy()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Engines:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _take_lease(self) -> None:
        if self._lease is None:
            self._lease = (self.folder / "leases").open("a")
            fcntl.flock(self._lease, fcntl.LOCK_SH)

    def _drop_lease(self) -> None:
        if self._lease is not None:
            self._lease.close()
            self._lease = None

    def _in_use(self) -> bool:
        with (self.folder / "leases").open("a") as leases:
            try:
                fcntl.flock(leases, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def _read_state(self) -> dict[str, Any]:
        try:
            state = json.loads((self.folder / "engines.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def _write_state(self, state: dict[str, Any]) -> None:
        fresh = self.folder / "engines.json.new"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            json.dump(state, out, indent=1)
        fresh.replace(self.folder / "engines.json")
