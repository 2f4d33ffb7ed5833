"""What is not points is handed over in the transaction that writes the award: coupons, free minutes, lottery tickets.

Points are limited per person in the ledger; what is handed over is counted in `counting`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Final

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.counting import LIMIT_REACHED, is_over, refuse
from server.incentives.judging import Happened, Offer
from server.incentives.models import FreeMinutes
from server.incentives.rules.language import Effect, GiveCoupon, GiveFreeMinutes, GiveLotteryTickets
from server.kit.clock import Clock
from server.kit.errors import AppError

#: Writes down that a coupon is owed: (tx, resident, template, source, source id).
Owe = Callable[[BaseDBAsyncClient, int, int, str, str], Awaitable[bool]]
#: Enters a resident into a lottery: (tx, lottery, resident, tickets, source). Raises AppError when that is not
# possible.
Enter = Callable[[BaseDBAsyncClient, int, int, int, str], Awaitable[object]]

SOURCE: Final = "campaign"


class Handing:
    """Hands over what an award is made of."""

    def __init__(self, *, clock: Clock, owe: Owe, enter: Enter) -> None:
        self._clock, self._owe, self._enter = clock, owe, enter

    async def over(self, tx: BaseDBAsyncClient, award_id: int, fact: Happened, offer: Offer, effect: Effect) -> None:
        """Give the effect for an award that was just written, or mark it refused and say why."""
        source = f"{offer.campaign_id}:{fact.id}"
        try:
            if await is_over(tx, award_id, fact, offer, 0, self._clock.zone):
                await refuse(tx, award_id, LIMIT_REACHED)
            elif isinstance(effect, GiveCoupon):
                await self._owe(tx, fact.resident_id, int(effect.template_id), SOURCE, source)
            elif isinstance(effect, GiveLotteryTickets):
                tickets = f"{SOURCE}:{source}"
                await self._enter(tx, int(effect.lottery_id), fact.resident_id, effect.tickets, tickets)
            elif isinstance(effect, GiveFreeMinutes):
                await self._give_minutes(tx, award_id, fact, offer, effect)
        except AppError as refusal:  # it was refused before anything was written
            await refuse(tx, award_id, refusal.code)

    async def _give_minutes(
        self, tx: BaseDBAsyncClient, award_id: int, fact: Happened, offer: Offer, effect: GiveFreeMinutes
    ) -> None:
        day = fact.occurred_at.astimezone(self._clock.zone).date()
        await FreeMinutes.create(
            using_db=tx, award_id=award_id, resident_id=fact.resident_id, scene=effect.scene, minutes=effect.minutes,
            valid_until=month_end(day, offer.validity_months), created_at=self._clock.now(),
        )  # fmt: skip


def month_end(day: date, months: int) -> date:
    """The last day of the month that lies so many months after a day, as lots of points end (D10)."""
    place = day.year * 12 + day.month + months
    return date(place // 12, place % 12 + 1, 1) - timedelta(days=1)
