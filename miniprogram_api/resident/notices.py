"""A resident's notices: the inbox, and how many of them WeChat may deliver as well."""

from __future__ import annotations

from miniprogram_api.schemas.notices import (
    GrantReply,
    GrantRequest,
    GrantsReply,
    NoticePageReply,
    NoticeQuery,
    NoticeReply,
)
from server.kit.paging import cursor_after, cursor_number
from server.notices.errors import MessageTemplateUnknown, NoticeNotFound
from server.notices.grants import Grant
from server.notices.models import Notice
from server.notices.wording import COUPON
from server.web.routing import Call, Callers, Limit, Reply, Router

router = Router(prefix="/api/mp/v1", tag="居民 · 通知")


@router.get(
    "/me/notices", summary="我的通知", query=NoticeQuery, replies={200: NoticePageReply}, caller=Callers.resident
)
async def list_notices(call: Call, query: NoticeQuery) -> Reply:
    """What the resident was told, newest first, with the number of unread notices."""
    before = cursor_number(query.cursor)
    page = await call.services.notices.inbox.page(call.resident_id, before=before, limit=query.limit)
    more = cursor_after(page.rows, query.limit, lambda row: row.id)
    return Reply.ok(NoticePageReply([notice_reply(row) for row in page.rows], page.unread, more))


@router.post(
    "/me/notices/<notice_id:int>/read",
    summary="标记通知为已读",
    replies={200: NoticeReply},
    caller=Callers.resident,
    errors=(NoticeNotFound,),
)
async def read_notice(call: Call, notice_id: int) -> Reply:
    """Marks a notice as read; again changes nothing. Another resident's is not found."""
    return Reply.ok(notice_reply(await call.services.notices.inbox.read(call.resident_id, notice_id)))


@router.get("/me/notice-grants", summary="订阅消息剩余次数", replies={200: GrantsReply}, caller=Callers.identity)
async def list_grants(call: Call) -> Reply:
    """The templates a phone may ask for with wx.requestSubscribeMessage, and how many messages are left of each."""
    return _grants(await call.services.notices.grants.left(call.caller.identity_id))


@router.post(
    "/me/notice-grants",
    summary="记录订阅消息授权",
    body=GrantRequest,
    replies={200: GrantsReply},
    caller=Callers.identity,
    errors=(MessageTemplateUnknown,),
    limit=Limit("notice_grant", per_minute=20, by="session"),
)
async def add_grants(call: Call, body: GrantRequest) -> Reply:
    """Counts what wx.requestSubscribeMessage returned: every accept is one message. Told twice it is counted twice; the
    first refusal of WeChat (43101) puts that right."""
    return _grants(await call.services.notices.grants.note(call.caller.identity_id, body.results))


def _grants(grants: list[Grant]) -> Reply:
    return Reply.ok(GrantsReply([GrantReply(one.kind, one.template_id, one.left) for one in grants]))


def notice_reply(row: Notice) -> NoticeReply:
    """A notice as its resident reads it."""
    return NoticeReply(
        id=str(row.id),
        kind="coupon_expiring" if row.kind == COUPON else "points_expiring",
        title=row.title,
        body=row.body,
        last_day=row.last_day,
        points=row.points,
        coupon_id=row.subject if row.kind == COUPON else None,
        created_at=row.created_at,
        read_at=row.read_at,
    )
