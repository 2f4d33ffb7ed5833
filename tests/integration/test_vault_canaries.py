# ruff: noqa: E501 (the damage stays readable beside its check)
"""A proof that cannot fail proves nothing: one row is broken behind the vault's back, and check-ledger names the right check."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tests.support.databases import Database, connected
from tests.support.everything import ALL_OPS, everything
from tests.support.ledger import Ledger, open_ledger
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
    ("wallet_is_its_entries", "UPDATE vault.wallet SET points_held = points_held + 1 WHERE points_held > 0"),
    ("wallet_is_its_lots", "ALTER TABLE vault.wallet DROP CONSTRAINT wallet_lots;"
                           f"UPDATE vault.wallet SET lot_points[1] = lot_points[1] - 1 WHERE owner = {A_WALLET}"),
    ("lots_are_the_entries", "UPDATE vault.wallet SET lot_expiry[cardinality(lot_expiry)] = lot_expiry[cardinality(lot_expiry)]"
                             f" + 31 WHERE owner = {A_WALLET}"),
    ("lots_are_the_entries", "UPDATE vault.journal SET lots = '[[\"2027-01-31\", 10]]' WHERE op = 12 AND d_avail = 10"),
    ("no_entry_without_wallet", f"DELETE FROM vault.wallet WHERE owner = {A_WALLET}"),
    ("sequence_has_no_gap", "UPDATE vault.journal SET seq = seq + 100 WHERE op = 2 AND id = (SELECT id FROM vault.journal"
                            " WHERE op = 2 ORDER BY id DESC LIMIT 1)"),
    ("sequence_has_no_gap", "UPDATE vault.journal SET held_after = held_after + 1 WHERE op = 9"),
    ("lots_tell_the_change", f"UPDATE vault.journal SET lots = '[[\"2027-01-31\", 1]]' WHERE id = {AN_EARN}"),
    *(("lots_tell_the_change", f"UPDATE vault.journal SET lots = '[]' WHERE op = {op} AND d_avail <> 0")
      for op in (2, 7, 8, 9, 10, 11, 12, 13, 16)),
    ("lots_tell_the_change", "UPDATE vault.journal SET detail = detail || '{\"spent\": []}' WHERE op = 10"),
    ("no_expired_point_was_spent", "UPDATE vault.journal SET at = at + interval '3 years' WHERE op = 8"),
    ("no_expired_point_was_spent", "UPDATE vault.journal SET at = at - interval '3 years' WHERE op = 7"),
    ("held_is_the_open_holds", "UPDATE vault.hold SET points = points + 1"),
    ("held_is_the_open_holds", "DELETE FROM vault.hold"),
    ("hold_is_open_or_ended_once", "UPDATE vault.hold SET payee = payee + 1"),
    ("hold_is_open_or_ended_once", "UPDATE vault.hold SET lots = '[]'"),
    ("hold_is_open_or_ended_once", "DELETE FROM vault.hold"),
    ("hold_is_open_or_ended_once", "INSERT INTO vault.hold SELECT b, owner, id, d_held, lots, peer, at FROM vault.journal WHERE op = 9"
                                   " ON CONFLICT DO NOTHING"),
    ("hold_is_open_or_ended_once", "UPDATE vault.journal SET d_avail = d_avail + 1, d_held = d_held - 1 WHERE op = 10"),
    ("hold_is_open_or_ended_once", "UPDATE vault.journal SET ref = gen_random_uuid() WHERE op = 11"),
    ("refunds_are_within_the_spend", "UPDATE vault.refunded SET done = done - 1"),
    ("refunds_are_within_the_spend", "UPDATE vault.refunded SET cap = cap + 1"),
    ("refunds_are_within_the_spend", "DELETE FROM vault.refunded"),
    ("refunds_are_within_the_spend", "UPDATE vault.refunded SET ref = gen_random_uuid()"),
    ("freeze_is_the_last_order", "UPDATE vault.wallet SET status = 'open', frozen_until = NULL WHERE status = 'frozen'"),
    ("freeze_is_the_last_order", "UPDATE vault.wallet SET frozen_until = now() WHERE status = 'frozen'"),
    ("freeze_is_the_last_order", "UPDATE vault.wallet SET status = 'frozen' WHERE status = 'open'"),
    ("adjustments_name_two_people", "UPDATE vault.journal SET detail = detail || '{\"approver\": 1}' WHERE op = 13"),
    ("budget_is_its_entries", "UPDATE vault.slot SET avail = avail + 1 WHERE budget = (SELECT min(budget) FROM vault.budget)"
                              " AND slot = 0"),
    ("budget_is_its_entries", "UPDATE vault.budget_entry SET amount = amount + 1"),
    ("takes_are_the_legs", f"UPDATE vault.journal SET takes = '[]' WHERE id = {AN_EARN}"),
    ("takes_are_the_legs", f"UPDATE vault.journal SET takes = takes || '[[1, 2, 3], [1, 2, -3]]' WHERE id = {AN_EARN}"),
    ("takes_are_the_legs", f"UPDATE vault.journal SET takes = jsonb_set(takes, '{{0,0}}', '999999999') WHERE id = {AN_EARN}"),
    ("takes_are_the_legs", "UPDATE vault.journal SET takes = NULL WHERE op = 2"),
    ("takes_are_the_legs", "UPDATE vault.journal SET takes = NULL WHERE op = 5"),
    ("coupons_are_the_journal", "UPDATE vault.coupon SET state = 'expired' WHERE state = 'issued'"),
    ("coupon_is_as_its_entries_left_it", "UPDATE vault.coupon SET state = 'expired' WHERE state = 'voided'"),
    ("coupon_is_as_its_entries_left_it", "UPDATE vault.coupon SET expires_on = expires_on + 1 WHERE state = 'issued'"),
    ("coupon_is_as_its_entries_left_it", "UPDATE vault.coupon SET lock_id = gen_random_uuid() WHERE state = 'locked'"),
    ("coupon_is_as_its_entries_left_it", "UPDATE vault.coupon SET locked_until = locked_until + interval '1 h' WHERE state = 'locked'"),
    ("coupon_is_as_its_entries_left_it", "UPDATE vault.journal SET ref = gen_random_uuid(), detail = '{}' WHERE op = 14"),
    ("coupon_is_as_its_entries_left_it", "DELETE FROM vault.journal WHERE op = 14"),
    ("coupon_came_from_a_claim", "UPDATE vault.coupon SET terms = terms + 1"),
    ("redemption_has_its_entry", "UPDATE vault.redemption SET sponsor_fen = sponsor_fen - 1, merchant_fen = merchant_fen + 1"
                                 " WHERE sponsor_fen > 0"),
    ("coupon_keeps_its_days", "UPDATE vault.coupon SET expires_on = expires_on - 1"),
    ("discount_is_borne_in_shares", "UPDATE vault.redemption SET sponsor_fen = sponsor_fen - 1, merchant_fen = merchant_fen + 1"
                                    " WHERE sponsor_fen > 0"),
    ("discount_is_borne_in_shares", "ALTER TABLE vault.redemption DROP CONSTRAINT redemption_shares;"
                                    "UPDATE vault.redemption SET discount_fen = discount_fen + 1, merchant_fen = merchant_fen + 1"),
    ("redeemed_where_and_when_allowed", "UPDATE vault.coupon_terms SET merchants = '{999}'"),
    ("redeemed_where_and_when_allowed", "UPDATE vault.coupon_terms SET stores = '{999}'"),
    ("redeemed_where_and_when_allowed", "UPDATE vault.coupon_terms SET starts_after_days = 3000"),
    ("redeemed_where_and_when_allowed", "UPDATE vault.coupon_terms SET valid_from = '2199-01-01'"),
    ("redeemed_where_and_when_allowed", "UPDATE vault.coupon_terms t SET windows = ARRAY[ROW(ARRAY[1 + extract(isodow FROM r.at AT TIME ZONE vault.zone())"
                                        "::integer % 7], 'any', 0, 1440)::vault.usable_window] FROM vault.redemption r WHERE r.terms = t.terms"),
    ("an_order_carries_what_it_may", "UPDATE vault.redemption SET order_no = '7', order_amount_fen = discount_fen"),
    ("an_order_carries_what_it_may", "UPDATE vault.redemption SET order_no = '7'; UPDATE vault.coupon_terms SET stacking_group = 'one'"),
    ("void_is_the_negative", "DELETE FROM vault.redemption_void"),
    ("one_redemption_per_credential", "UPDATE vault.credential SET state = 'claimed' WHERE state = 'redeemed'"),
    ("one_redemption_per_credential", "DELETE FROM vault.credential WHERE state = 'redeemed'"),
    ("one_redemption_per_credential", "UPDATE vault.journal SET ref = gen_random_uuid() WHERE op = 14"),
    ("coupon_knows_its_redemption", "UPDATE vault.coupon SET redemption_id = gen_random_uuid() WHERE state = 'redeemed'"),
    ("allowances_are_the_journal", "UPDATE vault.allowance SET used = used + 1"),
    ("allowances_are_the_journal", "DELETE FROM vault.allowance"),
    ("counters_are_what_terms_allow", "UPDATE vault.counter SET cap = cap + 1"),
    ("counters_are_what_terms_allow", "DELETE FROM vault.counter"),
    ("counters_are_what_terms_allow", "UPDATE vault.counter SET period_start = period_start + 1"),
    ("counters_are_what_terms_allow", "UPDATE vault.limit_cap SET measure = 'points'"),
    ("counters_are_the_journal", "UPDATE vault.counter SET place = '7'"),
    ("counters_are_the_journal", "UPDATE vault.counter SET limit_id = 'other'"),
    ("counters_are_the_journal", "UPDATE vault.journal SET takes = NULL WHERE op = 3 AND takes IS NOT NULL"),
    ("counters_are_the_journal", "UPDATE vault.journal SET takes = jsonb_set(takes, '{-1,2}', '2') WHERE op = 4 AND takes IS NOT NULL"),
    ("counters_are_the_journal", "UPDATE vault.redemption SET discount_fen = discount_fen + 1, merchant_fen = merchant_fen + 1"),
    ("budget_is_its_entries", "UPDATE vault.slot SET avail = avail + 1 WHERE budget < 0"),
    ("folds_are_the_journal", "INSERT INTO vault.fold VALUES (0, 'payee', 1, 'points', 5)"),
    *(("folds_are_the_journal", f"UPDATE vault.fold_cursor SET folded_to = {2**62}; INSERT INTO vault.fold SELECT b, kind, account, unit,"
                                f" sum(amount) FROM vault.fold_leg WHERE kind <> '{kind}' GROUP BY 1, 2, 3, 4")
      for kind in ("template", "payee", "breakage", "adjustment", "merchant_payable")),
    ("buckets_are_right", "ALTER TABLE vault.coupon DROP CONSTRAINT coupon_b;"
                          "UPDATE vault.coupon SET b = (b + 1) % 1024"),
    ("buckets_are_right", "ALTER TABLE vault.hold DROP CONSTRAINT hold_b; UPDATE vault.hold SET b = (b + 1) % 1024"),
]  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    """A ledger in which everything happened once: the books are right, and right again after the last test."""
    async with open_ledger(database) as made:
        await everything(made)
        assert {row[0] for row in await made.owner.fetch("SELECT DISTINCT op FROM vault.journal")} == ALL_OPS
        assert await made.broken() == []
        yield made
        assert await made.broken() == []


@pytest.mark.parametrize(("check", "damage"), BROKEN, ids=lambda value: value if " " not in value else "")
async def test_a_broken_row_is_named_by_its_check(ledger: Ledger, check: str, damage: str) -> None:
    superuser = await asyncpg.connect(ledger.database.superuser)
    queries = {name: sql for name, _, sql in CHECKS}
    transaction = superuser.transaction()
    await transaction.start()
    try:
        await superuser.execute("SET LOCAL session_replication_role = replica")
        await superuser.execute(damage)
        if not await superuser.fetch(queries[check]):
            others = [name for name, sql in queries.items() if await superuser.fetch(sql)]
            pytest.fail(f"only {others} noticed")
    finally:
        await transaction.rollback()
        await superuser.close()


def test_every_check_has_a_canary() -> None:
    assert {name for name, _, _ in CHECKS} - {check for check, _ in BROKEN} == set()


async def test_a_committed_break_is_reported_with_its_rows(database: Database, ledger: Ledger) -> None:
    async with connected(database.superuser) as superuser:
        await superuser.execute(
            "UPDATE vault.slot SET avail = avail + 5 WHERE budget = (SELECT min(budget) FROM vault.budget) AND slot = 0"
        )
        findings = {one.check: one for one in await prove(database.worker)}
        await superuser.execute(
            "UPDATE vault.slot SET avail = avail - 5 WHERE budget = (SELECT min(budget) FROM vault.budget) AND slot = 0"
        )
    assert {name: one.broken for name, one in findings.items() if one.broken} == {"budget_is_its_entries": 1}
    assert len(findings["budget_is_its_entries"].examples) == 1 and len(findings) == len(CHECKS)
