# ruff: noqa: E501 (statements and rows of cases stay whole)
"""What nobody may do to the vault, tried: as the application, as the worker, and as the owner by mistake (D2, D3, D14)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tests.support.databases import Database, connected
from tests.support.ledger import Ledger, open_ledger, post

GRANTS = Path(__file__).resolve().parents[2] / "migrations/sql/vault/090_grants.sql"
HELPERS = {"lots_ok", "id_time", "id_version"}  # pure: the checks of readers
DENIED = asyncpg.InsufficientPrivilegeError


@pytest_asyncio.fixture(scope="module")
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(database) as ledger:
        yield ledger
        assert await ledger.broken() == []


@pytest_asyncio.fixture(params=["app", "worker"])
async def intruder(ledger: Ledger, request: pytest.FixtureRequest) -> AsyncIterator[asyncpg.Connection]:
    """A connection of a role that serves, after one coupon was redeemed and another one issued."""
    await ledger.redeemed(await ledger.template())
    await ledger.claim(await ledger.resident(points=100), await ledger.template(price_points=10))
    async with connected(getattr(ledger.database, request.param)) as connection:
        yield connection


def table_of_grants() -> dict[str, set[str]]:
    """The table in the head of 090_grants.sql: which role may call which function."""
    granted: dict[str, set[str]] = {"chengxin_app": set(HELPERS), "chengxin_worker": set(HELPERS)}
    for line in GRANTS.read_text().splitlines():
        for names, app, worker in re.findall(r"([a-z_]+(?:, [a-z_]+)*)\s+([x-])\s+([x-])(?=\s|$)", line):
            for name in names.split(", "):
                granted["chengxin_app"] |= {name} if app == "x" else set()
                granted["chengxin_worker"] |= {name} if worker == "x" else set()
    return granted


async def tables(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'vault'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1"
    )
    return [row[0] for row in rows]


async def test_a_role_may_call_exactly_what_the_table_says(intruder: asyncpg.Connection) -> None:
    role = await intruder.fetchval("SELECT current_user")
    rows = await intruder.fetch(
        "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'vault'::regnamespace"
        " AND has_function_privilege(current_user, oid, 'EXECUTE')"
    )
    assert {row[0] for row in rows} == table_of_grants()[role]


async def test_nobody_else_may_call_anything(ledger: Ledger) -> None:
    rows = await ledger.owner.fetch(
        "SELECT proname, grantee::regrole::text FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner)))"
        " WHERE pronamespace = 'vault'::regnamespace"
        " AND grantee::regrole::text NOT IN ('chengxin_app', 'chengxin_worker', 'chengxin_owner')"
    )
    assert [tuple(row) for row in rows] == []


async def test_every_definer_function_fixes_its_search_path(ledger: Ledger) -> None:
    rows = await ledger.owner.fetch(
        "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'vault'::regnamespace AND prosecdef"
    )
    assert len(rows) > 10
    open_paths = [row[0] for row in rows if "search_path=vault, pg_temp" not in (row["proconfig"] or ())]
    assert open_paths == []


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO vault.{0} DEFAULT VALUES",
        "UPDATE vault.{0} SET {1} = {1}",
        "DELETE FROM vault.{0}",
        "TRUNCATE vault.{0} CASCADE",
        "ALTER TABLE vault.{0} DISABLE TRIGGER ALL",
    ],
)
async def test_no_table_and_no_month_can_be_written(intruder: asyncpg.Connection, statement: str) -> None:
    names = await tables(intruder)
    assert "journal" in names and sum(name.startswith("journal_2") for name in names) >= 4
    for name in names:
        column = await intruder.fetchval(
            "SELECT attname FROM pg_attribute WHERE attrelid = ('vault.' || $1)::regclass AND attnum > 0"
            " AND attidentity = '' ORDER BY attnum LIMIT 1",
            name,
        )
        with pytest.raises(DENIED):
            await intruder.execute(statement.format(name, column))


async def test_internal_functions_refuse_by_privilege(intruder: asyncpg.Connection) -> None:
    for call in (
        "vault.post(0::smallint, '[]', 0::smallint, true)",
        "vault.lay_out(1, 1000000, 1, 0::smallint)",
        "vault.lock_budget(1)",
        "vault.write_postings(NULL, NULL)",
        "vault.write_coupons(NULL, NULL, NULL, NULL)",
        "vault.write_holds(NULL, NULL, NULL, NULL)",
        "vault.post_round(NULL, 1, true, true, NULL, NULL)",
    ):
        with pytest.raises(DENIED):
            await intruder.fetch(f"SELECT {call}")


async def test_each_role_stays_before_its_own_door(ledger: Ledger) -> None:
    for dsn, door in ((ledger.database.app, "post_internal"), (ledger.database.worker, "post_batch")):
        async with connected(dsn) as connection:
            with pytest.raises(DENIED):
                await post(connection, door)


async def test_the_app_earns_nothing_through_its_own_door(ledger: Ledger) -> None:
    resident, campaign = await ledger.resident(), await ledger.campaign()
    async with connected(ledger.database.app) as connection:
        item = {
            "b": resident & 1023,
            "owner": resident,
            "hash": "\\xab",
            "terms": campaign,
            "earned_on": ledger.today(),
        }
        answers = await post(
            connection,
            "post_batch",
            *[{**item, "op": op, "id": id} for op in (1, 5, 6, 7) for id in (ledger.id7(), ledger.id8())],
        )
    assert {status for status, _, _ in answers} == {6} and await ledger.rows(resident) == 0


async def test_no_flag_and_no_field_of_a_caller_mints_points(ledger: Ledger) -> None:
    """The prototype believed `p_slot=false` and made a million points; here the operation decides what it debits (D2)."""
    resident = await ledger.resident()
    campaign = await ledger.campaign(points=500, budget=await ledger.budget("points", 0))
    async with connected(ledger.database.worker) as connection:
        item = {
            "op": 1,
            "b": resident & 1023,
            "owner": resident,
            "hash": "\\xab",
            "terms": campaign,
            "earned_on": ledger.today(),
            "amount": 10**6,
            "slot": False,
            "p_slot": False,
            "peer": 1,
            "takes": [[1, 0, -(10**6)]],
            "slot_a": None,
        }
        answers = await post(connection, "post_internal", {**item, "id": ledger.id8()}, {**item, "id": ledger.id8()})
    assert [status for status, _, _ in answers] == [11, 11]
    assert await ledger.balance(resident) == 0 and await ledger.rows(resident) == 0


async def test_temporary_tables_cannot_be_made_and_could_not_hijack(
    intruder: asyncpg.Connection, ledger: Ledger
) -> None:
    with pytest.raises(DENIED):
        await intruder.execute("CREATE TEMP TABLE wallet (LIKE vault.wallet)")
    with pytest.raises(DENIED):
        await intruder.execute("CREATE TABLE public.wallet ()")
    with pytest.raises(DENIED):
        await intruder.execute(
            "CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT clock_timestamp()'"
        )
    # Even one who may make them: the owner's session shadows every table of the vault, and the door does not see it.
    resident = await ledger.resident()
    terms = await ledger.template(stock=0)
    async with connected(ledger.database.owner) as owner:
        for name in ("wallet", "slot", "budget", "coupon", "allowance", "journal", "journal_month", "coupon_terms"):
            await owner.execute(f"CREATE TEMP TABLE {name} (LIKE vault.{name} INCLUDING DEFAULTS)")
        await owner.execute(
            f"INSERT INTO pg_temp.slot SELECT pb, budget, slot, 1000, true FROM vault.slot WHERE budget = {terms.stock_budget}"
        )
        item = {
            "op": 2,
            "b": resident & 1023,
            "owner": resident,
            "id": ledger.id7(),
            "hash": "\\xab",
            "terms": terms.id,
        }
        for path in ("pg_temp, vault", "vault, pg_temp", "public"):
            await owner.execute(f"SET search_path = {path}")
            assert [status for status, _, _ in await post(owner, "post_batch", item)] == [11]
        assert await owner.fetchval("SELECT count(*) FROM pg_temp.journal") == 0


async def test_no_setting_moves_the_clock_or_lifts_a_trigger(intruder: asyncpg.Connection) -> None:
    for setting in ("vault.now", "vault.clock_offset", "chengxin.now"):
        await intruder.execute(f"SET {setting} = '2099-01-01'")
    await intruder.execute("SET TimeZone = 'Pacific/Kiritimati'")
    assert abs(await intruder.fetchval("SELECT extract(epoch FROM vault.now() - clock_timestamp())")) < 1
    day = await intruder.fetchval("SELECT (clock_timestamp() AT TIME ZONE 'Asia/Shanghai')::date")
    assert await intruder.fetchval("SELECT vault.today()") == day
    with pytest.raises(DENIED):
        await intruder.execute("SET session_replication_role = replica")
    with pytest.raises(DENIED):
        await intruder.execute(
            "CREATE OR REPLACE FUNCTION vault.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'"
        )
    for role in ("chengxin_owner", "postgres"):
        with pytest.raises((DENIED, asyncpg.UndefinedObjectError, asyncpg.InvalidParameterValueError)):
            await intruder.execute(f"SET ROLE {role}")


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_other_isolation_is_refused(intruder: asyncpg.Connection, isolation: str) -> None:
    door = "post_batch" if await intruder.fetchval("SELECT current_user") == "chengxin_app" else "post_internal"
    with pytest.raises(asyncpg.InvalidTransactionStateError):
        async with intruder.transaction(isolation=isolation):
            await post(intruder, door)


JOURNAL_ROW = """INSERT INTO vault.journal (b, owner, id, seq, op, st, {legs}, avail_after, held_after, hash, at)
    VALUES (1, 1, '{id}', 1, 1, {st}, {values}, 0, 0, '', vault.now())"""


@pytest.mark.parametrize(
    ("legs", "values", "st"),
    [
        ("d_avail", "1000000", 0), ("d_avail, d_held", "1000000, 0", 0), ("d_avail, d_held, d_peer", "1000000, 0, NULL", 0),
        ("d_avail, d_held, d_peer", "5, 0, -4", 0), ("d_avail, d_held, d_peer", "5, 0, -5", 10),
        ("c_out", "1", 0), ("c_stock, c_out, c_used, c_gone", "0, 1, 0, 0", 0), ("f_payable", "100", 0),
        ("f_budget, f_reserved, f_payable", "-99, 0, 100", 0), ("f_budget, f_reserved, f_payable", "NULL, -100, 100", 0),
        ("d_avail, d_held, d_peer, c_out", "5, 0, -5, 0", 0), ("d_avail, d_held, d_peer", "0, 0, 0", 10),
    ],
)  # fmt: skip
async def test_no_row_that_does_not_balance_can_stand(ledger: Ledger, legs: str, values: str, st: int) -> None:
    """A sum CHECK alone is satisfied by a NULL leg, as the prototype's was (D1)."""
    with pytest.raises(asyncpg.CheckViolationError):
        await ledger.owner.execute(JOURNAL_ROW.format(legs=legs, values=values, st=st, id=ledger.id7()))


