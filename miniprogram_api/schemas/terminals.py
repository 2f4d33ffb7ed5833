"""Bodies of the terminal routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from miniprogram_api.schemas.merchant_sessions import Id


class CreateTerminalRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A phone needs no enrolment: it becomes a terminal with the first log-in at the store."""

    store_id: Id
    kind: Literal["pc", "gate", "gun"]
    label: Annotated[str, Meta(max_length=60)] = ""


class TerminalReply(Struct, frozen=True):
    id: str
    store_id: str
    kind: str
    label: str
    staff_id: str | None
    status: str
    created_at: datetime
    enrolled_at: datetime | None


class EnrolmentReply(Struct, frozen=True):
    """`enrolment_code` is shown this once; type it into the machine."""

    terminal: TerminalReply
    enrolment_code: str
    expires_at: datetime


class EnrolRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Case, spaces and the hyphen do not matter."""

    enrolment_code: Annotated[str, Meta(min_length=1, max_length=40)]


class EnrolledReply(Struct, frozen=True):
    """`terminal_secret` is shown this once; the machine keeps it and exchanges it for tokens."""

    terminal: TerminalReply
    terminal_secret: str


class TerminalSessionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    terminal_secret: Annotated[str, Meta(min_length=1, max_length=100)]


class TerminalSessionReply(Struct, frozen=True):
    """A gate sends the token as `Authorization`, a PC or gun as `X-Terminal-Token` beside its staff session."""

    access_token: str
    token_type: str
    expires_at: datetime
    server_time: datetime
    terminal: TerminalReply


class TerminalPageReply(Struct, frozen=True):
    items: list[TerminalReply]
    next_cursor: str | None
