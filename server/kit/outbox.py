"""House facts that other rooms react to: written with the change they tell of, delivered at least once, in order.

    emit(tx, …)  ──►  table event (txid = the writing transaction)  ──►  relay_once(consumer, handle)

Inside a window (server.kit.relay) events go by `id`, which is the order in which they were written under whatever lock
the writers of one key shared.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from tortoise import fields
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.models import Model

from server.kit import relay
from server.kit.db import fetch
from server.kit.relay import BATCH

#: House events stay for so long after everybody has handled them; the database itself refuses less than 30 days.
KEEP_DAYS: Final = 90


class Event(Model):
    """One fact of the house; append-only by trigger, until it is old and everybody has handled it."""

    id = fields.BigIntField(primary_key=True)
    txid = fields.BigIntField()
    kind = fields.CharField(max_length=64)
    key = fields.CharField(max_length=128)
    payload: Any = fields.JSONField()
    occurred_at = fields.DatetimeField()

    class Meta:
        table = "event"
        indexes = (("txid", "id"),)


class HouseEvents:
    """The stream of house events."""

    name = "house"

    async def cut(self, after: int) -> int | None:
        """The oldest running transaction, None while no event waits before it. Raises RuntimeError where numbers are
        lower than what was read: another cluster than the one that wrote the events, which would be passed by."""
        (row,) = await fetch(
            "SELECT x.cut, EXISTS (SELECT FROM event e WHERE e.txid >= $1 AND e.txid < x.cut) AS waiting"
            " FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS cut) x",
            after,
        )
        if row["cut"] < after:
            raise RuntimeError("transaction numbers have started anew: see After a restore in docs/operations.md")
        return int(row["cut"]) if row["waiting"] else None

    async def window(self, low: int, high: int, position: Sequence[int], limit: int) -> list[Event]:
        """Events by id."""
        rows = await fetch(
            f"{_EVENT} WHERE txid >= $1 AND txid < $2 AND id > $3 ORDER BY id LIMIT $4",
            low,
            high,
            position[0] if position else 0,
            limit,
        )
        return [_event(row) for row in rows]

    async def at(self, position: Sequence[int]) -> Event | None:
        """One event."""
        rows = await fetch(f"{_EVENT} WHERE id = $1", position[0])
        return _event(rows[0]) if rows else None

    async def behind(self, low: int, high: int, position: Sequence[int], limit: int) -> int:
        """What is left of the window, and what came after it."""
        rows = await fetch(
            "SELECT count(*) AS n FROM (SELECT FROM event"
            " WHERE txid >= $2 OR (txid >= $1 AND txid < $2 AND id > $3) LIMIT $4) x",
            low,
            high,
            position[0] if position else 0,
            limit,
        )
        return int(rows[0]["n"])

    def position(self, item: Event) -> list[int]:
        return [item.id]

    def key(self, item: Event) -> str:
        return item.key


HOUSE: Final = HouseEvents()


async def emit(tx: BaseDBAsyncClient, kind: str, key: str, payload: dict[str, Any], occurred_at: datetime) -> None:
    """Write one event in the caller's transaction; it leaves only if that commits. No personal data in `payload`."""
    await tx.execute_query(
        "INSERT INTO event (txid, kind, key, payload, occurred_at)"
        " VALUES (pg_current_xact_id()::text::bigint, $1, $2, $3::jsonb, $4)",
        [kind, key, msgspec.json.encode(payload).decode(), occurred_at],
    )


async def emit_many(tx: BaseDBAsyncClient, kind: str, events: Sequence[tuple[str, dict[str, Any], datetime]]) -> None:
    """Write many events of one kind, (key, payload, when it occurred) each, in the caller's transaction and in this
    order."""
    await tx.execute_query(
        "INSERT INTO event (txid, kind, key, payload, occurred_at)"
        " SELECT pg_current_xact_id()::text::bigint, $1, u.key, u.payload::jsonb, u.occurred_at"
        " FROM unnest($2::text[], $3::text[], $4::timestamptz[]) WITH ORDINALITY u (key, payload, occurred_at, place)"
        " ORDER BY u.place",
        [
            kind, [key for key, _, _ in events], [msgspec.json.encode(told).decode() for _, told, _ in events],
            [at for _, _, at in events],
        ],
    )  # fmt: skip


async def relay_once(consumer: str, handle: Callable[[Event], Awaitable[None]], limit: int = BATCH) -> int:
    """Hand up to `limit` events to `handle` in order; see `server.kit.relay.relay` for what is promised."""
    return await relay.relay(HOUSE, consumer, handle, limit)


async def lag(consumer: str) -> int:
    """How many committed events the consumer has not handled yet."""
    return await relay.lag(HOUSE, consumer)


async def purge(keep_days: int = KEEP_DAYS, limit: int = 10_000) -> int:
    """Delete up to `limit` events older than `keep_days` that every consumer has handled; returns how many. A trigger
    holds the same rule against everybody else."""
    rows = await fetch(
        "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE occurred_at < clock_timestamp() - $1 * interval"
        " '1 day' AND txid < (SELECT min(txid) FROM event_cursor WHERE stream = 'house') AND NOT EXISTS (SELECT FROM"
        " job WHERE stream = 'house' AND payload -> 'at' -> 0 = to_jsonb(event.id)) ORDER BY id LIMIT $2) RETURNING id",
        keep_days,
        limit,
    )
    return len(rows)


_EVENT: Final = "SELECT id, txid, kind, key, payload::text AS payload, occurred_at FROM event"


def _event(row: dict[str, Any]) -> Event:
    return Event(**(row | {"payload": msgspec.json.decode(row["payload"])}))
