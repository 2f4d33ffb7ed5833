"""How a wallet stands, how it came about, and how it stood at any instant.

The statement is the journal: each line carries the balances after it, so nothing is added up. Months that were taken
out of the journal are read too (`journal_all`).

An instant becomes a place in the statement by halving: a resident's lines are numbered without gaps and their times
grow with the numbers, so n lines take log2(n) looks by the key (b, owner, seq), and no index on the time is needed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import asyncpg
import msgspec

from wallet.items import Op, bucket_of

FreezeKind = Literal["debit_frozen", "frozen"]
_LAST: Final = 2**62
_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Lot:
    """Points that can be spent through `expires_on`, city time."""

    expires_on: date
    points: int


@dataclass(frozen=True, slots=True)
class Freeze:
    """An authority's order that stands now. `until` is None when it stands until it is lifted."""

    kind: FreezeKind
    authority: str
    reason: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class WalletView:
    """A wallet now. `points` are spendable today; what has expired is not among them even if no job has booked it
    yet. `today` is the city's day of this answer. `freeze` is None while the wallet is open."""

    points: int
    held: int
    seq: int
    lots: tuple[Lot, ...]
    today: date
    freeze: Freeze | None

    def expiring(self, days: int) -> int:
        """Points that end within `days` days from today."""
        last = self.today + timedelta(days=days)
        return sum(lot.points for lot in self.lots if lot.expires_on <= last)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a statement. `points` and `held` are the changes, `points_after` and `held_after` the booked balances
    after it."""

    id: UUID
    seq: int
    op: Op
    status: int
    points: int
    points_after: int
    held: int
    held_after: int
    coupon_id: UUID | None
    terms_id: int | None
    at: datetime
    detail: dict[str, object]


@dataclass(frozen=True, slots=True)
class BalanceAt:
    """How a wallet stood at `at`, after line `seq` (0: before its first). `points` could be spent then, out of `lots`;
    `expired_points` were past their day by then and not yet booked as expired, so that points + expired_points is the
    booked balance of that line. `held` counts holds whose life was over but which were not given back yet."""

    at: datetime
    seq: int
    points: int
    held: int
    expired_points: int
    lots: tuple[Lot, ...]


@dataclass(frozen=True, slots=True)
class HoldView:
    """Points set aside. `lapsed`: its life is over, and the points are about to come back."""

    id: UUID
    points: int
    payee: int
    memo: str
    at: datetime | None
    until: datetime
    lapsed: bool


class _Order(msgspec.Struct, frozen=True):
    freeze: FreezeKind
    authority: str
    reason: str
    until: datetime | None


class Statements:
    """Reads of one resident's wallet, over the pool of `wallet.queries.Queries`."""

    _pool: asyncpg.Pool

    async def wallet(self, resident_id: int) -> WalletView | None:
        """A resident's wallet, None when it was never opened. One row, whatever the history."""
        row = await self._pool.fetchrow(
            """SELECT w.points_held, w.seq, w.lot_expiry, w.lot_points, vault.today() AS today,
               CASE WHEN w.frozen_until <= vault.now() THEN 'open' ELSE w.status END AS status
            FROM vault.wallet w WHERE w.b = $1 AND w.owner = $2""",
            bucket_of(resident_id),
            resident_id,
        )
        if row is None:
            return None
        lots = tuple(
            Lot(day, points)
            for day, points in zip(row["lot_expiry"], row["lot_points"], strict=True)
            if day >= row["today"]
        )
        freeze = None
        if row["status"] != "open":
            freeze = await self._freeze(resident_id)
        return WalletView(
            sum(lot.points for lot in lots), row["points_held"], row["seq"], lots, row["today"], freeze
        )  # fmt: skip

    async def entries(
        self,
        resident_id: int,
        *,
        before_seq: int | None,
        limit: int,
        ops: Collection[Op] | None = None,
        refused: bool | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Entry]:
        """A page of the statement, newest first: lines before `before_seq`, of these operations, refused or done, from
        `since` (inclusive) until `until` (exclusive). None lets all through."""
        low = 0 if since is None else await self._seq_at(resident_id, since - _TICK)
        high = _LAST if until is None else await self._seq_at(resident_id, until - _TICK) + 1
        rows = await self._pool.fetch(
            f"""{_ENTRY} AND seq > $3 AND seq < $4 AND ($5::smallint[] IS NULL OR op = ANY ($5))
            AND ($6::boolean IS NULL OR (st <> 0) = $6) ORDER BY seq DESC LIMIT $7""",
            bucket_of(resident_id),
            resident_id,
            low,
            min(high, before_seq if before_seq is not None else _LAST),
            None if ops is None else [int(op) for op in ops],
            refused,
            limit,
        )
        return [_entry(row) for row in rows]

    async def entries_after(self, resident_id: int, *, after_seq: int, limit: int) -> list[Entry]:
        """What happened in a wallet since `after_seq`, oldest first."""
        rows = await self._pool.fetch(
            f"{_ENTRY} AND seq > $3 ORDER BY seq LIMIT $4", bucket_of(resident_id), resident_id, after_seq, limit
        )
        return [_entry(row) for row in rows]

    async def balance_at(self, resident_id: int, at: datetime) -> BalanceAt | None:
        """How the wallet stood at an instant, None when it was never opened; exact to the microsecond.

        That is: after the last line whose time is not after `at`. Of lines of one instant (a posting and what it
        expired) all count. A posting of the last seconds that is not committed yet is not seen, and may turn out to
        have happened before `at`. Should the clock of the database ever have stepped back, the lines keep the order in
        which they were booked, and the answer stands between a line not after `at` and one after it."""
        row = await self._pool.fetchrow(_BALANCE_AT, bucket_of(resident_id), resident_id, at)
        if row is None:
            return None
        lots = [Lot(day, points) for day, points in zip(row["days"] or (), row["points"] or (), strict=True)]
        alive = tuple(lot for lot in lots if lot.expires_on >= row["today"])
        points = sum(lot.points for lot in alive)
        return BalanceAt(at, row["seq"], points, row["held"], row["avail"] - points, alive)

    async def holds(self, resident_id: int, *, before: UUID | None, limit: int) -> list[HoldView]:
        """Open holds, newest first; `before` is the last id of the page before. The month in which an open hold was
        booked stays in the journal."""
        rows = await self._pool.fetch(
            """SELECT h.id, h.points, h.payee, h.until, h.until <= vault.now() AS lapsed, j.at,
               coalesce(j.detail ->> 'memo', '') AS memo
            FROM vault.hold h LEFT JOIN vault.journal j ON j.b = h.b AND j.owner = h.owner AND j.id = h.id
            WHERE h.b = $1 AND h.owner = $2 AND ($3::uuid IS NULL OR h.id < $3) ORDER BY h.id DESC LIMIT $4""",
            bucket_of(resident_id),
            resident_id,
            before,
            limit,
        )
        return [
            HoldView(row["id"], row["points"], row["payee"], row["memo"], row["at"], row["until"], row["lapsed"])
            for row in rows
        ]

    async def _seq_at(self, resident_id: int, at: datetime) -> int:
        """The number of the last line not after `at`; 0 when there is none."""
        return await self._pool.fetchval(_SEQ_AT, bucket_of(resident_id), resident_id, at) or 0

    async def _freeze(self, resident_id: int) -> Freeze:
        """The last order. All of it is of that order, whatever happened since the wallet was read."""
        row = await self._pool.fetchrow(
            f"{_ENTRY} AND op = $3 ORDER BY seq DESC LIMIT 1", bucket_of(resident_id), resident_id, int(Op.FREEZE)
        )
        assert row is not None, f"wallet {resident_id} is frozen by no order"
        detail = msgspec.json.decode(row["detail"], type=_Order)
        return Freeze(detail.freeze, detail.authority, detail.reason, row["at"], detail.until)


