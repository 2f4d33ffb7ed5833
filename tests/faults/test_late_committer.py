"""A transaction that took its number early commits late: whoever tails the journal must still take its rows.

What is lost: nothing. Folds, seals and the value stream end before the oldest open transaction and pass over no row.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.kit.db import close_house, fetch, open_house
from server.kit.relay import lag, relay
from tests.support.databases import Database, connected
from tests.support.intents import PAYEE
from tests.support.patience import until
from tests.support.sealing import SealedLedger, open_sealed
from wallet.folds import Folds
from wallet.items import intent_hash
from wallet.stream import JournalStream, Posting

pytestmark = pytest.mark.fault

POST = "SELECT status FROM vault.post_batch($1::smallint, $2::jsonb, 0::smallint)"


@pytest_asyncio.fixture
async def sealed(fresh_database: Database) -> AsyncIterator[SealedLedger]:
    await open_house(fresh_database.worker)
    async with open_sealed(fresh_database) as sealed:
        yield sealed
    await close_house()


async def test_fold_seal_and_stream_all_take_a_batch_that_commits_after_later_ones(sealed: SealedLedger) -> None:
    ledger = sealed.ledger
    late, *others = [await ledger.resident(points=100) for _ in range(5)]
    folds, stream = Folds(ledger.worker._pool.fetch), JournalStream(fetch)
    told: dict[int, list[int]] = defaultdict(list)

    async def hear(posting: Posting) -> None:
        told[posting.resident_id].append(posting.seq)

    async def take_all() -> bool:
        while await folds.step(2):
            pass
        await relay(stream, "listener", hear, 3)
        return await lag(stream, "listener") == 0

    await until("everything before taken", take_all)
    await sealed.seal_all()
    item = {"n": 0, "op": 8, "b": late & 1023, "owner": late, "id": ledger.id7(), "points": 7, "payee": PAYEE,
            "hash": intent_hash("anybody", "spend", 7)}  # fmt: skip
    async with connected(ledger.database.app) as slow:
        transaction = slow.transaction()
        await transaction.start()
        assert await slow.fetchval(POST, item["b"], json.dumps([item], default=str)) == 0
        for _ in range(3):
            for one in others:
                await ledger.app.spend(one, ledger.id7(), points=1, payee=PAYEE)
        own, newest = await slow.fetchval("SELECT pg_current_xact_id()::text::bigint"), await ledger.owner.fetchval(
            "SELECT max(txid) FROM vault.journal"
        )  # fmt: skip
        assert own < newest, "the late one has the earlier number"
        for _ in range(3):
            await take_all()
            assert await sealed.seals.seal() == 0, "a seal passed over an open transaction"
        assert all(len(seqs) == 1 for seqs in told.values()), f"the stream passed over an open transaction: {told}"
        folded = await ledger.owner.fetchval("SELECT folded_to FROM vault.fold_cursor WHERE node = 0")
        assert folded <= own, f"folded to {folded}, and {own} is still open"
        assert await folds.account_balance("payee", PAYEE) == 12, "a balance is exact, folded or not"
        await transaction.commit()
    await until("the late row taken", take_all)
    assert await sealed.seal_all() == 13
    assert told == {late: [1, 2], **{one: [1, 2, 3, 4] for one in others}}
    assert await folds.account_balance("payee", PAYEE) == 19
    report = await sealed.prove()
    assert (report.found, report.unsealed) == ([], 0)
    assert await ledger.broken() == []
