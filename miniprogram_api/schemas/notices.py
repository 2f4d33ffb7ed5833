"""Bodies of the notices: the inbox, and what a phone was allowed to be told through WeChat."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from server.notices.grants import Choice

TemplateId = Annotated[str, Meta(min_length=1, max_length=64)]


class NoticeReply(Struct, frozen=True):
    """Something ends after `last_day`. `points`: of a lot; `coupon_id`: of a coupon. `read_at` is null until it was
    opened."""

    id: str
    kind: Literal["points_expiring", "coupon_expiring"]
    title: str
    body: str
    last_day: date
    points: int | None
    coupon_id: str | None
    created_at: datetime
    read_at: datetime | None


class NoticePageReply(Struct, frozen=True):
    """Newest first. `unread` counts all, not only this page's."""

    items: list[NoticeReply]
    unread: int
    next_cursor: str | None


class NoticeQuery(Struct, frozen=True, forbid_unknown_fields=True):
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class GrantRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What `wx.requestSubscribeMessage` returned: for each template id asked for, what the resident chose."""

    results: Annotated[dict[TemplateId, Choice], Meta(min_length=1, max_length=5)]


class GrantReply(Struct, frozen=True):
    """`left` messages of this template may still be sent; ask for more with `template_id` as a `tmplId`."""

    kind: Literal["points_expiring", "coupon_expiring"]
    template_id: str
    left: int


class GrantsReply(Struct, frozen=True):
    items: list[GrantReply]
