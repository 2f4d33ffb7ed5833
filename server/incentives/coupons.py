"""A resident's coupons: claimed or exchanged in the vault, worded with what their terms give."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from server.incentives.errors import CouponNotFound
from server.incentives.templates import Benefit, TemplateService
from wallet import Claimed, CouponView, Done, Vault


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon and what it gives."""

    row: CouponView
    benefit: Benefit


class CouponService:
    """What a resident does with coupons."""

    def __init__(self, *, vault: Vault, templates: TemplateService) -> None:
        self._vault, self._templates = vault, templates

    async def claim(self, resident_id: int, id: UUID, template_id: int) -> tuple[Done[Claimed], Benefit]:
        """Claims a coupon, or exchanges points for it, under the client's UUIDv7, by the template's live version; the
        same id again answers the same, also when another version is live by now."""
        terms_id = await self._templates.live_terms(template_id)
        town = await self._templates.town_for(terms_id, resident_id)
        done = await self._vault.claim(resident_id, id, template_id=template_id, terms_id=terms_id, town=town)
        return done, await self._templates.benefit(done.result.terms or terms_id)

    async def page(self, resident_id: int, *, state: str | None, before: UUID | None, limit: int) -> list[Coupon]:
        """The resident's coupons, newest first."""
        rows = await self._vault.read.coupons(resident_id, state=state, before=before, limit=limit)
        return [Coupon(row, await self._templates.benefit(row.terms_id)) for row in rows]

    async def get(self, resident_id: int, coupon_id: UUID) -> Coupon:
        """One coupon of this resident. Raises `CouponNotFound`."""
        row = await self._vault.read.coupon(resident_id, coupon_id)
        if row is None:
            raise CouponNotFound
        return Coupon(row, await self._templates.benefit(row.terms_id))
