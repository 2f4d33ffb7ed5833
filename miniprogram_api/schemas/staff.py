"""Bodies of the staff routes. `display_name` is the work name that the inviter wrote, never a resident's real name."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from miniprogram_api.schemas.merchant_sessions import Id, StoreReply
from miniprogram_api.schemas.sessions import WeChatCode

Role = Literal["owner", "manager", "cashier", "auditor"]
WorkName = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"\S")]


class InviteRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`store_id` null: all stores of the merchant; a cashier needs one."""

    role: Role
    display_name: WorkName
    store_id: Id | None = None


class InvitationReply(Struct, frozen=True):
    """`invitation_code` is shown this once."""

    invitation_code: str
    role: str
    store_id: str | None
    expires_at: datetime


class JoinRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`code` comes from `wx.login`. Case, spaces and the hyphen of `invitation_code` do not matter."""

    code: WeChatCode
    invitation_code: Annotated[str, Meta(min_length=1, max_length=40)]


class StaffReply(Struct, frozen=True):
    """`store_ids` is empty when `all_stores`."""

    id: str
    merchant_id: str
    display_name: str
    role: str
    all_stores: bool
    store_ids: list[str]
    status: str
    created_at: datetime


class JoinedReply(StaffReply, frozen=True, kw_only=True):
    """`stores`: where this person may log in now. Sending the same invitation again tells it anew."""

    stores: list[StoreReply]


class StaffPageReply(Struct, frozen=True):
    items: list[StaffReply]
    next_cursor: str | None


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`cursor` is the `next_cursor` of the page before."""

    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
