"""`chengxin serve`: one listening socket, N worker processes, and somebody who replaces those that die.

    supervisor ── binds ──▶ socket ── inherited by ──▶ worker 1 … worker N   (python -m server.app_worker)
        │  a worker ends unasked  ──▶ its metrics are closed, another starts after a growing pause
        │  SIGTERM, SIGINT        ──▶ forwarded; waits for every worker's drain, then for nobody

Sanic's own manager does not restart a worker that was killed with -9; see docs/decisions/0005-own-supervisor.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Final

import structlog

from server.config import EX_CONFIG, Settings, UnsafeSettings
from server.kit.logging import configure_logging
from server.web.running import LISTEN_FD, SUPERVISOR_PID

BACKLOG: Final = 2048
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 15.0
HEALTHY_AFTER_S: Final = 10.0
KILL_AFTER_DRAIN_S: Final = 10.0
METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
EX_UNAVAILABLE: Final = 69  # the address is taken; may pass
WORKER_INDEX: Final = "CHENGXIN_WORKER_INDEX"
_log = structlog.get_logger("server.supervisor")


def serve(settings: Settings) -> int:
    """Bind, serve until SIGTERM or SIGINT, and return the exit status: 0 after a drain, 78 for unfit settings, 69 when
    the address is taken."""
    settings.check_production()
    configure_logging(settings.log_level)
    try:
        listener = bind(settings.host, settings.port)
    except OSError as taken:
        _log.error("cannot_listen", host=settings.host, port=settings.port, reason=taken.strerror)
        return EX_UNAVAILABLE
    folder = Path(tempfile.mkdtemp(prefix="chengxin-metrics-"))
    try:
        return asyncio.run(Supervisor(settings, listener, folder).run())
    finally:
        listener.close()
        shutil.rmtree(folder, ignore_errors=True)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket that children inherit."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    listener.set_inheritable(True)
    return listener


class Supervisor:
    """Keeps N workers alive on one socket."""

    def __init__(self, settings: Settings, listener: socket.socket, metrics_folder: Path) -> None:
        self._settings = settings
        self._listener = listener
        self._folder = metrics_folder
        self._stopping = asyncio.Event()
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._status = 0

    async def run(self) -> int:
        """Serve until told to stop; the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        host, port = self._listener.getsockname()[:2]
        _log.info("listening", host=host, port=port, workers=self._settings.workers, pid=os.getpid())
        slots = [asyncio.create_task(self._keep(slot)) for slot in range(self._settings.workers)]
        await self._stopping.wait()
        self._listener.close()  # whoever connects once the workers closed theirs is refused, not left waiting
        self._signal(signal.SIGTERM)
        _, late = await asyncio.wait(slots, timeout=2 * self._settings.drain_s + KILL_AFTER_DRAIN_S)
        if late:
            _log.error("workers_killed", count=len(late))
            self._signal(signal.SIGKILL)
            await asyncio.wait(late)
        return self._status

    async def _keep(self, slot: int) -> None:
        """One worker after another in one slot. A worker that lived for a while is replaced at once."""
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            started = monotonic()
            process = await self._start(slot)
            self._processes[slot] = process
            if self._stopping.is_set():
                process.terminate()
            status = await process.wait()
            self._processes.pop(slot, None)
            self._bury(process.pid)
            if self._stopping.is_set():
                return
            if status == EX_CONFIG:
                self._status = EX_CONFIG
                self._stopping.set()
                return
            pause_s = FIRST_PAUSE_S if monotonic() - started > HEALTHY_AFTER_S else min(2 * pause_s, LONGEST_PAUSE_S)
            _log.error("worker_died", slot=slot, pid=process.pid, status=status, next_in_s=pause_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def _start(self, slot: int) -> asyncio.subprocess.Process:
        number = self._listener.fileno()
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "server.app_worker",
            pass_fds=(number,),
            env={
                **os.environ,
                LISTEN_FD: str(number),
                SUPERVISOR_PID: str(os.getpid()),
                METRICS_FOLDER: str(self._folder),
                WORKER_INDEX: str(slot),
            },
        )

    def _signal(self, number: signal.Signals) -> None:
        for process in list(self._processes.values()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    def _bury(self, pid: int) -> None:
        """Close the gauges of a worker that is gone; what it counted stays counted."""
        for path in self._folder.glob(f"gauge_live*_{pid}.db"):
            path.unlink(missing_ok=True)


def main() -> int:
    """`python -m server.supervisor`: the service with settings from the environment."""
    try:
        settings = Settings()
        return serve(settings)
    except (ValueError, UnsafeSettings) as error:
        sys.stderr.write(f"{error}\n")
        return EX_CONFIG


if __name__ == "__main__":
    raise SystemExit(main())
