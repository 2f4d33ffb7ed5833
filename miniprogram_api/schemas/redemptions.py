"""Bodies of the counter's routes. No resident is in any of them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from miniprogram_api.schemas.coupons import BenefitReply


class VerifyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`code` as read: 20 ASCII digits."""

    code: Annotated[str, Meta(min_length=1, max_length=512)]


class VerifyReply(Struct, frozen=True):
    """`result` usable brings a `ticket` for `expires_in` seconds; `check` is two signs that the resident's phone
    shows as well. outside_window: a genuine code at the wrong time; `message` says so and `usable_at` when it can be
    used next. limit_reached: a genuine code, and this place has had its redemptions; `message` says which and for
    how long; the same code may be scanned here again."""

    result: Literal["usable", "not_valid", "merchant_suspended", "outside_window", "limit_reached"]
    benefit: BenefitReply | None
    ticket: str | None
    expires_in: int | None
    check: str | None
    usable_at: datetime | None
    message: str | None


class RedeemRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`order_amount_fen` is required when the benefit says so, and refused otherwise. `order_no`: the shop's own number
    of the order, without anything personal in it; required when the benefit cannot be combined freely."""

    ticket: Annotated[str, Meta(min_length=1, max_length=512)]
    order_no: Annotated[str, Meta(pattern=r"^[0-9A-Za-z._/#-]{1,64}$")] | None = None
    order_amount_fen: Annotated[int, Meta(ge=1, le=100_000_000_000)] | None = None


class RedemptionReply(Struct, frozen=True):
    """A receipt. `discount_fen` is what the customer saves: `platform_fen` and `sponsor_fen` of it are paid to the
    merchant, `merchant_fen` he bears."""

    id: str
    benefit: BenefitReply
    order_no: str | None
    order_amount_fen: int | None
    discount_fen: int
    platform_fen: int
    sponsor_fen: int
    merchant_fen: int
    redeemed_at: datetime
    void_until: datetime
    check: str


class VoidRequest(Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]


class VoidReply(Struct, frozen=True):
    redemption_id: str
    benefit: BenefitReply
    voided_at: datetime
    reason: str


class ShiftLineReply(Struct, frozen=True):
    """One redemption of the list; `voided_at` when it was taken back."""

    id: str
    benefit: BenefitReply
    store_id: str
    terminal_id: str
    staff_id: str | None
    order_no: str | None
    order_amount_fen: int | None
    discount_fen: int
    platform_fen: int
    sponsor_fen: int
    merchant_fen: int
    business_date: date
    redeemed_at: datetime
    void_until: datetime
    voided_at: datetime | None
    void_reason: str | None


class ShiftPageReply(Struct, frozen=True):
    items: list[ShiftLineReply]
    next_cursor: str | None


class ShiftQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`business_date`: the city's day, YYYY-MM-DD."""

    business_date: date | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
