"""Bodies of the coupon and campaign-shop routes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from miniprogram_api.schemas.wallet import LotReply

Id = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,17}$")]
CouponState = Literal["issued", "locked", "redeemed", "expired", "voided"]


class BenefitReply(Struct, frozen=True):
    """What a coupon gives. `needs_order_amount`, `needs_order_no`: the counter must tell the order's amount, and the
    shop's number of it."""

    id: str
    title: str
    terms: str
    needs_order_amount: bool
    needs_order_no: bool


class ClaimRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`template_id` as the campaign list names it."""

    template_id: Id


class ClaimReply(Struct, frozen=True):
    """A coupon just claimed. `points_after`: what is left in the wallet."""

    id: str
    state: CouponState
    benefit: BenefitReply
    price_points: int
    points_after: int
    usable_from: date
    expires_on: date
    claimed_at: datetime


class CouponReply(Struct, frozen=True):
    """Usable from one day through the other, city time, inside its terms' hours. `usable_at`: the next instant at which
    it can be used, null: never again."""

    id: str
    state: CouponState
    benefit: BenefitReply
    usable_from: date
    expires_on: date
    usable_now: bool
    usable_at: datetime | None
    issued_at: datetime
    redeemed_at: datetime | None


class CouponPageReply(Struct, frozen=True):
    items: list[CouponReply]
    next_cursor: str | None


class CouponCountsReply(Struct, frozen=True):
    """How many coupons there are in each state."""

    issued: int
    locked: int
    redeemed: int
    expired: int
    voided: int


class CouponOverviewReply(Struct, frozen=True):
    """`next`: the unused coupons that expire first, at most three. `points`: those that end first, null when there are
    none; spendable through that day."""

    counts: CouponCountsReply
    next: list[CouponReply]
    points: LotReply | None


class CouponQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`order` expiring: unused coupons only, the first to expire first; without a `state`."""

    order: Literal["newest", "expiring"] = "newest"
    state: CouponState | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
