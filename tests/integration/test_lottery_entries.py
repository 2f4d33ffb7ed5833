"""Who takes part in a lottery: each person once, in time, with as many tickets as the rules allow."""

from __future__ import annotations

import asyncio

import pytest

from server.incentives.lottery.errors import (
    AlreadyEntered,
    ByCampaignOnly,
    LotteryClosed,
    LotteryNotFound,
    LotteryNotOpenYet,
    NotEntered,
)
from server.kit.db import fetch, transaction
from tests.support.lottery_house import MAKER, LotteryHouse, house
from wallet import Refused

__all__ = ["house"]


async def test_a_person_enters_once_and_is_told_the_same_again(house: LotteryHouse) -> None:
    entries, made = house.services.lottery_entries, await house.published()
    first, replayed = await entries.enter_myself(made.id, 7, id := house.key())
    assert (first.tickets, first.added, replayed) == (1, True, False)
    again, replayed = await entries.enter_myself(made.id, 7, id)
    assert (again.code, again.tickets, replayed) == (first.code, 1, True)
    with pytest.raises(AlreadyEntered):
        await entries.enter_myself(made.id, 7, house.key())
    other = await house.published()
    with pytest.raises(Refused, match="idempotency_mismatch"):
        await entries.enter_myself(other.id, 7, id)
    elsewhere, _ = await entries.enter_myself(other.id, 7, house.key())
    assert elsewhere.code != first.code, "nobody is followed from one lottery to the next"
    neighbour, _ = await entries.enter_myself(made.id, 8, id)
    assert neighbour.code != first.code, "ids are a person's own"
    with pytest.raises(Refused, match="idempotency_key_expired"):
        await entries.enter_myself(made.id, 9, house.ledger.id7(hours=49))
    await house.pass_time(hours=3)
    again, replayed = await entries.enter_myself(made.id, 7, id)
    assert (again.code, replayed) == (first.code, True), "an answer is given again after the closing too"


async def test_two_hundred_attempts_of_one_person_at_once_are_one_entry(house: LotteryHouse) -> None:
    made = await house.published(max_tickets=50)
    entries = house.services.lottery_entries
    ids = [house.key() for _ in range(40)]
    answers = await asyncio.gather(
        *(entries.enter_myself(made.id, 7, ids[number % 40]) for number in range(200)), return_exceptions=True
    )
    given = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert {type(answer) for answer in answers if isinstance(answer, BaseException)} == {AlreadyEntered}
    assert (sum(not replayed for _, replayed in given), len({entry.code for entry, _ in given})) == (1, 1)
    assert [(row["tickets"], row["sources"]) for row in await fetch("SELECT * FROM lottery_entry")] == [
        (1, '["resident"]')
    ]


async def test_tickets_of_campaigns_count_once_for_each_source_and_never_beyond_the_cap(house: LotteryHouse) -> None:
    made = await house.published(max_tickets=4)
    told = await asyncio.gather(*(house.give(made.id, 7, 2, f"award:{number % 3}") for number in range(30)))
    assert (sum(one.added for one in told), max(one.tickets for one in told)) == (2, 4)
    (row,) = await fetch("SELECT tickets FROM lottery_entry")
    assert row["tickets"] == 4
    assert not (await house.give(made.id, 7, 1, "award:9")).added
    with pytest.raises(AlreadyEntered):
        await house.services.lottery_entries.enter_myself(made.id, 7, house.key())
    again = await house.give(made.id, 8, 1, "award:1")
    own, _ = await house.services.lottery_entries.enter_myself(made.id, 8, house.key())
    assert (again.code, own.tickets) == (own.code, 2)


async def test_a_lottery_is_open_from_its_first_moment_to_its_last_by_the_vaults_clock(house: LotteryHouse) -> None:
    entries, now = house.services.lottery_entries, house.ledger.now()
    made = await house.published()
    await house.ledger.stop_clock(made.opens_at.replace(microsecond=0))
    begins = await house.ledger.owner.fetchval("SELECT opens_at FROM lottery WHERE id = $1", made.id)
    for at, error in ((begins, None), (made.closes_at, LotteryClosed)):
        await house.ledger.stop_clock(at)
        if error is None:
            assert (await house.give(made.id, 7)).added
        else:
            with pytest.raises(error):
                await house.give(made.id, 8)
    early = (await house.row(made.id)).opens_at.replace(year=2025)
    await house.ledger.stop_clock(early)
    with pytest.raises(LotteryNotOpenYet):
        await house.give(made.id, 9)
    await house.ledger.stop_clock(now)
    draft = await house.services.lotteries.create(await house.draft(), MAKER)
    for missing in (draft.id, 999_999):
        with pytest.raises(LotteryNotFound):
            await house.give(missing, 7)
        with pytest.raises(LotteryNotFound):
            await entries.mine(missing, 7)
    with pytest.raises(NotEntered):
        await entries.mine(made.id, 999)


async def test_the_closing_waits_for_who_is_entering_and_nobody_comes_after(house: LotteryHouse) -> None:
    made = await house.published()
    await house.crowd(made.id, 2)
    inside, let_go = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        async with transaction() as tx:
            await house.services.lottery_entries.enter(tx, made.id, 77, 1, "award:1")
            inside.set()
            await let_go.wait()

    entering = asyncio.create_task(slow())
    await inside.wait()
    await house.pass_time(hours=1)
    closing = asyncio.create_task(house.services.lottery_draws.redrive())
    await asyncio.sleep(0.3)
    assert not closing.done()
    let_go.set()
    await entering
    await closing
    await house.work()
    assert (await house.row(made.id)).entries == 3
    with pytest.raises(LotteryClosed):
        await house.give(made.id, 78)


async def test_only_campaigns_give_tickets_when_the_rules_say_so(house: LotteryHouse) -> None:
    made = await house.published(self_entry=False)
    with pytest.raises(ByCampaignOnly):
        await house.services.lottery_entries.enter_myself(made.id, 7, house.key())
    assert (await house.give(made.id, 7)).added
    assert "不接受自行报名" in made.announcement
