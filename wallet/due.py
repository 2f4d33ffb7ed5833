"""Reads for jobs: what is due, in pages that are bounded whatever the tables hold.

Walks go by primary key from a position to the next and need no index on a balance, a lot or a state: none exists, so
that postings stay cheap (D14). A page looks at `limit` rows and returns those of them that matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg

from wallet.items import PlaceLimit

NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class OwnedLot:
    """Points of one resident that can be spent through `expires_on`."""

    owner: int
    expires_on: date
    points: int


@dataclass(frozen=True, slots=True)
class LotPage:
    """`seen` wallets were looked at; the walk goes on after `last`, which is None when there are no more."""

    seen: int
    last: tuple[int, int] | None
    lots: list[OwnedLot]


@dataclass(frozen=True, slots=True)
class OwnedCoupon:
    """A coupon that can be used through `expires_on`."""

    owner: int
    id: UUID
    template_id: int
    expires_on: date
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class CouponPage:
    """`seen` coupons were looked at; the walk goes on after `last`, which is None when there are no more."""

    seen: int
    last: tuple[int, int, UUID] | None
    coupons: list[OwnedCoupon]


class Due:
    """Walks and look-ups over one pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def lots_ending(self, after: tuple[int, int] | None, *, first: date, last: date, limit: int) -> LotPage:
        """The lots that end between `first` and `last`, both included, in the `limit` wallets after `after` (a bucket
        and an owner; None: from the beginning). A wallet's lots come soonest first."""
        b, owner = after or (-1, -1)
        rows = await self._pool.fetch(
            """WITH page AS MATERIALIZED (
                 SELECT b, owner, lot_expiry, lot_points FROM vault.wallet WHERE (b, owner) > ($1::smallint, $2::bigint)
                 ORDER BY b, owner LIMIT $5)
               SELECT p.b, p.owner, l.expires_on, l.points, NULL::bigint AS seen
               FROM page p, unnest(p.lot_expiry, p.lot_points) l (expires_on, points)
               WHERE l.expires_on BETWEEN $3 AND $4
               UNION ALL
               (SELECT b, owner, NULL, NULL, (SELECT count(*) FROM page) FROM page ORDER BY b DESC, owner DESC LIMIT 1)
               ORDER BY b, owner, expires_on""",
            b,
            owner,
            first,
            last,
            limit,
        )
        found = [OwnedLot(row["owner"], row["expires_on"], row["points"]) for row in rows if row["seen"] is None]
        end = next((row for row in rows if row["seen"] is not None), None)
        if end is None:
            return LotPage(0, None, [])
        return LotPage(end["seen"], (end["b"], end["owner"]) if end["seen"] == limit else None, found)

    async def coupons_ending(
        self, after: tuple[int, int, UUID] | None, *, first: date, last: date, limit: int
    ) -> CouponPage:
        """The unused coupons whose last day is between `first` and `last`, both included, among the `limit` coupons
        after `after` (bucket, owner, coupon; None: from the beginning)."""
        b, owner, id = after or (-1, -1, UUID(int=0))
        rows = await self._pool.fetch(
            """WITH page AS MATERIALIZED (
                 SELECT b, owner, id, terms, state, expires_on, issued_at FROM vault.coupon
                 WHERE (b, owner, id) > ($1::smallint, $2::bigint, $3::uuid) ORDER BY b, owner, id LIMIT $6)
               SELECT p.b, p.owner, p.id, t.template, p.expires_on, p.issued_at, NULL::bigint AS seen
               FROM page p JOIN vault.coupon_terms t ON t.terms = p.terms
               WHERE p.state IN ('issued', 'locked') AND p.expires_on BETWEEN $4 AND $5
               UNION ALL
               (SELECT b, owner, id, NULL, NULL, NULL, (SELECT count(*) FROM page) FROM page
                ORDER BY b DESC, owner DESC, id DESC LIMIT 1)""",
            b,
            owner,
            id,
            first,
            last,
            limit,
        )
        found = [
            OwnedCoupon(row["owner"], row["id"], row["template"], row["expires_on"], row["issued_at"])
            for row in rows
            if row["seen"] is None
        ]
        end = next((row for row in rows if row["seen"] is not None), None)
        if end is None:
            return CouponPage(0, None, [])
        more = end["seen"] == limit
        return CouponPage(end["seen"], (end["b"], end["owner"], end["id"]) if more else None, found)

    async def due_holds(self, limit: int) -> list[tuple[int, UUID, datetime]]:
        """Open holds whose life is over, longest over first: (resident, hold, life's end)."""
        rows = await self._pool.fetch(
            "SELECT owner, id, until FROM vault.hold WHERE until <= vault.now() ORDER BY until LIMIT $1", limit
        )
        return [(row["owner"], row["id"], row["until"]) for row in rows]

    async def due_locks(self, since: datetime | None, limit: int) -> list[tuple[int, UUID, UUID, datetime]]:
        """Coupons locked for an order whose lock's life ended, at `since` or later: (resident, coupon, lock, life's
        end)."""
        rows = await self._pool.fetch(
            "SELECT owner, id, lock_id, locked_until FROM vault.coupon WHERE state = 'locked'"
            " AND locked_until <= vault.now() AND locked_until >= $1 LIMIT $2",
            since or NEVER,
            limit,
        )
        return [(row["owner"], row["id"], row["lock_id"], row["locked_until"]) for row in rows]

    async def due_counters(self, ahead: timedelta, limit: int) -> list[PlaceLimit]:
        """Counters of the period that begins within `ahead`, not open yet, of limits and places that were used in the
        period that ends then: whoever comes first after midnight finds them open. A limit of all time has no end."""
        rows = await self._pool.fetch(
            """SELECT c.limit_id, c.place, n.period_start
            FROM (SELECT ((vault.now() + $1) AT TIME ZONE vault.zone())::date AS day) d CROSS JOIN vault.limit_cap l
            CROSS JOIN LATERAL (SELECT vault.period_start(l.period, d.day) AS period_start,
              vault.period_start(l.period, vault.today()) AS was) n
            JOIN vault.counter c ON c.limit_id = l.limit_id AND c.period_start = n.was
            JOIN vault.budget g ON g.budget = c.budget
            WHERE n.period_start > n.was
              AND c.cap > g.reserve + (SELECT sum(s.avail) FROM vault.slot s WHERE s.budget = c.budget)
              AND NOT EXISTS (SELECT FROM vault.counter o
                WHERE (o.limit_id, o.place, o.period_start) = (c.limit_id, c.place, n.period_start))
            ORDER BY c.limit_id, c.place LIMIT $2""",
            ahead,
            limit,
        )
        return [PlaceLimit(**row) for row in rows]
