"""Bodies of the residents' lottery routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct


class PrizeReply(Struct, frozen=True):
    """`count` prizes of a rank."""

    rank: int
    name: str
    count: int


class WonReply(Struct, frozen=True):
    """What this resident won. `coupon`: whether it is among the resident's own yet; `refused` when it cannot be given,
    such as to who has as many of its kind as one may have."""

    rank: int
    place: int
    prize: str
    ticket: int
    coupon: Literal["pending", "given", "refused"]


class LotteryEntryReply(Struct, frozen=True):
    """The resident's entry. `code` stands for the resident in the published list and nowhere else; `result` is
    `pending` before the draw, `won` is what was won."""

    lottery_id: str
    code: str
    tickets: int
    entered_at: datetime
    result: Literal["pending", "won", "not_won"]
    won: WonReply | None


class ResidentLotteryReply(Struct, frozen=True):
    """A lottery and what the resident has to do with it. `can_enter`: whether an own entry is possible now."""

    id: str
    title: str
    status: Literal["published", "closed", "drawn", "cancelled"]
    rules: str
    opens_at: datetime
    closes_at: datetime
    draw_at: datetime
    prizes: list[PrizeReply]
    cancel_reason: str
    can_enter: bool
    entry: LotteryEntryReply | None


class ResidentLotteryPageReply(Struct, frozen=True):
    items: list[ResidentLotteryReply]
    next_cursor: str | None


class ResidentLotteryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
