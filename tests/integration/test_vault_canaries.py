# ruff: noqa: E501 (the damage stays readable beside its check)
"""A proof that cannot fail proves nothing: one row is broken behind the vault's back, and check-ledger names the right check."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tests.support.databases import Database, connected
from tests.support.ledger import COUNTER, Ledger, open_ledger
from wallet.audit import CHECKS, prove

A_WALLET = "(SELECT owner FROM vault.wallet WHERE points_avail > 0 ORDER BY owner LIMIT 1)"
AN_EARN = "(SELECT id FROM vault.journal WHERE op = 1 ORDER BY id LIMIT 1)"
BROKEN: list[tuple[str, str]] = [
    ("rows_balance", "ALTER TABLE vault.journal DROP CONSTRAINT journal_points;"
                     f"UPDATE vault.journal SET d_peer = d_peer - 1 WHERE id = {AN_EARN}"),
    ("legs_sum_to_zero", "ALTER TABLE vault.journal DROP CONSTRAINT journal_fen;"
                         "UPDATE vault.journal SET f_payable = f_payable + 1 WHERE op = 3 AND f_payable > 0"),
    ("wallet_is_its_entries", "UPDATE vault.wallet SET points_avail = points_avail + 1, lot_points[1] = lot_points[1] + 1"
                              f" WHERE owner = {A_WALLET}"),
    ("wallet_is_its_lots", "ALTER TABLE vault.wallet DROP CONSTRAINT wallet_lots;"
                           f"UPDATE vault.wallet SET lot_points[1] = lot_points[1] - 1 WHERE owner = {A_WALLET}"),
    ("no_entry_without_wallet", f"DELETE FROM vault.wallet WHERE owner = {A_WALLET}"),
    ("sequence_has_no_gap", "UPDATE vault.journal SET seq = seq + 1 WHERE op = 2 AND id = (SELECT id FROM vault.journal"
                            " WHERE op = 2 ORDER BY id DESC LIMIT 1)"),
    ("lots_tell_the_change", f"UPDATE vault.journal SET lots = '[[\"2027-01-31\", 1]]' WHERE id = {AN_EARN}"),
    ("budget_is_its_entries", "UPDATE vault.slot SET avail = avail + 1 WHERE budget = (SELECT min(budget) FROM vault.budget)"
                              " AND slot = 0"),
    ("budget_is_its_entries", "UPDATE vault.budget_entry SET amount = amount + 1"),
    ("takes_are_the_legs", f"UPDATE vault.journal SET takes = '[]' WHERE id = {AN_EARN}"),
    ("coupons_are_the_journal", "UPDATE vault.coupon SET state = 'expired' WHERE state = 'issued'"),
    ("coupon_came_from_a_claim", "UPDATE vault.coupon SET terms = terms + 1"),
    ("redemption_has_its_entry", "UPDATE vault.redemption SET sponsor_fen = sponsor_fen - 1"),
    ("void_is_the_negative", "DELETE FROM vault.redemption_void"),
    ("one_redemption_per_credential", "UPDATE vault.credential SET state = 'claimed' WHERE state = 'redeemed'"),
    ("coupon_knows_its_redemption", "UPDATE vault.coupon SET redemption_id = gen_random_uuid() WHERE state = 'redeemed'"),
    ("allowances_are_the_claims", "UPDATE vault.allowance SET used = used + 1"),
    ("allowances_are_the_claims", "DELETE FROM vault.allowance"),
    ("buckets_are_right", "ALTER TABLE vault.coupon DROP CONSTRAINT coupon_b;"
                          "UPDATE vault.coupon SET b = (b + 1) % 1024"),
]  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    """A ledger in which everything happened once: the books are right."""
    async with open_ledger(database) as made:
        resident = await made.resident(points=100)
        terms = await made.template(price_points=10, sponsor_bp=5000)
        await made.coupon(resident, terms)
        await made.redeem(await made.scanned(terms, resident))
        voided = await made.redeem(await made.scanned(terms, resident))
        await made.app.void(voided.result.id, acceptor=COUNTER, reason="x")
        assert await made.broken() == []
        yield made


@pytest.mark.parametrize(("check", "damage"), BROKEN, ids=lambda value: value if " " not in value else "")
async def test_a_broken_row_is_named_by_its_check(ledger: Ledger, check: str, damage: str) -> None:
    superuser = await asyncpg.connect(ledger.database.superuser)
    queries = {name: sql for name, _, sql in CHECKS}
    transaction = superuser.transaction()
    await transaction.start()
    try:
        await superuser.execute("SET LOCAL session_replication_role = replica")
        await superuser.execute(damage)
        broken = {name for name, sql in queries.items() if await superuser.fetch(sql)}
    finally:
        await transaction.rollback()
        await superuser.close()
    assert check in broken, f"only {sorted(broken)} noticed"
    assert await ledger.broken() == []


def test_every_check_has_a_canary() -> None:
    assert {name for name, _, _ in CHECKS} - {check for check, _ in BROKEN} == set()


async def test_a_committed_break_is_reported_with_its_rows(database: Database, ledger: Ledger) -> None:
    async with connected(database.superuser) as superuser:
        await superuser.execute("UPDATE vault.slot SET avail = avail + 5 WHERE budget = (SELECT min(budget) FROM vault.budget)"
                                " AND slot = 0")
        findings = {one.check: one for one in await prove(database.worker)}
        await superuser.execute("UPDATE vault.slot SET avail = avail - 5 WHERE budget = (SELECT min(budget) FROM vault.budget)"
                                " AND slot = 0")
    assert {name: one.broken for name, one in findings.items() if one.broken} == {"budget_is_its_entries": 1}
    assert len(findings["budget_is_its_entries"].examples) == 1 and len(findings) == len(CHECKS)
