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
    shows as well."""

    result: Literal["usable", "not_valid", "merchant_suspended"]
    benefit: BenefitReply | None
    ticket: str | None
    expires_in: int | None
    check: str | None


class RedeemRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`order_amount_fen` is required when the benefit says so, and refused otherwise."""

    ticket: Annotated[str, Meta(min_length=1, max_length=512)]
    order_amount_fen: Annotated[int, Meta(ge=1, le=100_000_000_000)] | None = None


class RedemptionReply(Struct, frozen=True):
    """A receipt. `discount_fen` is what the customer saves, `sponsor_fen` what of it is paid to the merchant."""

    id: str
    benefit: BenefitReply
    order_amount_fen: int | None
    discount_fen: int
    sponsor_fen: int
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
    order_amount_fen: int | None
    discount_fen: int
    sponsor_fen: int
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
