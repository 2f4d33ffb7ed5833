"""Bodies of the `/me/choices` routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

InterestCode = Annotated[str, Meta(min_length=1, max_length=32)]


class ChoicesRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Both are said each time: nothing is chosen by leaving it out. `interests`: codes that are offered."""

    personalised: bool
    interests: Annotated[list[InterestCode], Meta(max_length=200)]


class InterestReply(Struct, frozen=True):
    code: str
    name: str


class ChoicesReply(Struct, frozen=True):
    """What the caller chose. `version` 0 and `chosen_at` null: nothing yet, and personalised is off. `offered`: what
    there is to care about."""

    personalised: bool
    interests: list[str]
    version: int
    chosen_at: datetime | None
    offered: list[InterestReply]
