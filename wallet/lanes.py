"""Lanes: group posting (D20).

    callers ──post(item)──▶ bounded queue ──▶ lane 0 ─┐  one connection each; a lane takes what is queued (at most
                                          └─▶ lane 1 ─┴▶ `batch`) and sends it as one call. No timer: the busy lane
                                                         is the window.

A lane survives everything: a caller that hangs up, an item that fails (the rest is sent again one by one under the
same ids), a connection that dies (it is replaced and the batch is sent again: every id is answered exactly once, so
this is safe).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import msgspec

from wallet.errors import InFlight, QueueFull, VaultUnavailable
from wallet.items import Item

log = logging.getLogger("wallet.lanes")

Connect = Callable[[], Awaitable["asyncpg.Connection"]]

RECONNECT_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0)
CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says when a connection died while it was being used
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    OSError,
    asyncio.TimeoutError,
)
TOOK_TOO_LONG = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One item's answer: the status number, whether it is a replay, and the JSON it decodes from (None when nothing
    is written)."""

    status: int
    replayed: bool
    body: str | None


class Lanes:
    """Sends items to one posting function over `count` connections, grouped by what happens to be waiting."""

    def __init__(self, connect: Connect, function: str, *, first: int, count: int, queue: int, batch: int) -> None:
        self._connect = connect
        self._sql = f"SELECT n, status, replayed, answer FROM vault.{function}($1::jsonb, $2::smallint)"  # noqa: S608
        self._first, self._count, self._limit, self._batch = first, count, queue, batch
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self.sent_batches = 0
        self.sent_items = 0

    async def open(self) -> None:
        """Connects and starts the lanes; raises `VaultUnavailable` when the database cannot be reached."""
        for number in range(self._first, self._first + self._count):
            connection = await self._reconnect()
            self._tasks.append(asyncio.create_task(self._run(number, connection), name=f"lane-{number}"))

    async def close(self) -> None:
        """Sends what is queued, then ends the lanes and their connections."""
        self._closing = True
        self._arrived.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def depth(self) -> int:
        """How many items are waiting now."""
        return len(self._waiting)

    async def post(self, item: Item) -> Answer:
        """The vault's answer to one item. Raises `QueueFull` before anything is sent; `InFlight` or
        `VaultUnavailable` when the outcome is not known, and then the same item may be posted again. A caller that is
        cancelled loses nothing but the answer."""
        if self._closing or len(self._waiting) >= self._limit:
            raise QueueFull
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._arrived.set()
        return await future

    async def _run(self, number: int, connection: asyncpg.Connection | None) -> None:
        try:
            while True:
                if not self._waiting:
                    if self._closing:
                        return
                    self._arrived.clear()
                    await self._arrived.wait()
                    continue
                taken = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
                try:
                    connection = await self._send(number, connection, taken)
                except Exception as problem:  # a lane must outlive whatever one batch met
                    log.exception("lane %d: batch of %d failed", number, len(taken))
                    for _, future in taken:
                        _fail(future, problem)
        finally:
            if connection is not None:
                with contextlib.suppress(Exception):
                    await connection.close(timeout=2)

    async def _send(
        self, number: int, connection: asyncpg.Connection | None, taken: list[tuple[Item, asyncio.Future[Answer]]]
    ) -> asyncpg.Connection | None:
        """Sends one group and hands out its answers; returns the connection to use next."""
        problem: Exception
        for attempt in range(2):
            if connection is None or connection.is_closed():
                try:
                    connection = await self._reconnect()
                except VaultUnavailable as unreachable:
                    for _, future in taken:
                        _fail(future, unreachable)
                    return None
            try:
                await self._call(number, connection, taken)
                return connection
            except CONNECTION_LOST as lost:
                log.warning(
                    "lane %d: connection lost (%s), sending %d items again", number, type(lost).__name__, len(taken)
                )
                connection.terminate()
                connection, problem = None, VaultUnavailable()
            except TOOK_TOO_LONG as slow:
                log.warning("lane %d: %s in a batch of %d", number, type(slow).__name__, len(taken))
                problem = InFlight()
                break
            except Exception as refused:
                # Never its text: PostgreSQL quotes the row it refused.
                log.warning("lane %d: %s in a batch of %d", number, type(refused).__name__, len(taken))
                problem = refused
                break
            if attempt:
                break
        if len(taken) > 1:
            for place, one in enumerate(taken):
                if connection is None:
                    try:
                        connection = await self._reconnect()
                    except VaultUnavailable as unreachable:  # gone for all of them: nobody waits for his own try
                        for _, future in taken[place:]:
                            _fail(future, unreachable)
                        return None
                connection = await self._send(number, connection, [one])
        else:
            _fail(taken[0][1], problem)
        return connection

    async def _call(
        self, number: int, connection: asyncpg.Connection, taken: list[tuple[Item, asyncio.Future[Answer]]]
    ) -> None:
        for n, (item, _) in enumerate(taken):
            item.n = n
        payload = msgspec.json.encode([item for item, _ in taken]).decode()
        rows = await connection.fetch(self._sql, payload, number)
        self.sent_batches += 1
        self.sent_items += len(taken)
        for n, status, replayed, body in rows:
            future = taken[n][1]
            if not future.done():  # its caller may have hung up
                future.set_result(Answer(status, replayed, body))

    async def _reconnect(self) -> asyncpg.Connection:
        for pause_s in (*RECONNECT_PAUSES_S, None):
            try:
                return await self._connect()
            except CONNECTION_LOST:
                if pause_s is None or self._closing:
                    break
                await asyncio.sleep(pause_s)
        raise VaultUnavailable


def _fail(future: asyncio.Future[Answer], problem: Exception) -> None:
    if not future.done():
        future.set_exception(problem)
