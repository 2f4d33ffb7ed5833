"""A vault of two cells in one database: what a call may hold, what a bucket must be, and a budget that both draw on.

What two nodes would do is not shown here (docs/scaling.md); that no cell needs the other's rows is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from tests.support.databases import Database, connected
from tests.support.ledger import COUNTER, Ledger, open_ledger, post, refusal
from tests.support.sabotage import ONE_CELL, TWO_CELLS
from wallet import CouponTerms, Refused

#: A bucket of each cell.
LOW, HIGH = 5, 900


@pytest_asyncio.fixture
async def ledger(fresh_database: Database) -> AsyncIterator[Ledger]:
    async with connected(fresh_database.owner) as owner:
        await owner.execute(TWO_CELLS)
    async with open_ledger(fresh_database, lanes=2) as ledger:
        yield ledger


async def slots(ledger: Ledger, budget: int | None) -> dict[int, int]:
    """What lies in the slots of each cell."""
    rows = await ledger.owner.fetch(
        "SELECT pb, sum(avail)::bigint FROM vault.slot WHERE budget = $1 GROUP BY 1", budget
    )
    return dict(rows)


def spend(ledger: Ledger, resident: int, points: int = 1) -> dict[str, object]:
    return {"op": 8, "b": resident & 1023, "owner": resident, "id": ledger.id7(), "hash": "\\xab", "points": points,
            "payee": 3}  # fmt: skip


async def test_an_item_of_another_cell_is_refused_and_the_others_go_on(ledger: Ledger) -> None:
    near, beside, far = [await ledger.resident(points=10, b=b) for b in (LOW, LOW + 1, HIGH)]
    async with connected(ledger.database.app) as app:
        items = [spend(ledger, one) for one in (near, far, beside)]
        assert [answer[0] for answer in await post(app, "post_batch", *items)] == [0, 5, 0]
        assert [await ledger.balance(one) for one in (near, far, beside)] == [9, 10, 9]
        assert [answer[0] for answer in await post(app, "post_batch", items[1])] == [0], "nothing stands under its id"
        for b in (None, -1, 1024):
            with pytest.raises(asyncpg.InvalidParameterValueError):
                await app.fetch("SELECT * FROM vault.post_batch($1::smallint, '[]', 0::smallint)", b)
    assert await ledger.broken() == []


async def test_a_door_that_takes_a_resident_refuses_a_bucket_that_is_not_his(ledger: Ledger) -> None:
    resident = await ledger.resident(b=LOW)
    showing = await ledger.show(resident, await ledger.coupon(resident, await ledger.template()))
    wrong = HIGH
    async with connected(ledger.database.app) as app:
        for call in (
            "open_wallet($1::smallint, $2)",
            "bump_epoch($1::smallint, $2)",
            "burn_credential($1::smallint, $2, $3)",
            "issue_credentials($1::smallint, $2, $3, '{}', '{}', '{}')",
        ):
            sql, rest = f"SELECT * FROM vault.{call}", [showing.credential] if "$3" in call else []
            for b in (wrong, None):
                with pytest.raises(asyncpg.InvalidParameterValueError):
                    await app.fetch(sql, b, resident, *rest)
            await app.fetch(sql, resident & 1023, resident, *rest)
    assert await ledger.owner.fetchval("SELECT count(*) FROM vault.wallet WHERE b = $1", wrong) == 0
    assert await ledger.owner.fetchval("SELECT epoch FROM vault.wallet WHERE owner = $1", resident) == 1


async def test_scan_redemption_and_void_work_in_every_cell(ledger: Ledger) -> None:
    terms = await ledger.template()
    for b in (LOW, HIGH, 511, 512):
        scanned = await ledger.scanned(terms, await ledger.resident(b=b))
        redeemed = (await ledger.redeem(scanned)).result
        assert (await ledger.app.void(redeemed.id, acceptor=COUNTER, reason="x")).result.redemption_id == redeemed.id
    assert await ledger.broken() == []


async def test_a_directory_that_is_wrong_misleads_nobody(ledger: Ledger) -> None:
    mine, other = await ledger.resident(b=LOW), await ledger.resident(b=HIGH)
    terms = await ledger.template()
    showing, another = [await ledger.show(one, await ledger.coupon(one, terms)) for one in (mine, other)]
    point = "UPDATE vault.credential_handle SET (b, owner, credential_id) = ($2, $3, $4) WHERE handle = $1"
    right = (showing.handle, LOW, mine, showing.credential)
    for b, owner, credential in (
        (HIGH, other, another.credential),
        (HIGH, other, showing.credential),
        (LOW, mine, another.credential),
        (LOW, mine + 1024, showing.credential),
    ):
        await ledger.owner.execute(point, showing.handle, b, owner, credential)
        with refusal("not_valid"):
            await ledger.scan(showing)
    assert await ledger.owner.fetchval("SELECT count(*) FROM vault.scan_log") == 0
    await ledger.owner.execute(point, *right)
    redeemed = (await ledger.redeem(await ledger.scan(showing))).result
    refer = "UPDATE vault.redemption_ref SET (b, owner) = ($2, $3) WHERE redemption_id = $1"
    for b, owner in ((HIGH, other), (LOW, mine + 1024)):
        await ledger.owner.execute(refer, redeemed.id, b, owner)
        with refusal("redemption_not_found"):
            await ledger.app.void(redeemed.id, acceptor=COUNTER, reason="x")
    await ledger.owner.execute(refer, redeemed.id, LOW, mine)
    await ledger.app.void(redeemed.id, acceptor=COUNTER, reason="x")


async def claimed(ledger: Ledger, resident: int, terms: CouponTerms, id: UUID) -> bool:
    """Whether the claim got one; False: sold out. Who is told that it is busy asks again."""
    while True:
        try:
            await ledger.claim(resident, terms, id=id)
            return True
        except Refused as refused:
            if refused.code == "sold_out":
                return False
            assert refused.code == "budget_busy"


async def test_a_budget_is_taken_to_its_last_unit_from_both_cells_at_once(ledger: Ledger) -> None:
    stock = 301
    terms = await ledger.template(stock=stock, per_person=100)
    residents = [await ledger.resident(b=b + n) for n in range(20) for b in (LOW, HIGH)]
    got = await asyncio.gather(
        *(claimed(ledger, one, terms, ledger.id7()) for one in residents for _ in range(1 + stock // len(residents)))
    )
    assert (sum(got), len(got)) == (stock, 320)
    assert await ledger.left(terms.stock_budget) == 0
    assert await ledger.broken() == []


@pytest.mark.parametrize("b", [LOW, HIGH])
async def test_one_cell_alone_may_take_all_of_a_budget(ledger: Ledger, b: int) -> None:
    terms = await ledger.template(stock=37)
    resident = await ledger.resident(b=b)
    for left in range(36, -1, -1):
        await ledger.claim(resident, terms)
        assert await ledger.left(terms.stock_budget) == left
    with refusal("sold_out"):
        await ledger.claim(resident, terms)


async def test_what_one_cell_gives_back_the_other_may_take(ledger: Ledger) -> None:
    terms = await ledger.template(stock=1, return_stock=True)
    near, far = await ledger.resident(b=LOW), await ledger.resident(b=HIGH)
    for giver, taker in ((near, far), (far, near)):
        coupon = await ledger.coupon(giver, terms)
        with refusal("sold_out"):
            await ledger.claim(taker, terms)
        await ledger.app.void_coupon(giver, ledger.id7(), coupon_id=coupon, reason="x", actor=1)
        back = await ledger.coupon(taker, terms)
        await ledger.app.void_coupon(taker, ledger.id7(), coupon_id=back, reason="x", actor=1)
    assert await ledger.broken() == []


async def test_a_rest_is_shared_while_a_part_is_enough_and_then_goes_to_the_cell_that_asks(ledger: Ledger) -> None:
    budget = await ledger.budget("fen", 1001)
    rebalance = "SELECT vault.rebalance($1, $2, $3::smallint)"
    for amount, b, expected in (
        (10, LOW, {0: 248, 512: 248}),
        (500, LOW, {0: 501, 512: 500}),
        (500, HIGH, {0: 500, 512: 501}),
        (501, HIGH, {0: 0, 512: 1001}),
        (501, LOW, {0: 1001, 512: 0}),
        (1002, HIGH, {0: 0, 512: 1001}),
        (10, LOW, {0: 501, 512: 500}),  # what is gathered is not spread again for less
    ):
        assert await ledger.owner.fetchval(rebalance, budget, amount, b) == 1001
        assert await slots(ledger, budget) == expected
    assert await ledger.left(budget) == 1001
    await ledger.top_up(budget, 22)
    assert await slots(ledger, budget) == {0: 512, 512: 511}
    await ledger.top_up(budget, 1)
    assert await slots(ledger, budget) == {0: 256, 512: 256}, "64 for each slot"
    for b in (None, -1, 1024):
        assert await ledger.owner.fetchval(rebalance, budget, 1, b) is None


async def test_slots_follow_the_cells_when_a_budget_is_laid_out_again(fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as before:
        terms = await before.template(stock=1000)
        budget = terms.stock_budget
        assert (await slots(before, budget)).keys() == {0}
        await before.owner.execute(TWO_CELLS)
    async with open_ledger(fresh_database) as ledger:
        far = await ledger.resident(b=HIGH)
        for one in (budget, terms.fen_budget):
            await ledger.owner.fetchval("SELECT vault.rebalance($1, 1, $2::smallint)", one, HIGH)
        await ledger.claim(far, terms)
        assert {cell: held > 0 for cell, held in (await slots(ledger, budget)).items()} == {0: True, 512: True}
        await ledger.owner.execute(ONE_CELL)
        await ledger.owner.fetchval("SELECT vault.rebalance($1, 1, 0::smallint)", budget)
        assert (await slots(ledger, budget))[512] == 0 and await ledger.left(budget) == 999
        assert await ledger.broken() == []
