"""Bodies of the routes that tell where a coupon can be used."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class PlaceQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """town: only the stores there."""

    town: Annotated[str, Meta(min_length=1, max_length=40)] | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class PlaceReply(Struct, frozen=True):
    """A store that is open."""

    store_id: str
    name: str
    town: str
    merchant_id: str
    merchant_name: str


class PlacePageReply(Struct, frozen=True):
    items: list[PlaceReply]
    next_cursor: str | None
