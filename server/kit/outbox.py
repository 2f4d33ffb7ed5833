"""House facts that other rooms react to: written with the change they tell of, delivered at least once, in order.

    emit(tx, …)  ──►  table event (txid = the writing transaction)  ──►  relay_once(consumer, handle)

A sequence number alone would lose events: a transaction that took its number early may commit late. The relay therefore
reads only windows that are closed: `txid < pg_snapshot_xmin`, where every transaction has ended (D12). Inside a window
events go by `id`, which is the order in which they were written under whatever lock the writers shared.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import msgspec
from tortoise import fields
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.models import Model

from server.kit.db import fetch

BATCH: Final = 200


class Event(Model):
    """One fact of the house; append-only by trigger."""

    id = fields.BigIntField(primary_key=True)
    txid = fields.BigIntField()
    kind = fields.CharField(max_length=64)
    key = fields.CharField(max_length=128)
    payload: Any = fields.JSONField()
    occurred_at = fields.DatetimeField()

    class Meta:
        table = "event"
        indexes = (("txid", "id"),)


class EventCursor(Model):
    """How far a consumer has come: the window [txid, upto) and the last id handled inside it."""

    consumer = fields.CharField(max_length=64, primary_key=True)
    txid = fields.BigIntField(default=0, db_default=0)
    upto = fields.BigIntField(default=0, db_default=0)
    last_id = fields.BigIntField(default=0, db_default=0)

    class Meta:
        table = "event_cursor"


async def emit(tx: BaseDBAsyncClient, kind: str, key: str, payload: dict[str, Any], occurred_at: datetime) -> None:
    """Write one event in the caller's transaction; it leaves only if that commits. No personal data in `payload`."""
    await tx.execute_query(
        "INSERT INTO event (txid, kind, key, payload, occurred_at)"
        " VALUES (pg_current_xact_id()::text::bigint, $1, $2, $3::jsonb, $4)",
        [kind, key, msgspec.json.encode(payload).decode(), occurred_at],
    )


async def relay_once(consumer: str, handle: Callable[[Event], Awaitable[None]], limit: int = BATCH) -> int:
    """Hand up to `limit` events to `handle` in order; returns how many were handled.

    At least once: the cursor moves after `handle` returned. When `handle` raises, the cursor stands before that event
    and the error leaves. Two relays of one consumer may both handle an event; neither can move the cursor backwards.
    """
    await fetch("INSERT INTO event_cursor (consumer) VALUES ($1) ON CONFLICT (consumer) DO NOTHING", consumer)
    low, high, last_id = await _cursor(consumer)
    rows = await _window(low, high, last_id, limit)
    if not rows:
        opened = await _open_window(consumer, low, high, last_id)
        if opened is None:
            return 0
        low, high, last_id = opened
        rows = await _window(low, high, last_id, limit)
    handled = 0
    reached = last_id
    try:
        for row in rows:
            await handle(_event(row))
            reached = row["id"]
            handled += 1
    finally:
        if reached != last_id:
            await fetch(
                "UPDATE event_cursor SET last_id = $4"
                " WHERE consumer = $1 AND txid = $2 AND upto = $3 AND last_id < $4 RETURNING 1",
                consumer,
                low,
                high,
                reached,
            )
    return handled


async def lag(consumer: str) -> int:
    """How many committed events the consumer has not handled yet."""
    rows = await fetch(
        "SELECT count(*) AS n FROM event e LEFT JOIN event_cursor c ON c.consumer = $1"
        " WHERE e.txid >= coalesce(c.upto, 0)"
        " OR (e.txid >= coalesce(c.txid, 0) AND e.id > coalesce(c.last_id, 0))",
        consumer,
    )
    return int(rows[0]["n"])


async def _cursor(consumer: str) -> tuple[int, int, int]:
    row = (await fetch("SELECT txid, upto, last_id FROM event_cursor WHERE consumer = $1", consumer))[0]
    return row["txid"], row["upto"], row["last_id"]


async def _open_window(consumer: str, low: int, high: int, last_id: int) -> tuple[int, int, int] | None:
    """Close the finished window and open the next up to the oldest running transaction; None when there is none yet."""
    rows = await fetch(
        "UPDATE event_cursor SET txid = upto, upto = x.cut, last_id = 0"
        " FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS cut) x"
        " WHERE consumer = $1 AND txid = $2 AND upto = $3 AND last_id = $4 AND x.cut > upto"
        " AND EXISTS (SELECT 1 FROM event e WHERE e.txid >= upto)"
        " RETURNING event_cursor.txid, event_cursor.upto, event_cursor.last_id",
        consumer,
        low,
        high,
        last_id,
    )
    return (rows[0]["txid"], rows[0]["upto"], rows[0]["last_id"]) if rows else None


async def _window(low: int, high: int, last_id: int, limit: int) -> list[dict[str, Any]]:
    if high <= low:
        return []
    return await fetch(
        "SELECT id, txid, kind, key, payload::text AS payload, occurred_at FROM event"
        " WHERE txid >= $1 AND txid < $2 AND id > $3 ORDER BY id LIMIT $4",
        low,
        high,
        last_id,
        limit,
    )


def _event(row: dict[str, Any]) -> Event:
    return Event(**(row | {"payload": msgspec.json.decode(row["payload"])}))
