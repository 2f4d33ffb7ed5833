"""Lanes on a database that is slow, locked, deadlocked or gone: who waits is told, and nobody else waits for him."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median

import asyncpg
import pytest_asyncio

from tests.support.databases import Database, connected
from tests.support.ledger import Ledger, open_ledger
from tests.support.patience import until
from wallet import Vault
from wallet.errors import InFlight
from wallet.items import Item, Op, bucket_of
from wallet.lanes import Answer, Lanes

SLOW_ROW = """
CREATE FUNCTION vault.slow_row() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$;
CREATE TRIGGER slow_row BEFORE INSERT ON vault.journal FOR EACH ROW EXECUTE FUNCTION vault.slow_row();
"""
QUICK_ROW = "DROP FUNCTION vault.slow_row() CASCADE"
LOCK_WALLET = "SELECT FROM vault.wallet WHERE b = $1 AND owner = $2 FOR UPDATE"


@pytest_asyncio.fixture(scope="module")
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(database) as ledger:
        yield ledger


@asynccontextmanager
async def lanes_of(
    ledger: Ledger, *, count: int = 1, latency_ms: float = 25, lock_ms: int = 2000
) -> AsyncIterator[Lanes]:
    """Lanes of the application's role, as a process of the house has them."""

    async def connection() -> asyncpg.Connection:
        return await asyncpg.connect(ledger.database.app, server_settings={"lock_timeout": str(lock_ms)})

    lanes = Lanes(connection, "post_batch", first=0, count=count, queue=4096, batch=128, latency_ms=latency_ms)
    await lanes.open()
    try:
        yield lanes
    finally:
        await lanes.close()


def claim(ledger: Ledger, resident: int, terms: int) -> Item:
    return Item(Op.CLAIM, b=bucket_of(resident), owner=resident, id=ledger.id7(), terms=terms, hash="\\xab")


