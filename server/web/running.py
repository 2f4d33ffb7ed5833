"""Serving an application on a listening socket and ending it gracefully."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from sanic import Sanic

LISTEN_FD: Final = "CHENGXIN_LISTEN_FD"
SUPERVISOR_PID: Final = "CHENGXIN_SUPERVISOR_PID"
_POLL_S: Final = 0.02


@asynccontextmanager
async def running(app: Sanic[Any, Any], listener: socket.socket) -> AsyncIterator[None]:
    """Serve `listener` inside the block; on leaving: readiness flips, requests in flight end, pools close last."""
    server: Any = await app.create_server(
        sock=listener, return_asyncio_server=True, asyncio_server_kwargs={"start_serving": False}
    )
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    try:
        yield
    finally:
        await server.before_stop()
        await _drain(server, app.config.GRACEFUL_SHUTDOWN_TIMEOUT)
        await server.after_stop()


async def _drain(server: Any, drain_s: float) -> None:
    """Take no more connections, let busy ones answer, close idle ones, cut off what is late."""
    server.server.close()
    deadline = asyncio.get_running_loop().time() + drain_s
    for connection in list(server.connections):
        connection.signal.stopped = True
    while server.connections and asyncio.get_running_loop().time() < deadline:
        for connection in list(server.connections):
            connection.close_if_idle()
        await asyncio.sleep(_POLL_S)
    for connection in list(server.connections):
        with contextlib.suppress(Exception):
            connection.abort()
