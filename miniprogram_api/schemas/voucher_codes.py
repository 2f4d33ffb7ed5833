"""Bodies of the routes that turn codes into coupons."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from miniprogram_api.schemas.coupons import CouponReply


class ExchangeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`code` as it was typed: spaces, hyphens, small letters and full-width characters make no difference."""

    code: Annotated[str, Meta(min_length=1, max_length=80)]


class ExchangedReply(Struct, frozen=True):
    """`id`: the coupon's. `coupon` is null while it is under way."""

    id: str
    coupon: CouponReply | None


class ExternalCodeReply(Struct, frozen=True):
    """The third party's code, as it gave it."""

    code: str
