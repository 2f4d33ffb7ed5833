"""Many at once: the last coupons, one code at many counters, lanes that meet, connections that die (D4, D7, D20)."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.support.databases import Database, connected
from tests.support.ledger import COUNTER, Ledger, open_ledger, post
from tests.support.patience import PATIENCE_S, until
from wallet import CouponTerms, Op, QueueFull, Refused, Vault, VaultError, bucket_of
from wallet.items import Item


@pytest_asyncio.fixture(scope="module")
async def _ledger(database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(database) as ledger:
        yield ledger
        assert await ledger.broken() == []


@pytest_asyncio.fixture
async def ledger(_ledger: Ledger) -> AsyncIterator[Ledger]:
    yield _ledger
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await _ledger.owner.fetchval(deadlocks) == 0


@pytest_asyncio.fixture
async def vaults(ledger: Ledger) -> AsyncIterator[list[Vault]]:
    """Four processes' worth of vaults with two lanes each: lanes 0 to 7."""
    async with AsyncExitStack() as stack:
        made = []
        for number in range(4):
            vault = await Vault.connect(ledger.database.app, role="app", first_lane=2 * number, lanes=2, pool_max=2)
            stack.push_async_callback(vault.close)
            made.append(vault)
        yield made


async def outcomes(calls: Iterable[Awaitable[Any]]) -> Counter[str]:
    """How often each answer was given; what is not the vault's own answer is raised."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, VaultError):
            raise result
    return Counter(
        one.code if isinstance(one, VaultError) else "replayed" if one.replayed else "done" for one in results
    )


async def many(ledger: Ledger, number: int) -> list[int]:
    return [await ledger.resident() for _ in range(number)]


@pytest.mark.parametrize("stock", [10, 1, 40])
async def test_64_claims_on_a_stock_of_10_give_10_coupons_and_54_clear_refusals(
    ledger: Ledger, vaults: list[Vault], stock: int
) -> None:
    terms, residents = await ledger.template(stock=stock), await many(ledger, 64)
    seen = await outcomes(ledger.claim(one, terms, vault=vaults[n % 4]) for n, one in enumerate(residents))
    assert seen == {"done": stock, "sold_out": 64 - stock}
    held = await ledger.owner.fetchval("SELECT count(*) FROM vault.coupon WHERE terms = $1", terms.id)
    assert held == stock and await ledger.left(terms.stock_budget) == 0


async def test_nobody_is_told_sold_out_while_there_is_enough(ledger: Ledger, vaults: list[Vault]) -> None:
    for _ in range(3):
        terms, residents = await ledger.template(stock=24, fen=24_000), await many(ledger, 24)
        seen = await outcomes(ledger.claim(one, terms, vault=vaults[n % 4]) for n, one in enumerate(residents))
        assert seen == {"done": 24}


async def test_one_code_redeemed_64_times_at_once_is_one_redemption(ledger: Ledger, vaults: list[Vault]) -> None:
    scanned = await ledger.scanned(await ledger.template())
    calls = [ledger.redeem(scanned, vault=vaults[n % 4]) for n in range(64)]
    results = await asyncio.gather(*calls)
    assert Counter(one.replayed for one in results) == {False: 1, True: 63}
    assert len({one.result for one in results}) == 1
    voids = await asyncio.gather(
        *(vaults[n % 4].void(scanned.redemption_id, acceptor=COUNTER, reason=f"reason {n}") for n in range(64))
    )
    assert Counter(one.replayed for one in voids) == {False: 1, True: 63}
    assert len({one.result for one in voids}) == 1
    assert await ledger.rows(scanned.owner) == 3


async def test_several_showings_of_one_coupon_at_once_are_one_redemption(ledger: Ledger, vaults: list[Vault]) -> None:
    resident = await ledger.resident()
    coupon = await ledger.coupon(resident, await ledger.template())
    scans = [await ledger.scan(await ledger.show(resident, coupon)) for _ in range(12)]
    seen = await outcomes(ledger.redeem(one, vault=vaults[n % 4]) for n, one in enumerate(scans))
    assert seen == {"done": 1, "coupon_not_usable": 11}


async def test_one_terminal_gets_a_code_that_many_scan(ledger: Ledger, vaults: list[Vault]) -> None:
    resident = await ledger.resident()
    showing = await ledger.show(resident, await ledger.coupon(resident, await ledger.template()))
    again = await asyncio.gather(
        *(
            vaults[n % 4].scan(
                showing.handle, code_ok=True, acceptor=COUNTER, own_resident=None, redemption_id=ledger.id7(),
                void_id=ledger.id7(),
            )
            for n in range(32)
        )
    )  # fmt: skip
    assert len({one.redemption_id for one in again}) == 1


async def test_everything_sent_three_times_at_once_happens_once(ledger: Ledger, vaults: list[Vault]) -> None:
    terms, poor = await ledger.template(price_points=10), await many(ledger, 10)
    rich = [await ledger.resident(points=10) for _ in range(20)]
    ids = {one: ledger.id7() for one in rich + poor}
    calls = [(one, n) for one in rich + poor for n in range(3)]
    random.Random(7).shuffle(calls)
    seen = await outcomes(ledger.claim(one, terms, id=ids[one], vault=vaults[n]) for one, n in calls)
    assert seen == {"done": 20, "replayed": 40, "insufficient_points": 30}
    assert [await ledger.rows(one) for one in poor] == [1] * 10


async def test_duplicates_in_one_batch_replay(ledger: Ledger) -> None:
    resident, terms = await ledger.resident(points=25), await ledger.template(price_points=10)
    item = {"op": 2, "b": resident & 1023, "owner": resident, "hash": "\\xab", "terms": terms.id}
    first, second, third = ledger.id7(), ledger.id7(), ledger.id7()
    items = [{**item, "id": id} for id in (first, first, second, first, third)]
    async with connected(ledger.database.app) as connection:
        answers = await post(connection, "post_batch", *items)
    assert [(status, again) for status, again, _ in answers] == [
        (0, False), (0, True), (0, False), (0, True), (10, False)]  # fmt: skip
    assert answers[0][2] == answers[1][2] == answers[3][2]


async def test_mixed_batches_over_wallets_and_slots_in_opposite_order_never_deadlock(ledger: Ledger) -> None:
    residents = [await ledger.resident(points=5000) for _ in range(12)]
    low, middle, high = [await ledger.budget(unit, 10**8) for unit in ("fen", "coupons", "fen")]
    last = await ledger.budget("coupons", 10**8)
    terms = [
        await ledger.template(stock_budget=stock, fen_budget=fen, price_points=1)
        for stock, fen in ((middle, low), (middle, high), (last, low), (last, high))
    ]

    async def lane(number: int, order: int) -> int:
        async with connected(ledger.database.app) as connection:
            chance = random.Random(number)
            for _ in range(25):
                plain = {"op": 2, "hash": "\\xab"}
                items = [
                    {**plain, "b": one & 1023, "owner": one, "id": ledger.id7(), "terms": chance.choice(terms).id}
                    for one in residents[::order]
                ]
                answers = await post(connection, "post_batch", *items, lane=number % 2)
                assert {status for status, _, _ in answers} <= {0, 11}
        return number

    async def balance() -> None:
        for _ in range(25):
            for budget in (low, middle, high, last):
                await ledger.owner.fetchval("SELECT vault.rebalance($1, 1, 0::smallint)", budget)

    await asyncio.gather(lane(0, 1), lane(1, -1), lane(2, 1), lane(3, -1), balance())


async def test_an_expiry_and_a_claim_of_one_template_take_their_slots_in_one_order(ledger: Ledger) -> None:
    """The fen budget has the lower number, so the terms' order is not the slots' order."""
    fen = await ledger.budget("fen", 10**6)
    terms = await ledger.template(fen_budget=fen, stock=1000, valid_days=1, return_stock=True)
    owners, other = [await ledger.resident() for _ in range(2)], await ledger.resident()
    coupons = [await ledger.coupon(one, terms) for one in owners]
    await ledger.move_clock(days=3)
    async with connected(ledger.database.owner) as gate, gate.transaction():
        await gate.execute("SELECT FROM vault.slot WHERE budget = $1 FOR UPDATE", fen)
        claim = asyncio.create_task(ledger.claim(other, terms))
        await asyncio.sleep(0.2)
        expiry = asyncio.create_task(ledger.worker.expire_coupon(owners[0], ledger.id8(), coupon_id=coupons[0]))
        await asyncio.sleep(0.2)
    await asyncio.gather(claim, expiry)
    await ledger.restore_clock()


async def test_a_caller_that_hangs_up_does_not_stop_a_lane(ledger: Ledger) -> None:
    terms, residents = await ledger.template(), await many(ledger, 30)
    ids = {one: ledger.id7() for one in residents}
    tasks = [asyncio.create_task(ledger.claim(one, terms, id=ids[one])) for one in residents]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, asyncio.CancelledError) for one in results) == 15
    again = await asyncio.gather(*(ledger.claim(one, terms, id=ids[one]) for one in residents))
    assert sorted(one.result.seq for one in again) == [1] * 30


def raw(ledger: Ledger, resident: int, terms: CouponTerms, **changes: Any) -> Item:
    item = Item(Op.CLAIM, b=bucket_of(resident), owner=resident, id=ledger.id7(), terms=terms.id, hash="\\xab")
    for name, value in changes.items():
        setattr(item, name, value)
    return item


async def test_one_item_that_fails_does_not_fail_its_batch(ledger: Ledger) -> None:
    terms, residents = await ledger.template(), await many(ledger, 20)
    items = [raw(ledger, one, terms) for one in residents]
    items[7] = raw(ledger, residents[7], terms, hash="\\xno hex at all")
    items[11] = raw(ledger, residents[11], terms, store=2**70)
    results = await asyncio.gather(*(ledger.app.lanes.post(one) for one in items), return_exceptions=True)
    assert [n for n, one in enumerate(results) if isinstance(one, asyncpg.PostgresError)] == [7, 11]
    assert {one.status for one in results if not isinstance(one, BaseException)} == {0}
    assert await ledger.left(terms.stock_budget) == 1000 - 18


async def test_a_killed_connection_in_the_middle_loses_and_doubles_nothing(ledger: Ledger, vaults: list[Vault]) -> None:
    terms, residents = await ledger.template(stock=100_000), await many(ledger, 40)
    ids = [(one, ledger.id7()) for one in residents for _ in range(15)]

    async def kill() -> int:
        return await superuser.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
            " AND usename = 'chengxin_app' AND query LIKE '%post_batch%'"
        )

    async def killer() -> int:
        killed = 0
        for _ in range(6):
            await asyncio.sleep(0.04)
            killed += await kill()
        return killed or await until("a connection to kill", kill)

    async def persistent(resident: int, id: Any, vault: Vault) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                return (await ledger.claim(resident, terms, id=id, vault=vault)).result
            except VaultError as problem:
                assert problem.status in (409, 503) and problem.code in ("vault_unavailable", "in_flight"), problem.code
                await asyncio.sleep(0.02)
        raise AssertionError(f"no answer within {PATIENCE_S:.0f} s")

    async def everything() -> list[Any]:
        answers: list[Any] = []
        for start in range(0, len(ids), 60):
            group = ids[start : start + 60]
            answers += await asyncio.gather(*(persistent(one, id, vaults[n % 4]) for n, (one, id) in enumerate(group)))
            await asyncio.sleep(0.02)
        return answers

    async with connected(ledger.database.superuser) as superuser:
        killed, answers = await asyncio.gather(killer(), everything())
    assert killed > 0
    assert [one.id for one in answers] == [id for _, id in ids]
    assert await ledger.left(terms.stock_budget) == 100_000 - len(ids)


async def test_a_full_queue_says_so_and_sends_nothing(ledger: Ledger) -> None:
    terms, residents = await ledger.template(), await many(ledger, 30)
    small = await Vault.connect(ledger.database.app, role="app", queue=8, batch=4, pool_max=1)
    results = await asyncio.gather(
        *(ledger.claim(one, terms, vault=small) for one in residents), return_exceptions=True
    )
    refused = [one for one, result in zip(residents, results, strict=True) if isinstance(result, QueueFull)]
    assert len(refused) == 22 and not any(isinstance(one, Refused) for one in results)
    assert [await ledger.rows(one) for one in refused] == [0] * 22
    assert results[-1].status == 503 and results[-1].retry_after_s == 1  # type: ignore[union-attr]
    await ledger.claim(refused[0], terms, vault=small)
    await small.close()
