"""The free minutes that a resident has."""

from __future__ import annotations

from datetime import date

from miniprogram_api.schemas.free_minutes import FreeMinutesPageReply, FreeMinutesQuery, FreeMinutesReply
from server.kit.errors import InvalidField
from server.kit.paging import decode_cursor, encode_cursor
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/mp/v1", tag="居民 · 活动")


@router.get(
    "/me/free-minutes",
    summary="我的免费时长",
    query=FreeMinutesQuery,
    replies={200: FreeMinutesPageReply},
    caller=Callers.resident,
)
async def list_free_minutes(call: Call, query: FreeMinutesQuery) -> Reply:
    """The resident's own minutes that can still be used, the first to end first; what is used up or over is not
    listed."""
    position = decode_cursor(query.cursor, int, int)
    try:
        after = None if position is None else (date.fromordinal(int(position[0])), int(position[1]))
    except (ValueError, OverflowError):
        raise InvalidField(field="cursor") from None
    page = await call.services.free_minutes.page(call.resident_id, after, query.limit)
    items = [
        FreeMinutesReply(
            str(one.id), one.scene, one.minutes, one.minutes - one.used, one.valid_until, one.created_at,
            str(one.campaign_id), one.title,
        )
        for one in page
    ]  # fmt: skip
    full = len(page) == query.limit
    return Reply.ok(
        FreeMinutesPageReply(items, encode_cursor(page[-1].valid_until.toordinal(), page[-1].id) if full else None)
    )
