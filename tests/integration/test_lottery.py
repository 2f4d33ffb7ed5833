"""Lotteries on a real database: published by two people, entered in time, drawn once, repeatable from the file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from server.incentives.errors import (
    AlreadyLive,
    AlreadyOver,
    RevisionChanged,
    SecondPersonRequired,
    WrongStatus,
)
from server.incentives.lottery import deliveries, drawing
from server.incentives.lottery.draw import commitment_of
from server.incentives.lottery.errors import (
    AlreadyEntered,
    BeaconDiffers,
    BeaconNotWanted,
    ByCampaignOnly,
    ListNotPublished,
    LotteryClosed,
    LotteryNotFound,
    LotteryNotOpenYet,
    NotEntered,
    NothingUndelivered,
    PrizeClaimable,
    PrizeNotLive,
    PrizeStockShort,
    PrizesUnderWay,
    SecondDrawExists,
)
from server.incentives.lottery.published import Prize
from server.incentives.lottery.verify import verify
from server.kit import jobs
from server.kit.audit import AuditEntry
from server.kit.db import fetch, transaction
from server.kit.errors import InvalidField
from server.kit.ids import uuid7
from server.sandbox.engines import Engines
from tests.support.databases import Database, connected
from tests.support.incentives import per_person
from tests.support.lottery_house import CHECKER, FIRST_RESIDENT, MAKER, THIRD, LotteryHouse, open_lotteries
from wallet import Refused


@pytest_asyncio.fixture
async def house(engines: Engines, fresh_database: Database) -> AsyncIterator[LotteryHouse]:
    async with open_lotteries(engines, fresh_database) as made:
        yield made


def key(house: LotteryHouse) -> UUID:
    return uuid7(house.ledger.now())


async def test_a_lottery_is_published_entered_closed_listed_drawn_and_repeated_from_its_file(
    house: LotteryHouse,
) -> None:
    made = await house.published(max_tickets=3)
    await house.crowd(made.id, 30, tickets=2)
    with pytest.raises(ListNotPublished):
        await house.file(made.id)
    await house.pass_time(hours=1)
    await house.work()
    closed = await house.row(made.id)
    assert (closed.status, closed.entries, closed.tickets, closed.secret) == ("closed", 30, 60, None)
    listed = await house.verdict(made.id)
    assert (listed.drawn, [check.name for check in listed.checks if not check.holds]) == (False, [])
    await house.pass_time(hours=1)
    await house.work()
    drawn = await house.row(made.id)
    assert (drawn.status, drawn.winners, drawn.digest) == ("drawn", 5, closed.digest)
    assert drawn.secret is not None and commitment_of(drawn.secret) == made.commitment
    verdict = await house.verdict(made.id)
    assert verdict.holds, verdict.checks
    assert (verdict.winners, verdict.listed.digest) == (5, closed.digest.hex() if closed.digest else "")
    results = [(await house.services.lottery_entries.mine(made.id, one)).winner for one in
               range(FIRST_RESIDENT, FIRST_RESIDENT + 30)]  # fmt: skip
    assert sorted((won.rank, won.place) for won in results if won) == [(1, 1), (2, 1), (2, 2), (2, 3), (2, 4)]
    assert await fetch("SELECT FROM lottery_score") == []


async def test_the_secret_is_nowhere_before_the_draw(house: LotteryHouse) -> None:
    made = await house.published()
    await house.crowd(made.id, 3)
    tables = await fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    names = [row["table_name"] for row in tables]
    before = {name: await fetch(f'SELECT t::text AS it FROM "{name}" t') for name in names}
    await house.pass_time(hours=2)
    await house.work()
    drawn = await house.row(made.id)
    assert drawn.secret is not None
    secret = drawn.secret.hex()
    assert [name for name, rows in before.items() if any(secret in row["it"] for row in rows)] == []
    entries = await AuditEntry.filter(object_kind="lottery", object_id=str(made.id)).order_by("id")
    assert [entry.action.partition(".")[2] for entry in entries] == [
        "created", "submitted", "published", "closed", "listed", "drawn", "prizes_owed",
    ]  # fmt: skip
    assert not any(secret in json.dumps([entry.before, entry.after]) for entry in entries)


async def test_whoever_edited_last_does_not_publish_and_what_is_published_is_not_edited(house: LotteryHouse) -> None:
    lotteries, draft = house.services.lotteries, await house.draft()
    made = await lotteries.create(draft, MAKER)
    with pytest.raises(WrongStatus):
        await lotteries.publish(made.id, CHECKER)
    assert (await lotteries.submit(made.id, MAKER)).status == "in_review"
    with pytest.raises(SecondPersonRequired):
        await lotteries.publish(made.id, MAKER)
    edited = await lotteries.edit(made.id, draft, CHECKER)
    assert edited.status == "draft"
    await lotteries.submit(made.id, CHECKER)
    with pytest.raises(RevisionChanged):
        await lotteries.publish(made.id, MAKER, revision=edited.revision)
    with pytest.raises(SecondPersonRequired):
        await lotteries.publish(made.id, CHECKER)
    published = await lotteries.publish(made.id, MAKER)
    again = await lotteries.publish(made.id, MAKER)
    assert (published.status, again.commitment, again.announcement) == (
        "published", published.commitment, published.announcement,
    )  # fmt: skip
    with pytest.raises(AlreadyLive):
        await lotteries.edit(made.id, draft, THIRD)


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
    await house.services.budgets.request_top_up(budget, key(house), 1, "追加", MAKER)
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
        await house.services.lottery_entries.enter_myself(made.id, FIRST_RESIDENT + 99, key(house))
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


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": " "}, "title"), ({"max_tickets": 0}, "max_tickets"), ({"max_tickets": 51}, "max_tickets"),
        ({"prizes": ()}, "prizes"), ({"prizes": (Prize(2, "奖", "1", 1),)}, "prizes[0].rank"),
        ({"prizes": (Prize(1, "奖", "1", 0),)}, "prizes[0].count"),
        ({"prizes": (Prize(1, "", "1", 1),)}, "prizes[0].name"),
        ({"prizes": (Prize(1, "奖", "1", 1_000_001),)}, "prizes"), ({"beacon_source": " "}, "beacon_source"),
    ],
)  # fmt: skip
async def test_a_draft_that_can_not_be_is_refused_and_named(
    house: LotteryHouse, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidField) as told:
        await house.services.lotteries.create(await house.draft(**changes), MAKER)
    assert told.value.field == field


async def test_times_the_wrong_way_round_are_named(house: LotteryHouse) -> None:
    draft = await house.draft()
    for name, at, field in (
        ("closes_at", draft.opens_at, "closes_at"), ("draw_at", draft.opens_at, "draw_at"),
        ("opens_at", draft.opens_at.replace(tzinfo=None), "opens_at"),
    ):  # fmt: skip
        with pytest.raises(InvalidField) as told:
            await house.services.lotteries.create(await house.draft(prizes=draft.prizes, **{name: at}), MAKER)
        assert told.value.field == field


async def test_a_person_enters_once_and_is_told_the_same_again(house: LotteryHouse) -> None:
    entries, made = house.services.lottery_entries, await house.published()
    first, replayed = await entries.enter_myself(made.id, 7, id := key(house))
    assert (first.tickets, first.added, replayed) == (1, True, False)
    again, replayed = await entries.enter_myself(made.id, 7, id)
    assert (again.code, again.tickets, replayed) == (first.code, 1, True)
    with pytest.raises(AlreadyEntered):
        await entries.enter_myself(made.id, 7, key(house))
    other = await house.published()
    with pytest.raises(Refused, match="idempotency_mismatch"):
        await entries.enter_myself(other.id, 7, id)
    elsewhere, _ = await entries.enter_myself(other.id, 7, key(house))
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
    ids = [key(house) for _ in range(40)]
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
        await house.services.lottery_entries.enter_myself(made.id, 7, key(house))
    again = await house.give(made.id, 8, 1, "award:1")
    own, _ = await house.services.lottery_entries.enter_myself(made.id, 8, key(house))
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
        await house.services.lottery_entries.enter_myself(made.id, 7, key(house))
    assert (await house.give(made.id, 7)).added
    assert "不接受自行报名" in made.announcement


async def test_a_lottery_is_cancelled_before_its_closing_only_and_says_why(house: LotteryHouse) -> None:
    lotteries = house.services.lotteries
    made, late = await house.published(), await house.published()
    await house.crowd(made.id, 2)
    cancelled = await lotteries.cancel(made.id, " 赞助商退出 ", CHECKER)
    assert (cancelled.status, cancelled.cancel_reason) == ("cancelled", "赞助商退出")
    with pytest.raises(LotteryClosed):
        await house.give(made.id, 9)
    with pytest.raises(WrongStatus):
        await lotteries.cancel(made.id, "again", CHECKER)
    await house.pass_time(hours=1)
    with pytest.raises(AlreadyOver):
        await lotteries.cancel(late.id, "too late", CHECKER)
    await house.work()
    with pytest.raises(WrongStatus):
        await lotteries.cancel(late.id, "too late", CHECKER)
    assert (await house.row(made.id)).status == "cancelled"


async def test_an_outside_number_is_read_by_two_when_the_list_is_public_and_the_draw_waits_for_it(
    house: LotteryHouse,
) -> None:
    lotteries = house.services.lotteries
    made = await house.published(beacon_source="福彩3D当晚开奖号码")
    plain = await house.published()
    await house.crowd(made.id, 8)
    with pytest.raises(BeaconNotWanted):
        await lotteries.tell_beacon(made.id, "371", MAKER)
    await house.pass_time(hours=2)
    await house.work()
    assert (await house.row(made.id)).status == "closed"
    with pytest.raises(BeaconNotWanted):
        await lotteries.tell_beacon(plain.id, "371", MAKER)
    await lotteries.tell_beacon(made.id, "317", MAKER)
    await house.work()
    assert (await house.row(made.id)).status == "closed"
    with pytest.raises(BeaconDiffers):
        await lotteries.tell_beacon(made.id, "371", CHECKER)
    corrected = await lotteries.tell_beacon(made.id, "371", MAKER)
    assert corrected.beacon_confirmed_by is None
    confirmed = await lotteries.tell_beacon(made.id, "371", CHECKER)
    assert confirmed.beacon_confirmed_by == CHECKER.admin_id
    with pytest.raises(BeaconNotWanted):
        await lotteries.tell_beacon(made.id, "000", MAKER)
    await house.work()
    verdict = await house.verdict(made.id)
    assert verdict.holds and b'"beacon":"371"' in await house.file(made.id)


async def test_whatever_breaks_off_a_job_the_result_is_the_one_that_the_file_proves(
    house: LotteryHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small pages, and every transaction of every job breaks off once before its commit."""
    monkeypatch.setattr(drawing, "PAGE", 3)
    monkeypatch.setattr(drawing, "OWED_PAGE", 2)
    made = await house.published(max_tickets=2)
    await house.crowd(made.id, 20, tickets=2)
    await house.pass_time(hours=2)
    calls: list[str] = []

    async def breaking(tx: Any, task: Any, state: Any) -> None:
        await jobs.save(tx, task, state)
        calls.append(task.kind)
        if len(calls) % 2:
            raise ConnectionError("the process ends here")

    monkeypatch.setattr(drawing, "save", breaking)
    for _ in range(400):
        await house.services.lottery_draws.redrive()
        await jobs.run_due(house.services.job_handlers)
        await fetch("UPDATE job SET due_at = clock_timestamp(), attempts = 0 WHERE status = 'due'")
        if (await house.row(made.id)).owed_at:
            break
    row = await house.row(made.id)
    assert (row.status, row.winners, row.owed_at is not None) == ("drawn", 5, True)
    assert (calls.count("lottery_list"), calls.count("lottery_draw")) == (16, 22)
    assert calls.count("lottery_prizes") >= 10  # who stayed in the running is left to chance, and forgotten in pages
    assert (await house.verdict(made.id)).holds
    assert await fetch("SELECT FROM lottery_score") == []


