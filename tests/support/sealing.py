"""A ledger with seals, and a superuser who changes rows behind their back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import asyncpg

from tests.support.databases import Database, connected
from tests.support.ledger import Ledger, open_ledger
from wallet.chain import SealReport, prove_seals
from wallet.seals import Seals


@dataclass
class SealedLedger:
    """A ledger, and the worker who seals it."""

    ledger: Ledger
    seals: Seals

    async def seal_all(self, rows: int = 100_000) -> int:
        """Seals until nothing that was committed before is left; another test's open transaction holds the snapshot
        back, so this asks again until it is gone. Returns how many rows."""
        newest = await self.ledger.owner.fetchval(
            "SELECT coalesce(max(txid), 0) FROM vault.journal"
            " WHERE txid < pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
        )
        total = 0
        async with asyncio.timeout(120):
            while True:
                all_ended = await self.xmin() > newest  # asked first: what ends after the seal is not in it
                done = await self.seals.seal(rows)
                total += done
                if done == 0 and all_ended:
                    return total
                if done == 0:
                    await asyncio.sleep(0.05)

    async def heads(self, count: int) -> list[date]:
        """The next days that get a head, once what holds the snapshot back is gone."""
        days: list[date] = []
        async with asyncio.timeout(120):
            while len(days) < count:
                day = await self.seals.next_head()
                days += [day] if day else []
                await asyncio.sleep(0 if day else 0.05)
        return days

    async def xmin(self) -> int:
        return await self.ledger.owner.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")

    async def prove(self, **options: Any) -> SealReport:
        async with (
            connected(self.ledger.database.worker) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return await prove_seals(connection, **options)

    async def rows(self) -> list[asyncpg.Record]:
        """Every row of the journal in the order of the seals."""
        return await self.ledger.owner.fetch("SELECT * FROM vault.journal ORDER BY txid, b, owner, seq, id")

    @asynccontextmanager
    async def tampered(self, *statements: str) -> AsyncIterator[list[str]]:
        """What check-ledger finds after a superuser has run these with all triggers off; undone afterwards."""
        async with connected(self.ledger.database.superuser) as superuser:
            transaction = superuser.transaction(isolation="repeatable_read")
            await transaction.start()
            try:
                await superuser.execute("SET LOCAL session_replication_role = replica")
                for statement in statements:
                    await superuser.execute(statement)
                report = await prove_seals(superuser)
                yield [one.text for one in report.found]
            finally:
                await transaction.rollback()


@asynccontextmanager
async def open_sealed(database: Database) -> AsyncIterator[SealedLedger]:
    """A ledger and its sealer."""
    async with open_ledger(database) as ledger, asyncpg.create_pool(database.worker, min_size=1, max_size=4) as pool:
        yield SealedLedger(ledger, Seals(pool))
