"""How much of a campaign's limits is used, where the house counts them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class LimitUseReply(Struct, frozen=True):
    """What is used of a limit in the period that runs now, of a campaign that gives no points. `town`: null for all
    together, empty for who lives in no town that is known; a town in which fewer were given than a small cell holds is
    not listed. `left`: never below 0, though a later version may allow less than was given."""

    scope: Literal["campaign", "town"]
    period: Literal["total", "day", "week", "month"]
    town: str | None
    cap: int
    used: int
    left: int