async def test_the_prototypes_sum_check_let_a_null_leg_mint(ledger: Ledger) -> None:
    await ledger.owner.execute("CREATE SCHEMA scratch")
    try:
        await ledger.owner.execute(
            "CREATE TABLE scratch.row (a bigint, h bigint, p bigint, CHECK (a + h + p = 0));"
            "INSERT INTO scratch.row VALUES (1000000, 0, NULL)"
        )
    finally:
        await ledger.owner.execute("DROP SCHEMA scratch CASCADE")


@pytest.mark.parametrize(
    ("expiry", "points", "balance"),
    [
        ("{2027-01-31,NULL}", "{5,5}", 10),
        ("{2027-01-31}", "{NULL}", 0),
        ("{2027-02-28,2027-01-31}", "{5,5}", 10),
        ("{2027-01-31,2027-01-31}", "{5,5}", 10),
        ("{2027-01-31}", "{-5}", -5),
        ("{2027-01-31}", "{5}", 6),
        ("{2027-01-31}", "{5,5}", 10),
        ("{}", "{}", 1),
        ("{}", "{}", -1),
    ],
)
async def test_lots_are_sorted_positive_and_the_balance_or_nothing(
    ledger: Ledger, expiry: str, points: str, balance: int
) -> None:
    resident = await ledger.resident()
    with pytest.raises(asyncpg.CheckViolationError):
        await ledger.owner.execute(
            f"UPDATE vault.wallet SET lot_expiry = '{expiry}', lot_points = '{points}', points_avail = {balance}"
            f" WHERE owner = {resident}"
        )


