"""The daily heads of the ledger: who keeps them can prove later that nothing before was changed."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from server.kit.errors import InvalidField
from server.public_api.errors import HeadNotFound
from server.public_api.schemas import MOST_DAYS, HeadReply, HeadsQuery, HeadsReply, day_of, head_reply
from server.web.routing import Call, Callers, Limit, Reply, Router

router = Router(prefix="/api/public/v1", tag="公开 · 账本")

_BY_ADDRESS: Final = Limit("public", per_minute=60, by="ip", setting="address_per_minute")
_SOON: Final = {"Cache-Control": "public, max-age=300"}
#: A head is written once and never changed.
_FOREVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_DAYS: Final = 31


@router.get(
    "/ledger/heads",
    summary="每日账本摘要",
    query=HeadsQuery,
    replies={200: HeadsReply},
    caller=Callers.anonymous,
    limit=_BY_ADDRESS,
)
async def list_heads(call: Call, query: HeadsQuery) -> Reply:
    """The heads of the days asked for, oldest first; days that are not over, or not yet sealed, are not among them.
    Keep them: `chengxin check-ledger --seals --heads FILE` proves the ledger against them."""
    today = call.services.clock.today()
    last = query.last or max(query.first or today, today)
    first = query.first or last - timedelta(days=_DAYS)
    if first > last or (last - first).days >= MOST_DAYS:
        raise InvalidField(field="from")
    return Reply.ok(
        HeadsReply([head_reply(head) for head in await call.services.vault.seals.heads(first, last)]), _SOON
    )


@router.get(
    "/ledger/heads/<day:str>",
    summary="某日账本摘要",
    replies={200: HeadReply},
    caller=Callers.anonymous,
    limit=_BY_ADDRESS,
    errors=(HeadNotFound, InvalidField),
)
async def show_head(call: Call, day: str) -> Reply:
    """The head of one city day (YYYY-MM-DD); it is written after midnight and never changes."""
    head = await call.services.vault.seals.head(day_of(day, "day"))
    if head is None:
        raise HeadNotFound
    return Reply.ok(head_reply(head), _FOREVER)