async def test_fewer_people_than_prizes_and_nobody_at_all_are_drawn_too(house: LotteryHouse) -> None:
    few, nobody = await house.published(), await house.published()
    await house.crowd(few.id, 2)
    await house.pass_time(hours=2)
    await house.work()
    for made, winners in ((few, 2), (nobody, 0)):
        assert (await house.row(made.id)).winners == winners
        assert (await house.verdict(made.id)).holds


async def test_many_prizes_for_many_people_are_drawn_as_the_file_says(
    house: LotteryHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More winners than a page holds, more than half of the people: who stays in the running is kept over pages."""
    monkeypatch.setattr(drawing, "PAGE", 16)
    template = str(await house.template(stock=500))
    made = await house.published(prizes=(Prize(1, "奖", template, 30), Prize(2, "奖", template, 90)), max_tickets=3)
    for number in range(200):
        await house.give(made.id, FIRST_RESIDENT + number, 1 + number % 3)
    await house.pass_time(hours=2)
    await house.work()
    verdict = await house.verdict(made.id)
    assert (verdict.holds, verdict.winners) == (True, 120), verdict.checks


TAMPERING = {
    "published": [
        "UPDATE lottery SET title = 'x'",
        "UPDATE lottery SET prizes = '[{}]'",
        "UPDATE lottery SET closes_at = closes_at + interval '1 hour', draw_at = draw_at + interval '1 hour'",
        "UPDATE lottery SET commitment = sha256('x')",
        "UPDATE lottery SET secret_sealed = 'x'",
        "UPDATE lottery SET announcement = announcement || ' '",
        "UPDATE lottery SET max_tickets = 9",
        "UPDATE lottery SET status = 'draft'",
        "UPDATE lottery SET status = 'drawn'",
        "DELETE FROM lottery",
        "DELETE FROM lottery_entry",
        "UPDATE lottery_entry SET code = '00000000000000000000'",
        "UPDATE lottery_entry SET resident_id = 1 WHERE resident_id = 6000001",
        "UPDATE lottery_entry SET tickets = 51",
        "TRUNCATE lottery_entry CASCADE",
    ],
    "closed": [
        "UPDATE lottery SET status = 'published'",
        "UPDATE lottery SET status = 'cancelled', cancelled_by = 1, cancelled_at = now(), cancel_reason = 'x'",
        "UPDATE lottery SET digest = sha256('x')",
        "UPDATE lottery SET entries = 9",
        "UPDATE lottery SET beacon = 'x', beacon_by = 1",
        "UPDATE lottery SET status = 'drawn', secret = 'x', drawn_at = draw_at, winners = 0",
        "INSERT INTO lottery_entry (lottery_id, resident_id, code, tickets, sources, entered_at)"
        " SELECT id, 1, '00000000000000000000', 1, '[\"x\"]', now() FROM lottery",
        "UPDATE lottery_entry SET tickets = 1",
        "DELETE FROM lottery_entry",
    ],
    "drawn": [
        "UPDATE lottery SET secret = NULL, status = 'closed', drawn_at = NULL, winners = NULL",
        "UPDATE lottery SET secret = sha256('x')",
        "UPDATE lottery SET drawn_at = drawn_at + interval '1 day'",
        "UPDATE lottery SET winners = 1",
        "UPDATE lottery_winner SET code = '00000000000000000000'",
        "UPDATE lottery_winner SET resident_id = 1",
        "DELETE FROM lottery_winner",
        "INSERT INTO lottery_winner (lottery_id, rank, place, code, ticket, resident_id)"
        " SELECT id, 9, 9, '00000000000000000000', 1, 1 FROM lottery",
        "TRUNCATE lottery_winner",
    ],
}  # fmt: skip


async def test_the_database_itself_refuses_whatever_would_change_what_was_published(house: LotteryHouse) -> None:
    made = await house.published(max_tickets=2)
    await house.crowd(made.id, 6, tickets=2)
    for hours, status in ((0, "published"), (1, "closed"), (1, "drawn")):
        await house.pass_time(hours=hours)
        await house.work()
        assert (await house.row(made.id)).status == status
        async with connected(house.ledger.database.owner) as owner:
            for attempt in TAMPERING[status]:
                with pytest.raises(asyncpg.PostgresError):
                    await owner.execute(attempt)
                    raise AssertionError(f"{status}: {attempt}")
    assert (await house.verdict(made.id)).holds


@pytest.mark.parametrize(
    "sets",
    [
        "closes_at = opens_at", "draw_at = opens_at", "max_tickets = 0", "prizes = '[]'", "prizes = '{}'",
        "title = ' '",
        "status = 'other'", "status = 'published'", "commitment = 'x'", "announcement = 'x'", "owed_at = now()",
        "status = 'closed', closed_at = closes_at", "digest = sha256('x')", "beacon = '1', beacon_by = 1",
    ],
)  # fmt: skip
async def test_a_draft_in_the_table_can_not_be_what_no_lottery_is(house: LotteryHouse, sets: str) -> None:
    await house.services.lotteries.create(await house.draft(), MAKER)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await house.ledger.owner.execute(f"UPDATE lottery SET {sets}")
