"""Lotteries in the console: draft, review, publication by a second person, cancelling, the outside number."""

from __future__ import annotations

import msgspec

from server.admin_api.incentive_replies import created, outcome, signed
from server.admin_api.schemas.incentives import RevisionQuery, WriteQuery
from server.admin_api.schemas.lotteries import (
    BeaconRequest,
    CancelRequest,
    DeliveryPageReply,
    DeliveryQuery,
    LotteryPageQuery,
    LotteryPageReply,
    LotteryReply,
    LotteryRequest,
    SecondDrawRequest,
)
from server.incentives.errors import AlreadyLive, AlreadyOver, RevisionChanged, SecondPersonRequired, WrongStatus
from server.incentives.lottery import deliveries
from server.incentives.lottery.commands import LotteryDraft
from server.incentives.lottery.errors import (
    BeaconDiffers,
    BeaconNotWanted,
    LotteryNotFound,
    NothingUndelivered,
    PrizeClaimable,
    PrizeNotLive,
    PrizeStockShort,
    PrizesUnderWay,
    SecondDrawExists,
)
from server.incentives.lottery.models import Lottery
from server.incentives.lottery.published import Prize
from server.incentives.lottery.second import SecondDraft
from server.kit.paging import cursor_after, cursor_number, decode_cursor, encode_cursor
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 抽奖")


@router.post(
    "/lotteries",
    summary="新建抽奖草稿",
    body=LotteryRequest,
    query=WriteQuery,
    replies={200: LotteryReply, 201: LotteryReply},
    caller=Callers.admin("lottery.edit"),
)
async def create_lottery(call: Call, body: LotteryRequest, query: WriteQuery) -> Reply:
    """A draft; nobody sees it before somebody else publishes it."""
    by = signed(call, query.simulate)
    return created(_reply(call, await call.services.lotteries.create(_draft(body), by)), by)


@router.get(
    "/lotteries",
    summary="抽奖列表",
    query=LotteryPageQuery,
    replies={200: LotteryPageReply},
    caller=Callers.admin("lottery.read"),
)
async def list_lotteries(call: Call, query: LotteryPageQuery) -> Reply:
    """Newest first."""
    before_id = cursor_number(query.cursor)
    rows = await call.services.lotteries.page(before_id, query.limit, query.status, query.text)
    following = cursor_after(rows, query.limit, lambda row: row.id)
    return Reply.ok(LotteryPageReply([_reply(call, row) for row in rows], following))


@router.get(
    "/lotteries/<lottery_id:int>",
    summary="抽奖详情",
    replies={200: LotteryReply},
    caller=Callers.admin("lottery.read"),
    errors=(LotteryNotFound,),
)
async def get_lottery(call: Call, lottery_id: int) -> Reply:
    """The secret is told to nobody before the draw."""
    return Reply.ok(_reply(call, await call.services.lotteries.get(lottery_id)))


@router.put(
    "/lotteries/<lottery_id:int>",
    summary="修改抽奖草稿",
    body=LotteryRequest,
    query=RevisionQuery,
    replies={200: LotteryReply},
    caller=Callers.admin("lottery.edit"),
    errors=(LotteryNotFound, AlreadyLive, WrongStatus, RevisionChanged),
)
async def edit_lottery(call: Call, body: LotteryRequest, query: RevisionQuery, lottery_id: int) -> Reply:
    """Replaces the draft; one under review goes back to draft, and whoever edits may not publish."""
    by = signed(call, query.simulate)
    row = await call.services.lotteries.edit(lottery_id, _draft(body), by, query.revision)
    return Reply.ok(outcome(_reply(call, row), by))


@router.post(
    "/lotteries/<lottery_id:int>/copy",
    summary="复制抽奖",
    query=WriteQuery,
    replies={200: LotteryReply, 201: LotteryReply},
    caller=Callers.admin("lottery.edit"),
    errors=(LotteryNotFound,),
)
async def copy_lottery(call: Call, query: WriteQuery, lottery_id: int) -> Reply:
    """A new draft with the same content, times included."""
    by = signed(call, query.simulate)
    return created(_reply(call, await call.services.lotteries.copy(lottery_id, by)), by)


@router.post(
    "/lotteries/<lottery_id:int>/submit",
    summary="提交审核",
    query=WriteQuery,
    replies={200: LotteryReply},
    caller=Callers.admin("lottery.edit"),
    errors=(LotteryNotFound, WrongStatus),
)
async def submit_lottery(call: Call, query: WriteQuery, lottery_id: int) -> Reply:
    """From draft to review."""
    by = signed(call, query.simulate)
    return Reply.ok(outcome(_reply(call, await call.services.lotteries.submit(lottery_id, by)), by))


@router.post(
    "/lotteries/<lottery_id:int>/discard",
    summary="放弃草稿",
    query=WriteQuery,
    replies={200: LotteryReply},
    caller=Callers.admin("lottery.edit"),
    errors=(LotteryNotFound, WrongStatus),
)
async def discard_lottery(call: Call, query: WriteQuery, lottery_id: int) -> Reply:
    """A draft that nobody wants, also one under review, leaves the lists."""
    by = signed(call, query.simulate)
    return Reply.ok(outcome(_reply(call, await call.services.lotteries.discard(lottery_id, by)), by))


