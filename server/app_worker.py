"""One HTTP process: serves an already listening socket until it is told to stop.

`python -m server.app_worker` is what the supervisor starts, with the socket's number in CHENGXIN_LISTEN_FD. Tests use
`server.web.running` in their own process, so what they stop is what production stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
from typing import Final

import structlog
import uvloop

from server.app import create_app
from server.config import EX_CONFIG, Settings, UnsafeSettings
from server.kit.logging import configure_logging
from server.web.running import LISTEN_FD, SUPERVISOR_PID, running

_PR_SET_PDEATHSIG: Final = 1
_log = structlog.get_logger("server.app_worker")


async def serve(settings: Settings, listener: socket.socket) -> None:
    """Run one process until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(create_app(settings), listener):
        # What was made up to here lives as long as the process. Looked through for garbage with the rest, it would hold
        # up whoever asks at that moment for some 50 ms.
        gc.collect()
        gc.freeze()
        _log.info("taking_requests", pid=os.getpid())
        await stop.wait()
    _log.info("stopped", pid=os.getpid())


def main() -> int:
    """The process's entry; 78 when the settings forbid a start, so that nobody tries again."""
    _die_with_parent()
    try:
        settings = Settings()
        settings.check_production()
    except (ValueError, UnsafeSettings) as error:
        sys.stderr.write(f"{error}\n")
        return EX_CONFIG
    configure_logging(settings.log_level)
    listener = socket.socket(fileno=int(os.environ[LISTEN_FD]))
    listener.setblocking(False)
    uvloop.run(serve(settings, listener))
    return 0


def _die_with_parent() -> None:
    """A supervisor that was killed with -9 takes its workers along, gracefully."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.environ.get(SUPERVISOR_PID, str(os.getppid())) != str(os.getppid()):
        raise SystemExit(0)


if __name__ == "__main__":
    raise SystemExit(main())
