"""Accounts without a limit: what is folded and what is not yet are together the journal, at every instant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.support.databases import Database, connected
from tests.support.ledger import COUNTER, Ledger, open_ledger
from tests.support.patience import until
from wallet.folds import Folds

PAYEES = (501, 502, 503)
#: The same sums again from the table's columns, in another shape than the view that folding reads.
FROM_THE_JOURNAL = {
    "payee": "SELECT coalesce(sum(d_peer), 0) FROM vault.journal WHERE op = ANY('{8,10,12}') AND peer = $1",
    "template": "SELECT coalesce(sum(d_peer), 0) FROM vault.journal WHERE op = ANY('{2,16}') AND peer = $1",
    "merchant_payable": "SELECT coalesce(sum(f_payable), 0) FROM vault.journal WHERE op = ANY('{3,4}') AND peer = $1",
    "adjustment": "SELECT coalesce(sum(d_peer), 0) FROM vault.journal WHERE op = 13 AND $1 = 0",
}


class Books:
    """A ledger with folds read by the application and made by the worker."""

    def __init__(self, ledger: Ledger, app: asyncpg.Pool, worker: asyncpg.Pool) -> None:
        self.ledger, self.read, self.worker, self._pool = ledger, Folds(app.fetch), Folds(worker.fetch), worker

    async def from_the_journal(self, kind: str, account: int) -> int:
        return int(await self._pool.fetchval(FROM_THE_JOURNAL[kind], account))

    async def fold_all(self, limit: int = 20_000) -> None:
        newest = await self._pool.fetchval("SELECT coalesce(max(txid), 0) FROM vault.journal")

        async def folded() -> bool:
            await self.worker.step(limit)
            return await self._pool.fetchval("SELECT folded_to FROM vault.fold_cursor") > newest

        await until("everything folded", folded)

    async def tail(self) -> int:
        return await self._pool.fetchval(
            "SELECT count(*) FROM vault.journal WHERE txid >= (SELECT folded_to FROM vault.fold_cursor)"
        )


@pytest_asyncio.fixture
async def books(fresh_database: Database) -> AsyncIterator[Books]:
    async with (
        open_ledger(fresh_database) as ledger,
        asyncpg.create_pool(fresh_database.app, min_size=1, max_size=4) as app,
        asyncpg.create_pool(fresh_database.worker, min_size=1, max_size=4) as worker,
    ):
        yield Books(ledger, app, worker)
        assert await ledger.broken() == []


async def spend(books: Books, resident: int, points: int, payee: int) -> Any:
    ledger = books.ledger
    return await ledger.app.spend(resident, ledger.id7(), points=points, payee=payee)


async def test_every_kind_of_account_has_what_the_journal_says_before_and_after_folding(books: Books) -> None:
    ledger = books.ledger
    resident = await ledger.resident(points=1_000)
    terms = await ledger.template(price_points=60, face_value_fen=700)
    redeemed = (await ledger.redeem(await ledger.scanned(terms, resident))).result
    coupon = await ledger.coupon(resident, terms)
    await ledger.app.void_coupon(resident, ledger.id7(), coupon_id=coupon, reason="wrong", actor=1)
    spent = await spend(books, resident, 100, PAYEES[0])
    await ledger.app.refund(resident, ledger.id7(), posting_id=spent.result.id, points=30, reason="wrong")
    held = await ledger.app.hold(resident, ledger.id7(), points=50, payee=PAYEES[1], life_s=600)
    await ledger.app.capture(resident, ledger.id7(), hold_id=held.result.id, points=20)
    await ledger.worker.adjust(resident, ledger.id8(), points=-5, actor=1, approver=2, reason="wrong", document="doc 2")
    expected = {
        ("template", terms.template_id): 60,
        ("payee", PAYEES[0]): 70,
        ("payee", PAYEES[1]): 20,
        ("payee", PAYEES[2]): 0,
        ("adjustment", 0): 5,
        ("merchant_payable", COUNTER.merchant_id): 700,
    }
    for _ in ("from the tail", "folded"):
        seen = {account: await books.read.account_balance(*account) for account in expected}
        assert seen == expected
        await books.fold_all()
    await ledger.app.void(redeemed.id, acceptor=COUNTER, reason="wrong")
    assert await books.read.account_balance("merchant_payable", COUNTER.merchant_id) == 0, (
        "700 folded, -700 in the tail"
    )
    assert await books.tail() == 1


async def test_breakage_is_told_by_the_citys_day(books: Books) -> None:
    ledger = books.ledger
    first, second = await ledger.resident(points=100), await ledger.resident(points=40)
    await ledger.move_clock(days=500)
    await ledger.worker.ensure_partitions(3)
    day = ledger.today()
    await ledger.worker.expire_points(first, ledger.id8())
    await books.fold_all()
    await ledger.move_clock(days=3)
    await ledger.worker.expire_points(second, ledger.id8())
    later = ledger.today()
    days = [
        (day, day),
        (day + timedelta(days=1), later),
        (day, later),
        (later + timedelta(days=1), later + timedelta(days=9)),
    ]
    assert [await books.read.breakage(*span) for span in days] == [100, 40, 140, 0]


async def test_what_commits_late_is_folded_too(books: Books) -> None:
    ledger = books.ledger
    resident, other = await ledger.resident(points=500), await ledger.resident(points=500)
    await books.fold_all()
    async with connected(ledger.database.app) as late:
        transaction = late.transaction()
        await transaction.start()
        item = await posting_of_a_spend(ledger, other)
        await late.fetch("SELECT * FROM vault.post_batch($1::smallint, $2::jsonb, 0::smallint)", other & 1023, item)
        await spend(books, resident, 10, PAYEES[0])  # begins later, ends sooner
        await books.worker.step()
        assert await books.read.account_balance("payee", PAYEES[0]) == 10
        await transaction.commit()
    assert await books.read.account_balance("payee", PAYEES[0]) == 17
    await books.fold_all()
    assert (await books.read.account_balance("payee", PAYEES[0]), await books.tail()) == (17, 0)


async def posting_of_a_spend(ledger: Ledger, resident: int) -> str:
    """A spend of 7 as the vault gets it: sent once through the lanes of a vault whose wire is a list."""
    import json

    item = {"n": 0, "op": 8, "b": resident & 1023, "owner": resident, "id": str(ledger.id7()), "hash": "00" * 32}
    return json.dumps([item | {"points": 7, "payee": PAYEES[0]}])


async def test_two_folders_at_once_fold_every_row_once(books: Books) -> None:
    ledger = books.ledger
    residents = [await ledger.resident(points=1_000) for _ in range(6)]
    for _ in range(10):
        await asyncio.gather(*(spend(books, one, 3, PAYEES[n % 3]) for n, one in enumerate(residents)))
    await asyncio.gather(*(books.fold_all(limit=7) for _ in range(4)))
    for payee in PAYEES:
        assert await books.read.account_balance("payee", payee) == 60 == await books.from_the_journal("payee", payee)
    assert await books.ledger.owner.fetchval("SELECT sum(balance) FROM vault.fold WHERE kind = 'payee'") == 180


async def test_fold_and_tail_are_the_journal_at_every_instant_of_a_storm(books: Books) -> None:
    ledger = books.ledger
    residents = [await ledger.resident(points=10_000) for _ in range(8)]
    over = asyncio.Event()
    seen: list[int] = []

    async def storm(resident: int, turns: int) -> None:
        for turn in range(turns):
            done = await spend(books, resident, 1 + turn % 7, PAYEES[turn % 3])
            if turn % 5 == 0:
                await ledger.app.refund(resident, ledger.id7(), posting_id=done.result.id, points=1, reason="wrong")

    async def fold() -> None:
        while not over.is_set():
            await books.worker.step(50)

    async def compare() -> None:
        async with connected(ledger.database.worker) as one:
            folds = Folds(one.fetch)
            while not over.is_set():
                async with one.transaction(isolation="repeatable_read", readonly=True):
                    for payee in PAYEES:
                        folded = await folds.account_balance("payee", payee)
                        assert folded == await one.fetchval(FROM_THE_JOURNAL["payee"], payee)
                        seen.append(folded)

    watchers = [asyncio.create_task(fold()), asyncio.create_task(fold()), asyncio.create_task(compare())]
    await asyncio.gather(*(storm(resident, 60) for resident in residents))
    over.set()
    await asyncio.gather(*watchers)
    assert len(set(seen)) > 3, "it was watched while it moved"
    await books.fold_all()
    for payee in PAYEES:
        assert await books.read.account_balance("payee", payee) == await books.from_the_journal("payee", payee) > 0


async def test_only_the_worker_folds_and_only_in_steps(books: Books) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await books.read.step()
    for limit in (0, 100_001):
        with pytest.raises(asyncpg.RaiseError):
            await books.worker.step(limit)
