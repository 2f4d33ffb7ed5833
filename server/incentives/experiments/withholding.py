"""What becomes of an award whose resident is held out: it is written down as withheld, and nothing is posted.

So the hold-out's budget can be seen, and the resident is told the truth when he asks. His limits count what was
withheld as if he had got it: somebody who may have it once is withheld it once.
"""

from __future__ import annotations

import msgspec
from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.counting import LIMIT_REACHED, is_over, refuse
from server.incentives.effects import most_fen
from server.incentives.experiments.assignment import is_held_out
from server.incentives.experiments.hold_out import HoldOut
from server.incentives.gifts import is_template_over
from server.incentives.judging import Happened, Offer
from server.incentives.models import CouponTemplateVersion
from server.incentives.rules import Decision
from server.incentives.rules.language import Effect, GiveCoupon
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex
from wallet import statuses


class Withholding:
    """Knows who is held out, and keeps account of what he does not get."""

    def __init__(self, *, clock: Clock, index: BlindIndex) -> None:
        self._clock, self._index = clock, index

    def applies(self, offer: Offer, resident_id: int) -> bool:
        """Whether this resident gets nothing of this version."""
        if offer.hold_out is None:
            return False
        share_bp = msgspec.convert(offer.hold_out, HoldOut).share_bp
        return is_held_out(self._index, offer.campaign_id, resident_id, share_bp)

    async def cost_fen(self, effect: Effect) -> int:
        """The most that platform and sponsor would pay for a coupon that is not given now; 0 for other effects."""
        if not isinstance(effect, GiveCoupon):
            return 0
        template = int(effect.template_id)
        terms = await CouponTemplateVersion.filter(template_id=template, status="live").first()
        return 0 if terms is None else most_fen(terms)

    async def settle(
        self, tx: BaseDBAsyncClient, award_id: int, fact: Happened, offer: Offer, decision: Decision
    ) -> None:
        """Refuse a withheld award that nobody would have had: beyond his limits, or of a template that was over."""
        effect = decision.rule.effect
        if await is_over(tx, award_id, fact, offer, decision.points, self._clock.zone):
            await refuse(tx, award_id, LIMIT_REACHED)
        elif isinstance(effect, GiveCoupon) and await is_template_over(tx, int(effect.template_id), fact.occurred_at):
            await refuse(tx, award_id, statuses.CLOSED.code)
