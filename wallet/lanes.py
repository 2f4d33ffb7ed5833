"""Lanes: group posting (D20).

    callers ──post(item)──▶ FairQueue ──▶ lane 0 ─┐  one connection each; a lane takes what is waiting (at most what
                                     └──▶ lane 1 ─┴▶ `BatchSize` allows) and sends it as one call. No timer: the busy
                                                     lane is the window.

A lane survives everything: a caller that hangs up, an item that fails (the rest is sent again one by one under the
same ids), a connection that dies (it is replaced and the batch is sent again: every id is answered exactly once, so
this is safe), a lock that nobody gives back. Every caller gets an answer; one whose outcome is not known is told so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import asyncpg
import msgspec

from wallet.batch_size import BatchSize
from wallet.errors import InFlight, QueueFull, VaultUnavailable
from wallet.fair_queue import Entry, FairQueue
from wallet.items import Item
from wallet.statuses import REFILL

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
LOCKED = (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError)
ROLLED_BACK = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
TOOK_TOO_LONG = (*LOCKED, *ROLLED_BACK)

ATTEMPTS = 2
#: A call costs about as much as so many items do: fewer go together, in their order, though another lane is free.
WORTH_A_CALL = 8
#: After a batch met a lock that nobody gave back: how long each of its items may wait, and all of them together.
HURRIED_LOCK_TIMEOUT_MS, HURRY_S = 250, 2.0
MAX_RETRY_AFTER_S = 30
#: Calls that are remembered for whoever reports them; the weight of the newest call in the running means.
REMEMBERED, NEWEST = 4096, 0.2


@dataclass(frozen=True, slots=True)
class Answer:
    """One item's answer: the status number, whether it is a replay, and the JSON it decodes from (None when nothing
    is written)."""

    status: int
    replayed: bool
    body: str | None


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was answered. `waited_s`: how long the item waited that waited longest."""

    size: int
    waited_s: float
    took_s: float


@dataclass(slots=True)
class Counts:
    """What the lanes did so far. `lock_timeouts` and the like count calls, the others items."""

    calls: int = 0
    items: int = 0
    resent: int = 0
    refused: int = 0
    connections_lost: int = 0
    lock_timeouts: int = 0
    deadlocks: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """What lanes report: counts since they began, and the calls that nobody has taken out yet."""

    counts: Counts = field(default_factory=Counts)
    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


@dataclass(slots=True, eq=False)
class _Lane:
    number: int
    connection: asyncpg.Connection | None
    calling_since: float | None = None


