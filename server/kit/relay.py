"""Streams and who reads them: at least once, in order per key, and nobody waits for another key's trouble.

    source (house events, the vault's journal) ──windows closed by pg_snapshot_xmin──► relay ──► handle
                                                                       └─ raises ─► a job (server.kit.jobs)

A running number alone would lose what a slow transaction commits late. A window therefore ends at the oldest running
transaction (D12): everything in it has ended. What `handle` cannot do becomes a job that is tried later and later,
then a dead letter; what follows under the same key waits behind it. One relay of a consumer runs at a time, by a lease
on its cursor that every step of it checks; a process that dies in the middle is followed after LEASE_S.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import msgspec
import structlog
from tortoise import fields
from tortoise.models import Model

from server.kit.db import fetch, transaction
from server.kit.jobs import Handler, Task, lock_key
from server.kit.tasks import end

BATCH: Final = 200
#: Handlers of one consumer side by side, each of another key.
AT_ONCE: Final = 4
LEASE_S: Final = 20
HANDLE_S: Final = 12

T = TypeVar("T")
log = structlog.get_logger(__name__)


class EventCursor(Model):
    """How far a consumer has come: the window [txid, upto) and the last position handled inside it."""

    consumer = fields.CharField(max_length=64, primary_key=True)
    stream = fields.CharField(max_length=16)
    txid = fields.BigIntField(default=0, db_default=0)
    upto = fields.BigIntField(default=0, db_default=0)
    position: Any = fields.JSONField()
    lease = fields.CharField(max_length=16, null=True)
    leased_until = fields.DatetimeField(null=True)

    class Meta:
        table = "event_cursor"


class Source(Protocol[T]):
    """A stream. Positions order the items of a window; items of one key never change their order between windows."""

    name: str

    async def cut(self, after: int, /) -> int | None:
        """Where a window from `after` may end, None while nothing committed lies in it."""

    async def window(self, low: int, high: int, position: Sequence[int], limit: int, /) -> list[T]:
        """Up to `limit` items of [low, high) behind `position` (empty: from the first), in order."""

    async def at(self, position: Sequence[int], /) -> T | None:
        """The item at a position, None when there is none."""

    async def behind(self, low: int, high: int, position: Sequence[int], limit: int, /) -> int:
        """How many committed items come after `position` in the window and after it, counted to `limit`."""

    def position(self, item: T, /) -> list[int]: ...

    def key(self, item: T, /) -> str: ...


@dataclass(frozen=True, slots=True)
class _Cursor:
    consumer: str
    txid: int
    upto: int
    position: list[int]
    busy: bool = False


async def relay(
    source: Source[T], consumer: str, handle: Callable[[T], Awaitable[None]], limit: int = BATCH, at_once: int = AT_ONCE
) -> int:
    """Take up to `limit` items further, `at_once` of them side by side; returns how many. At least once: the cursor
    moves after `handle` returned.

    What `handle` raises becomes a job of kind `consumer` (see `retry`), not an error of the relay; a database that is
    away is one, and then the cursor stands where it stood.
    """
    cursor = await _read(source.name, consumer)
    if cursor.busy:
        return 0
    items = await source.window(cursor.txid, cursor.upto, cursor.position, limit) if cursor.upto > cursor.txid else []
    lease = secrets.token_hex(8)
    if items:
        if not await fetch(_HOLD, consumer, lease, LEASE_S, cursor.txid, cursor.upto, _text(cursor.position)):
            return 0
    else:
        cut = await source.cut(cursor.upto)
        if cut is None:
            if cursor.upto > cursor.txid:  # its last page was a full one
                await fetch(_CLOSE, consumer, cursor.txid, cursor.upto)
            return 0
        if not await fetch(_OPEN, consumer, lease, LEASE_S, cursor.txid, cursor.upto, cut):
            return 0
        cursor = _Cursor(consumer, cursor.upto, cut, [])
        items = await source.window(cursor.txid, cursor.upto, [], limit)
    return await _Round(source, consumer, lease, handle, at_once).hand_out(items, ended=len(items) < limit)


def retry(source: Source[T], handle: Callable[[T], Awaitable[None]]) -> Handler:
    """The job handler for what stumbled in `relay` with the same source and handle."""

    async def again(task: Task) -> bool:
        item = await source.at(task.payload["at"])
        if item is None:
            raise LookupError(f"{source.name} has nothing at its position")
        await handle(item)
        return True

    return again


async def lag(source: Source[Any], consumer: str, limit: int = 10_000) -> int:
    """How many committed items the consumer has not handled yet, jobs that stumbled included; counted to `limit`."""
    rows = await fetch("SELECT txid, upto, position::text AS position FROM event_cursor WHERE consumer = $1", consumer)
    txid, upto, position = (rows[0]["txid"], rows[0]["upto"], rows[0]["position"]) if rows else (0, 0, "[]")
    waiting = await fetch("SELECT count(*) AS n FROM job WHERE kind = $1 AND stream = $2", consumer, source.name)
    return int(waiting[0]["n"]) + await source.behind(txid, upto, msgspec.json.decode(position), limit)


class _Round:
    """One relay's work under one lease."""

    def __init__(
        self, source: Source[T], consumer: str, lease: str, handle: Callable[[T], Awaitable[None]], at_once: int
    ) -> None:
        self._source: Any = source
        self._consumer, self._lease = consumer, lease
        self._handle: Callable[[Any], Awaitable[None]] = handle
        self._room = asyncio.Semaphore(at_once)

    async def hand_out(self, items: Sequence[Any], *, ended: bool) -> int:
        """Handle or park every item, then give the lease back; `ended`: the window holds no more.

        Keys go side by side, the items of one key one after another.
        """
        by_key: dict[str, list[int]] = {}
        for number, item in enumerate(items):
            by_key.setdefault(self._source.key(item), []).append(number)
        blocked = {row["key"] for row in await fetch(_BLOCKED, self._consumer, self._source.name, list(by_key))}
        stumbled: dict[int, str] = {}
        whole = False
        renewing = asyncio.create_task(self._renew())
        try:
            async with asyncio.TaskGroup() as together:
                for key, numbers in by_key.items():
                    together.create_task(self._hand_out_key(items, numbers, key in blocked, stumbled))
            for number in sorted(stumbled):
                if not await self._park(items[number], stumbled[number]):
                    return 0
            whole = True
        finally:
            await end([renewing])
            await self._leave(items[-1] if whole and items else None, ended=ended and whole)
        return len(items)

    async def _hand_out_key(
        self, items: Sequence[Any], numbers: Sequence[int], held: bool, stumbled: dict[int, str]
    ) -> None:
        """One key's items in order; from the first that stumbles on they are noted in `stumbled`, with its error."""
        for number in numbers:
            if held:
                stumbled[number] = ""
                continue
            async with self._room:
                error = await self._try(items[number])
            if error is not None:
                stumbled[number] = error
                held = True

    async def _try(self, item: Any) -> str | None:
        """None when it was handled, else the class of what went wrong: never its text, which may name a person."""
        try:
            async with asyncio.timeout(HANDLE_S):
                await self._handle(item)
        except Exception as problem:
            log.exception("event_stumbled", consumer=self._consumer, at=self._source.position(item))
            return type(problem).__name__
        return None

    async def _renew(self) -> None:
        """Keeps the lease while the work takes long. Whoever lost it is stopped by the next step that writes."""
        while True:
            await asyncio.sleep(LEASE_S / 4)
            try:
                await fetch(_RENEW, self._consumer, self._lease, LEASE_S)
            except Exception as problem:  # asked again; without a database the round ends by itself
                log.warning("lease_not_renewed", consumer=self._consumer, problem=type(problem).__name__)

    async def _park(self, item: Any, error: str) -> bool:
        """Turn an item into a job and move the cursor past it, both or neither. Behind others of its key it waits; when
        they have gone meanwhile it is due."""
        key, at = self._source.key(item), self._source.position(item)
        async with transaction() as tx:
            if not await fetch(_MOVE, self._consumer, self._lease, _text(at), using=tx):
                return False
            await lock_key(tx, self._consumer, key)
            await tx.execute_query(_PARK, [self._consumer, key, self._source.name, _text({"at": at}), error[:64]])
        return True

    async def _leave(self, reached: Any, *, ended: bool) -> None:
        at = None if reached is None else _text(self._source.position(reached))
        await fetch(_LEAVE, self._consumer, self._lease, at, ended)


