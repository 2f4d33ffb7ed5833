"""What coupon terms are for one resident now: what he has used of their limits, what their places have left, and when a
coupon claimed now could be used. Reads of a fixed number, however many terms are asked for; they decide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import asyncpg

from wallet.items import PlaceLimit, bucket_of

_USED: Final = """
SELECT x.k, u.used
FROM unnest($3::int[], $4::text[], $5::date[]) x (k, limit_id, period_start)
JOIN vault.allowance u ON u.b = $1 AND u.owner = $2 AND u.limit_id = x.limit_id AND u.period_start = x.period_start
"""
_LEFT: Final = """
SELECT x.k, (g.reserve + (SELECT sum(s.avail) FROM vault.slot s WHERE s.budget = g.budget))::bigint AS left
FROM unnest($1::int[], $2::text[], $3::date[], $4::text[]) x (k, limit_id, period_start, place)
JOIN vault.counter c ON c.limit_id = x.limit_id AND c.place = x.place AND c.period_start = x.period_start
JOIN vault.budget g ON g.budget = c.budget
"""
_FULL: Final = """
SELECT l.limit_id, l.place, l.since
FROM (SELECT vault.today() AS today) n, vault.coupon_terms t,
  LATERAL (
    SELECT x.limit_id, vault.period_start(x.period, n.today) AS since, coalesce(
      CASE x.scope WHEN 'merchant' THEN $2::bigint::text WHEN 'store' THEN $3::bigint::text
        WHEN 'town' THEN (SELECT a.town FROM vault.acceptor a WHERE a.kind = 'store' AND a.id = $3::bigint) END,
      '') AS place
    FROM unnest(t.scoped_limits) x WHERE x.action = 'redeem' AND x.measure = 'count') l
JOIN vault.counter c ON c.limit_id = l.limit_id AND c.place = l.place AND c.period_start = l.since
JOIN vault.budget g ON g.budget = c.budget
WHERE t.terms = $1 AND g.reserve + (SELECT sum(s.avail) FROM vault.slot s WHERE s.budget = g.budget) < 1
ORDER BY l.limit_id LIMIT 1
"""
_USABLE: Final = """
SELECT t.terms, vault.usable_next(t.terms, d.first, least(
    d.first + CASE WHEN t.valid_days > 0 THEN t.valid_days ELSE 36500 END, t.valid_until), n.now) AS at
FROM (SELECT vault.now() AS now, vault.today() AS today) n, vault.coupon_terms t,
  LATERAL (SELECT greatest(n.today + t.starts_after_days, t.valid_from) AS first) d
WHERE t.terms = ANY ($1::bigint[])
"""


@dataclass(frozen=True, slots=True)
class LimitAsked:
    """A limit as the terms were given it. `since`: the first day of the period that is asked for, None for the one
    period in total; `place`: a town, or "" for the whole campaign."""

    limit_id: str
    measure: str
    period: str
    since: date | None
    scope: str = "resident"
    place: str = ""

    @property
    def name(self) -> str:
        """Its name in the vault."""
        at = "" if self.scope == "resident" else f"{self.scope}/"
        return f"{self.limit_id}/{at}{self.measure}/{self.period}"

    @property
    def first_day(self) -> date:
        """The day under which the period is counted."""
        return self.since or date(1970, 1, 1)


class Offers:
    """Reads over one pool; see `wallet.queries`."""

    _pool: asyncpg.Pool

    async def used(self, resident_id: int, limits: Sequence[LimitAsked]) -> list[int]:
        """How much of each limit of a person this resident has used in its period, in their order."""
        found = dict(await self._pool.fetch(
            _USED, bucket_of(resident_id), resident_id, list(range(len(limits))), [one.name for one in limits],
            [one.first_day for one in limits],
        ))  # fmt: skip
        return [found.get(k, 0) for k in range(len(limits))]

    async def left_at_places(self, limits: Sequence[LimitAsked]) -> list[int | None]:
        """What each limit at a place still allows in its period, in their order; None where nothing has been counted
        yet."""
        found = dict(await self._pool.fetch(
            _LEFT, list(range(len(limits))), [one.name for one in limits], [one.first_day for one in limits],
            [one.place for one in limits],
        ))  # fmt: skip
        return [found.get(k) for k in range(len(limits))]

    async def full_at(self, terms_id: int, *, merchant_id: int, store_id: int) -> PlaceLimit | None:
        """A limit of these terms that allows no redemption at this store now, None when all do. A limit of an amount is
        left out: what a redemption takes of it depends on the order."""
        row = await self._pool.fetchrow(_FULL, terms_id, merchant_id, store_id)
        return None if row is None else PlaceLimit(limit_id=row[0], place=row[1], period_start=row[2])

    async def usable_at(self, terms: Sequence[int]) -> dict[int, datetime | None]:
        """When a coupon claimed now under these terms could first be used; None: never."""
        return dict(await self._pool.fetch(_USABLE, list(terms)))
