"""Rows changed behind the vault's back, by a superuser with triggers off or by a rotten disk.

What is lost: nothing unnoticed. check-ledger ends with another status than 0 and says which row; a rotten page is never
served as if it were whole.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
import pytest_asyncio

from server.cli import EX_IOERR
from tests.support.clusters import Cluster
from tests.support.databases import ROOT, Database, connected
from tests.support.intents import PAYEE
from tests.support.ledger import open_ledger
from tests.support.sealing import SealedLedger, open_sealed
from wallet.audit import check_books, check_seals

pytestmark = pytest.mark.fault

PAGE_BYTES = 8192


@pytest_asyncio.fixture
async def sealed(fresh_database: Database) -> AsyncIterator[SealedLedger]:
    async with open_sealed(fresh_database) as sealed:
        yield sealed


def check_ledger(database: Database, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", "check-ledger", *options, "--url", database.worker],
        capture_output=True, text=True, timeout=120, check=False, env={"PYTHONPATH": str(ROOT)}, cwd=ROOT,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


async def named(database: Database) -> str:
    """Everything that the proofs of the books and of the seals find."""
    books = await check_books(database.worker, remember=False)
    seals = await check_seals(database.worker, remember=False)
    return " ".join([*(text for one in books.findings for text in one.examples), *(one.text for one in seals.found)])


@asynccontextmanager
async def damaged(database: Database, statement: str) -> AsyncIterator[None]:
    """One change that no trigger sees, put right again afterwards."""
    tables = ("journal", "wallet", "hold")
    async with connected(database.superuser) as superuser:
        await superuser.execute("SET session_replication_role = replica")
        kept = {table: await superuser.fetch(f"SELECT t::text AS row FROM vault.{table} t") for table in tables}
        assert await superuser.execute(statement) in ("UPDATE 1", "DELETE 1"), statement
        yield
        for table, rows in kept.items():
            await superuser.execute(f"DELETE FROM vault.{table}")
            again = f"INSERT INTO vault.{table} SELECT (r::vault.{table}).* FROM unnest($1::text[]) r"
            await superuser.execute(again, [row["row"] for row in rows])


async def test_rows_that_a_superuser_edits_with_triggers_off_are_named_by_check_ledger(sealed: SealedLedger) -> None:
    ledger, database = sealed.ledger, sealed.ledger.database
    resident, other = await ledger.resident(points=100), await ledger.resident(points=100)
    spend, hold = ledger.id7(), ledger.id7()
    await ledger.app.spend(resident, spend, points=10, payee=PAYEE, memo="tea")
    await ledger.app.hold(other, hold, points=10, payee=PAYEE, life_s=600)
    await sealed.seal_all()
    one_lot_more = "SET points_avail = points_avail + 5, lot_points[1] = lot_points[1] + 5"
    memo = f"UPDATE vault.journal SET detail = detail || '{{\"memo\": \"rum\"}}' WHERE id = '{spend}'"
    wallet = f"UPDATE vault.wallet {one_lot_more} WHERE owner = {resident}"
    for damage, name in (
        (memo, str(spend)),
        (f"UPDATE vault.journal SET d_avail = -9, d_peer = 9, avail_after = 91 WHERE id = '{spend}'", str(spend)),
        (f"DELETE FROM vault.journal WHERE id = '{spend}'", str(spend)),
        (wallet, str(resident)),
        (f"UPDATE vault.hold SET points = points - 1 WHERE id = '{hold}'", str(other)),
        (f"DELETE FROM vault.hold WHERE id = '{hold}'", str(other)),
    ):
        async with damaged(database, damage):
            said = await named(database)
            assert name in said, f"after {damage} expected {name} to be named, saw {said!r}"
        assert await named(database) == "", f"put right again after {damage}"
    for damage, name, option in ((memo, str(spend), "--seals"), (wallet, str(resident), "--json")):
        async with damaged(database, damage):
            status, said = await asyncio.to_thread(check_ledger, database, option)
            assert status == 1 and name in said, f"after {damage} expected status 1 and {name}, saw {status}: {said}"
        status, said = await asyncio.to_thread(check_ledger, database, option)
        assert status == 0, f"put right again after {damage}: {said}"


async def test_a_page_that_rots_on_disk_is_refused_by_its_checksum_and_never_served(cluster: Cluster) -> None:
    database = await cluster.database()
    async with open_ledger(database) as ledger:
        resident = await ledger.resident(points=100)
        await ledger.app.spend(resident, ledger.id7(), points=10, payee=PAYEE)
        path = await ledger.owner.fetchval(
            "SELECT pg_relation_filepath(tableoid) FROM vault.journal WHERE owner = $1 LIMIT 1", resident
        )
    postgres = cluster.engines.postgres
    await asyncio.to_thread(cluster.engines.stop, force=True)
    with (postgres.data / path).open("r+b") as file:
        page = bytearray(file.read(PAGE_BYTES))
        page[-20] ^= 1  # the first row lies at the end of its page
        file.seek(0)
        file.write(page)
    checked, said = postgres.user.run([postgres.bin / "pg_checksums", "--check", "-D", postgres.data], timeout_s=120)
    assert checked != 0 and "Bad checksums:  1" in said, said
    await asyncio.to_thread(cluster.engines.start)
    async with connected(database.worker) as connection:
        with pytest.raises(asyncpg.DataCorruptedError):
            await connection.fetch("SELECT d_avail FROM vault.journal WHERE owner = $1", resident)
    for options in ((), ("--seals",)):
        status, said = await asyncio.to_thread(check_ledger, database, *options)
        assert status == EX_IOERR, f"books that cannot be read are neither right nor wrong; saw {status}: {said}"
        assert "invalid page" in said and "Traceback" not in said, said