@router.post(
    "/lotteries/<lottery_id:int>/publish",
    summary="批准并公布",
    query=RevisionQuery,
    replies={200: LotteryReply},
    caller=Callers.admin("lottery.publish"),
    errors=(
        LotteryNotFound,
        WrongStatus,
        SecondPersonRequired,
        RevisionChanged,
        AlreadyOver,
        PrizeNotLive,
        PrizeClaimable,
        PrizeStockShort,
    ),
)
async def publish_lottery(call: Call, query: RevisionQuery, lottery_id: int) -> Reply:
    """By somebody else than the last editor. Rules and commitment are public from now on and never change."""
    by = signed(call, query.simulate)
    return Reply.ok(outcome(_reply(call, await call.services.lotteries.publish(lottery_id, by, query.revision)), by))


@router.post(
    "/lotteries/<lottery_id:int>/cancel",
    summary="取消抽奖",
    body=CancelRequest,
    query=WriteQuery,
    replies={200: LotteryReply},
    caller=Callers.admin("lottery.publish"),
    errors=(LotteryNotFound, WrongStatus, AlreadyOver),
)
async def cancel_lottery(call: Call, body: CancelRequest, query: WriteQuery, lottery_id: int) -> Reply:
    """Before the closing only; the reason is public."""
    by = signed(call, query.simulate)
    return Reply.ok(outcome(_reply(call, await call.services.lotteries.cancel(lottery_id, body.reason, by)), by))


@router.post(
    "/lotteries/<lottery_id:int>/beacon",
    summary="登记外部随机数",
    body=BeaconRequest,
    query=WriteQuery,
    replies={200: LotteryReply},
    caller=Callers.admin("lottery.beacon"),
    errors=(LotteryNotFound, BeaconNotWanted, BeaconDiffers),
)
async def tell_beacon(call: Call, body: BeaconRequest, query: WriteQuery, lottery_id: int) -> Reply:
    """Once by each of two people, when the list is public; the draw waits for the second."""
    by = signed(call, query.simulate)
    return Reply.ok(outcome(_reply(call, await call.services.lotteries.tell_beacon(lottery_id, body.value, by)), by))


@router.get(
    "/lotteries/<lottery_id:int>/deliveries",
    summary="奖品发放结果",
    query=DeliveryQuery,
    replies={200: DeliveryPageReply},
    caller=Callers.admin("lottery.read"),
    errors=(LotteryNotFound,),
)
async def list_deliveries(call: Call, query: DeliveryQuery, lottery_id: int) -> Reply:
    """By rank and place, with the reason where a prize is not given; empty before the draw."""
    await call.services.lotteries.get(lottery_id)
    position = decode_cursor(query.cursor, int, int)
    after = (int(position[0]), int(position[1])) if position else None
    items = await deliveries.page(lottery_id, after, query.limit, query.state)
    following = encode_cursor(items[-1].rank, items[-1].place) if len(items) == query.limit else None
    return Reply.ok(DeliveryPageReply(await deliveries.deliveries(lottery_id), items, following))


@router.post(
    "/lotteries/<lottery_id:int>/second-draw",
    summary="新建补抽草稿",
    body=SecondDrawRequest,
    query=WriteQuery,
    replies={200: LotteryReply, 201: LotteryReply},
    caller=Callers.admin("lottery.edit"),
    errors=(LotteryNotFound, WrongStatus, PrizesUnderWay, NothingUndelivered, SecondDrawExists),
)
async def draw_again(call: Call, body: SecondDrawRequest, query: WriteQuery, lottery_id: int) -> Reply:
    """Prizes that could not be given, drawn among those who won nothing: a draft that somebody else publishes. The
    first result stays as it is."""
    wanted = SecondDraft(body.document.strip(), body.closes_at, body.draw_at, body.beacon_source.strip())
    by = signed(call, query.simulate)
    return created(_reply(call, await call.services.lotteries.create_second(lottery_id, wanted, by)), by)


def _draft(body: LotteryRequest) -> LotteryDraft:
    return LotteryDraft(
        title=body.title.strip(), document=body.document.strip(), opens_at=body.opens_at, closes_at=body.closes_at,
        draw_at=body.draw_at, max_tickets=body.max_tickets, self_entry=body.self_entry,
        beacon_source=body.beacon_source.strip(),
        prizes=tuple(Prize(one.rank, one.name.strip(), one.template_id, one.count) for one in body.prizes),
    )  # fmt: skip


def _reply(call: Call, row: Lottery) -> LotteryReply:
    told = {name: getattr(row, name) for name in LotteryReply.__struct_fields__ if hasattr(row, name)}
    people = ("second_of", "created_by", "published_by", "cancelled_by", "beacon_by", "beacon_confirmed_by")
    told |= {name: None if told[name] is None else str(told[name]) for name in people}
    told |= {name: None if told[name] is None else told[name].hex() for name in ("commitment", "digest", "secret")}
    return msgspec.convert(told | {"id": str(row.id), "rules": call.services.lotteries.text(row)}, LotteryReply)
