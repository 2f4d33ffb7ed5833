"""Bodies of the console's session routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct


class AdminLoginRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`totp` is the six-digit code of the authenticator app; each code works once."""

    username: Annotated[str, Meta(min_length=1, max_length=32)]
    password: Annotated[str, Meta(min_length=1, max_length=256)]
    totp: Annotated[str, Meta(min_length=1, max_length=16)]

    def __repr__(self) -> str:
        return "AdminLoginRequest()"


class AdminRefreshRequest(Struct, frozen=True, forbid_unknown_fields=True):
    refresh_token: Annotated[str, Meta(min_length=1, max_length=128)]


class AdminTokenReply(Struct, frozen=True):
    """`expires_at` ends the access token, `refresh_expires_at` the session."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_at: datetime
    refresh_expires_at: datetime


class AdminSessionReply(Struct, frozen=True):
    access_token: str
    refresh_token: str
    token_type: str
    expires_at: datetime
    refresh_expires_at: datetime
    administrator_id: str
    display_name: str
    roles: list[str]
    scopes: list[str]