_ENTRY: Final = """SELECT id, seq, op, st, d_avail, avail_after, d_held, held_after, terms, ref, at, detail
FROM vault.journal_all WHERE b = $1 AND owner = $2"""

# Between `low`, a line not after $3, and `high`, a line after it or the end, half is cut off until nothing is between.
# LIMIT keeps each look a look by key: as a plain join it would read all of the resident's lines at every step.
_HALVING: Final = """
WITH RECURSIVE halving (low, high) AS (
  SELECT 0::bigint, w.seq + 1 FROM vault.wallet w WHERE w.b = $1 AND w.owner = $2
  UNION ALL
  SELECT CASE WHEN m.at <= $3 THEN m.seq ELSE h.low END, CASE WHEN m.at <= $3 THEN h.high ELSE m.seq END
  FROM halving h, LATERAL (
    SELECT j.seq, j.at FROM vault.journal_all j
    WHERE j.b = $1 AND j.owner = $2 AND j.seq = (h.low + h.high) / 2 LIMIT 1) m
  WHERE h.high - h.low > 1)"""
_SEQ_AT: Final = f"{_HALVING} SELECT low FROM halving WHERE high - low = 1"  # noqa: S608

# A line's lots are what it put in or took out. Those of an instant are summed up from the first line, or taken back
# from the wallet's lots of now, whichever is nearer. One statement, so that wallet and journal are of one snapshot.
_BALANCE_AT: Final = f"""{_HALVING},
place AS (
  SELECT h.low AS seq, w.seq AS newest, 2 * h.low >= w.seq AS back, w.lot_expiry, w.lot_points
  FROM halving h, vault.wallet w WHERE h.high - h.low = 1 AND w.b = $1 AND w.owner = $2),
lot AS (
  SELECT x.day, sum(x.points)::bigint AS points
  FROM (
    SELECT l.day, l.points FROM place p, unnest(p.lot_expiry, p.lot_points) l (day, points) WHERE p.back
    UNION ALL
    SELECT (l ->> 0)::date, (l ->> 1)::bigint * CASE WHEN p.back = (j.d_avail > 0) THEN -1 ELSE 1 END
    FROM place p, vault.journal_all j, jsonb_array_elements(j.lots) l
    WHERE j.b = $1 AND j.owner = $2 AND j.d_avail <> 0
      AND j.seq > CASE WHEN p.back THEN p.seq ELSE 0 END AND j.seq <= CASE WHEN p.back THEN p.newest ELSE p.seq END) x
  GROUP BY x.day HAVING sum(x.points) <> 0)
SELECT p.seq, coalesce(j.avail_after, 0) AS avail, coalesce(j.held_after, 0) AS held,
  ($3 AT TIME ZONE vault.zone())::date AS today,
  (SELECT array_agg(l.day ORDER BY l.day) FROM lot l) AS days,
  (SELECT array_agg(l.points ORDER BY l.day) FROM lot l) AS points
FROM place p LEFT JOIN LATERAL (
  SELECT x.avail_after, x.held_after FROM vault.journal_all x
  WHERE x.b = $1 AND x.owner = $2 AND x.seq = p.seq LIMIT 1) j ON true"""  # noqa: S608


def _entry(row: asyncpg.Record) -> Entry:
    detail = msgspec.json.decode(row["detail"]) if row["detail"] else {}
    coupon = detail.get("coupon_id")
    return Entry(
        row["id"],
        row["seq"],
        Op(row["op"]),
        row["st"],
        row["d_avail"] or 0,
        row["avail_after"],
        row["d_held"] or 0,
        row["held_after"],
        UUID(coupon) if coupon else None,
        row["terms"],
        row["at"],
        detail,
    )
