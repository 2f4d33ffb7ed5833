"""Bodies of the console's audit route."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Word = Annotated[str, Meta(min_length=1, max_length=64)]


class AuditQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Filters, all optional; `since` inclusive, `until` exclusive."""

    actor_kind: Literal["admin", "staff", "resident", "system"] | None = None
    actor_id: Word | None = None
    action: Word | None = None
    object_kind: Word | None = None
    object_id: Word | None = None
    since: Annotated[datetime, Meta(tz=True)] | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class AuditEntryReply(Struct, frozen=True):
    """One change: who, what, and how it looked before and after."""

    id: str
    at: datetime
    actor_kind: str
    actor_id: str
    action: str
    object_kind: str
    object_id: str
    before: Any
    after: Any
    request_id: str


class AuditPageReply(Struct, frozen=True):
    items: list[AuditEntryReply]
    next_cursor: str | None
