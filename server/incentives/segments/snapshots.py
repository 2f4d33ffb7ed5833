"""The members of a segment at an instant, written down once for one use.

    take ──windows of residents, a transaction each──> segment_member ──seal──> size, digest: fixed from here on
    members(after, limit) ──> pages in the order of ids            purge ──> the members go when `keep_until` is over

Broken off at any point, `take` with the same `used_for` goes on where it was. The digest is SHA-256 over the members'
ids in ascending order, 8 bytes each, big-endian.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.segments import definition as definitions
from server.incentives.segments.definition import Definition
from server.incentives.segments.errors import SegmentNotFound, SnapshotNotFound
from server.incentives.segments.models import SegmentSnapshot
from server.incentives.segments.selection import WINDOW, WINDOW_END, members
from server.incentives.segments.suppression import told_total
from server.kit import audit
from server.kit.audit import Actor
from server.kit.clock import Clock
from server.kit.db import fetch, retry_on_conflict, transaction

HOUSE: Final = Actor("system", "segments")
_BEGIN: Final = """
INSERT INTO segment_snapshot (segment_id, used_for, revision, definition, at, begun_at, keep_until, position, size,
    digest)
SELECT s.id, $2, s.revision, s.definition, $3, $4, $5, 0, 0, '' FROM segment s WHERE s.id = $1
ON CONFLICT (used_for) DO NOTHING
"""
_ADD: Final = (
    "WITH added AS (INSERT INTO segment_member (snapshot_id, resident_id) SELECT {0}::bigint, r.id {1} RETURNING 1)"
    " SELECT count(*) AS n FROM added"
)
_ADVANCE: Final = "UPDATE segment_snapshot SET position = $2, size = size + $3 WHERE id = $1"
_SEAL: Final = """
UPDATE segment_snapshot s SET sealed_at = $2, digest = (
    SELECT encode(sha256(coalesce(string_agg(int8send(m.resident_id), '' ORDER BY m.resident_id), '')), 'hex')
    FROM segment_member m WHERE m.snapshot_id = s.id)
WHERE s.id = $1 RETURNING segment_id, used_for, revision, size, digest
"""
_PURGE: Final = """
DELETE FROM segment_member WHERE (snapshot_id, resident_id) IN (
    SELECT m.snapshot_id, m.resident_id FROM segment_member m WHERE m.snapshot_id = $1 LIMIT $2)
RETURNING 1
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A complete list of members, as long as it is kept."""

    id: int
    segment_id: int
    used_for: str
    definition: Definition
    at: datetime
    size: int
    digest: str
    sealed_at: datetime
    keep_until: datetime


class SegmentSnapshots:
    """Takes snapshots, reads them and deletes them in time. `small_cell`: no size below it reaches the audit trail."""

    def __init__(self, *, clock: Clock, keep_days: int, small_cell: int, window: int = WINDOW) -> None:
        self._clock, self._keep_days, self._small_cell, self._window = clock, keep_days, small_cell, window

    async def take(self, segment_id: int, at: datetime, used_for: str) -> int:
        """The id of the sealed snapshot of a segment at an instant; `used_for` names its one use, as `grant_job:17`.

        The same `used_for` again is the same snapshot, whatever the segment has become since. Raises SegmentNotFound.
        """
        now = self._clock.now()
        await fetch(_BEGIN, segment_id, used_for, at, now, now + timedelta(days=self._keep_days))
        row = await SegmentSnapshot.get_or_none(used_for=used_for)
        if row is None:
            raise SegmentNotFound
        if row.segment_id != segment_id:
            raise ValueError(f"{used_for} is the use of another segment")
        snapshot_id: int = row.id
        definition, at_first = definitions.stored(row.definition), row.at

        async def step() -> bool:
            return await self._step(snapshot_id, definition, at_first)

        while await retry_on_conflict(step):
            pass
        return snapshot_id

    async def get(self, snapshot_id: int) -> Snapshot:
        """A complete snapshot whose members are still there. Raises SnapshotNotFound."""
        row = await SegmentSnapshot.get_or_none(id=snapshot_id)
        if row is None or row.sealed_at is None or row.purged_at is not None:
            raise SnapshotNotFound
        return Snapshot(
            row.id, row.segment_id, row.used_for, definitions.stored(row.definition), row.at, row.size, row.digest,
            row.sealed_at, row.keep_until,
        )  # fmt: skip

    async def members(self, snapshot_id: int, after: int = 0, limit: int = 1_000) -> list[int]:
        """Members with ids above `after`, ascending; empty behind the last. Raises SnapshotNotFound."""
        await self.get(snapshot_id)
        rows = await fetch(
            "SELECT resident_id FROM segment_member WHERE snapshot_id = $1 AND resident_id > $2"
            " ORDER BY resident_id LIMIT $3",
            snapshot_id,
            after,
            limit,
        )
        return [row["resident_id"] for row in rows]

    async def of_segment(self, segment_id: int, limit: int = 20) -> list[SegmentSnapshot]:
        """The newest snapshots of a segment, those begun or purged included."""
        return await SegmentSnapshot.filter(segment_id=segment_id).order_by("-id").limit(limit)

    async def purge(self, limit: int) -> int:
        """For the worker: delete up to `limit` members of snapshots whose time is over; returns how much it did."""
        now = self._clock.now()
        row = await SegmentSnapshot.filter(keep_until__lt=now, purged_at=None).order_by("id").first()
        if row is None:
            return 0
        gone = len(await fetch(_PURGE, row.id, limit))
        if gone < limit:
            await SegmentSnapshot.filter(id=row.id, purged_at=None).update(purged_at=now)
        return gone + 1

    async def _step(self, snapshot_id: int, definition: Definition, at: datetime) -> bool:
        """Take one window in, or seal when there is none left; returns whether there is more to do."""
        async with transaction() as tx:
            locked = await fetch(
                "SELECT position, sealed_at FROM segment_snapshot WHERE id = $1 FOR NO KEY UPDATE",
                snapshot_id,
                using=tx,
            )
            low: int = locked[0]["position"]
            if locked[0]["sealed_at"] is not None:
                return False
            high = (await fetch(WINDOW_END, low, self._window, using=tx))[0]["high"]
            if high is not None:
                source, arguments = members(definition, at, low, high)
                arguments.append(snapshot_id)
                (added,) = await fetch(_ADD.format(f"${len(arguments)}", source), *arguments, using=tx)
                await fetch(_ADVANCE, snapshot_id, high, added["n"], using=tx)
                return True
            await self._seal(tx, snapshot_id)
        return False

    async def _seal(self, tx: BaseDBAsyncClient, snapshot_id: int) -> None:
        now = self._clock.now()
        (row,) = await fetch(_SEAL, snapshot_id, now, using=tx)
        await audit.record(
            tx, actor=HOUSE, action="segment.snapshot_taken", object_kind="segment", object_id=str(row["segment_id"]),
            before=None, after={"snapshot_id": str(snapshot_id), "used_for": row["used_for"], "digest": row["digest"],
                                "revision": row["revision"], "size": told_total(row["size"], self._small_cell)},
            at=now, request_id="",
        )  # fmt: skip
