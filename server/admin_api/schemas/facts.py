"""Bodies of the console's routes for facts that people bring. Ids are strings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from server.admin_api.schemas.incentives import EffectsReply

Id = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,17}$")]
Document = Annotated[str, Meta(min_length=1, max_length=100)]
ImportedKind = Literal["volunteer_hours_recorded", "parking_exit_paid", "library_returned_on_time"]
Kind = Literal[
    "administrator_grant",
    "recipients_file",
    "volunteer_hours_recorded",
    "parking_exit_paid",
    "library_returned_on_time",
]
Status = Literal["requested", "running", "finished", "cancelled"]


class FactImportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`source`: the outside system, under whose name its own ids are unique; `document`: the number of the paper that
    allows it. `simulate`: check the file, write nothing."""

    kind: ImportedKind
    source: Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,24}$")]
    document: Document
    simulate: bool = False


class FactGrantRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """For one resident or for everybody on a list. administrator_grant has an `occasion`, a code that rules may ask
    for; recipients_file is about a list, whose id is the `file_id` of its facts, and tells it once."""

    document: Document
    kind: Literal["administrator_grant", "recipients_file"] = "administrator_grant"
    occasion: Annotated[str, Meta(max_length=40)] = ""
    resident_id: Id | None = None
    list_id: Id | None = None


class FactBatchReply(Struct, frozen=True, kw_only=True):
    """A batch and how far it has come. `taken`: facts to tell; unknown, repeated, unreadable, mistimed: lines
    that were not taken; `told`: facts that were new, the others had been told before. `campaigns`: how many run that
    speak of such facts. `simulated` and `effects` come with a simulated write only."""

    id: str
    kind: Kind
    source: str
    occasion: str
    list_id: str | None
    document: str
    status: Status
    taken: int
    unknown: int
    repeated: int
    unreadable: int
    mistimed: int
    told: int
    campaigns: int
    created_by: str
    created_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    ended_at: datetime | None
    simulated: bool = False
    effects: EffectsReply | None = None


class FactLineReply(Struct, frozen=True):
    """A line that was not taken, and the column that is to blame. reason: unreadable, in_future (it has not happened
    yet), too_old (kept no more), unknown (nobody who takes part), repeated (its id stands in the file before)."""

    line: int
    column: str
    reason: Literal["unreadable", "in_future", "too_old", "unknown", "repeated"]


class FactImportReply(Struct, frozen=True):
    """The new batch, and the first hundred lines of the file that were not taken."""

    batch: FactBatchReply
    lines: list[FactLineReply]


class FactBatchPageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`text`: a part of the document's number, the occasion or the source; `cursor` is the `next_cursor` of the page
    before."""

    status: Status | None = None
    kind: Kind | None = None
    text: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class FactBatchPageReply(Struct, frozen=True):
    items: list[FactBatchReply]
    next_cursor: str | None
