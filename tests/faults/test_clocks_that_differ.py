"""Phones, processes and the database disagree about the time, and the database's own clock steps back.

What is lost: nothing. Holds, lots and expiry follow the vault's clock alone; an id from a clock far ahead is refused
and writes nothing, one from a clock behind is taken; rows stay in their order when time goes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
import pytest_asyncio

from server.kit.clock import Clock
from server.kit.ids import uuid7
from tests.support.databases import Database
from tests.support.intents import INTENTS, PAYEE, Field, Mixture, settle
from tests.support.ledger import CITY, Ledger, open_ledger, refusal
from tests.support.posters import Posters
from tests.support.sealing import open_sealed

pytestmark = pytest.mark.fault

HOUR, A_MOMENT = timedelta(hours=1), timedelta(microseconds=1)
NEW_YEAR = datetime(2027, 1, 1, tzinfo=CITY)
LAST_DAY = date(2026, 12, 31)


@pytest_asyncio.fixture
async def ledger(fresh_database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(fresh_database) as ledger:
        yield ledger
        assert await ledger.broken() == []


async def test_an_hour_ahead_is_refused_an_hour_behind_is_taken_and_neither_moves_the_life_of_a_hold(
    ledger: Ledger,
) -> None:
    resident = await ledger.resident(points=100)
    with refusal("idempotency_key_expired"):
        await ledger.app.hold(resident, uuid7(ledger.now() + HOUR), points=5, payee=PAYEE, life_s=600)
    assert await ledger.rows(resident) == 1
    asked_at = await ledger.app.now()
    hold = uuid7(ledger.now() - HOUR)
    until = (await ledger.app.hold(resident, hold, points=5, payee=PAYEE, life_s=600)).result.until
    life = timedelta(seconds=600)
    assert asked_at + life <= until <= await ledger.app.now() + life, "600 s from when the database booked it"
    await ledger.stop_clock(until - A_MOMENT)
    with refusal("not_due"):
        await ledger.worker.release(resident, ledger.id8(), hold_id=hold)
    await ledger.stop_clock(until)
    with refusal("hold_expired"):
        await ledger.app.capture(resident, uuid7(ledger.now() - HOUR), hold_id=hold)
    await ledger.worker.release(resident, ledger.id8(), hold_id=hold)
    assert await ledger.balance(resident) == 100


async def test_a_whole_house_an_hour_behind_its_database_books_as_if_it_were_not(fresh_database: Database) -> None:
    """Every id of a mixture is minted by clocks that are an hour late."""
    field = await Field.on(fresh_database, 20)
    async with Posters.started(fresh_database.app, fresh_database.worker) as posters:
        mixture = Mixture(field, posters, intents=INTENTS // 4, seed=21, ahead=-HOUR)
        await mixture.run()
    print(await settle(mixture, fresh_database))


@pytest.mark.parametrize("wrong_by", [-HOUR, HOUR])
async def test_a_process_takes_its_time_from_the_database_however_wrong_its_machine_is(
    ledger: Ledger, wrong_by: timedelta
) -> None:
    await ledger.move_clock(seconds=-wrong_by.total_seconds())
    clock = Clock()
    clock.follow(await ledger.app.now())
    resident = await ledger.resident()
    campaign = await ledger.campaign(points=10)
    await ledger.earn(resident, campaign, on=clock.today())
    done = await ledger.app.spend(resident, uuid7(clock.now()), points=10, payee=PAYEE)
    assert abs(clock.now() - done.result.at) < timedelta(minutes=1)


async def test_the_last_moment_of_the_year_is_the_city_s_and_the_database_s(ledger: Ledger) -> None:
    await ledger.set_clock(NEW_YEAR - timedelta(days=32))
    await ledger.worker.ensure_partitions(3)
    campaign = await ledger.campaign(points=10, months=1)
    before, after, held = [await ledger.resident() for _ in range(3)]
    for one in (before, after, held):
        await ledger.earn(one, campaign)
        assert await ledger.lots(one) == {LAST_DAY: 10}
    await ledger.stop_clock(NEW_YEAR - A_MOMENT)
    assert (await ledger.app.now()).astimezone(UTC) == datetime(2026, 12, 31, 15, 59, 59, 999_999, tzinfo=UTC)
    await ledger.app.spend(before, ledger.id7(), points=10, payee=PAYEE)
    hold = ledger.id7()
    await ledger.app.hold(held, hold, points=10, payee=PAYEE, life_s=600)
    with refusal("not_due"):
        await ledger.worker.expire_points(after, ledger.id8())
    old = ledger.id8()
    await ledger.stop_clock(NEW_YEAR)
    with refusal("insufficient_points"):
        # The phone is still in the old year; that helps nobody.
        await ledger.app.spend(after, uuid7(NEW_YEAR - HOUR), points=1, payee=PAYEE)
    released = await ledger.app.release(held, ledger.id7(), hold_id=hold)
    assert (released.result.points, await ledger.balance(held)) == (10, 0), "given back and expired in one call"
    assert (await ledger.worker.expire_points(after, old)).result.points == 10
    await ledger.earn(after, campaign, on=LAST_DAY + timedelta(days=1))
    assert await ledger.lots(after) == {date(2027, 2, 28): 10}, "earned in the new year"
    booked = [row["op"] for row in await ledger.owner.fetch(
        "SELECT op FROM vault.journal WHERE owner = $1 ORDER BY seq", held)]  # fmt: skip
    assert booked == [1, 9, 11, 7]


async def test_a_database_clock_that_steps_back_doubles_nothing_and_brings_no_point_back(
    fresh_database: Database,
) -> None:
    async with open_sealed(fresh_database) as sealed:
        ledger = sealed.ledger
        resident = await ledger.resident(points=50)
        await ledger.earn(resident, await ledger.campaign(points=30, months=1))
        spend, hold = ledger.id7(), ledger.id7()
        first = await ledger.app.spend(resident, spend, points=1, payee=PAYEE)
        held = await ledger.app.hold(resident, hold, points=5, payee=PAYEE, life_s=7200)
        await ledger.move_clock(days=75)
        await ledger.worker.ensure_partitions(3)
        assert (await ledger.worker.expire_points(resident, ledger.id8())).result.points > 0
        kept = await ledger.balance(resident)
        await ledger.app.spend(resident, ledger.id7(), points=1, payee=PAYEE)
        ahead = ledger.id7()
        await ledger.move_clock(days=-75)

        with refusal("idempotency_key_expired"):  # made before the step: of the future now, and nothing is written
            await ledger.app.spend(resident, ahead, points=1, payee=PAYEE)
        again = await ledger.app.spend(resident, spend, points=1, payee=PAYEE)
        assert again.replayed and again.result == first.result
        await asyncio.gather(*(ledger.app.spend(resident, ledger.id7(), points=1, payee=PAYEE) for _ in range(5)))
        assert held.result.until > ledger.now(), "its life goes by the clock as it is"
        await ledger.app.release(resident, ledger.id7(), hold_id=hold)
        assert await ledger.balance(resident) == kept - 1 - 5 + 5, "what expired stays expired"
        await sealed.seal_all()
        report = await sealed.prove()
        assert (report.found, report.unsealed) == ([], 0)
        rows = await ledger.owner.fetch("SELECT seq, at FROM vault.journal WHERE owner = $1 ORDER BY seq", resident)
        assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
        assert any(later["at"] < row["at"] for row, later in pairwise(rows)), "time did go back"
        assert await ledger.broken() == []