async def _read(stream: str, consumer: str) -> _Cursor:
    rows = await fetch(_CURSOR, consumer)
    if not rows:
        await fetch(
            "INSERT INTO event_cursor (consumer, stream, position) VALUES ($1, $2, '[]') ON CONFLICT DO NOTHING",
            consumer,
            stream,
        )
        return _Cursor(consumer, 0, 0, [])
    row = rows[0]
    return _Cursor(consumer, row["txid"], row["upto"], msgspec.json.decode(row["position"]), row["busy"])


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


_CURSOR: Final = """
SELECT txid, upto, position::text AS position, coalesce(leased_until > clock_timestamp(), false) AS busy
FROM event_cursor WHERE consumer = $1
"""
_HOLD: Final = """
UPDATE event_cursor SET lease = $2, leased_until = clock_timestamp() + make_interval(secs => $3)
WHERE consumer = $1 AND (leased_until IS NULL OR leased_until < clock_timestamp())
  AND txid = $4 AND upto = $5 AND position = $6::jsonb RETURNING 1
"""
# The window that was is closed, the next begins where it ended.
_OPEN: Final = """
UPDATE event_cursor SET lease = $2, leased_until = clock_timestamp() + make_interval(secs => $3),
  txid = upto, upto = $6, position = '[]'
WHERE consumer = $1 AND (leased_until IS NULL OR leased_until < clock_timestamp())
  AND txid = $4 AND upto = $5 AND upto < $6 RETURNING 1
"""
_CLOSE: Final = """
UPDATE event_cursor SET txid = upto, position = '[]'
WHERE consumer = $1 AND txid = $2 AND upto = $3 AND lease IS NULL RETURNING 1
"""
_RENEW: Final = """
UPDATE event_cursor SET leased_until = clock_timestamp() + make_interval(secs => $3)
WHERE consumer = $1 AND lease = $2 RETURNING 1
"""
_MOVE: Final = """
UPDATE event_cursor SET position = $3::jsonb WHERE consumer = $1 AND lease = $2 RETURNING 1
"""
# The end of a window closes it, and nothing is looked at twice.
_LEAVE: Final = """
UPDATE event_cursor SET lease = NULL, leased_until = NULL, txid = CASE WHEN $4 THEN upto ELSE txid END,
  position = CASE WHEN $4 THEN '[]' ELSE coalesce($3::jsonb, position) END
WHERE consumer = $1 AND lease = $2 RETURNING 1
"""
_BLOCKED: Final = "SELECT DISTINCT key FROM job WHERE kind = $1 AND stream = $2 AND key = ANY($3::text[])"
_PARK: Final = """
INSERT INTO job (kind, key, stream, payload, state, status, attempts, due_at, error, first_failed_at, last_failed_at,
  created_at)
SELECT $1, $2, $3, $4::jsonb, '{}', CASE WHEN x.behind THEN 'waiting' ELSE 'due' END,
  CASE WHEN $5::text = '' THEN 0 ELSE 1 END,
  CASE WHEN NOT x.behind THEN clock_timestamp() + make_interval(secs => CASE WHEN $5 = '' THEN 0 ELSE 1 END) END,
  $5, CASE WHEN $5 <> '' THEN clock_timestamp() END, CASE WHEN $5 <> '' THEN clock_timestamp() END, clock_timestamp()
FROM (SELECT EXISTS (SELECT FROM job WHERE kind = $1 AND key = $2 AND stream = $3) AS behind) x
"""
