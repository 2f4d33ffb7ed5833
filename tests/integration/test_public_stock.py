"""The public counters of a template add up and are the journal's, whatever happened to its coupons."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.kit.db import close_house, fetch, open_house
from tests.support.databases import Database
from tests.support.ledger import COUNTER, Ledger, open_ledger
from wallet import CouponTerms
from wallet.stock import Stock, stock_of

#: The same counters from the journal's legs alone.
JOURNAL = """
SELECT -coalesce(sum(j.c_stock) FILTER (WHERE j.op = 2), 0)::bigint AS claimed,
  coalesce(sum(j.c_out), 0)::bigint AS issued,
  coalesce(sum(j.c_used), 0)::bigint AS redeemed,
  coalesce(sum(j.c_gone), 0)::bigint AS gone,
  coalesce(sum(j.c_stock) FILTER (WHERE j.op <> 2), 0)::bigint AS returned
FROM vault.journal j JOIN vault.coupon_terms t USING (terms) WHERE t.template = $1
"""


@pytest_asyncio.fixture
async def ledger(fresh_database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(fresh_database) as made:
        await open_house(fresh_database.app)
        yield made
        await close_house()


async def _is_the_journal(terms: CouponTerms, expected: Stock) -> None:
    stock = await stock_of(fetch, terms.template_id)
    assert stock is not None and stock == expected
    (told,) = await fetch(JOURNAL, terms.template_id)
    gone = stock.expired + stock.voided - stock.returned
    seen = (stock.claimed, stock.issued, stock.redeemed, gone, stock.returned)
    assert seen == tuple(told.values())
    assert stock.topped_up - stock.cut == stock.left + stock.claimed - stock.returned


@pytest.mark.parametrize("returns", [False, True])
async def test_counters_are_the_journal_and_add_up_after_every_fate_of_a_coupon(ledger: Ledger, returns: bool) -> None:
    terms, resident = await ledger.template(stock=20, return_stock=returns, valid_days=30), await ledger.resident()
    await _is_the_journal(terms, Stock(20, 0, 20, 0, 0, 0, 0, 0))
    _, expiring, voided, locked = [await ledger.coupon(resident, terms) for _ in range(4)]
    await ledger.redeem(await ledger.scanned(terms, resident))
    back = await ledger.redeem(await ledger.scanned(terms, resident))
    await ledger.app.void(back.result.id, acceptor=COUNTER, reason="wrong order")
    await _is_the_journal(terms, Stock(20, 0, 14, 5, 1, 0, 0, 0))
    await ledger.app.void_coupon(resident, ledger.id7(), coupon_id=voided, reason="issued in error", actor=9)
    lock = ledger.id7()
    await ledger.app.lock_coupon(resident, lock, coupon_id=locked, life_s=600, request_no="order 1", actor=5)
    given = await ledger.resident()
    await ledger.worker.grant(
        given, ledger.id8(), template_id=terms.template_id, terms_id=terms.id, source="lottery:1:1:1"
    )
    back_in_stock = int(returns)
    await _is_the_journal(terms, Stock(20, 0, 13 + back_in_stock, 5, 1, 0, 1, back_in_stock))
    await ledger.move_clock(days=31)
    await ledger.worker.expire_coupon(resident, ledger.id8(), coupon_id=expiring)
    await _is_the_journal(terms, Stock(20, 0, 13 + 2 * back_in_stock, 4, 1, 1, 1, 2 * back_in_stock))


async def test_top_ups_and_cuts_are_told_apart(ledger: Ledger) -> None:
    terms = await ledger.template(stock=20)
    await ledger.app.budget_entry(terms.stock_budget, ledger.id7(), "topup", 7, 1, 2, "追加1号")
    await ledger.app.budget_entry(terms.stock_budget, ledger.id7(), "cut", 5, 1, 2, "核减1号")
    await _is_the_journal(terms, Stock(27, 5, 22, 0, 0, 0, 0, 0))


async def test_a_template_without_terms_has_no_stock(ledger: Ledger) -> None:
    assert await stock_of(fetch, 999_999) is None
