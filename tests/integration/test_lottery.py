"""Lotteries on a real database: published by two people, drawn once, repeatable from the file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.incentives.errors import (
    AlreadyLive,
    AlreadyOver,
    RevisionChanged,
    SecondPersonRequired,
    WrongStatus,
)
from server.incentives.lottery import drawing
from server.incentives.lottery.draw import commitment_of
from server.incentives.lottery.errors import (
    BeaconDiffers,
    BeaconNotWanted,
    ListNotPublished,
    LotteryClosed,
)
from server.incentives.lottery.published import Prize
from server.kit import jobs
from server.kit.audit import AuditEntry
from server.kit.db import fetch
from tests.support.lottery_house import CHECKER, FIRST_RESIDENT, MAKER, THIRD, LotteryHouse, house

__all__ = ["house"]


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
