"""Bodies of the wallet routes: points, statement, news."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from msgspec import Meta, Struct


class LotReply(Struct, frozen=True):
    """Points that can be spent through `expires_on`, city time."""

    expires_on: date
    points: int


class WalletReply(Struct, frozen=True):
    """`points` can be spent today. `seq` is the last entry's number: give it to `/events` to hear of what comes
    after."""

    points: int
    held_points: int
    lots: list[LotReply]
    next_expiry: LotReply | None
    seq: int


class EntryReply(Struct, frozen=True):
    """One line of the statement. `points` is the change, `points_after` the balance after it."""

    id: str
    seq: int
    kind: str
    title: str
    points: int
    points_after: int
    coupon_id: str | None
    at: datetime


class EntryPageReply(Struct, frozen=True):
    items: list[EntryReply]
    next_cursor: str | None


class EntryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class EventReply(Struct, frozen=True):
    """Something that happened to the resident's wallet. `check` is shown on the merchant's screen too."""

    seq: int
    kind: str
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
