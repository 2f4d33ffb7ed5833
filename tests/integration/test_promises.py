"""What was promised in one room is not promised again in another."""

from __future__ import annotations

import pytest

from server.incentives.codes.batches import BatchOrder
from server.incentives.codes.errors import VoucherStockShort
from server.incentives.grants.jobs import Order
from server.incentives.lottery.errors import PrizeStockShort
from server.incentives.lottery.published import Prize
from server.incentives.promises import Promises
from server.kit.db import fetch
from server.kit.jobs import run_due
from tests.support.grants import enrol, ordered, owe, work
from tests.support.lottery_house import CHECKER, MAKER, LotteryHouse, house
from tests.support.vouchers import ready, typed

__all__ = ["house"]

FLOOR = 10
DOCUMENT = "澄信办〔2026〕7号"


async def promised(template: int) -> int:
    return (await Promises(small_cell=FLOOR).open([template]))[template]


async def test_prizes_codes_what_is_owed_and_jobs_are_one_sum_that_all_rooms_look_at(house: LotteryHouse) -> None:
    services, template = house.services, await house.template(stock=12)
    assert await promised(template) == 0
    lottery = await house.published(prizes=(Prize(1, "奖", str(template), 3),))
    assert await promised(template) == 3
    with pytest.raises(VoucherStockShort) as short:
        await services.voucher_batches.order(BatchOrder(template, "platform", DOCUMENT, 10), MAKER)
    assert "还可发放9张，少于本批次的10个兑换码" in short.value.message
    row, (code, *_) = await ready(services, 4, template=template)
    assert await promised(template) == 7

    people = await enrol(9)
    await owe(services, people[0], template, "one")
    assert await promised(template) == 8
    job = await ordered(services, people[1:4], template=template)
    assert await promised(template) == 8, "a job that nobody approved promises nothing"
    await services.grant_jobs.approve(job.row.id, CHECKER)
    assert await promised(template) == 11
    plan = await services.grant_jobs.plan(Order(template, job.row.list_id, 5, DOCUMENT), MAKER)
    assert (plan.recipients, plan.promised, plan.coupons_left, plan.enough) == (3, 11, 12, False)
    with pytest.raises(PrizeStockShort):
        await house.published(prizes=(Prize(1, "奖", str(template), 2),))
    last = await house.published(prizes=(Prize(1, "奖", str(template), 1),))
    with pytest.raises(VoucherStockShort):
        await services.voucher_batches.order(BatchOrder(template, "platform", DOCUMENT, 1), MAKER)
    await services.lotteries.cancel(last.id, "改期", CHECKER)

    await typed(services, people[5], code)
    await work(services)
    assert await promised(template) == 6, "three prizes and three codes: the others have theirs"
    await services.voucher_batches.stop(row.id, CHECKER)
    assert await promised(template) == 3
    await house.crowd(lottery.id, 2)
    await house.pass_time(hours=2)
    while (await house.row(lottery.id)).status != "drawn":
        await services.lottery_draws.redrive()
        await run_due(services.job_handlers)
    assert (await house.row(lottery.id)).owed_at is None
    assert await promised(template) == 2, "two of three prizes were won, and the desk does not know of it yet"
    await house.work()
    assert await promised(template) == 2, "two of three prizes were won, and nobody has his yet"
    await services.grants.redrive()
    assert await promised(template) == 0


async def test_a_segment_s_job_tells_no_more_of_its_size_than_a_rounded_one(house: LotteryHouse) -> None:
    services, template = house.services, await house.template()
    await enrol(13)
    segment = (await services.segments.create("全体", {}, MAKER)).row.id
    job = await services.grant_jobs.order(Order(template, None, 5, DOCUMENT, segment_id=segment), MAKER)
    await services.grant_jobs.approve(job.row.id, CHECKER)
    await services.grant_jobs.pause(job.row.id, CHECKER)
    for members, told in ((13, 20), (20, 30), (0, 10)):
        await fetch("UPDATE grant_job SET recipients = $2 WHERE id = $1 RETURNING id", job.row.id, members)
        assert await promised(template) == told