async def test_what_is_append_only_refuses_the_owner_too_by_every_name(ledger: Ledger) -> None:
    """The prototype's statement trigger on the parent was passed by naming a partition (D14)."""
    await ledger.app.void((await ledger.redeemed(await ledger.template())).id, reason="x", acceptor=_counter())
    await ledger.resident(points=5)
    month = f"journal_{ledger.now():%Y%m}"
    for name in ("journal", month, "budget_entry", "earn_terms", "coupon_terms", "redemption", "redemption_void"):
        column = await ledger.owner.fetchval(
            "SELECT attname FROM pg_attribute WHERE attrelid = ('vault.' || $1)::regclass AND attnum > 0"
            " AND attidentity = '' ORDER BY attnum LIMIT 1",
            name,
        )
        for statement in (
            f"UPDATE vault.{name} SET {column} = {column}",
            f"DELETE FROM vault.{name}",
            f"TRUNCATE vault.{name} CASCADE",
        ):
            with pytest.raises(DENIED, match="append-only"):
                await ledger.owner.execute(statement)


async def test_every_month_carries_both_triggers(ledger: Ledger) -> None:
    await ledger.worker.ensure_partitions(6)
    rows = await ledger.owner.fetch(
        """SELECT c.relname, count(*) FILTER (WHERE t.tgtype & 1 = 1 AND t.tgtype & 24 = 24) AS rows,
           count(*) FILTER (WHERE t.tgtype & 33 = 32) AS truncates FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
           LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgenabled = 'O'
           WHERE h.inhparent = 'vault.journal'::regclass GROUP BY 1"""
    )
    assert len(rows) >= 8 and {(row["rows"], row["truncates"]) for row in rows} == {(1, 1)}


