"""Bodies of the console's routes for coupons that are given. Ids are strings, amounts integers, unit last."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from server.admin_api.schemas.incentives import EffectsReply

Id = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,17}$")]
ListStatus = Literal["receiving", "ready", "cleared"]
JobStatus = Literal["requested", "running", "paused", "finished", "cancelled"]


class RecipientListQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`name`: how the list is called in the console. `simulate`: read the file, keep nothing."""

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    simulate: bool = False


class RecipientListPageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`text`: a part of the name; `cursor` is the `next_cursor` of the page before."""

    status: ListStatus | None = None
    text: Annotated[str, Meta(min_length=1, max_length=60)] | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class LineReply(Struct, frozen=True):
    """A line that was not taken. reason: unreadable (no resident's number), unknown (nobody who takes part), repeated
    (stands in the file before)."""

    line: int
    reason: Literal["unreadable", "unknown", "repeated"]


class RecipientListReply(Struct, frozen=True, kw_only=True):
    """`taken`: residents on the list; the other counts are lines that were not taken. cleared: who was on it
    is forgotten."""

    id: str
    name: str
    status: ListStatus
    taken: int
    unknown: int
    repeated: int
    unreadable: int
    created_by: str
    created_at: datetime


class TakenReply(Struct, frozen=True, omit_defaults=True):
    """The new list, and the first hundred lines of the file that were not taken."""

    recipient_list: RecipientListReply
    lines: list[LineReply]
    simulated: bool = False
    effects: EffectsReply | None = None


class RecipientListPageReply(Struct, frozen=True):
    items: list[RecipientListReply]
    next_cursor: str | None


class GrantJobRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """One coupon of the template to each resident of the list or, with `segment_id` instead, to each who is of the
    segment when it is approved; at most `per_second`. `document`: the number of the paper that allows it."""

    template_id: Id
    document: Annotated[str, Meta(min_length=1, max_length=100)]
    list_id: Id | None = None
    segment_id: Id | None = None
    per_second: Annotated[int, Meta(ge=1, le=10_000)] = 500
    note: Annotated[str, Meta(max_length=200)] = ""


class SimulateQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`simulate`: tell what it would take and write nothing."""

    simulate: bool = False


class GrantPlanReply(Struct, frozen=True):
    """What an order would take if it were approved now; a segment's size is rounded down. `fen`: the most the sponsor
    can owe for it; `fen_left` is null without a sponsor. `promised`: coupons of the template that are left but somebody
    else's: codes not typed yet, prizes, what is owed, recipients of other jobs. `enough`: for every recipient beside
    those, if nobody else comes meanwhile."""

    recipients: int
    coupons_left: int
    promised: int
    fen: int
    fen_left: int | None
    enough: bool


class GrantJobPageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`text`: a part of the document's number or the note; `cursor` is the `next_cursor` of the page before."""

    status: JobStatus | None = None
    template_id: Id | None = None
    text: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class GrantJobReply(Struct, frozen=True, kw_only=True):
    """A job and how far it has come: `owed` of `recipients` are written down, `posted` have their coupon, `refused`
    will have none, `under_way` is the rest of `owed`. `why`: what stopped it, when nobody did. A segment's `recipients`
    are known when it has begun: its size rounded down, and never less than `owed`, which is exact, as coupons are
    counted against a budget."""

    id: str
    template_id: str
    list_id: str | None
    segment_id: str | None
    per_second: int
    document: str
    note: str
    status: JobStatus
    why: str
    recipients: int
    owed: int
    posted: int
    refused: int
    under_way: int
    created_by: str
    created_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    ended_at: datetime | None


class RefusedReply(Struct, frozen=True):
    """How many grants were given up for one reason, a code of the vault's."""

    reason: str
    count: int


class GrantJobDetailReply(Struct, frozen=True, omit_defaults=True):
    job: GrantJobReply
    refused: list[RefusedReply]
    simulated: bool = False
    effects: EffectsReply | None = None


class GrantJobPageReply(Struct, frozen=True):
    items: list[GrantJobReply]
    next_cursor: str | None
