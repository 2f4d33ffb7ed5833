"""The one intake of facts (D37): whoever saw something happen to a resident tells it here, in its own transaction."""

from __future__ import annotations

from collections.abc import Mapping
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