async def waits(ledger: Ledger, query: str) -> bool:
    """Whether some call that contains these words waits for a lock."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1 AND datname = $2"
    async with connected(ledger.database.superuser) as superuser:
        return bool(await superuser.fetchval(sql, f"%{query}%", ledger.database.name))


async def test_batches_shrink_when_rows_are_slow_and_grow_when_they_are_quick_again(ledger: Ledger) -> None:
    terms = (await ledger.template(stock=100_000, fen=10**9)).id
    residents = [await ledger.resident() for _ in range(150)]
    async with lanes_of(ledger, latency_ms=50) as lanes:

        async def busy(rounds: int) -> list[int]:
            lanes.calls.clear()
            for _ in range(rounds):
                await asyncio.gather(*(lanes.post(claim(ledger, one, terms)) for one in residents))
            return [call.size for call in lanes.calls]

        await ledger.owner.execute(SLOW_ROW)
        slow = await busy(2)
        await ledger.owner.execute(QUICK_ROW)
        await busy(4)
        quick = await busy(2)
    assert median(slow[len(slow) // 2 :]) <= 8, slow
    assert max(quick) >= 16, quick


async def test_a_wallet_that_is_locked_holds_back_its_own_items_only(ledger: Ledger) -> None:
    terms = (await ledger.template()).id
    stuck, *others = [await ledger.resident() for _ in range(12)]
    async with lanes_of(ledger, lock_ms=300) as lanes, connected(ledger.database.owner) as holder:
        async with holder.transaction():
            await holder.execute(LOCK_WALLET, bucket_of(stuck), stuck)
            behind = [claim(ledger, stuck, terms) for _ in range(3)]
            calls = [lanes.post(item) for item in (*behind, *(claim(ledger, one, terms) for one in others))]
            answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(answer) for answer in answers] == [InFlight] * 3 + [Answer] * 11
        assert {answer.status for answer in answers[3:]} == {0}
        again = await asyncio.gather(*(lanes.post(item) for item in behind))
        assert [(answer.status, answer.replayed) for answer in again] == [(0, False)] * 3
        assert lanes.counts.lock_timeouts == 2
        (connection,) = [lane.connection for lane in lanes._lanes]
        assert connection is not None and await connection.fetchval("SHOW lock_timeout") == "300ms"


async def test_a_lane_that_loses_a_deadlock_sends_its_items_again(ledger: Ledger) -> None:
    terms = (await ledger.template()).id
    first, second, third = sorted([await ledger.resident() for _ in range(3)], key=lambda one: (bucket_of(one), one))
    async with lanes_of(ledger, lock_ms=0) as lanes, connected(ledger.database.superuser) as rival:
        # The rival looks for deadlocks so late that the lane is the one that finds it and is rolled back.
        await rival.execute("SET deadlock_timeout = '5min'")
        async with rival.transaction():
            await rival.execute(LOCK_WALLET, bucket_of(second), second)
            calls = [asyncio.create_task(lanes.post(claim(ledger, one, terms))) for one in (first, second, third)]
            await until("the lane waits for the rival", lambda: waits(ledger, "post_batch"))
            await rival.execute(LOCK_WALLET, bucket_of(first), first)
        answers = await asyncio.gather(*calls)
    assert [(answer.status, answer.replayed) for answer in answers] == [(0, False)] * 3
    assert lanes.counts.deadlocks == 1 and lanes.counts.resent == 3
    assert [await ledger.rows(one) for one in (first, second, third)] == [1, 1, 1]


async def test_one_residents_items_run_in_the_order_they_were_posted_over_several_lanes(ledger: Ledger) -> None:
    terms = (await ledger.template(stock=10_000, fen=10**9)).id
    residents = [await ledger.resident() for _ in range(5)]
    items = [claim(ledger, residents[n % 5], terms) for n in range(200)]
    async with lanes_of(ledger, count=3) as lanes:
        await asyncio.gather(*(lanes.post(item) for item in items))
    for resident in residents:
        ids = [item.id for item in items if item.owner == resident]
        sql = "SELECT id FROM vault.journal WHERE b = $1 AND owner = $2 ORDER BY seq"
        booked = [row["id"] for row in await ledger.owner.fetch(sql, bucket_of(resident), resident)]
        assert booked == ids


async def test_somebody_with_one_item_does_not_wait_for_somebody_with_five_hundred(ledger: Ledger) -> None:
    terms = (await ledger.template(stock=10_000, fen=10**9)).id
    greedy, single = await ledger.resident(), await ledger.resident()
    async with lanes_of(ledger) as lanes:
        many = [asyncio.create_task(lanes.post(claim(ledger, greedy, terms))) for _ in range(500)]
        await asyncio.sleep(0)
        await lanes.post(claim(ledger, single, terms))
        assert sum(task.done() for task in many) <= 2
        await asyncio.gather(*many)


async def test_a_thousand_callers_that_all_hang_up_leave_lanes_that_work(ledger: Ledger) -> None:
    terms = (await ledger.template(stock=10_000, fen=10**9)).id
    residents = [await ledger.resident() for _ in range(50)]
    async with lanes_of(ledger, count=2) as lanes:
        tasks = [asyncio.create_task(lanes.post(claim(ledger, residents[n % 50], terms))) for n in range(1000)]
        await asyncio.sleep(0.005)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        answers = await asyncio.gather(*(lanes.post(claim(ledger, one, terms)) for one in residents))
        assert {answer.status for answer in answers} == {0}
        assert lanes.depth == 0 and lanes.dropped + lanes.counts.items == 1050
    assert await ledger.broken() == []


async def test_a_vault_that_is_closed_has_sent_what_waited(ledger: Ledger) -> None:
    terms, residents = await ledger.template(), [await ledger.resident() for _ in range(20)]
    vault = await Vault.connect(ledger.database.app, role="app", lanes=2, batch=4)
    waiting = [asyncio.create_task(ledger.claim(residents[n % 20], terms, vault=vault)) for n in range(60)]
    await asyncio.sleep(0)
    await vault.close()
    assert {task.result().replayed for task in waiting} == {False}
