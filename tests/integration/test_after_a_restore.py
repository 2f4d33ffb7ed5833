"""A journal in a cluster with lower transaction numbers: who reads it by them says so, until they are higher."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

from tests.support.databases import Database, connected
from tests.support.patience import until
from tests.support.sealing import open_sealed
from wallet.folds import Folds
from wallet.stream import JournalStream

AHEAD, PAYEE = 50_000, 5
OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


def using_up(number: int) -> str:
    """The paper's statement that uses numbers up to this one."""
    (statement,) = re.findall(r"DO \$\$ .*? \$\$", OPERATIONS.read_text())
    return re.sub(r"<= \d+ ", f"<= {number} ", statement)


async def test_nothing_is_passed_over_in_a_cluster_with_lower_numbers(fresh_database: Database) -> None:
    """Rows and cursors say numbers that are still to come, as those of a dump from another cluster do."""
    async with open_sealed(fresh_database) as sealed, connected(fresh_database.worker) as worker:
        ledger, owner = sealed.ledger, sealed.ledger.owner
        folds, stream = Folds(worker.fetch), JournalStream(worker.fetch)

        async def booked() -> list[int]:
            """What the payee has, by fold and tail; and the fold alone."""
            return [
                await folds.account_balance("payee", PAYEE),
                await owner.fetchval(
                    "SELECT coalesce(sum(balance), 0)::bigint FROM vault.fold WHERE account = $1", PAYEE
                ),
            ]

        async def fold_all() -> list[int]:
            async def all_folded() -> bool:
                await folds.step()
                total, folded = await booked()
                return total == folded

            await until("everything folded", all_folded)
            return await booked()

        resident = await ledger.resident(points=50)
        await ledger.app.spend(resident, ledger.id7(), points=7, payee=PAYEE)
        assert await fold_all() == [7, 7]
        await sealed.seal_all()
        number = AHEAD + await owner.fetchval("SELECT pg_current_xact_id()::text::bigint")
        await owner.execute(
            "INSERT INTO vault.journal (b, owner, id, seq, op, st, avail_after, held_after, hash, at, txid)"
            " VALUES (1, 1, $1, 1, 2, 10, 0, 0, '', vault.now(), $2)", ledger.id7(), number - 1,
        )  # fmt: skip
        await owner.execute("SELECT vault.seal_window($1, 10)", number)
        await owner.execute("UPDATE vault.fold_cursor SET folded_to = $1", number)

        for refused in (
            sealed.seals.seal(), folds.step(), stream.cut(number), owner.execute("SELECT vault.seal_begin_epoch('why')")
        ):  # fmt: skip
            with pytest.raises((asyncpg.ObjectNotInPrerequisiteStateError, RuntimeError), match="have started anew"):
                await refused

        await owner.execute(using_up(number), timeout=600)
        # What another test holds open in a database of its own is older still.
        past = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint > $1"
        await until("every older transaction over", lambda: owner.fetchval(past, number))
        await ledger.app.spend(resident, ledger.id7(), points=5, payee=PAYEE)
        assert await booked() == [12, 7]
        assert await fold_all() == [12, 12]
        assert (await until("a window", lambda: stream.cut(number))) > number
        await sealed.seal_all()
        report = await sealed.prove()
        assert (report.found, report.rows, report.unsealed) == ([], 4, 0)
        assert await owner.fetchval("SELECT vault.seal_begin_epoch('why')") == 1
