"""Whoever has an answer sees it in whatever he reads next, through any process: nothing is decided or shown from a copy
that lags. There is no replica in the house; this holds whoever would add one to the same promise.

What is lost: nothing, not even for a moment.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.support.databases import Database
from tests.support.intents import INTENTS, PAYEE
from tests.support.ledger import Ledger, open_ledger
from wallet import Vault

pytestmark = pytest.mark.fault


@pytest_asyncio.fixture
async def ledger(fresh_database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(fresh_database) as ledger:
        yield ledger


async def test_a_statement_is_never_older_than_the_answer_its_reader_already_has(ledger: Ledger) -> None:
    chance, residents = random.Random(9), [await ledger.resident(points=1000) for _ in range(20)]
    async with AsyncExitStack() as stack:
        vaults = []
        for number in range(3):
            vault = await Vault.connect(ledger.database.app, role="app", first_lane=number, pool_max=4)
            stack.push_async_callback(vault.close)
            vaults.append(vault)

        async def live(resident: int) -> None:
            for _ in range(INTENTS // 40):
                writer, reader = chance.choice(vaults), chance.choice(vaults)
                told = (await writer.spend(resident, ledger.id7(), points=1, payee=PAYEE)).result
                view, (newest,) = (
                    await reader.read.wallet(resident),
                    await reader.read.entries(resident, before_seq=None, limit=1),
                )
                assert view is not None and view.seq == newest.seq == told.seq, f"told {told}, read {view} and {newest}"
                assert (newest.id, view.points) == (told.id, told.points_after)
                assert (await reader.read.seqs([resident]))[resident] == told.seq

        await asyncio.gather(*(live(one) for one in residents))
    assert await ledger.broken() == []
