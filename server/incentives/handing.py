"""What is not points is handed over in the transaction that writes the award: coupons, free minutes, lottery tickets.

Points are limited per person in the ledger. What is handed over is counted here: the awards of a person and a campaign
are written one after another, and one above a limit is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.judging import Happened, Offer
from server.incentives.models import FreeMinutes
from server.incentives.rules.language import Effect, GiveCoupon, GiveFreeMinutes, GiveLotteryTickets
from server.kit.clock import Clock
from server.kit.db import fetch
from server.kit.errors import AppError

#: Writes down that a coupon is owed: (tx, resident, template, source, source id).
Owe = Callable[[BaseDBAsyncClient, int, int, str, str], Awaitable[bool]]
#: Enters a resident into a lottery: (tx, lottery, resident, tickets, source). Raises AppError when that is not
# possible.
Enter = Callable[[BaseDBAsyncClient, int, int, int, str], Awaitable[object]]

SOURCE: Final = "campaign"
LIMIT_REACHED: Final = "limit_reached"
_REFUSE = "UPDATE award SET status = 'refused', reason = $2 WHERE id = $1"
_COUNT = """
SELECT count(*) AS n FROM award a JOIN fact f ON f.id = a.fact_id
WHERE a.campaign_id = $1 AND a.resident_id = $2 AND a.status <> 'refused' AND a.id <> $3
  AND ($4::timestamptz IS NULL OR f.occurred_at >= $4) AND ($5::timestamptz IS NULL OR f.occurred_at < $5)
"""


class Handing:
    """Hands over what an award is made of."""

    def __init__(self, *, clock: Clock, owe: Owe, enter: Enter) -> None:
        self._clock, self._owe, self._enter = clock, owe, enter

    async def over(self, tx: BaseDBAsyncClient, award_id: int, fact: Happened, offer: Offer, effect: Effect) -> None:
        """Give the effect for an award that was just written, or mark it refused and say why."""
        source = f"{offer.campaign_id}:{fact.id}"
        try:
            if await self._is_over(tx, award_id, fact, offer):
                await tx.execute_query(_REFUSE, [award_id, LIMIT_REACHED])
            elif isinstance(effect, GiveCoupon):
                await self._owe(tx, fact.resident_id, int(effect.template_id), SOURCE, source)
            elif isinstance(effect, GiveLotteryTickets):
                tickets = f"{SOURCE}:{source}"
                await self._enter(tx, int(effect.lottery_id), fact.resident_id, effect.tickets, tickets)
            elif isinstance(effect, GiveFreeMinutes):
                await self._give_minutes(tx, award_id, fact, offer, effect)
        except AppError as refusal:  # it was refused before anything was written
            await tx.execute_query(_REFUSE, [award_id, refusal.code])

    async def _give_minutes(
        self, tx: BaseDBAsyncClient, award_id: int, fact: Happened, offer: Offer, effect: GiveFreeMinutes
    ) -> None:
        day = fact.occurred_at.astimezone(self._clock.zone).date()
        await FreeMinutes.create(
            using_db=tx, award_id=award_id, resident_id=fact.resident_id, scene=effect.scene, minutes=effect.minutes,
            valid_until=month_end(day, offer.validity_months), created_at=self._clock.now(),
        )  # fmt: skip

    async def _is_over(self, tx: BaseDBAsyncClient, award_id: int, fact: Happened, offer: Offer) -> bool:
        if not offer.limits:
            return False
        await tx.execute_query(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [f"award:{offer.campaign_id}:{fact.resident_id}"]
        )
        for limit in offer.limits:
            since, until = _period(limit, fact.occurred_at, self._clock.zone)
            rows = await fetch(
                _COUNT, offer.campaign_id, fact.resident_id, award_id, since, until, using=tx
            )  # fmt: skip
            if rows[0]["n"] >= limit["cap"]:
                return True
        return False


def month_end(day: date, months: int) -> date:
    """The last day of the month that lies so many months after a day, as lots of points end (D10)."""
    place = day.year * 12 + day.month + months
    return date(place // 12, place % 12 + 1, 1) - timedelta(days=1)


def _period(limit: Mapping[str, Any], at: datetime, zone: ZoneInfo) -> tuple[datetime | None, datetime | None]:
    """The instants of the limit's period around an instant; weeks begin on Monday."""
    today = at.astimezone(zone).date()
    first, following = {
        "total": (None, None),
        "day": (today, today + timedelta(days=1)),
        "week": (today - timedelta(days=today.weekday()), today + timedelta(days=7 - today.weekday())),
        "month": (today.replace(day=1), (today.replace(day=28) + timedelta(days=4)).replace(day=1)),
    }[limit["period"]]
    return _midnight(first, zone), _midnight(following, zone)


def _midnight(day: date | None, zone: ZoneInfo) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=zone)
