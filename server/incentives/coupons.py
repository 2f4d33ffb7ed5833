"""A resident's coupons: claimed or exchanged in the vault, worded with what their terms give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from server.incentives.errors import ClaimedByLottery, CouponNotFound, GivenOnly, WaitingRoom
from server.incentives.templates import Benefit, TemplateService
from server.incentives.waiting import WaitingLine
from wallet import Claimed, CouponState, CouponView, Done, QueueFull, Refused, Vault, statuses

#: Terms that are known to have sold out at some time, per process; asked about, never believed.
SUSPECTED_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon and what it gives."""

    row: CouponView
    benefit: Benefit


class CouponService:
    """What a resident does with coupons."""

    def __init__(self, *, vault: Vault, templates: TemplateService) -> None:
        self._vault, self._templates = vault, templates
        self._line = WaitingLine()
        self._suspected: set[int] = set()

    async def claim(self, resident_id: int, id: UUID, template_id: int) -> tuple[Done[Claimed], Benefit]:
        """Claims a coupon, or exchanges points for it, under the client's UUIDv7, by the template's live version; the
        same id again answers the same, also when another version is live by now.

        Raises Refused, WaitingRoom when there is no place in the lanes, ClaimedByLottery, GivenOnly.
        """
        terms_id = await self._templates.live_terms(template_id)
        if terms_id in self._suspected:
            if await self._vault.sold_out(resident_id, id, terms_id=terms_id):
                raise Refused(statuses.SOLD_OUT)
            self._suspected.discard(terms_id)
        town = await self._templates.town_for(terms_id, resident_id)
        try:
            done = await self._vault.claim(resident_id, id, template_id=template_id, terms_id=terms_id, town=town)
        except QueueFull as full:
            raise WaitingRoom(retry_after_s=self._line.place(full.retry_after_s or 1, full.each_s)) from full
        except Refused as refusal:
            await self._explained(refusal, terms_id)
            raise
        return done, await self._templates.benefit(done.result.terms or terms_id)

    async def _explained(self, refusal: Refused, terms_id: int) -> None:
        """What a refusal means for these terms. Raises ClaimedByLottery, GivenOnly."""
        if refusal.answer == statuses.SOLD_OUT:
            if len(self._suspected) >= SUSPECTED_MOST:
                self._suspected.clear()
            self._suspected.add(terms_id)
        elif refusal.answer == statuses.REFILL:
            refusal.retry_after_s = self._line.place(0, 0)
        elif refusal.answer == statuses.OUTSIDE_WINDOW:
            benefit = await self._templates.benefit(terms_id)
            if not benefit.claimable:
                raise (ClaimedByLottery if benefit.by_lottery else GivenOnly) from refusal

    async def page(self, resident_id: int, *, state: str | None, before: UUID | None, limit: int) -> list[Coupon]:
        """The resident's coupons, newest first."""
        rows = await self._vault.read.coupons(resident_id, state=state, before=before, limit=limit)
        return await self._worded(rows)

    async def expiring(self, resident_id: int, *, after: tuple[date, UUID] | None, limit: int) -> list[Coupon]:
        """The resident's unused coupons, the first to expire first."""
        return await self._worded(await self._vault.read.expiring_coupons(resident_id, after=after, limit=limit))

    async def counts(self, resident_id: int) -> dict[CouponState, int]:
        """How many coupons the resident has in each state."""
        return await self._vault.read.coupon_counts(resident_id)

    async def _worded(self, rows: Sequence[CouponView]) -> list[Coupon]:
        benefits = await self._templates.benefits(row.terms_id for row in rows)
        return [Coupon(row, benefits[row.terms_id]) for row in rows]

    async def get(self, resident_id: int, coupon_id: UUID) -> Coupon:
        """One coupon of this resident. Raises `CouponNotFound`."""
        row = await self._vault.read.coupon(resident_id, coupon_id)
        if row is None:
            raise CouponNotFound
        return Coupon(row, await self._templates.benefit(row.terms_id))
