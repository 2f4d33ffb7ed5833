"""Bodies of dry runs. Days are the city's; null: fewer residents than `floor`, or what would tell them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct


class DryRunRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`version`: by number, by default the one that is worked on, else the one that stands for the campaign.
    `first_day`, `last_day`: both included, at most 92 days; by default the last calendar month."""

    version: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    first_day: date | None = None
    last_day: date | None = None


class DryRunAmountsReply(Struct, frozen=True):
    """What it would have been: awards to so many residents. `fen`: the most that coupons cost platform and sponsor."""

    residents: int
    awards: int
    points: int
    coupons: int
    fen: int
    free_minutes: int
    lottery_tickets: int


class DryRunDayReply(Struct, frozen=True):
    day: date
    given: DryRunAmountsReply | None


class DryRunReply(Struct, frozen=True):
    """`given` is what the version would have cost. Not given: `withheld` from its hold-out, `cut_by_limits`, and
    `cut_by_budget`, which was used up. All of them are null while the run is running."""

    id: str
    campaign_id: str
    version: int
    first_day: date
    last_day: date
    status: Literal["running", "done"]
    ordered_by: str
    ordered_at: datetime
    finished_at: datetime | None
    floor: int
    given: DryRunAmountsReply | None
    withheld: DryRunAmountsReply | None
    cut_by_limits: DryRunAmountsReply | None
    cut_by_budget: DryRunAmountsReply | None
    days: list[DryRunDayReply]


class DryRunsReply(Struct, frozen=True):
    """Newest first."""

    items: list[DryRunReply]
