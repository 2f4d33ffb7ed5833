# ruff: noqa: E501 (statements stay whole)
"""Seals: the chain covers every committed row once, refuses to be changed, and names what was tampered with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import asyncpg
import pytest
import pytest_asyncio

from tests.support.databases import Database, connected
from tests.support.everything import ALL_OPS, everything
from tests.support.sealing import SealedLedger, open_sealed
from wallet.seals import FIRST_PREV, row_digest

DENIED = asyncpg.InsufficientPrivilegeError
TABLES = ("seal_epoch", "seal", "seal_name", "day_end", "seal_head", "proof")
COPY_ROW = """
INSERT INTO vault.journal (b, owner, id, seq, op, st, d_avail, d_held, d_peer, peer, avail_after, held_after, hash, at)
SELECT g & 1023, g, overlay(overlay(gen_random_uuid()::text PLACING left(vault.id_floor(vault.now())::text, 13) FROM 1)
  PLACING '7' FROM 15)::uuid, 1, 1, 0, 1, 0, -1, 1, 1, 0, int8send(g), vault.now() FROM generate_series({}, {}) g"""


@pytest_asyncio.fixture(scope="module")
async def sealed(database: Database) -> AsyncIterator[SealedLedger]:
    """A ledger in which everything happened, sealed in windows of three rows."""
    async with open_sealed(database) as made:
        await everything(made.ledger)
        assert await made.seal_all(3) == len(await made.rows())
        yield made


@pytest_asyncio.fixture
async def fresh(fresh_database: Database) -> AsyncIterator[SealedLedger]:
    async with open_sealed(fresh_database) as made:
        yield made


async def test_the_chain_covers_every_row_once_and_adds_up(sealed: SealedLedger) -> None:
    owner = sealed.ledger.owner
    seals = await owner.fetch("SELECT * FROM vault.seal ORDER BY n")
    rows = await sealed.rows()
    assert [seal["n"] for seal in seals] == list(range(1, len(seals) + 1)) and len(seals) >= 2
    assert sum(seal["rows"] for seal in seals) == seals[-1]["total_rows"] == len(rows)
    assert seals[0]["prev"] == FIRST_PREV and all(b["prev"] == a["root"] for a, b in pairwise(seals))
    assert {leg: seals[-1][leg] for leg in ("d_avail", "c_out", "f_payable")} == {
        leg: sum(row[leg] or 0 for row in rows) for leg in ("d_avail", "c_out", "f_payable")}  # fmt: skip
    report = await sealed.prove()
    assert (report.found, report.rows, report.unsealed, report.last) == ([], len(rows), 0, len(seals))
    assert report.root == seals[-1]["root"].hex()


async def test_sql_and_python_write_the_same_bytes_of_every_kind_of_row(sealed: SealedLedger) -> None:
    owner = sealed.ledger.owner
    rows = await owner.fetch("SELECT j.*, sha256(vault.sealed_bytes(j)) AS digest FROM vault.journal j")
    assert {row["op"] for row in rows} == ALL_OPS and len({row["st"] for row in rows}) > 1
    assert [row["id"] for row in rows if row_digest(row) != row["digest"]] == []
    # The settings of a session change nothing.
    await owner.execute("SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'SQL, DMY'; SET bytea_output = 'escape'")
    again = await owner.fetch("SELECT j.id, sha256(vault.sealed_bytes(j)) AS digest FROM vault.journal j")
    await owner.execute("RESET TimeZone; RESET DateStyle; RESET bytea_output")
    assert {row["id"]: row["digest"] for row in again} == {row["id"]: row["digest"] for row in rows}


async def test_a_session_of_another_encoding_writes_the_same_bytes(sealed: SealedLedger) -> None:
    """A document with Chinese in it, in a session whose client would be sent something else."""
    async with connected(sealed.ledger.database.superuser) as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SET LOCAL session_replication_role = replica")
        row = await other.fetchrow(
            """UPDATE vault.journal SET detail = '{"memo": "澄信、℃"}' WHERE id = (SELECT id FROM vault.journal LIMIT 1)
            RETURNING *, tableoid"""
        )
        sql = "SELECT sha256(vault.sealed_bytes(j)) FROM vault.journal j WHERE id = $1"
        for encoding in ("UTF8", "EUC_CN", "LATIN1"):
            await other.execute(f"SET client_encoding = '{encoding}'")
            assert await other.fetchval(sql, row["id"]) == row_digest(row), encoding
        await transaction.rollback()


@pytest.mark.parametrize(
    "change",
    ["SET d_avail = d_avail + 1, d_peer = d_peer - 1", "SET hash = 'x'", "SET at = at + interval '1 microsecond'",
     "SET detail = '{}'", "SET peer = coalesce(peer, 0) + 1", "SET lots = NULL", "SET st = 10"],
)  # fmt: skip
async def test_an_edited_row_is_named_by_owner_and_id(sealed: SealedLedger, change: str) -> None:
    victim = next(row for row in await sealed.rows() if row["op"] == 1)
    async with sealed.tampered(
        "ALTER TABLE vault.journal DROP CONSTRAINT journal_refusal_moves_nothing",
        f"UPDATE vault.journal {change} WHERE id = '{victim['id']}'",
    ) as found:
        assert len(found) == 1 and found[0].startswith(f"edited: owner {victim['owner']}, id {victim['id']}: "), found
    assert (await sealed.prove()).found == []


async def test_a_row_moved_to_another_transaction_is_one_edit(sealed: SealedLedger) -> None:
    rows = await sealed.rows()
    for number, other in ((rows[0]["txid"], rows[-1]), (rows[-1]["txid"] + 10**6, rows[0])):
        async with sealed.tampered(f"UPDATE vault.journal SET txid = {number} WHERE id = '{other['id']}'") as found:
            assert any(text.startswith(f"edited: owner {other['owner']}, id {other['id']}: ") for text in found), found
            assert not any(text.startswith("inserted") for text in found), found


async def test_a_deleted_row_is_named_by_owner_id_and_place(sealed: SealedLedger) -> None:
    for victim in (await sealed.rows())[0], (await sealed.rows())[-1]:
        async with sealed.tampered(f"DELETE FROM vault.journal WHERE id = '{victim['id']}'") as found:
            assert len(found) == 1 and found[0].startswith(
                f"deleted: owner {victim['owner']}, id {victim['id']}: row "
            ), found


async def test_a_row_put_in_later_is_named(sealed: SealedLedger) -> None:
    first, id = (await sealed.rows())[0], sealed.ledger.id7()
    async with sealed.tampered(
        "INSERT INTO vault.journal (b, owner, id, seq, op, st, avail_after, held_after, hash, at, txid)"
        f" VALUES ({first['b']}, {first['owner']}, '{id}', 99, 2, 10, 0, 0, '', vault.now(), {first['txid']})"
    ) as found:
        assert len(found) == 1 and found[0].startswith(f"inserted: owner {first['owner']}, id {id}: "), found


async def test_a_row_of_a_transaction_that_has_not_begun_is_named(sealed: SealedLedger) -> None:
    id = sealed.ledger.id7()
    async with sealed.tampered(
        "INSERT INTO vault.journal (b, owner, id, seq, op, st, avail_after, held_after, hash, at, txid)"
        f" VALUES (1, 1, '{id}', 1, 2, 10, 0, 0, '', vault.now(), 9000000000)"
    ) as found:
        assert len(found) == 1 and str(id) in found[0] and "has not begun" in found[0], found


@pytest.mark.parametrize(
    ("damage", "said"),
    [("UPDATE vault.seal SET d_avail = d_avail + 1 WHERE n = 2", "seal 2 has another root"),
     ("UPDATE vault.seal SET root = sha256('x') WHERE n = 1", "seal 1 has another root"),
     ("UPDATE vault.seal SET prev = sha256('x') WHERE n = 2", "seal 2 does not follow"),
     ("UPDATE vault.seal SET row_hash = sha256('x') WHERE n = 2", "seal 2 has another hash than its rows"),
     ("DELETE FROM vault.seal WHERE n = 1", "seal 1 missing"),
     ("DELETE FROM vault.seal_name WHERE n = 2", "seal 2 has lost the names"),
     ("UPDATE vault.seal_name SET names = overlay(names PLACING 'x' FROM 30) WHERE n = 1", "seal 1 has lost the names")],
)  # fmt: skip
async def test_a_seal_that_was_changed_is_named(sealed: SealedLedger, damage: str, said: str) -> None:
    async with sealed.tampered(damage) as found:
        assert any(text.startswith(said) for text in found), found


async def test_the_newest_rows_are_said_to_be_unsealed(fresh: SealedLedger) -> None:
    await fresh.ledger.resident(points=5)
    assert (await fresh.prove()).unsealed == 1
    await fresh.seal_all()
    resident = await fresh.ledger.resident(points=7)
    report = await fresh.prove()
    assert (report.unsealed, report.rows, report.found) == (1, 1, [])
    async with fresh.tampered(f"UPDATE vault.journal SET hash = 'x' WHERE owner = {resident}") as found:
        assert found == []


async def test_nothing_new_makes_no_seal(fresh: SealedLedger) -> None:
    assert await fresh.seals.seal() == 0
    await fresh.ledger.resident(points=5)
    assert await fresh.seal_all() == 1
    assert [await fresh.seals.seal() for _ in range(3)] == [0, 0, 0]
    assert await fresh.ledger.owner.fetchval("SELECT count(*) FROM vault.seal") == 1


async def test_a_late_committer_is_in_a_later_seal(fresh: SealedLedger) -> None:
    """Its number is lower than those of rows that were committed meanwhile: cutting at the highest would skip it."""
    async with connected(fresh.ledger.database.owner) as late:
        transaction = late.transaction()
        await transaction.start()
        await late.execute(COPY_ROW.format(5, 5))
        await fresh.ledger.resident(points=5)
        newer = await fresh.ledger.owner.fetchval("SELECT max(txid) FROM vault.journal")
        assert await fresh.seals.seal() == 0, "what is behind an open transaction waits"
        assert await fresh.xmin() < newer
        await transaction.commit()
    assert await fresh.seal_all() == 2
    report = await fresh.prove()
    assert (report.found, report.rows, report.unsealed) == ([], 2, 0)


async def test_two_sealers_at_once_seal_everything_once(fresh: SealedLedger) -> None:
    for _ in range(5):
        await fresh.ledger.resident(points=1)
    await asyncio.gather(*(fresh.seals.seal(1) for _ in range(12)))
    await fresh.seal_all(1)
    report = await fresh.prove()
    assert (report.found, report.rows, report.seals) == ([], 5, 5)


async def test_one_transaction_of_100001_rows_is_two_seals(fresh: SealedLedger) -> None:
    await fresh.ledger.owner.execute(COPY_ROW.format(1, 100_001), timeout=300)
    assert await fresh.seal_all(100_000) == 100_001
    assert [row[0] for row in await fresh.ledger.owner.fetch("SELECT rows FROM vault.seal ORDER BY n")] == [100_000, 1]
    report = await fresh.prove()
    assert (report.found, report.rows) == ([], 100_001)
    async with fresh.tampered("UPDATE vault.journal SET hash = 'x' WHERE b = 77 AND owner = 77") as found:
        assert len(found) == 1 and found[0].startswith("edited: owner 77, id ")


@pytest.mark.parametrize("rows", [0, -1, 100_001, None])
async def test_a_seal_of_no_or_too_many_rows_is_refused(sealed: SealedLedger, rows: int) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await sealed.seals.seal(rows)


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
@pytest.mark.parametrize("call", ["seal_next(10)", "seal_head_next()"])
async def test_other_isolation_is_refused(sealed: SealedLedger, isolation: str, call: str) -> None:
    """Its snapshot is older than the lock."""
    async with connected(sealed.ledger.database.worker) as worker:
        with pytest.raises(asyncpg.InvalidTransactionStateError):
            async with worker.transaction(isolation=isolation):
                await worker.execute(f"SELECT vault.{call}")


@pytest.mark.parametrize("role", ["app", "worker", "owner"])
async def test_nobody_changes_what_is_sealed(sealed: SealedLedger, role: str) -> None:
    """The roles that serve may not at all, and the owner is stopped by triggers, partitions named or not."""
    months = await sealed.ledger.owner.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'vault.journal'::regclass"
    )
    tables = [f"vault.{name}" for name in (*TABLES, "journal")] + [row[0] for row in months]
    async with connected(getattr(sealed.ledger.database, role)) as connection:
        for table in tables:
            column = await sealed.ledger.owner.fetchval(
                "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0"
                " ORDER BY attnum DESC LIMIT 1",
                table,
            )
            held = await sealed.ledger.owner.fetchval(f"SELECT count(*) FROM {table}")
            for statement in (
                f"UPDATE {table} SET {column} = {column}",
                f"DELETE FROM {table}",
                f"TRUNCATE {table} CASCADE",
            ):
                if role == "owner" and not held and not statement.startswith("TRUNCATE"):
                    continue  # a row trigger of an empty table has nothing to refuse
                with pytest.raises(DENIED):
                    await connection.execute(statement)


@pytest.mark.parametrize("role", ["app", "worker"])
async def test_only_the_worker_seals_and_only_the_owner_begins_an_epoch(sealed: SealedLedger, role: str) -> None:
    async with connected(getattr(sealed.ledger.database, role)) as connection:
        for call in ("seal_begin_epoch('x')", "seal_window(1, 1)"):
            with pytest.raises(DENIED):
                await connection.execute(f"SELECT vault.{call}")
        if role == "app":
            for call in ("seal_next(1)", "seal_head_next()", "note_proof('seals', true, 1, 1, '', '{}')"):
                with pytest.raises(DENIED):
                    await connection.execute(f"SELECT vault.{call}")


# -- epochs and heads ----------------------------------------------------------------------------------------------------


async def test_a_new_epoch_seals_what_was_there_and_its_own_rows_are_told_by_their_time(fresh: SealedLedger) -> None:
    owner = fresh.ledger.owner
    await fresh.ledger.resident(points=5)
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="no seal yet"):
        await owner.execute("SELECT vault.seal_begin_epoch('too early')")
    await fresh.seal_all()
    await fresh.ledger.resident(points=6)
    assert await owner.fetchval("SELECT vault.seal_begin_epoch('brought to another cluster')") == 1
    assert await owner.fetchval("SELECT total_rows FROM vault.seal ORDER BY n DESC LIMIT 1") == 2, "all that was there"
    await fresh.ledger.resident(points=7)
    assert (await fresh.prove()).unsealed == 1
    await fresh.seal_all()
    report = await fresh.prove()
    assert (report.found, report.rows, report.unsealed, report.seals) == ([], 3, 0, 3)
    old = (await fresh.rows())[1]
    async with fresh.tampered(f"UPDATE vault.journal SET hash = 'x' WHERE id = '{old['id']}'") as found:
        assert len(found) == 1 and found[0].startswith(f"edited: owner {old['owner']}, id {old['id']}")


async def test_a_clock_behind_the_journal_begins_no_epoch(fresh: SealedLedger) -> None:
    await fresh.ledger.resident(points=5)
    await fresh.seal_all()
    await fresh.ledger.move_clock(hours=-1)
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="clock is behind"):
        await fresh.ledger.owner.execute("SELECT vault.seal_begin_epoch('x')")


async def test_a_day_has_its_head_once_all_that_had_begun_by_midnight_is_sealed(fresh: SealedLedger) -> None:
    ledger, seals = fresh.ledger, fresh.seals
    assert await seals.next_head() is None, "nothing sealed, no head"
    await ledger.resident(points=5)
    await fresh.seal_all()
    first = ledger.today()
    assert await seals.next_head() is None, "the day is not over"
    async with connected(ledger.database.owner) as late:
        transaction = late.transaction()
        await transaction.start()
        await late.execute(COPY_ROW.format(5, 5))
        await ledger.move_clock(days=1)
        assert await seals.next_head() is None and await seals.next_head() is None, "one of that day is still running"
        await transaction.commit()
    assert await seals.head(first) is None
    assert await seals.next_head() is None, "it is committed and not sealed"
    await fresh.seal_all()
    assert await fresh.heads(1) == [first]
    head = await seals.head(first)
    assert head is not None and (head.n, head.rows, head.totals["d_avail"]) == (2, 2, 6)
    assert head.root == (await fresh.prove()).root
    assert await seals.next_head() is None, "today is not over"


async def test_days_on_which_nothing_happened_have_heads_too(fresh: SealedLedger) -> None:
    await fresh.ledger.resident(points=5)
    await fresh.seal_all()
    first = fresh.ledger.today()
    await fresh.ledger.move_clock(days=3)
    assert await fresh.heads(3) == [first, first + timedelta(days=1), first + timedelta(days=2)]
    assert await fresh.seals.next_head() is None
    heads = await fresh.seals.heads(first, fresh.ledger.today())
    assert [(head.day - first).days for head in heads] == [0, 1, 2] and {head.n for head in heads} == {1}


async def test_a_day_before_anybody_sealed_has_its_head_too(fresh: SealedLedger) -> None:
    await fresh.ledger.resident(points=5)
    first = fresh.ledger.today()
    await fresh.ledger.move_clock(days=2)
    await fresh.ledger.resident(points=6)
    assert await fresh.seals.next_head() is None, "nothing sealed, no head"
    await fresh.seal_all(1)
    assert await fresh.heads(2) == [first, first + timedelta(days=1)]
    heads = await fresh.seals.heads(first, fresh.ledger.today())
    assert [(head.day, head.n) for head in heads] == [(first, 2), (first + timedelta(days=1), 2)]


async def test_a_chain_rewritten_from_its_beginning_is_seen_beside_a_kept_head(fresh: SealedLedger) -> None:
    await fresh.ledger.resident(points=5)
    await fresh.seal_all()
    await fresh.ledger.move_clock(days=1)
    await fresh.heads(1)
    head = await fresh.seals.head(fresh.ledger.today() - timedelta(days=1))
    assert head is not None
    kept = [{"day": head.day.isoformat(), "n": head.n, "root": head.root}]
    assert (await fresh.prove(kept=kept)).found == []
    async with connected(fresh.ledger.database.superuser) as superuser:
        await superuser.execute(
            "SET session_replication_role = replica; UPDATE vault.journal SET hash = 'x';"
            "DELETE FROM vault.seal_head; DELETE FROM vault.day_end; DELETE FROM vault.seal_name; DELETE FROM vault.seal"
        )
    await fresh.seal_all()
    assert (await fresh.prove()).found == [], "the forged chain holds by itself"
    assert [one.what for one in (await fresh.prove(kept=kept)).found] == ["head_differs"]


async def test_an_incremental_run_proves_what_came_since_and_the_seal_it_starts_from(fresh: SealedLedger) -> None:
    await fresh.ledger.resident(points=5)
    await fresh.seal_all()
    whole = await fresh.prove()
    await fresh.ledger.resident(points=6)
    await fresh.seal_all()
    root = bytes.fromhex(whole.root)
    report = await fresh.prove(since=whole.last, root=root)
    assert (report.since, report.seals, report.rows, report.found) == (1, 1, 1, [])
    report = await fresh.prove(since=whole.last, root=bytes(32))
    assert [one.what for one in report.found] == ["seal_edited"]


async def test_an_archived_month_is_proved_and_one_that_is_lost_is_named(fresh: SealedLedger) -> None:
    await fresh.ledger.resident(points=5)
    await fresh.seal_all()
    month = f"journal_{datetime.now(UTC):%Y%m}"
    bounds = await fresh.ledger.owner.fetchrow(
        "SELECT * FROM vault.journal_month WHERE month = date_trunc('month', now() AT TIME ZONE 'UTC')"
    )
    async with connected(fresh.ledger.database.superuser) as superuser:
        await superuser.execute(
            f"ALTER TABLE vault.journal DETACH PARTITION vault.{month}; ALTER TABLE vault.journal_archive ATTACH PARTITION vault.{month}"
            f" FOR VALUES FROM ('{bounds['lower_id']}') TO ('{bounds['upper_id']}')"
        )
        report = await fresh.prove()
        assert (report.found, report.rows) == ([], 1)
        async with fresh.tampered("UPDATE vault.journal_archive SET hash = 'x'") as found:
            assert len(found) == 1 and found[0].startswith("edited: ")
        await superuser.execute(f"ALTER TABLE vault.journal_archive DETACH PARTITION vault.{month}")
    report = await fresh.prove()
    assert [one.text for one in report.found] == [f"deleted: 1 rows of seal 1 are gone with their month, {month}"]
