"""Bodies of the console's segment routes. Sizes are rounded down; null: not told."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from server.admin_api.schemas.incentives import EffectsReply

_CODES = {"type": "array", "items": {"type": "string", "maxLength": 40}, "maxItems": 1000}
#: An object as `DefinitionReply` is; read by hand, so that what no segment may ask is refused with the reason.
DefinitionDocument = Annotated[
    dict[str, Any],
    Meta(
        max_length=20,
        extra_json_schema={
            "properties": {
                "bands": _CODES, "towns": _CODES, "interests": _CODES,
                "enrolled_from": {"type": "string", "format": "date"},
                "enrolled_until": {"type": "string", "format": "date"},
            },
            "additionalProperties": False,
        },
    ),
]  # fmt: skip


class SegmentRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`definition`: everything that is given must hold, one of a list is enough; days are the city's, both included."""

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    definition: DefinitionDocument


class SegmentCopyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=60)]


class DefinitionReply(Struct, frozen=True):
    bands: list[str]
    towns: list[str]
    interests: list[str]
    enrolled_from: date | None
    enrolled_until: date | None


class SegmentReply(Struct, frozen=True, omit_defaults=True):
    """`text`: the definition in Chinese. `personal`: only residents who turned personalisation on are picked; what such
    a segment is given must be there for everybody else as well."""

    id: str
    name: str
    definition: DefinitionReply
    text: str
    personal: bool
    revision: int
    created_by: str
    created_at: datetime
    changed_by: str
    changed_at: datetime
    simulated: bool = False
    effects: EffectsReply | None = None


class SegmentPageReply(Struct, frozen=True):
    items: list[SegmentReply]
    next_cursor: str | None


class SegmentPageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`search`: a part of the name; `cursor` is the `next_cursor` of the page before."""

    search: Annotated[str, Meta(min_length=1, max_length=60)] | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class SegmentCellReply(Struct, frozen=True):
    """A part of a segment; `code` null: of whom nothing was told, or something that is listed no more."""

    code: str | None
    name: str
    size: int | None


class SegmentPreviewReply(Struct, frozen=True):
    """How large the segment is at `at`. Sizes are rounded down to a multiple of `floor`; below it they are not told,
    and neither is what would tell them."""

    at: datetime
    floor: int
    size: int | None
    bands: list[SegmentCellReply]
    towns: list[SegmentCellReply]


class SegmentSnapshotReply(Struct, frozen=True):
    """A list of members that was written down for one use. `digest`: SHA-256 over the members' ids, ascending, 8 bytes
    each; `sealed_at` null: still being written; `purged_at`: the members are deleted."""

    id: str
    used_for: str
    revision: int
    at: datetime
    size: int | None
    digest: str
    sealed_at: datetime | None
    keep_until: datetime
    purged_at: datetime | None


class SegmentSnapshotsReply(Struct, frozen=True):
    items: list[SegmentSnapshotReply]
