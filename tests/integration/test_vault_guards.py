"""The last line: what no function may do, PostgreSQL itself refuses, and it is this guard and no other that does.

Each attack is tried as the superuser with triggers off, so that only constraints stand; then without its guard, where
it must succeed: a guard beside another that refuses the same would be no proof of either.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tests.support.databases import Database, connected
from tests.support.everything import everything
from tests.support.ledger import open_ledger

#: Guard and attack, by table. An attack meets at least one row.
PLACES = "UPDATE vault.coupon_terms SET scoped_limits = ARRAY[ROW"
WINDOWS = "UPDATE vault.coupon_terms SET windows = ARRAY[ROW"
ATTACKS: dict[str, list[tuple[str, str]]] = {
    "journal": [
        ("journal_points", "UPDATE vault.journal SET d_peer = d_peer - 1 WHERE op = 1"),
        ("journal_points", "UPDATE vault.journal SET d_peer = NULL WHERE op = 1"),
        ("journal_coupons", "UPDATE vault.journal SET c_used = c_used + 1 WHERE op = 3"),
        ("journal_coupons", "UPDATE vault.journal SET c_gone = NULL WHERE op = 5"),
        ("journal_fen", "UPDATE vault.journal SET f_payable = f_payable + 1 WHERE op = 3"),
        ("journal_fen", "UPDATE vault.journal SET f_budget = NULL WHERE op = 3"),
        ("journal_refusal_moves_nothing", "UPDATE vault.journal SET st = 10 WHERE op = 1"),
        ("journal_b", "UPDATE vault.journal SET b = (b + 1) % 1024 WHERE op = 1"),
    ],
    "wallet": [
        ("wallet_not_negative", "UPDATE vault.wallet SET points_held = -1"),
        ("wallet_lots", "UPDATE vault.wallet SET lot_points[1] = lot_points[1] + 1 WHERE points_avail > 0"),
        ("wallet_lots", "UPDATE vault.wallet SET lot_expiry = lot_expiry || lot_expiry,"
                        " points_avail = 2 * points_avail, lot_points = lot_points || lot_points"
                        " WHERE points_avail > 0"),
        ("wallet_lots", "UPDATE vault.wallet SET lot_expiry = '{2027-01-31,2027-02-28}', lot_points = '{5,-5}',"
                        " points_avail = 0"),
        ("wallet_lots", "UPDATE vault.wallet SET lot_points[1] = NULL WHERE points_avail > 0"),
        ("wallet_status", "UPDATE vault.wallet SET status = 'asleep'"),
        ("wallet_frozen_until", "UPDATE vault.wallet SET status = 'open', frozen_until = now()"),
        ("wallet_b", "UPDATE vault.wallet SET b = (b + 1) % 1024"),
    ],
    "slot": [("slot_not_negative", "UPDATE vault.slot SET avail = -1")],
    "budget": [
        ("budget_reserve", "UPDATE vault.budget SET reserve = -1"),
        ("budget_cells", "UPDATE vault.budget SET cells = 0"),
        ("budget_unit", "UPDATE vault.budget SET unit = 'yuan'"),
        ("budget_unit", "UPDATE vault.budget SET unit = 'count' WHERE budget > 0"),
        ("budget_slots", "UPDATE vault.budget SET slots = 0"),
    ],
    "budget_entry": [
        ("budget_entry_two_people", "UPDATE vault.budget_entry SET approver = actor"),
        ("budget_entry_amount", "UPDATE vault.budget_entry SET amount = 0"),
        ("budget_entry_kind", "UPDATE vault.budget_entry SET kind = 'gift' WHERE budget > 0"),
        ("budget_entry_kind", "UPDATE vault.budget_entry SET kind = 'cap', actor = NULL, approver = NULL"
                              " WHERE budget > 0"),
        ("budget_entry_two_people", "UPDATE vault.budget_entry SET actor = 1, approver = 2 WHERE budget < 0"),
        ("budget_entry_document", "UPDATE vault.budget_entry SET document = ''"),
    ],
    "limit_cap": [("limit_cap_positive", "UPDATE vault.limit_cap SET cap = 0")],
    "counter": [
        ("counter_cap", "UPDATE vault.counter SET cap = -1"),
        ("counter_place", "UPDATE vault.counter SET place = repeat('x', 81)"),
        ("counter_budget", "UPDATE vault.counter SET budget = -budget"),
        ("counter_budget_key", "INSERT INTO vault.counter SELECT (jsonb_populate_record(c, '{\"place\": \"x\"}')).*"
                               " FROM vault.counter c"),
    ],
    "coupon": [
        ("coupon_state", "UPDATE vault.coupon SET state = 'lost' WHERE state = 'issued'"),
        ("coupon_reserved", "UPDATE vault.coupon SET reserved_fen = -1"),
        ("coupon_redeemed", "UPDATE vault.coupon SET redemption_id = NULL WHERE state = 'redeemed'"),
        ("coupon_locked", "UPDATE vault.coupon SET locked_until = now() WHERE state = 'issued'"),
        ("coupon_b", "UPDATE vault.coupon SET b = (b + 1) % 1024"),
    ],
    "hold": [
        ("hold_points", "UPDATE vault.hold SET points = 0"),
        ("hold_b", "UPDATE vault.hold SET b = (b + 1) % 1024"),
    ],
    "refunded": [
        ("refunded_cap", "UPDATE vault.refunded SET done = cap + 1"),
        ("refunded_cap", "UPDATE vault.refunded SET done = -1"),
        ("refunded_b", "UPDATE vault.refunded SET b = (b + 1) % 1024"),
    ],
    "allowance": [
        ("allowance_used", "UPDATE vault.allowance SET used = -1"),
        ("allowance_b", "UPDATE vault.allowance SET b = (b + 1) % 1024"),
    ],
    "redemption": [
        ("redemption_once", "INSERT INTO vault.redemption SELECT (jsonb_populate_record(r, jsonb_build_object('id',"
                            " gen_random_uuid()))).* FROM vault.redemption r LIMIT 1"),
        ("redemption_shares", "UPDATE vault.redemption SET sponsor_fen = sponsor_fen + 1"),
        ("redemption_shares", "UPDATE vault.redemption SET platform_fen = -1, merchant_fen = merchant_fen + 1"),
        # A negative discount has no shares of it either: its own guard is seen without that one.
        ("redemption_discount", "ALTER TABLE vault.redemption DROP CONSTRAINT redemption_shares;"
                                "UPDATE vault.redemption SET discount_fen = -1"),
        ("redemption_discount", "UPDATE vault.redemption SET order_amount_fen = discount_fen - 1"),
        ("redemption_order_no", "UPDATE vault.redemption SET order_no = ''"),
        ("redemption_b", "UPDATE vault.redemption SET b = (b + 1) % 1024"),
    ],
    "redemption_void": [
        ("redemption_void_once", "INSERT INTO vault.redemption_void SELECT (jsonb_populate_record(v,"
                                 " jsonb_build_object('id', gen_random_uuid()))).* FROM vault.redemption_void v"
                                 " LIMIT 1"),
        ("redemption_void_reason", "UPDATE vault.redemption_void SET reason = ''"),
    ],
    "coupon_terms": [
        ("coupon_terms_funded", "UPDATE vault.coupon_terms SET fen_budget = NULL"),
        ("coupon_terms_shares", "UPDATE vault.coupon_terms SET platform_bp = platform_bp + 1"),
        ("coupon_terms_shares", "UPDATE vault.coupon_terms SET platform_bp = -1, sponsor_bp = 10001, merchant_bp = 0"),
        ("coupon_terms_windows", f"{WINDOWS}('{{0}}', 'any', 0, 1440)::vault.usable_window]"),
        ("coupon_terms_windows", f"{WINDOWS}('{{1}}', NULL, 0, 1440)::vault.usable_window]"),
        ("coupon_terms_windows", f"{WINDOWS}('{{1}}', 'any', 60, 60)::vault.usable_window]"),
        ("coupon_terms_most_per_order", "UPDATE vault.coupon_terms SET most_per_order = 0"),
        ("coupon_terms_group", "UPDATE vault.coupon_terms SET stacking_group = ''"),
        ("coupon_terms_bounded", "UPDATE vault.coupon_terms SET kind = 'discount', cap_fen = 0, pay_bp = 1"),
        ("coupon_terms_scoped", "UPDATE vault.coupon_terms SET scoped_limits = scoped_limits || scoped_limits"),
        ("coupon_terms_scoped", f"{PLACES}('x/town/count/day', 'town', 'earn', 'count', 'day',"
                                " 5)::vault.scoped_limit]"),
        ("coupon_terms_limits", "UPDATE vault.coupon_terms SET person_limits = person_limits || person_limits"),
    ],
    "calendar_day": [
        ("calendar_day_kind", "INSERT INTO vault.calendar_day VALUES ('2027-01-30', 'holiday')"),
        ("calendar_day_kind", "INSERT INTO vault.calendar_day VALUES ('2027-01-29', 'workday')"),
    ],
    "earn_terms": [
        ("earn_terms_points", "UPDATE vault.earn_terms SET points = 0"),
        ("earn_terms_validity", "UPDATE vault.earn_terms SET validity_months = 25"),
        ("earn_terms_limits", "UPDATE vault.earn_terms SET person_limits[1].cap = 0"),
        ("earn_terms_scoped", "UPDATE vault.earn_terms SET scoped_limits ="
                              " ARRAY[ROW('x/town/fen/day', 'town', 'earn', 'fen', 'day', 5)::vault.scoped_limit]"),
    ],
}  # fmt: skip
#: Tables whose every CHECK and UNIQUE has an attack.
OF_VALUE = sorted(set(ATTACKS) - {"coupon_terms"})


@pytest_asyncio.fixture(scope="module")
async def superuser(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A ledger in which everything happened, with a hold still open."""
    async with open_ledger(database) as ledger:
        resident = await everything(ledger)
        await ledger.earn(resident, await ledger.campaign(points=9))
        await ledger.app.hold(resident, ledger.id7(), points=1, payee=1, life_s=60)
        async with connected(database.superuser) as connection:
            yield connection


