"""Lotteries on the resident's phone: what there is, entering, and what became of it."""

from __future__ import annotations

from miniprogram_api.schemas.lotteries import (
    LotteryEntryReply,
    PrizeReply,
    ResidentLotteryPageReply,
    ResidentLotteryQuery,
    ResidentLotteryReply,
    WonReply,
)
from server.incentives.lottery.entries import MyEntry
from server.incentives.lottery.errors import (
    AlreadyEntered,
    ByCampaignOnly,
    LotteryClosed,
    LotteryNotFound,
    LotteryNotOpenYet,
    NotEntered,
)
from server.incentives.lottery.models import Lottery
from server.kit.paging import cursor_after, cursor_number
from server.web.idempotency import replayed_header
from server.web.routing import Call, Callers, Limit, Reply, Router
from wallet import statuses

router = Router(prefix="/api/mp/v1", tag="居民 · 抽奖")


@router.get(
    "/lotteries",
    summary="抽奖列表",
    query=ResidentLotteryQuery,
    replies={200: ResidentLotteryPageReply},
    caller=Callers.resident,
)
async def list_lotteries(call: Call, query: ResidentLotteryQuery) -> Reply:
    """Newest first, each with the resident's own entry and result."""
    rows = await call.services.lottery_reader.page(cursor_number(query.cursor), query.limit)
    mine = await call.services.lottery_entries.mine_of(rows, call.resident_id)
    items = [_lottery(call, row, mine.get(row.id)) for row in rows]
    following = cursor_after(rows, query.limit, lambda row: row.id)
    return Reply.ok(ResidentLotteryPageReply(items, following))


@router.post(
    "/lotteries/<lottery_id:int>/entries",
    summary="报名抽奖",
    replies={201: LotteryEntryReply},
    caller=Callers.resident,
    idempotent=True,
    limit=Limit("claim", per_minute=60, by="resident", setting="resident_per_minute"),
    errors=(
        LotteryNotFound,
        LotteryNotOpenYet,
        LotteryClosed,
        AlreadyEntered,
        ByCampaignOnly,
        statuses.MISMATCH,
        statuses.ID_EXPIRED,
    ),
)
async def enter_lottery(call: Call, lottery_id: int) -> Reply:
    """Free, once per natural person. The same Idempotency-Key again answers the same."""
    assert call.idempotency_key is not None
    _, replayed = await call.services.lottery_entries.enter_myself(lottery_id, call.resident_id, call.idempotency_key)
    entry = await call.services.lottery_entries.mine(lottery_id, call.resident_id)
    return Reply.created(_entry(entry), replayed_header(replayed))


@router.get(
    "/lotteries/<lottery_id:int>/entry",
    summary="我的报名与抽奖结果",
    replies={200: LotteryEntryReply},
    caller=Callers.resident,
    errors=(LotteryNotFound, NotEntered),
)
async def show_my_entry(call: Call, lottery_id: int) -> Reply:
    """The anonymous code under which the resident is in the published list, and the result after the draw."""
    return Reply.ok(_entry(await call.services.lottery_entries.mine(lottery_id, call.resident_id)))


def _lottery(call: Call, row: Lottery, mine: MyEntry | None) -> ResidentLotteryReply:
    now = call.services.clock.now()
    is_open = row.status == "published" and row.opens_at <= now < row.closes_at
    return ResidentLotteryReply(
        id=str(row.id), title=row.title, status=row.status, rules=call.services.lotteries.text(row),  # type: ignore[arg-type]
        opens_at=row.opens_at, closes_at=row.closes_at, draw_at=row.draw_at, cancel_reason=row.cancel_reason,
        prizes=[PrizeReply(one["rank"], one["name"], one["count"]) for one in row.prizes],
        can_enter=is_open and row.self_entry and mine is None,
        entry=None if mine is None else _entry(mine),
    )  # fmt: skip


def _entry(mine: MyEntry) -> LotteryEntryReply:
    won, row = mine.winner, mine.lottery
    prize = None if won is None else next(one["name"] for one in row.prizes if one["rank"] == won.rank)
    result = "pending" if row.status != "drawn" else "not_won" if won is None else "won"
    return LotteryEntryReply(
        str(row.id), mine.code, mine.tickets, mine.entered_at, result,  # type: ignore[arg-type]
        None if won is None or prize is None else WonReply(won.rank, won.place, prize, won.ticket, mine.prize),
    )  # fmt: skip
