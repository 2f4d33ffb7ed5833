"""Bodies of the session routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

WeChatCode = Annotated[str, Meta(min_length=1, max_length=128, description="A code of WeChat: works once.")]


class LoginRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`code` comes from `wx.login`."""

    code: WeChatCode


class RefreshRequest(Struct, frozen=True, forbid_unknown_fields=True):
    refresh_token: Annotated[str, Meta(min_length=1, max_length=128)]


class TokenReply(Struct, frozen=True):
    """`expires_at` ends the access token, `refresh_expires_at` the session. `server_time` sets the phone's clock."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_at: datetime
    refresh_expires_at: datetime
    server_time: datetime


class SessionReply(Struct, frozen=True):
    """`bound` says whether the real name is bound; without it only `/me` and the sessions are open."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_at: datetime
    refresh_expires_at: datetime
    server_time: datetime
    bound: bool
