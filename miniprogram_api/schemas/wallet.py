"""Bodies of the wallet routes: points, statement, news."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from server.ledger_office.commands import Purpose, What


class LotReply(Struct, frozen=True):
    """Points that can be spent through `expires_on`, city time."""

    expires_on: date
    points: int


class ExpiringReply(Struct, frozen=True):
    """Points that end within so many days from today, city time."""

    within_days: int
    points: int


class FreezeReply(Struct, frozen=True):
    """Whose order froze the account, why, since when, and until when (null: until it is lifted)."""

    kind: Literal["debit_frozen", "frozen"]
    authority: str
    reason: str
    since: datetime
    until: datetime | None


class WalletReply(Struct, frozen=True):
    """`points` can be spent today. `expiring` has the days at which residents are told ahead. `status` debit_frozen:
    points may come but not go; frozen: neither, and coupons cannot be used. `seq` is the last entry's number: give it
    to `/events` to hear of what comes after."""

    points: int
    held_points: int
    lots: list[LotReply]
    next_expiry: LotReply | None
    expiring: list[ExpiringReply]
    status: Literal["open", "debit_frozen", "frozen"]
    freeze: FreezeReply | None
    seq: int


EntryKind = Literal[
    "earned", "coupon_claimed", "coupon_redeemed", "redemption_voided", "coupon_expired", "subsidy_released",
    "points_expired", "points_spent", "points_held", "hold_captured", "hold_released", "points_refunded",
    "points_adjusted", "coupon_locked", "coupon_unlocked", "coupon_voided", "account_frozen", "account_unfrozen",
    "refused",
]  # fmt: skip


class EntryReply(Struct, frozen=True):
    """One line of the statement. `points` and `held_points` are the changes, the others the balances after it."""

    id: str
    seq: int
    kind: EntryKind
    title: str
    points: int
    points_after: int
    held_points: int
    held_points_after: int
    coupon_id: str | None
    at: datetime


class EntryPageReply(Struct, frozen=True):
    items: list[EntryReply]
    next_cursor: str | None


class EntryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`first_day` and `last_day` are days of the city, both included; `kind`: lines of one kind only."""

    kind: EntryKind | None = None
    first_day: date | None = None
    last_day: date | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class BalanceQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`at`: an instant that is over, with its offset (`2026-11-23T08:00:00Z`)."""

    at: Annotated[datetime, Meta(tz=True)]


class BalanceReply(Struct, frozen=True):
    """How the wallet stood at `at`, after line `seq` (0: before its first line). `points` could be spent then, out of
    `lots`; `expired_points` were past their last day and not booked as expired yet, so that both together are the
    `points_after` of that line."""

    at: datetime
    seq: int
    points: int
    held_points: int
    expired_points: int
    lots: list[LotReply]


class HoldReply(Struct, frozen=True):
    """Points set aside for something that is under way. Unused ones come back by `until`; `lapsed`: that is over, and
    they come back within a minute or so."""

    id: str
    points: int
    memo: str
    made_at: datetime | None
    until: datetime
    lapsed: bool


class HoldPageReply(Struct, frozen=True):
    items: list[HoldReply]
    next_cursor: str | None


class HoldQuery(Struct, frozen=True, forbid_unknown_fields=True):
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class LookReply(Struct, frozen=True):
    """An administrator looked at the wallet. purpose: enquiry (a question of the resident's), objection, correction,
    authority (an authority's demand) or inspection."""

    at: datetime
    what: What
    purpose: Purpose


class LookPageReply(Struct, frozen=True):
    items: list[LookReply]
    next_cursor: str | None


class LookQuery(Struct, frozen=True, forbid_unknown_fields=True):
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class EventReply(Struct, frozen=True):
    """Something that happened to the resident's wallet. `check` is shown on the merchant's screen too."""

    seq: int
    kind: EntryKind
    title: str
    coupon_id: str | None
    check: str | None
    at: datetime


class EventsReply(Struct, frozen=True):
    """News after `after`, oldest first; ask again with `next_after`."""

    items: list[EventReply]
    next_after: int


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`after`: the last `seq` the phone knows; without it news begin now. `wait_s`: how long to wait when there are
    none."""

    after: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    wait_s: Annotated[int, Meta(ge=0, le=25)] = 25
