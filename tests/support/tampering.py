"""A TCP proxy that can lose an answer: when armed, it drops the first answer that fits and cuts both ends.

What the server did stands; whoever asked cannot know it. That is the case every retry must survive.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

CHUNK = 65536
#: PostgreSQL's ReadyForQuery outside a transaction: sent after COMMIT.
READY_FOR_QUERY = b"Z\x00\x00\x00\x05I"


def posted(received: bytes) -> bool:
    """PostgreSQL's whole answer to a batch with a redemption in it, committed."""
    return received.endswith(READY_FOR_QUERY) and b"void_until" in received


def created(received: bytes) -> bool:
    """A whole HTTP answer 201."""
    head, found, _ = received.partition(b"\r\n\r\n")
    return bool(found) and head.startswith(b"HTTP/1.1 201")


class Proxy:
    """Listens on `port`. `lost` are the answers that never arrived."""

    def __init__(self, target_port: int, fits: Callable[[bytes], bool]) -> None:
        self._target_port, self._fits = target_port, fits
        self._armed = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.lost: list[bytes] = []

    def arm(self, count: int = 1) -> None:
        """The next `count` answers that fit are lost, each with its connection."""
        self._armed += count

    def lead_to(self, port: int) -> None:
        """New connections go to another port from now on."""
        self._target_port = port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        ways = {
            asyncio.create_task(self._pass(reader, far_writer)),
            asyncio.create_task(self._answer(far_reader, writer)),
        }
        self._tasks |= ways
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        self._tasks -= ways
        for end in (writer, far_writer):
            end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(CHUNK):
                writer.write(part)
                await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held = b""
        with contextlib.suppress(OSError):
            while part := await reader.read(CHUNK):
                held = part if held.endswith(READY_FOR_QUERY) or not self._armed else held + part
                if self._armed and self._fits(held):
                    self._armed -= 1
                    self.lost.append(held)
                    return
                writer.write(part)
                await writer.drain()

    @classmethod
    @asynccontextmanager
    async def before(cls, target_port: int, fits: Callable[[bytes], bool]) -> AsyncIterator[Proxy]:
        """A proxy in front of a local port, closed at the end."""
        proxy = cls(target_port, fits)
        server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            for task in list(proxy._tasks):
                task.cancel()
            await asyncio.gather(*proxy._tasks, return_exceptions=True)
