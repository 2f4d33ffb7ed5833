"""Facts are forgotten when nothing can be judged by them any more (guard rail 9: what is not needed is not kept).

    border   the first day of the month so many months ago; older facts are not taken in any more, whoever tells them
    kept     beyond it, what a version of a campaign that was not over at the border may still look at (`asked`),
             and what has an award of such a campaign, as its limits count that award, or free minutes still to use
    walk     once a day, kind by kind in the order in which facts occurred, a page at a time

With a fact go the awards for it and the free minutes of these. What was given stays in the ledger and in the audit
trail. The database lets a fact go only before the border that it was told of, and that border never comes back.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import structlog

from server.incentives.asked import judging_since, looked_at_from
from server.incentives.rules import FACTS
from server.kit import passes
from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from server.kit.pace import UNBOUND, Pace, Stopwatch
from server.kit.passes import Page, PassState

log = structlog.get_logger(__name__)

#: The pass's name.
JOB: Final = "forget_facts"
PAGE: Final = 2_000
#: What was told lately stays, however long ago it happened: it may not be judged yet. The machine's days, as
#: `fact.recorded_at` is the machine's time.
FRESH: Final = timedelta(days=30)
KINDS: Final = tuple(sorted(FACTS))

_BORDER = """
INSERT INTO fact_border (before) VALUES ($1) ON CONFLICT (one)
DO UPDATE SET before = excluded.before WHERE fact_border.before < excluded.before
"""
_PAGE = """
SELECT id, occurred_at, recorded_at FROM fact
WHERE kind = $1 AND occurred_at < $2 AND (occurred_at, id) > ($3::timestamptz, $4::bigint)
ORDER BY occurred_at, id LIMIT $5
"""
_FREE = """
SELECT f.id FROM fact f WHERE f.id = ANY($1::bigint[]) AND f.recorded_at < clock_timestamp() - $3::interval
  AND NOT EXISTS (SELECT FROM award a JOIN campaign c ON c.id = a.campaign_id
                  LEFT JOIN free_minutes m ON m.award_id = a.id
                  WHERE a.fact_id = f.id AND (a.status = 'pending' OR c.ended_at IS NULL OR c.ended_at >= $2
                                              OR m.valid_until >= $4))
"""
_MINUTES = "DELETE FROM free_minutes m USING award a WHERE a.id = m.award_id AND a.fact_id = ANY($1::bigint[])"
_AWARDS = "DELETE FROM award WHERE fact_id = ANY($1::bigint[])"
_FACTS = "DELETE FROM fact WHERE id = ANY($1::bigint[])"
_BEGINNING: Final = "2000-01-01T00:00:00+00:00"


def border_of(today: date, months: int, zone: ZoneInfo) -> datetime:
    """The city's midnight before which facts are too old: the first of the month so many months ago."""
    place = today.year * 12 + today.month - 1 - months
    return datetime.combine(date(place // 12, place % 12 + 1, 1), time(), zone)


async def forgotten_before() -> datetime | None:
    """Facts that happened before this instant are not taken in any more; None while nothing was ever forgotten."""
    rows = await fetch("SELECT before FROM fact_border")
    return rows[0]["before"] if rows else None


class FactForgetting:
    """The walk. `months`: how long facts are kept; several processes may step at once, the pass is one's at a time."""

    def __init__(self, *, clock: Clock, months: int, pace: Pace = UNBOUND, page: int = PAGE) -> None:
        self._clock, self._months, self._pace, self._page = clock, months, pace, page
        self._walk = passes.Walk(JOB, clock)

    async def step(self) -> bool:
        """One page of today's pass; returns whether there is more for this process to do now."""
        state = await self._walk.page(self._page_of)
        if state is not None and state.finished and state.done:
            log.info("facts_forgotten", day=str(state.day), facts=state.done, looked_at=state.seen)
        return state is not None and not state.finished

    async def _page_of(self, state: PassState) -> Page:
        watch = Stopwatch()
        border = border_of(state.day, self._months, self._clock.zone)
        place, at, after = _place(state)
        if place == 0 and after == 0:
            await fetch(_BORDER, border)
        kind = KINDS[place]
        until = looked_at_from(kind, await judging_since(border), border, self._clock.zone)
        rows = [] if until is None else await fetch(_PAGE, kind, until, at, after, self._page)
        gone = await self._forget([row["id"] for row in rows], border)
        await self._pace.rest(gone, watch.s)
        if len(rows) == self._page:
            last = rows[-1]
            return Page((place, last["occurred_at"].isoformat(), last["id"]), seen=len(rows), done=gone)
        following = None if place + 1 == len(KINDS) else (place + 1, _BEGINNING, 0)
        return Page(following, seen=len(rows), done=gone)

    async def _forget(self, ids: list[int], border: datetime) -> int:
        if not ids:
            return 0
        async with transaction() as tx:
            free = [row["id"] for row in await fetch(_FREE, ids, border, FRESH, self._clock.today(), using=tx)]
            for statement in (_MINUTES, _AWARDS, _FACTS) if free else ():
                await tx.execute_query(statement, [free])
        return len(free)


def _place(state: PassState) -> tuple[int, datetime, int]:
    place, at, after = state.position or (0, _BEGINNING, 0)
    return int(place), datetime.fromisoformat(str(at)), int(after)