CASES = [(table, guard, attack) for table, guards in ATTACKS.items() for guard, attack in guards]


@pytest.mark.parametrize(("table", "guard", "attack"), CASES, ids=lambda value: value if " " not in value else "")
async def test_an_attack_is_refused_by_its_guard_alone(
    superuser: asyncpg.Connection, table: str, guard: str, attack: str
) -> None:
    transaction = superuser.transaction()
    await transaction.start()
    try:
        await superuser.execute("SET LOCAL session_replication_role = replica")
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
            async with superuser.transaction():
                await superuser.execute(attack)
        assert refused.value.constraint_name == guard
        await superuser.execute(f"ALTER TABLE vault.{table} DROP CONSTRAINT {guard}")
        done = await superuser.execute(attack)
        assert not done.endswith(" 0"), "the attack met no row"
    finally:
        await transaction.rollback()


async def test_every_guard_of_value_is_attacked(superuser: asyncpg.Connection) -> None:
    rows = await superuser.fetch(
        "SELECT conname FROM pg_constraint WHERE contype IN ('c', 'u')"
        " AND conrelid = ANY (SELECT ('vault.' || t)::regclass FROM unnest($1::text[]) t)",
        OF_VALUE,
    )
    assert {row["conname"] for row in rows} == {guard for table in OF_VALUE for guard, _ in ATTACKS[table]}


async def test_what_is_append_only_refuses_its_owner_and_everybody_else(superuser: asyncpg.Connection) -> None:
    rows = await superuser.fetch(
        "SELECT DISTINCT tgrelid::regclass::text AS name FROM pg_trigger WHERE NOT tgisinternal"
        " AND tgfoid = 'vault.append_only'::regproc ORDER BY 1"
    )
    tables = {row["name"] for row in rows}
    assert {"vault.journal", "vault.redemption", "vault.budget_entry", "vault.coupon_terms"} <= tables
    assert any(name.startswith("vault.journal_2") for name in tables), "a month named by itself is guarded too"
    for name in tables:
        column = await superuser.fetchval(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum = 1", name
        )
        filled = await superuser.fetchval(f"SELECT EXISTS (SELECT FROM {name})")
        by_row = [f"UPDATE {name} SET {column} = {column}", f"DELETE FROM {name}"] if filled else []
        for attack in (*by_row, f"TRUNCATE {name} CASCADE"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                await superuser.execute(attack)