class Lanes:
    """Sends items of one cell to one posting function over `count` connections, grouped by what happens to be waiting.

    `queue`: how many items may wait. `batch`: the most items of one call; `latency_ms`: how much time the items of a
    call may add to it (see `BatchSize`). `figures`: where these lanes report, with others."""

    def __init__(
        self,
        connect: Connect,
        function: str,
        *,
        first: int,
        count: int,
        queue: int,
        batch: int,
        latency_ms: float = 25,
        figures: Figures | None = None,
    ) -> None:
        self._connect = connect
        self._sql = (
            "SELECT n, status, replayed, answer "  # noqa: S608
            f"FROM vault.{function}($1::smallint, $2::jsonb, $3::smallint)"
        )
        self._lanes = [_Lane(number, None) for number in range(first, first + count)]
        self._queue: FairQueue[Answer] = FairQueue(queue)
        self._size = BatchSize(batch, latency_ms / 1000)
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._per_item_s = self._per_call_s = 0.0
        figures = figures or Figures()
        self.counts, self.calls = figures.counts, figures.calls

    async def open(self) -> None:
        """Connects and starts the lanes; raises `VaultUnavailable` when the database cannot be reached."""
        for lane in self._lanes:
            if not await self._connected(lane):
                raise VaultUnavailable
            self._tasks.append(asyncio.create_task(self._run(lane), name=f"lane-{lane.number}"))

    async def close(self) -> None:
        """Sends what is queued, then ends the lanes and their connections."""
        self._closing = True
        self._arrived.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def depth(self) -> int:
        """How many items are waiting now."""
        return self._queue.depth

    @property
    def dropped(self) -> int:
        """How many items were never sent, because their callers hung up while they waited."""
        return self._queue.dropped

    @property
    def batch_limit(self) -> int:
        """How many items a call may carry now."""
        return self._size.now

    async def post(self, item: Item) -> Answer:
        """The vault's answer to one item. Raises `QueueFull` before anything is sent; `InFlight` or
        `VaultUnavailable` when the outcome is not known, and then the same item may be posted again. A caller that is
        cancelled while its item waits has not sent it; later it loses only the answer."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self._closing or not self._queue.put(item, future):
            raise self._full(item)
        self._arrived.set()
        return await future

    async def post_again(self, item: Item, prepare: Callable[[], Awaitable[None]], *, held: bool) -> Answer:
        """Posts an item that was answered "refill" once more, after `prepare`, before everybody who came later. `held`:
        nobody of its terms is served before it. Raises as `post`, and what `prepare` raises."""
        terms = item.terms if held else None
        if terms is not None:
            self._queue.hold(terms)
        try:
            await prepare()
            if self._closing:
                raise self._full(item)
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self._queue.put_back(item, future)
        finally:
            if terms is not None:
                self._queue.release(terms)
            self._arrived.set()
        return await future

    def _full(self, item: Item) -> QueueFull:
        self.counts.refused += 1
        full = QueueFull()
        full.retry_after_s = min(max(math.ceil(self._drain_s(item)), 1), MAX_RETRY_AFTER_S)
        full.each_s = self._per_item_s / len(self._lanes)
        return full

    def _drain_s(self, item: Item) -> float:
        """How long what waits before an item will take: all of it, its own chain, or the call that is stuck now."""
        now = time.monotonic()
        stuck_s = max((now - lane.calling_since for lane in self._lanes if lane.calling_since), default=0.0)
        return max(
            self._queue.depth * self._per_item_s / len(self._lanes),
            self._queue.chained(item) * self._per_call_s,
            stuck_s,
        )

    async def _run(self, lane: _Lane) -> None:
        try:
            while True:
                taken = self._queue.take(min(self._size.now, self._part()))
                if taken:
                    await self._serve(lane, taken)
                elif self._closing and not self._queue.depth:
                    return
                else:
                    self._arrived.clear()
                    await self._arrived.wait()
        finally:
            self._arrived.set()  # for lanes that wait for the last of this one's chains
            if lane.connection is not None:
                with contextlib.suppress(Exception):
                    await lane.connection.close(timeout=2)

    def _part(self) -> int:
        """What waits is divided among the lanes that are free. One that took all of it would have its callers come back
        together, and they would stay together: one lane at work, the others idle."""
        free = sum(lane.calling_since is None for lane in self._lanes)
        return max(WORTH_A_CALL, math.ceil(self._queue.depth / free))

    async def _serve(self, lane: _Lane, taken: list[Entry[Answer]]) -> None:
        """Has every taken entry answered, whatever happens."""
        lane.calling_since = time.monotonic()
        try:
            await self._deliver(lane, taken)
        except Exception:  # a lane must outlive whatever one batch met
            log.exception("lane %d: batch of %d failed", lane.number, len(taken))
        finally:
            lane.calling_since = None
            for entry in taken:
                _fail(entry, VaultUnavailable())
                self._queue.finish(entry)
            self._arrived.set()

    async def _deliver(self, lane: _Lane, taken: list[Entry[Answer]]) -> None:
        """Sends one group; when it fails as a group, its items one by one."""
        problem: Exception = VaultUnavailable()
        for _ in range(ATTEMPTS):
            if not await self._connected(lane):
                _fail_all(taken, VaultUnavailable)
                return
            try:
                await self._call(lane, taken)
                return
            except CONNECTION_LOST as lost:
                _tell(lane, lost, taken)
                self.counts.connections_lost += 1
                assert lane.connection is not None
                lane.connection.terminate()
                lane.connection, problem = None, VaultUnavailable()
            except ROLLED_BACK as undone:
                _tell(lane, undone, taken)
                self.counts.deadlocks += 1
                problem = InFlight()
                if len(taken) > 1:
                    break
            except asyncpg.InsufficientResourcesError as full:  # no disk, no memory: nothing of the group was done
                _tell(lane, full, taken)
                self.counts.failures += 1
                _fail_all(taken, VaultUnavailable)
                return
            except LOCKED as slow:
                _tell(lane, slow, taken)
                self.counts.lock_timeouts += 1
                await self._hurry(lane, taken)
                return
            except Exception as refused:
                _tell(lane, refused, taken)
                self.counts.failures += 1
                problem = refused
                break
        if len(taken) == 1:
            _fail(taken[0], problem)
        else:
            await self._one_by_one(lane, taken, until=math.inf)

    async def _one_by_one(self, lane: _Lane, taken: list[Entry[Answer]], *, until: float) -> None:
        for place, entry in enumerate(taken):
            if entry.future.done():
                continue
            if time.monotonic() > until:
                _fail_all(taken[place:], InFlight)
                return
            if not await self._connected(lane):  # gone for all of them: nobody waits for his own try
                _fail_all(taken[place:], VaultUnavailable)
                return
            self.counts.resent += 1
            await self._deliver(lane, [entry])

    async def _hurry(self, lane: _Lane, taken: list[Entry[Answer]]) -> None:
        """After a wait that was too long: one by one with little patience, as those who do not need what is locked
        must not wait for those who do. What follows in the chain of one that must be given up is given up with it."""
        if len(taken) == 1:
            _fail_all([taken[0], *self._queue.followers(taken[0])], InFlight)
            return
        assert lane.connection is not None
        await lane.connection.execute(f"SET lock_timeout = {HURRIED_LOCK_TIMEOUT_MS}")
        await self._one_by_one(lane, taken, until=time.monotonic() + HURRY_S)
        if lane.connection is not None:
            await lane.connection.execute("RESET lock_timeout")

    async def _call(self, lane: _Lane, taken: list[Entry[Answer]]) -> None:
        assert lane.connection is not None
        for n, entry in enumerate(taken):
            entry.item.n = n
        payload = msgspec.json.encode([entry.item for entry in taken]).decode()
        began = time.monotonic()
        rows = await lane.connection.fetch(self._sql, taken[0].item.b, payload, lane.number)
        size, took_s = len(taken), time.monotonic() - began
        self._size.learn(size, took_s)
        self._per_item_s += NEWEST * (took_s / size - self._per_item_s)
        self._per_call_s += NEWEST * (took_s - self._per_call_s)
        self.counts.calls += 1
        self.counts.items += size
        self.calls.append(Call(size, began - min(entry.queued_at for entry in taken), took_s))
        for n, status, replayed, body in rows:
            future = taken[n].future
            if not future.done():  # its caller may have hung up
                future.set_result(Answer(status, replayed, body))
        if any(row[1] == REFILL.number for row in rows):
            await asyncio.sleep(0)  # its callers hold their terms before the next call is made up

    async def _connected(self, lane: _Lane) -> bool:
        """Whether the lane has a connection, made anew when the old one died."""
        if lane.connection is not None and not lane.connection.is_closed():
            return True
        lane.connection = None
        for pause_s in (*RECONNECT_PAUSES_S, None):
            try:
                lane.connection = await self._connect()
                return True
            except CONNECTION_LOST:
                if pause_s is None or self._closing:
                    break
                await asyncio.sleep(pause_s)
        return False


def _tell(lane: _Lane, problem: Exception, taken: list[Entry[Answer]]) -> None:
    """Never its text: PostgreSQL quotes the row it refused."""
    log.warning("lane %d: %s in a batch of %d", lane.number, type(problem).__name__, len(taken))


def _fail(entry: Entry[Answer], problem: Exception) -> None:
    if not entry.future.done():
        entry.future.set_exception(problem)


def _fail_all(entries: list[Entry[Answer]], problem: type[InFlight] | type[VaultUnavailable]) -> None:
    for entry in entries:
        _fail(entry, problem())
