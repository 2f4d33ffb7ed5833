"""What campaigns and templates promise, as the vault keeps it: approved once, never changed (D16).

The structs mirror `vault.earn_terms` and `vault.coupon_terms`. Points and fen are integers; shares are basis points;
days are city days.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

import msgspec


class PersonLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How much one person may have: `cap` of `measure` per `period`. `limit_id` belongs to the campaign or template,
    not to a version of its terms: a new version counts on, unless it counts in another measure or period (D17). Weeks
    begin on Monday, days are city days."""

    limit_id: str
    cap: int
    action: Literal["issue", "redeem", "earn"]
    measure: Literal["count", "points", "face_value_fen"] = "count"
    period: Literal["total", "day", "week", "month"] = "total"


class ScopedLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How much may happen at one place, whoever does it: `cap` of `measure` per `period` and place (D17). Places of
    scope campaign are all one; of scope town it is the resident's town when coupons are issued or points earned, and
    the store's when coupons are redeemed; merchant and store are for redemptions. face_value_fen: what it is worth to
    the customer; fen: what it costs the budget. `limit_id` as of a `PersonLimit`; the cap of the terms put last holds,
    also for what older terms gave out."""

    limit_id: str
    cap: int
    scope: Literal["campaign", "merchant", "store", "town"]
    action: Literal["issue", "redeem", "earn"]
    measure: Literal["count", "points", "face_value_fen", "fen"] = "count"
    period: Literal["total", "day", "week", "month"] = "total"


class EarnTerms(msgspec.Struct, frozen=True, kw_only=True):
    """An approved campaign version's earning, immutable once put. `points` is what one earning gives, or the most that
    it may give. A lot lives until the end of the month that lies `validity_months` after the day of earning."""

    id: int = msgspec.field(name="terms")
    points_budget: int
    points: int
    validity_months: int = 24
    person_limits: tuple[PersonLimit, ...] = ()
    scoped_limits: tuple[ScopedLimit, ...] = ()


class UsableWindow(msgspec.Struct, frozen=True, kw_only=True):
    """A time of the week at which a coupon can be used: on these weekdays (1 is Monday) and on days of this kind, from
    a minute of the city's day until before another. workday: a day on which China works, the weekend days that make up
    for a holiday included; holiday: any other day."""

    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    day: Literal["any", "workday", "holiday"] = "any"
    from_minute: int = 0
    until_minute: int = 1440


class CouponTerms(msgspec.Struct, frozen=True, kw_only=True):
    """An approved template version, immutable once put.

    `pay_bp`: of a discount, what the customer pays. `platform_bp`, `sponsor_bp`, `merchant_bp`: who bears what a
    customer saves, together 10000; the merchant is paid what he does not bear. `merchants`, `stores` and `windows`
    empty mean any. A coupon can be used from the `starts_after_days`-th day after the claim, not before `valid_from`;
    from there for `valid_days` days (0: without such an end), not after `valid_until`. `grace_days`: the least life of
    a coupon that a void gives back. Of one `stacking_group`, a person may use `most_per_order` coupons on one order of
    a shop.
    """

    id: int = msgspec.field(name="terms")
    template_id: int = msgspec.field(name="template")
    version: int
    kind: str
    stock_budget: int
    fen_budget: int | None
    price_points: int
    face_value_fen: int
    pay_bp: int
    cap_fen: int
    threshold_fen: int
    platform_bp: int = 0
    sponsor_bp: int
    merchant_bp: int
    person_limits: tuple[PersonLimit, ...]
    scoped_limits: tuple[ScopedLimit, ...] = ()
    starts_after_days: int = 0
    valid_days: int
    valid_from: date | None = None
    valid_until: date | None
    windows: tuple[UsableWindow, ...] = ()
    merchants: tuple[int, ...]
    stores: tuple[int, ...] = ()
    stacking_group: str | None = None
    most_per_order: int = 1
    void_window_s: int
    return_stock: bool
    claim_from: datetime | None
    claim_until: datetime | None
    grace_days: int = 0
