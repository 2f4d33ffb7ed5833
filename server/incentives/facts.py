"""The one intake of facts (D37): whoever saw something happen to a resident tells it here, in its own transaction.

One resident's facts have their ids in the order in which they commit: who tells one waits for whoever is telling
another of the same residents. Rules count what was told before, so two facts at once are never both the first. What
happened so long ago that such facts are forgotten (`forgetting`) is not told any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from tortoise.backends.base.client import BaseDBAsyncClient

from server.kit import outbox
from server.kit.db import fetch

FACT_RECORDED: Final = "fact_recorded"

#: The first half of the intake's advisory locks; the second is the residents' bucket, so that a page takes 1,024 at
# most.
_LOCKS: Final = 0x6661_6374
_IN_TURN = """
SELECT pg_advisory_xact_lock($1::int, x.b) FROM (SELECT DISTINCT (r & 1023)::int AS b FROM unnest($2::bigint[]) r
ORDER BY 1) x
"""
# The machine's own time, never the city's: it only says which facts are fresh.
_INSERT = """
INSERT INTO fact (resident_id, kind, source_id, occurred_at, attributes, recorded_at)
SELECT u.resident_id, u.kind, u.source_id, u.occurred_at, u.attributes::jsonb, clock_timestamp()
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::text[]) WITH ORDINALITY
  u (resident_id, kind, source_id, occurred_at, attributes, place)
WHERE u.occurred_at >= coalesce((SELECT before FROM fact_border), '-infinity') ORDER BY u.place
ON CONFLICT (kind, source_id) DO NOTHING RETURNING id, resident_id, kind, occurred_at
"""


@dataclass(frozen=True, slots=True)
class Told:
    """A fact as it is told. `source_id` names it within its kind; no personal data in `attributes`."""

    resident_id: int
    kind: str
    source_id: str
    occurred_at: datetime
    attributes: Mapping[str, object]


async def record_fact(
    tx: BaseDBAsyncClient,
    resident_id: int,
    kind: str,
    source_id: str,
    occurred_at: datetime,
    attributes: Mapping[str, object],
) -> bool:
    """Record a fact once and tell the worker about it; both commit with the caller's transaction.

    Returns False when (`kind`, `source_id`) was told before, the first telling stands, or it is too long ago.
    """
    return bool(await record_all(tx, [Told(resident_id, kind, source_id, occurred_at, attributes)]))


async def record_facts(
    tx: BaseDBAsyncClient, *, kind: str, occurred_at: datetime, told: Sequence[tuple[int, str, Mapping[str, object]]]
) -> int:
    """Record that the same happened to many residents; (resident, source id, attributes) each. Returns how many were
    not told before."""
    return await record_all(tx, [Told(who, kind, source_id, occurred_at, more) for who, source_id, more in told])


async def record_all(tx: BaseDBAsyncClient, told: Sequence[Told]) -> int:
    """Record many facts, each as `record_fact` does, in their order; returns how many were not told before."""
    if not told:
        return 0
    await tx.execute_query(_IN_TURN, [_LOCKS, [one.resident_id for one in told]])
    rows = await fetch(
        _INSERT,
        [one.resident_id for one in told],
        [one.kind for one in told],
        [one.source_id for one in told],
        [one.occurred_at for one in told],
        [msgspec.json.encode(dict(one.attributes)).decode() for one in told],
        using=tx,
    )
    events = [
        (f"resident:{row['resident_id']}", {"fact_id": str(row["id"]), "kind": row["kind"]}, row["occurred_at"])
        for row in rows
    ]
    await outbox.emit_many(tx, FACT_RECORDED, events)
    return len(rows)
