"""Bodies of the console's routes for dead letters."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct


class DeadLetterQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`consumer`: those of one consumer or one kind of job only."""

    consumer: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class DiscardRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is given up; kept in the audit trail."""

    reason: Annotated[str, Meta(min_length=1, max_length=200)]


class DeadLetterReply(Struct, frozen=True):
    """What could not be done. `stream`: house or values for an event, empty for a job. `error` is a class of error and
    never a text. `waiting`: later events of the same key that are held back behind it."""

    id: str
    consumer: str
    stream: str
    key: str
    payload: dict[str, Any]
    error: str
    attempts: int
    waiting: int
    first_failed_at: datetime
    last_failed_at: datetime


class DeadLetterPageReply(Struct, frozen=True):
    items: list[DeadLetterReply]
    next_cursor: str | None
