"""News of a wallet without Redis, while the database is slow or says no."""

from __future__ import annotations

import asyncio

from server.kit.redis import Cache
from server.scenes.news import News
from tests.support.databases import Database
from tests.support.ledger import open_ledger
from tests.support.patience import until


async def test_a_question_that_fails_once_does_not_end_the_asking(fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger:
        resident, campaign = await ledger.resident(), await ledger.campaign()
        news = News(ledger.app, Cache(None))
        news.open()
        waiting = asyncio.create_task(news.wait(resident, after_seq=0, timeout_s=60))

        async def listening() -> bool:
            return resident in news._seen

        await until("the phone waiting", listening)
        async with ledger.owner.transaction():
            await ledger.owner.execute("LOCK TABLE vault.wallet IN ACCESS EXCLUSIVE MODE")
            await asyncio.sleep(3.5)
        await ledger.earn(resident, campaign)
        assert len(await waiting) == 1, "who is not woken gets nothing after the time"
        await news.close()


async def test_who_does_not_wait_is_answered_however_long_the_reading_takes(fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger:
        resident = await ledger.resident(points=100)
        news = News(ledger.app, Cache(None))
        async with ledger.owner.transaction():
            await ledger.owner.execute("LOCK TABLE vault.journal IN ACCESS EXCLUSIVE MODE")
            asked = asyncio.create_task(news.wait(resident, after_seq=0, timeout_s=0.01))
            await asyncio.sleep(0.3)
        assert [row.points for row in await asked] == [100]
