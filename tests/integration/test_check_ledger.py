"""check-ledger: incremental runs are sound, every run reads one instant, and the command says it all to programs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.commands import chengxin
from tests.support.databases import Database, connected
from tests.support.everything import PAYEE, everything
from tests.support.sealing import SealedLedger, open_sealed
from wallet.audit import check_books, check_seals
from wallet.proofs import PROOFS


@pytest_asyncio.fixture
async def sealed(fresh_database: Database) -> AsyncIterator[SealedLedger]:
    async with open_sealed(fresh_database) as made:
        yield made


async def break_one(database: Database, statement: str) -> None:
    async with connected(database.superuser) as superuser:
        await superuser.execute("SET session_replication_role = replica")
        await superuser.execute(statement)


async def run(database: Database, *arguments: str) -> tuple[int, str]:
    return await chengxin(*arguments, "--url", database.worker)


async def test_an_incremental_run_looks_at_residents_with_new_entries_only(sealed: SealedLedger) -> None:
    ledger = sealed.ledger
    await everything(ledger)
    whole = await check_books(ledger.database.worker)
    assert (whole.broken, whole.since) == (False, None) and whole.residents >= 3
    resident = await ledger.resident(points=50)
    await ledger.app.spend(resident, ledger.id7(), points=20, payee=PAYEE)
    again = await check_books(ledger.database.worker, since_last=True)
    assert again.broken is False and again.since is not None
    assert [one.check for one in again.findings] == [one.name for one in PROOFS]
    # Rows of transactions that were not below the snapshot's oldest are looked at twice, never not at all.
    assert 1 <= again.residents <= whole.residents + 1


async def test_an_incremental_run_finds_what_broke_in_a_resident_who_booked_since(sealed: SealedLedger) -> None:
    ledger = sealed.ledger
    old = await ledger.resident(points=50)
    assert not (await check_books(ledger.database.worker)).broken
    new = await ledger.resident(points=50)
    await break_one(ledger.database, f"UPDATE vault.wallet SET points_held = 5 WHERE owner = {new}")
    found = await check_books(ledger.database.worker, since_last=True)
    assert {one.check for one in found.findings if one.broken} == {"wallet_is_its_entries", "held_is_the_open_holds"}
    # A run that found something is no point to begin at.
    assert (await check_books(ledger.database.worker, since_last=True)).broken
    await break_one(ledger.database, f"UPDATE vault.wallet SET points_held = 0 WHERE owner = {new}")
    assert not (await check_books(ledger.database.worker, since_last=True)).broken
    # What nobody booked on is left to the whole run.
    await ledger.resident(points=1)
    await sealed.seal_all()
    assert not (await check_books(ledger.database.worker, since_last=True)).broken
    await break_one(ledger.database, f"UPDATE vault.wallet SET points_held = 5 WHERE owner = {old}")
    assert (await check_books(ledger.database.worker)).broken


async def test_a_budget_is_proved_over_all_time_by_an_incremental_run(sealed: SealedLedger) -> None:
    ledger = sealed.ledger
    terms = await ledger.campaign(points=10, total=1000)
    await ledger.earn(await ledger.resident(), terms)
    assert not (await check_books(ledger.database.worker)).broken
    await ledger.earn(await ledger.resident(), terms)
    assert not (await check_books(ledger.database.worker, since_last=True)).broken
    await break_one(ledger.database, "UPDATE vault.slot SET avail = avail + 10 WHERE avail > 0")
    found = await check_books(ledger.database.worker, since_last=True)
    assert {one.check for one in found.findings if one.broken} == {"budget_is_its_entries"}


async def test_what_commits_late_is_in_the_next_run(sealed: SealedLedger) -> None:
    """A transaction that ran while the books were proved has a lower number than rows that were proved."""
    ledger = sealed.ledger
    resident = await ledger.resident(points=50)
    async with connected(ledger.database.superuser) as late:
        transaction = late.transaction()
        await transaction.start()
        await late.execute("SET LOCAL session_replication_role = replica")
        await late.execute(
            "INSERT INTO vault.journal (b, owner, id, seq, op, st, avail_after, held_after, hash, at)"
            f" VALUES ({resident & 1023}, {resident}, '{ledger.id7()}', 7, 8, 10, 50, 0, '', now())"
        )
        await ledger.resident(points=50)
        assert not (await check_books(ledger.database.worker)).broken
        await transaction.commit()
    found = await check_books(ledger.database.worker, since_last=True)
    assert {one.check for one in found.findings if one.broken} == {"wallet_is_its_entries", "sequence_has_no_gap"}


async def test_a_new_epoch_makes_the_next_run_a_whole_one(sealed: SealedLedger) -> None:
    ledger = sealed.ledger
    await ledger.resident(points=50)
    await sealed.seal_all()
    assert not (await check_books(ledger.database.worker)).broken
    await ledger.owner.execute("SELECT vault.seal_begin_epoch('another cluster')")
    assert (await check_books(ledger.database.worker, since_last=True)).since is None
    assert (await check_books(ledger.database.worker, since_last=True)).since is not None


async def test_seals_are_proved_on_from_the_last_proof(sealed: SealedLedger) -> None:
    ledger = sealed.ledger
    await ledger.resident(points=50)
    await sealed.seal_all()
    first = await check_seals(ledger.database.worker)
    await ledger.resident(points=50)
    await sealed.seal_all()
    second = await check_seals(ledger.database.worker, since_last=True)
    assert (first.since, first.rows, second.since, second.rows) == (0, 1, 1, 1)
    await break_one(ledger.database, "UPDATE vault.journal SET hash = 'x' WHERE seq = 1")
    assert not (await check_seals(ledger.database.worker, since_last=True)).broken, "proved before"
    assert len((await check_seals(ledger.database.worker)).found) == 2


async def test_the_command_speaks_to_programs_and_to_people(sealed: SealedLedger, tmp_path: Path) -> None:
    ledger, database = sealed.ledger, sealed.ledger.database
    resident = await ledger.resident(points=50)
    await sealed.seal_all()
    status, said = await run(database, "check-ledger", "--json")
    document: dict[str, Any] = json.loads(said)
    assert (status, document["balanced"], document["since"]) == (0, True, None)
    assert {one["check"]: one["broken"] for one in document["checks"]} == {one.name: 0 for one in PROOFS}
    status, said = await run(database, "check-ledger", "--since-last", "--json")
    assert (status, json.loads(said)["since"] is not None) == (0, True)
    status, said = await run(database, "check-ledger", "--seals", "--json")
    document = json.loads(said)
    assert (status, document["sealed"], document["rows"], document["unsealed"]) == (0, True, 1, 0)
    assert "every sealed row is as it was sealed" in (await run(database, "check-ledger", "--seals"))[1]

    await ledger.move_clock(days=1)
    await sealed.heads(1)
    file = tmp_path / "heads.jsonl"
    day = str(ledger.today() - timedelta(days=1))
    for arguments in ((), (), ("--day", day)):
        status, said = await run(database, "ledger-head", "--out", str(file), *arguments)
        assert status == 0, said
    heads = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(head["day"], head["n"], head["rows"], head["totals"]["d_avail"]) for head in heads] == [(day, "1", 1, 50)]
    assert (await run(database, "check-ledger", "--seals", "--heads", str(file)))[0] == 0
    assert (await run(database, "ledger-head", "--out", str(file), "--day", "2020-01-01"))[0] == 1

    await break_one(database, "UPDATE vault.journal SET lots = '[]'")
    status, said = await run(database, "check-ledger")
    assert status == 1 and "BROKEN lots_tell_the_change " in said, said
    rows = [line for line in said.splitlines() if line[:7] in ("ok     ", "BROKEN ")]
    assert len({len(line) - len(line[7:].partition(" ")[2].lstrip()) for line in rows}) == 1, "promises stand in line"
    status, said = await run(database, "check-ledger", "--seals")
    assert status == 1 and f"CHANGED edited: owner {resident}, id " in said, said
    heads[0]["root"] = "00" * 32
    file.write_text(json.dumps(heads[0]) + "\n")
    assert "that was kept says" in (await run(database, "check-ledger", "--seals", "--heads", str(file)))[1]
    status, said = await run(database, "ledger-head", "--out", str(file))
    assert status == 1 and "is no longer what the file says" in said, said
    await break_one(database, "DELETE FROM vault.seal_head")
    assert (await run(database, "ledger-head", "--out", str(file)))[0] == 1, "a head that is gone"


@pytest.mark.parametrize(
    ("damage", "check"),
    [("lots = '{}'", "lots_tell_the_change"), ("lots = '[[\"no day\", 5], [1]]'", "lots_tell_the_change"),
     ("takes = '5'", "takes_are_the_legs"), ("takes = '[[1, 2, \"x\"]]'", "takes_are_the_legs"),
     ("lots = '[[\"2026-02-31\", 50]]'", "lots_are_the_entries")],
)  # fmt: skip
async def test_a_document_that_is_none_is_a_finding_and_no_crash(sealed: SealedLedger, damage: str, check: str) -> None:
    ledger = sealed.ledger
    await ledger.resident(points=50)
    await break_one(ledger.database, f"UPDATE vault.journal SET {damage}")
    found = await check_books(ledger.database.worker)
    assert check in {one.check for one in found.findings if one.broken}


@pytest.mark.parametrize("content", ["{}", "no json", '{"day": "yesterday"}'])
async def test_a_file_that_holds_no_heads_is_refused(database: Database, tmp_path: Path, content: str) -> None:
    file = tmp_path / "heads.jsonl"
    file.write_text(content)
    status, said = await run(database, "check-ledger", "--seals", "--heads", str(file))
    assert (status, "is no file of heads" in said) == (65, True), "1 means that the books do not balance: " + said
    assert (await run(database, "check-ledger", "--heads", str(file)))[0] == 2, "heads without --seals"
