"""What a lottery promises is there, and what cannot be delivered is told and drawn once more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from server.incentives.errors import (
    WrongStatus,
)
from server.incentives.lottery import deliveries, drawing
from server.incentives.lottery.errors import (
    LotteryClosed,
    NothingUndelivered,
    PrizeClaimable,
    PrizeNotLive,
    PrizeStockShort,
    PrizesUnderWay,
    SecondDrawExists,
)
from server.incentives.lottery.published import Prize
from server.incentives.lottery.verify import verify
from server.kit.db import fetch
from server.kit.errors import InvalidField
from tests.support.incentives import per_person
from tests.support.lottery_house import CHECKER, FIRST_RESIDENT, MAKER, LotteryHouse, house

__all__ = ["house"]


async def test_prizes_that_can_not_be_given_are_refused_and_named(house: LotteryHouse) -> None:
    lotteries = house.services.lotteries
    few = await house.template(stock=4)
    tomorrow = house.ledger.today() + timedelta(days=1)
    over = await house.template(days=1, valid_until=tomorrow)
    free = await house.template(claimable=True)
    refused = {
        "prizes[0].count": (PrizeStockShort, (Prize(1, "奖", str(few), 5),)),
        "prizes[1].count": (PrizeStockShort, (Prize(1, "奖", str(few), 3), Prize(2, "奖", str(few), 2))),
        "prizes[0].template_id": (PrizeNotLive, (Prize(1, "奖", "999999", 1),)),
        "prizes[1].template_id": (PrizeClaimable, (Prize(1, "奖", str(few), 1), Prize(2, "奖", str(free), 1))),
        "prizes[2].template_id": (PrizeNotLive, tuple(Prize(rank, "奖", str(one), 1) for rank, one in
                                                      enumerate((few, few, over), 1))),
    }  # fmt: skip
    later = house.ledger.now() + timedelta(days=2)
    for field, (error, prizes) in refused.items():
        made = await lotteries.create(await house.draft(prizes=prizes, draw_at=later), MAKER)
        await lotteries.submit(made.id, MAKER)
        with pytest.raises(error) as told:
            await lotteries.publish(made.id, CHECKER)
        assert told.value.field == field


async def test_prizes_that_the_money_does_not_reach_for_are_refused_though_they_are_in_stock(
    house: LotteryHouse,
) -> None:
    template = str(await house.template(stock=10, face_value_fen=1_000, sponsor_bp=10_000, budget_fen=3_999))
    with pytest.raises(PrizeStockShort):
        await house.published(prizes=(Prize(1, "奖", template, 4),))
    await house.published(prizes=(Prize(1, "奖", template, 2),))
    with pytest.raises(PrizeStockShort):
        await house.published(prizes=(Prize(1, "奖", template, 2),))
    await house.published(prizes=(Prize(1, "奖", template, 1),))


async def test_two_open_lotteries_never_promise_the_same_coupons(house: LotteryHouse) -> None:
    template = str(await house.template(stock=5))
    drawn = await house.published(prizes=(Prize(1, "奖", template, 2), Prize(2, "奖", template, 1)))
    await house.crowd(drawn.id, 2)
    with pytest.raises(PrizeStockShort):
        await house.published(prizes=(Prize(1, "奖", template, 3),))
    made = []
    for _ in range(2):
        row = await house.services.lotteries.create(await house.draft(prizes=(Prize(1, "奖", template, 2),)), MAKER)
        made.append(await house.services.lotteries.submit(row.id, MAKER))
    ends = await asyncio.gather(
        *(house.services.lotteries.publish(row.id, CHECKER) for row in made), return_exceptions=True
    )
    assert sorted(type(end).__name__ for end in ends) == ["Lottery", "PrizeStockShort"], ends
    [one] = [end for end in ends if not isinstance(end, BaseException)]
    await house.services.lotteries.cancel(one.id, "改期", CHECKER)
    await house.published(prizes=(Prize(1, "奖", template, 2),))
    await house.pass_time(hours=2)
    await house.work()  # two people won two of three prizes, nobody those of the other
    await house.services.grants.redrive()
    assert (await deliveries.deliveries(drawn.id)) == deliveries.Deliveries(2, 0, 0, [])
    await house.published(prizes=(Prize(1, "奖", template, 3),))
    with pytest.raises(PrizeStockShort):
        await house.published(prizes=(Prize(1, "奖", template, 1),))


async def test_a_prize_whose_stock_is_gone_waits_for_a_top_up_and_tells_so(house: LotteryHouse) -> None:
    template = await house.template(stock=1)
    row = await house.published(prizes=(Prize(1, "奖", str(template), 1),))
    [winner] = await house.crowd(row.id, 1)
    await house.grant(template, winner + 1)
    await house.pass_time(hours=2)
    await house.work()
    await house.services.grants.redrive()
    [reason] = (await deliveries.deliveries(row.id)).reasons
    assert (reason.state, reason.reason, reason.count) == ("pending", "sold_out", 1)
    with pytest.raises(PrizesUnderWay):
        await house.second(row.id)
    [budget] = [one.id for one in (await house.services.templates.get(template)).budgets if one.unit == "coupons"]
    await house.services.budgets.request_top_up(budget, house.key(), 1, "追加", MAKER)
    await house.services.budgets.approve((await house.services.budgets.requests(budget))[0].id, CHECKER)
    await house.pass_time(minutes=10)
    await house.services.grants.redrive()
    assert (await house.services.lottery_entries.mine(row.id, winner)).prize == "given"
    with pytest.raises(NothingUndelivered):
        await house.second(row.id)


async def test_prizes_that_can_not_be_delivered_are_told_and_drawn_once_more_among_those_who_won_nothing(
    house: LotteryHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "PAGE", 3)
    template = await house.template(limits=per_person(1, action="issue"))
    prizes = (Prize(1, "大奖", str(template), 2), Prize(2, "小奖", str(template), 1))
    first = await house.published(prizes=prizes, max_tickets=2)
    people = await house.crowd(first.id, 11, tickets=2)
    with pytest.raises(WrongStatus):
        await house.second(first.id)
    await house.pass_time(hours=2)
    await house.work()
    won = {row["rank"] * 10 + row["place"]: row["resident_id"] for row in
           await fetch("SELECT * FROM lottery_winner WHERE lottery_id = $1", first.id)}  # fmt: skip
    for place in (12, 21):
        await house.grant(template, won[place])
    await house.services.grants.redrive()
    told = await deliveries.deliveries(first.id)
    assert (told.given, told.pending, told.refused, told.reasons[0].reason) == (1, 0, 2, "limit_reached")
    refused = await deliveries.page(first.id, None, 10, "refused")
    assert [(one.rank, one.place, one.reason) for one in refused] == [(1, 2, "limit_reached"), (2, 1, "limit_reached")]

    made = await house.second(first.id)
    assert [(one["rank"], one["name"], one["count"]) for one in made.prizes] == [(1, "大奖", 1), (2, "小奖", 1)]
    with pytest.raises(SecondDrawExists):
        await house.second(first.id)
    wider = await house.draft(prizes=tuple(Prize(**(one | {"count": 2})) for one in made.prizes), max_tickets=2)
    for draft, field in (
        (wider, "self_entry"), (replace(wider, self_entry=False), "prizes"),
        (replace(wider, self_entry=False, max_tickets=1), "max_tickets"),
    ):  # fmt: skip
        with pytest.raises(InvalidField) as wrong:
            await house.services.lotteries.edit(made.id, draft, MAKER)
        assert wrong.value.field == field
    await house.services.lotteries.submit(made.id, MAKER)
    row = await house.services.lotteries.publish(made.id, CHECKER)
    assert f"第{first.id}号抽奖的补抽" in house.services.lotteries.text(row)
    with pytest.raises(LotteryClosed):
        await house.services.lottery_entries.enter_myself(made.id, FIRST_RESIDENT + 99, house.key())
    with pytest.raises(LotteryClosed):
        await house.give(made.id, people[0])
    await house.pass_time(hours=2)
    await house.work()
    assert ((await house.row(made.id)).status, (await house.row(made.id)).entries) == ("drawn", 8)
    files = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    for file, lottery_id in zip(files, (first.id, made.id), strict=True):
        file.write_bytes(await house.file(lottery_id))
    verdict = verify(files[1], first=files[0])
    assert verdict.holds and {"first", "carried"} <= {one.name for one in verdict.checks}
    assert not verify(files[0], first=files[1]).holds
    await house.services.grants.redrive()
    again = await fetch("SELECT resident_id FROM lottery_winner WHERE lottery_id = $1", made.id)
    assert len(again) == 2 and not {one["resident_id"] for one in again} & set(won.values())
    assert (await deliveries.deliveries(made.id)).given == 2
    # Somebody left out, or with other tickets, is seen.
    lines = files[1].read_bytes().splitlines(keepends=True)
    for lines_of_one in (
        lines[:1] + lines[2:],
        [lines[0], lines[1].replace(b'"tickets":2', b'"tickets":1'), *lines[2:]],
    ):
        files[1].write_bytes(b"".join(lines_of_one))
        [carried] = [one for one in verify(files[1], first=files[0]).checks if one.name == "carried"]
        assert not carried.holds
