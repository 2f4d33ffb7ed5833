"""What is not points is handed over in the transaction that writes the award: coupons, free minutes, lottery tickets.

A coupon is owed by then and no more: its award is pending until the desk has given it or given it up (`settle`).
Points are limited per person in the ledger; what is handed over is counted in `counting`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.counting import CAMPAIGN_FULL, LIMIT_REACHED, is_over, refuse, take_places
from server.incentives.grants.desk import Settled
from server.incentives.judging import Happened, Offer
from server.incentives.models import FreeMinutes
from server.incentives.rules.language import Effect, GiveCoupon, GiveFreeMinutes, GiveLotteryTickets
from server.kit.clock import Clock
from server.kit.errors import AppError
from wallet.errors import Refused

#: Writes down that a coupon is owed: (tx, resident, template, source, source id, since when). Raises Refused when the
#: template was over then.
Owe = Callable[[BaseDBAsyncClient, int, int, str, str, datetime], Awaitable[bool]]
#: Enters a resident into a lottery: (tx, lottery, resident, tickets, source). Raises AppError when that is not
# possible.
Enter = Callable[[BaseDBAsyncClient, int, int, int, str], Awaitable[object]]

SOURCE: Final = "campaign"

_SETTLE: Final = """
UPDATE award a SET status = x.status, reason = x.reason, settled_at = vault.now(), attempts = a.attempts + 1
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) x(campaign_id, fact_id, status, reason)
WHERE a.campaign_id = x.campaign_id AND a.fact_id = x.fact_id AND a.status = 'pending' AND a.effect = 'coupon'
"""


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
            elif not await take_places(tx, award_id, fact, offer, self._clock.zone):
                await refuse(tx, award_id, CAMPAIGN_FULL)
            elif isinstance(effect, GiveCoupon):
                await self._owe(tx, fact.resident_id, int(effect.template_id), SOURCE, source, fact.occurred_at)
            elif isinstance(effect, GiveLotteryTickets):
                tickets = f"{SOURCE}:{source}"
                await self._enter(tx, int(effect.lottery_id), fact.resident_id, effect.tickets, tickets)
            elif isinstance(effect, GiveFreeMinutes):
                await self._give_minutes(tx, award_id, fact, offer, effect)
        except (AppError, Refused) as refusal:  # it was refused before anything was given
            await refuse(tx, award_id, refusal.code)

    async def _give_minutes(
        self, tx: BaseDBAsyncClient, award_id: int, fact: Happened, offer: Offer, effect: GiveFreeMinutes
    ) -> None:
        day = fact.occurred_at.astimezone(self._clock.zone).date()
        await FreeMinutes.create(
            using_db=tx, award_id=award_id, resident_id=fact.resident_id, scene=effect.scene, minutes=effect.minutes,
            valid_until=month_end(day, offer.validity_months), created_at=self._clock.now(),
        )  # fmt: skip


async def settle(tx: BaseDBAsyncClient, settled: Sequence[Settled]) -> None:
    """The coupons owed for awards are there, or never will be: so are the awards. What was refused counts against
    nobody's limit. The desk tells it in the transaction that settles them."""
    parts = [one.source_id.split(":") for one in settled]
    await tx.execute_query(
        _SETTLE,
        [
            [int(campaign) for campaign, _ in parts], [int(fact) for _, fact in parts],
            [one.status for one in settled], [one.reason for one in settled],
        ],
    )  # fmt: skip


def month_end(day: date, months: int) -> date:
    """The last day of the month that lies so many months after a day, as lots of points end (D10)."""
    place = day.year * 12 + day.month + months
    return date(place // 12, place % 12 + 1, 1) - timedelta(days=1)
