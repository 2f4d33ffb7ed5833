"""Bodies of the merchants' session routes. None holds an openid, a resident, a score or a band."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from miniprogram_api.schemas.sessions import WeChatCode

Id = Annotated[str, Meta(pattern=r"^[0-9]{1,18}$", description="An id: digits in a string.")]


class StaffLoginRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`code` comes from `wx.login`; `store_id` is the store to work in now."""

    code: WeChatCode
    store_id: Id


class StoreReply(Struct, frozen=True):
    id: str
    town: str
    name: str
    status: str


class StaffSessionReply(Struct, frozen=True):
    """`terminal_id` is this phone as a terminal of the store. `merchant_status` suspended: reading only."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_at: datetime
    refresh_expires_at: datetime
    server_time: datetime
    staff_id: str
    role: str
    merchant_id: str
    merchant_name: str
    merchant_status: str
    store: StoreReply
    terminal_id: str