async def test_a_row_in_a_foreign_bucket_cannot_stand(ledger: Ledger) -> None:
    for statement in (
        "INSERT INTO vault.wallet (b, owner) VALUES (2, 1)",
        "INSERT INTO vault.coupon (b, owner, id, terms, state, expires_on, reserved_fen, issued_at)"
        " VALUES (2, 1, gen_random_uuid(), 1, 'issued', '2099-01-01', 0, now())",
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await ledger.owner.execute(statement)


@pytest.mark.parametrize("missing", ["merchant", "store", "terminal", "redemption", "void"])
async def test_a_scan_with_a_hole_in_it_is_a_status_and_claims_nothing(ledger: Ledger, missing: str) -> None:
    resident = await ledger.resident()
    showing = await ledger.show(resident, await ledger.coupon(resident, await ledger.template()))
    at = _counter()
    scan = {
        "op": 20,
        "b": showing.resident & 1023,
        "owner": showing.resident,
        "handle": showing.handle,
        "credential": showing.credential,
        "code_ok": True,
        "merchant": at.merchant_id,
        "store": at.store_id,
        "terminal": at.terminal_id,
        "redemption": ledger.id7(),
        "void": ledger.id7(),
    } | {missing: None}
    async with connected(ledger.database.app) as app:
        assert await post(app, "post_batch", scan) == [(5, False, None)]
    await ledger.scan(showing)


async def test_a_day_outside_every_calendar_is_a_status(ledger: Ledger) -> None:
    resident, terms = await ledger.resident(), await ledger.campaign()
    async with connected(ledger.database.worker) as worker:
        earn = {"op": 1, "b": resident & 1023, "owner": resident, "hash": "\\x00", "terms": terms}
        days = {"5874897-12-31": 5, "infinity": 5, None: 5, "-infinity": 16, "4713-01-01 BC": 16}
        for day, status in days.items():
            answers = await post(worker, "post_internal", earn | {"id": ledger.id8(), "earned_on": day})
            assert [answer[0] for answer in answers] == [status], day


async def test_a_budget_entry_without_an_id_or_beyond_all_money_is_invalid(ledger: Ledger) -> None:
    budget = await ledger.budget("points", 10)
    sql = "SELECT vault.put_budget_entry($1, $2, 'topup', $3, 1, 2, 'doc')"
    async with connected(ledger.database.app) as app:
        for id, amount in ((None, 5), (ledger.id7(), 2**63 - 1), (ledger.id7(), 0), (ledger.id7(), None)):
            assert await app.fetchval(sql, budget, id, amount) == "invalid"
    assert await ledger.left(budget) == 10


def _counter():
    from tests.support.ledger import COUNTER

    return COUNTER
