"""A whole house on this machine: database, WeChat stand-in, server and worker, each in processes of its own.

The demo and the tests start the same house; what they talk to is what a city runs, reached over real sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from server.kit.bootstrap import bootstrap
from server.kit.migrations import migrate
from server.sandbox.engine_postgres import free_port
from server.sandbox.engines import EngineUrls
from server.sandbox.environment import sandbox_environment
from server.sandbox.wechat.control import StandInControl, StandInProcess

READY_WITHIN_S = 90
STOP_WITHIN_S = 40
ROOT = Path(__file__).resolve().parents[2]


class HouseFailed(RuntimeError):
    """A process of the house ended or was not ready in time; the message holds the end of its log."""


async def prepare_database(urls: EngineUrls, database: str) -> None:
    """Roles, database, grants and the latest migration; quick when all of it stands."""
    await bootstrap(urls.superuser, database, dict(urls.role_passwords))
    await migrate(urls.dsn("owner", database))


def listens(port: int) -> bool:
    """Whether something on this machine accepts connections at this port now."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class House:
    """Starts and stops the processes. `base_url` answers once `start` returned."""

    def __init__(
        self,
        urls: EngineUrls,
        database: str,
        *,
        folder: Path,
        port: int = 0,
        workers: int = 2,
        wechat: StandInProcess | None = None,
        extra: dict[str, str] | None = None,
    ) -> None:
        self._folder, self._own_wechat = folder, wechat is None
        self._wechat = wechat or StandInProcess()
        self._urls, self._database, self._workers, self._extra = urls, database, workers, extra or {}
        self.port = port or free_port()
        self.environment: dict[str, str] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def base_url(self) -> str:
        """Where the house answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def wechat_base(self) -> str:
        """Where the stand-in answers."""
        return self._wechat.base_url

    def start_wechat(self) -> str:
        """Starts the stand-in when it does not run yet and fixes the settings of everything else."""
        base = self._wechat.base_url or self._wechat.start()
        self.environment = (
            sandbox_environment(
                self._urls,
                database=self._database,
                wechat_base=base,
                appid=StandInControl.appid,
                app_secret=StandInControl.secret,
                realname_key=StandInControl.realname_key,
                port=self.port,
                workers=self._workers,
            )
            | self._extra
        )
        return base

    async def start(self) -> None:
        """Starts stand-in, server and worker, and waits until the server is ready. Raises `HouseFailed`."""
        if listens(self.port):
            raise HouseFailed(f"port {self.port} is taken by something else; choose another, e.g. make demo PORT=8080")
        self.start_wechat()
        self.start_process("serve")
        self.start_process("worker")
        await self.wait_ready()

    def start_process(self, command: str) -> subprocess.Popen[bytes]:
        """Starts `chengxin serve` or `chengxin worker`; its log is in the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{command}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "server.cli", command],
                env=os.environ | self.environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes[command] = process
        return process

    async def wait_ready(self) -> None:
        """Returns once /readyz answers 200. Raises `HouseFailed`."""
        deadline = time.monotonic() + READY_WITHIN_S
        async with httpx.AsyncClient(base_url=self.base_url, trust_env=False, timeout=5) as client:
            while time.monotonic() < deadline:
                for command, process in self.processes.items():
                    if process.poll() is not None:
                        raise HouseFailed(f"{command} ended with {process.returncode}:\n{self.log_end(command)}")
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get("/readyz")).status_code == httpx.codes.OK:
                        return
                await asyncio.sleep(0.05)
        raise HouseFailed(f"not ready after {READY_WITHIN_S} s:\n{self.log_end('serve')}")

    def log_end(self, command: str, lines: int = 30) -> str:
        """The last lines a process wrote."""
        return "\n".join((self._folder / f"{command}.log").read_text(errors="replace").splitlines()[-lines:])

    def stop_process(self, command: str) -> None:
        """Ends `serve` or `worker`, gently first; the step under way is finished."""
        process = self.processes.pop(command)
        _ask_to_end(process)
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """Ends everything that was started here, gently first."""
        for process in self.processes.values():
            _ask_to_end(process)
        for command in list(self.processes):
            self.stop_process(command)
        if self._own_wechat:
            self._wechat.stop()


def _ask_to_end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
