"""Lotteries that anybody can draw again: the commitment before the draw, and afterwards everything that repeats it."""

from __future__ import annotations

from typing import Final

from server.incentives.lottery import deliveries
from server.incentives.lottery.errors import ListNotPublished, LotteryNotFound
from server.kit.paging import cursor_after, cursor_number, decode_cursor, encode_cursor
from server.public_api.schemas_lotteries import (
    DeliveryReply,
    LotteryListReply,
    NotGivenReply,
    PublicLotteryReply,
    PublicPageQuery,
    WinnerPageReply,
    public_lottery,
)
from server.web.routing import Call, Callers, Limit, Reply, Router

router = Router(prefix="/api/public/v1", tag="公开 · 抽奖")

_BY_ADDRESS: Final = Limit("public", per_minute=60, by="ip", setting="address_per_minute")
#: The file of a whole city is tens of megabytes.
_FILES: Final = Limit("public_file", per_minute=10, by="ip")
_SOON: Final = {"Cache-Control": "public, max-age=10"}
JSON_LINES: Final = "application/x-ndjson"


@router.get(
    "/lotteries",
    summary="抽奖公告列表",
    query=PublicPageQuery,
    replies={200: LotteryListReply},
    caller=Callers.anonymous,
    limit=_BY_ADDRESS,
)
async def list_lotteries(call: Call, query: PublicPageQuery) -> Reply:
    """Every lottery that was ever published, newest first; a cancelled one says why."""
    rows = await call.services.lottery_reader.page(cursor_number(query.cursor), query.limit)
    following = cursor_after(rows, query.limit, lambda row: row.id)
    return Reply.ok(LotteryListReply([public_lottery(row) for row in rows], following), _SOON)


@router.get(
    "/lotteries/<lottery_id:int>",
    summary="抽奖公告",
    replies={200: PublicLotteryReply},
    caller=Callers.anonymous,
    limit=_BY_ADDRESS,
    errors=(LotteryNotFound,),
)
async def show_lottery(call: Call, lottery_id: int) -> Reply:
    """Rules and commitment; the digest after the closing; the secret after the draw."""
    return Reply.ok(public_lottery(await call.services.lottery_reader.get(lottery_id)), _SOON)


@router.get(
    "/lotteries/<lottery_id:int>/winners",
    summary="中奖名单（匿名编码）",
    query=PublicPageQuery,
    replies={200: WinnerPageReply},
    caller=Callers.anonymous,
    limit=_BY_ADDRESS,
    errors=(LotteryNotFound,),
)
async def list_winners(call: Call, query: PublicPageQuery, lottery_id: int) -> Reply:
    """By rank and place; empty before the draw. A code says nothing about the person, who alone knows his own."""
    row = await call.services.lottery_reader.get(lottery_id)
    position = decode_cursor(query.cursor, int, int)
    after = (int(position[0]), int(position[1])) if position else None
    won = await call.services.lottery_reader.winners(row, after, query.limit)
    following = encode_cursor(won[-1].rank, won[-1].place) if len(won) == query.limit else None
    return Reply.ok(WinnerPageReply(won, following), _SOON)


@router.get(
    "/lotteries/<lottery_id:int>/deliveries",
    summary="奖品发放结果（匿名编码）",
    query=PublicPageQuery,
    replies={200: DeliveryReply},
    caller=Callers.anonymous,
    limit=_BY_ADDRESS,
    errors=(LotteryNotFound,),
)
async def show_deliveries(call: Call, query: PublicPageQuery, lottery_id: int) -> Reply:
    """What became of the prizes, and which could not be given and why; all 0 before the draw."""
    row = await call.services.lottery_reader.get(lottery_id)
    position = decode_cursor(query.cursor, int, int)
    after = (int(position[0]), int(position[1])) if position else None
    items = await deliveries.page(row.id, after, query.limit, "refused")
    following = encode_cursor(items[-1].rank, items[-1].place) if len(items) == query.limit else None
    counts = await deliveries.deliveries(row.id)
    told = [NotGivenReply(one.rank, one.place, one.code, one.reason) for one in items]
    return Reply.ok(DeliveryReply(counts.given, counts.pending, counts.refused, told, following), _SOON)


@router.get(
    "/lotteries/<lottery_id:int>/file",
    summary="抽奖公示文件",
    replies={200: bytes},
    caller=Callers.anonymous,
    limit=_FILES,
    errors=(LotteryNotFound, ListNotPublished),
    content_type=JSON_LINES,
)
async def download_file(call: Call, lottery_id: int) -> None:
    """Announcement, every entry by its anonymous code, digest; after the draw also secret and winners: JSON lines, from
    which `chengxin verify-draw` repeats the draw. From the closing on."""
    row, pieces = await call.services.lottery_reader.file(lottery_id)
    name = f'attachment; filename="lottery-{row.id}-{row.status}.jsonl"'
    headers = {"Content-Disposition": name, **_SOON}
    response = await call.request.respond(content_type=JSON_LINES, headers=headers)
    async for piece in pieces:
        await response.send(piece)
    await response.eof()
