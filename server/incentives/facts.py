"""The one intake of facts (D37): whoever saw something happen to a resident tells it here, in its own transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from tortoise.backends.base.client import BaseDBAsyncClient

from server.kit import outbox
from server.kit.db import fetch

FACT_RECORDED = "fact_recorded"

# The machine's own time, never the city's: it only says which facts are fresh enough to be looked at once more.
_INSERT = """
INSERT INTO fact (resident_id, kind, source_id, occurred_at, attributes, recorded_at)
VALUES ($1, $2, $3, $4, $5::jsonb, clock_timestamp())
ON CONFLICT (kind, source_id) DO NOTHING RETURNING id
"""
_INSERT_MANY = """
INSERT INTO fact (resident_id, kind, source_id, occurred_at, attributes, recorded_at)
SELECT u.resident_id, $1, u.source_id, $2, u.attributes::jsonb, clock_timestamp()
FROM unnest($3::bigint[], $4::text[], $5::text[]) u (resident_id, source_id, attributes)
ON CONFLICT (kind, source_id) DO NOTHING RETURNING id, resident_id
"""


async def record_fact(
    tx: BaseDBAsyncClient,
    resident_id: int,
    kind: str,
    source_id: str,
    occurred_at: datetime,
    attributes: Mapping[str, object],
) -> bool:
    """Record a fact once and tell the worker about it; both commit with the caller's transaction.

    Returns False when (`kind`, `source_id`) was told before; the first telling stands.
    """
    told = msgspec.json.encode(dict(attributes)).decode()
    rows = await fetch(_INSERT, resident_id, kind, source_id, occurred_at, told, using=tx)
    if not rows:
        return False
    payload = {"fact_id": str(rows[0]["id"]), "kind": kind}
    await outbox.emit(tx, FACT_RECORDED, f"resident:{resident_id}", payload, occurred_at)
    return True


async def record_facts(
    tx: BaseDBAsyncClient, *, kind: str, occurred_at: datetime, told: Sequence[tuple[int, str, Mapping[str, object]]]
) -> int:
    """Record that the same happened to many residents, as `record_fact` does for one; (resident, source id, attributes)
    each. Returns how many were not told before."""
    rows = await fetch(
        _INSERT_MANY,
        kind,
        occurred_at,
        [resident_id for resident_id, _, _ in told],
        [source_id for _, source_id, _ in told],
        [msgspec.json.encode(dict(attributes)).decode() for _, _, attributes in told],
        using=tx,
    )
    events = [(f"resident:{row['resident_id']}", {"fact_id": str(row["id"]), "kind": kind}) for row in rows]
    await outbox.emit_many(tx, FACT_RECORDED, events, occurred_at)
    return len(rows)
