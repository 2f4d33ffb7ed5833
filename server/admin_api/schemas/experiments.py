"""Bodies of what a campaign changes: its hold-out. Shares in percent, differences in percentage points."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

Percent = Annotated[float, Meta(ge=0, le=100)]


class HoldOutBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`share_bp` of those who qualify, 1000 is 10 %, get nothing, by lot; compared is who has an `outcome`, a kind of
    fact, within `days` after he first qualified."""

    share_bp: Annotated[int, Meta(ge=1, le=5_000)]
    outcome: Annotated[str, Meta(min_length=1, max_length=40)]
    days: Annotated[int, Meta(ge=1, le=365)]


class WithheldReply(Struct, frozen=True):
    """What a campaign's hold-out did not get, within its own limits: awards, points, and the most that the coupons
    would have cost, in fen. No budget was touched. null: fewer people than the small cell stand behind it."""

    awards: int | None
    points: int | None
    fen: int | None


class UpliftQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`version`: by number, by default the one that stands for the campaign."""

    version: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class SideReply(Struct, frozen=True):
    """One group: `people` whose days are over, how many of them `acted`, their share in per cent, and how many people
    `waiting` have days left. null: a number below `floor`, or what would tell one."""

    people: int | None
    acted: int | None
    rate_percent: Percent | None
    waiting: int | None


class DifferenceInSharesReply(Struct, frozen=True):
    """Share of the treated minus share of the held out, in percentage points, and its 95 % interval (Newcombe 1998,
    method 10). `known`: the interval does not hold zero."""

    points: float
    low: float
    high: float
    known: bool


class UpliftReply(Struct, frozen=True):
    """Both groups of the hold-out that these versions share, as they stand at `at`. Everybody counts on the side to
    which the lot put him. `difference` is null while one of its numbers is hidden. `withheld`: what the hold-out of all
    versions did not get."""

    at: datetime
    versions: list[int]
    hold_out: HoldOutBody
    floor: int
    treated: SideReply
    held_out: SideReply
    difference: DifferenceInSharesReply | None
    withheld: WithheldReply
