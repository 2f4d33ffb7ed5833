"""Bodies of the list of a resident's free minutes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct


class FreeMinutesReply(Struct, frozen=True):
    """Minutes for which parking asks nothing, from one award: how many were `given` and how many are `left`, usable
    through `valid_until`, city time. `campaign_title`: of the campaign when it gave them."""

    id: str
    scene: Literal["parking"]
    given: int
    left: int
    valid_until: date
    given_at: datetime
    campaign_id: str
    campaign_title: str


class FreeMinutesPageReply(Struct, frozen=True):
    """The first to end first."""

    items: list[FreeMinutesReply]
    next_cursor: str | None


class FreeMinutesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
