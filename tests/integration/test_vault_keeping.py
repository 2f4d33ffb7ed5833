"""What is kept how long: directory rows, scans, showings that never became a redemption; and months made in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from server.kit.db import close_house, open_house
from server.web.health import database_checks
from tests.support.databases import Database
from tests.support.ledger import Ledger, open_ledger

PLENTY = 10_000


@pytest_asyncio.fixture
async def ledger(fresh_database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(fresh_database) as found:
        yield found
        assert await found.broken() == []


async def count(ledger: Ledger, table: str) -> int:
    return await ledger.owner.fetchval(f"SELECT count(*) FROM vault.{table}")


async def states(ledger: Ledger) -> list[str]:
    return [row[0] for row in await ledger.owner.fetch("SELECT state FROM vault.credential ORDER BY 1")]


async def one_of_each(ledger: Ledger) -> None:
    """An open, a burnt, a claimed and a redeemed showing."""
    resident, terms = await ledger.resident(), await ledger.template(void_window_s=60)
    await ledger.show(resident, await ledger.coupon(resident, terms))
    burnt = await ledger.show(resident, await ledger.coupon(resident, terms))
    await ledger.app.burn_credential(resident, burnt.credential)
    await ledger.scanned(terms)
    await ledger.redeemed(terms)


async def test_only_redeemed_showings_outlive_their_ninety_days(ledger: Ledger) -> None:
    await one_of_each(ledger)
    everything = ["burnt", "claimed", "open", "redeemed"]
    await ledger.move_clock(days=90)
    await ledger.worker.purge(PLENTY)
    assert await states(ledger) == everything
    await ledger.move_clock(days=1, hours=2)
    assert await ledger.worker.purge(PLENTY) == 3 + await count(ledger, "scan_log")
    assert await states(ledger) == ["redeemed"]
    assert await ledger.worker.purge(PLENTY) == 0


async def test_scans_are_kept_ninety_days_and_handles_seven(ledger: Ledger) -> None:
    await one_of_each(ledger)
    scans, handles = await count(ledger, "scan_log"), await count(ledger, "credential_handle")
    assert (scans, handles) == (2, 4)
    await ledger.move_clock(days=7, minutes=5)
    assert await ledger.worker.purge(PLENTY) == 0
    await ledger.move_clock(minutes=10)
    assert await ledger.worker.purge(PLENTY) == handles
    await ledger.move_clock(days=82)
    assert await ledger.worker.purge(PLENTY) == 0
    await ledger.move_clock(days=1)
    assert await ledger.worker.purge(PLENTY) == scans


async def test_a_redeemed_code_stays_used_after_everything_else_of_it_is_gone(ledger: Ledger) -> None:
    terms = await ledger.template()
    scanned = await ledger.scanned(terms)
    await ledger.redeem(scanned)
    await ledger.move_clock(days=120)
    await ledger.worker.ensure_partitions(3)
    await ledger.worker.purge(PLENTY)
    assert await count(ledger, "credential_handle") == 0
    again = await ledger.redeem(scanned)
    assert again.replayed
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ledger.owner.execute("DELETE FROM vault.redemption")


async def test_each_step_is_bounded_and_goes_on_where_the_last_one_ended(ledger: Ledger) -> None:
    resident, terms = await ledger.resident(), await ledger.template()
    coupon = await ledger.coupon(resident, terms)
    for _ in range(6):
        await ledger.show(resident, coupon)
        await ledger.move_clock(hours=2)
    await ledger.move_clock(days=100)
    steps = []
    while done := await ledger.owner.fetchval("SELECT vault.purge_credentials(vault.now(), 2)"):
        steps.append(done)
    assert steps == [2, 2, 2] and await states(ledger) == []


async def test_a_pause_of_months_is_caught_up_with(ledger: Ledger) -> None:
    """An empty stretch is walked over, two hundred hours a step, and nothing behind it is forgotten."""
    resident, terms = await ledger.resident(), await ledger.template(valid_days=400)
    coupon = await ledger.coupon(resident, terms)
    await ledger.show(resident, coupon)
    await ledger.move_clock(days=40)
    await ledger.show(resident, coupon)
    await ledger.move_clock(days=100)
    for _ in range(10):
        await ledger.worker.purge(PLENTY)
    assert await states(ledger) == []


async def test_two_workers_purge_the_same_rows_once(ledger: Ledger) -> None:
    await one_of_each(ledger)
    await ledger.move_clock(days=92)
    rows = 3 + await count(ledger, "scan_log") + await count(ledger, "credential_handle")
    assert sum(await asyncio.gather(*(ledger.worker.purge(PLENTY) for _ in range(4)))) == rows
    assert await states(ledger) == ["redeemed"]


async def test_readiness_says_when_the_next_month_is_missing_and_when_it_is_made(ledger: Ledger) -> None:
    await open_house(ledger.database.app)
    try:
        assert (await database_checks())["partitions"] == "ok"
        await ledger.move_clock(days=100)
        assert (await database_checks())["partitions"] == "next month is missing"
        await ledger.worker.ensure_partitions(3)
        assert (await database_checks())["partitions"] == "ok"
    finally:
        await close_house()
