"""The lottery room on a database of its own whose clock can be moved, with the worker's services."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest_asyncio

from server.incentives.commands import Signed, TemplateDraft
from server.incentives.lottery.commands import LotteryDraft
from server.incentives.lottery.models import Lottery
from server.incentives.lottery.published import Prize
from server.incentives.lottery.second import SecondDraft
from server.incentives.lottery.verify import Verdict, verify
from server.kit.db import fetch, transaction
from server.kit.ids import uuid7
from server.kit.jobs import run_due
from server.sandbox.engines import Engines
from server.services import Services
from tests.support.databases import Database
from tests.support.jobs import open_jobs
from tests.support.ledger import Ledger, open_ledger

MAKER, CHECKER, THIRD = Signed(1, "r-1"), Signed(2, "r-2"), Signed(3, "r-3")
FIRST_RESIDENT = 6_000_001


@dataclass
class LotteryHouse:
    """A lottery opens an hour ago, closes in an hour and is drawn in two, unless the test says otherwise."""

    services: Services
    ledger: Ledger

    def key(self) -> UUID:
        """An id as a resident's phone makes one."""
        return uuid7(self.ledger.now())

    async def template(self, stock: int = 1_000, days: int = 300, **changes: Any) -> int:
        """A live template whose coupons are prizes; its id."""
        now, templates = self.ledger.now(), self.services.templates
        draft = TemplateDraft(
            "电影票兑换券", "澄信办〔2026〕8号", "exchange", now - timedelta(days=1), now + timedelta(days=days), stock,
            **{"sponsor_bp": 0, "claimable": False} | changes,
        )  # fmt: skip
        made = await templates.create(draft, MAKER)
        await templates.submit(made.row.id, MAKER)
        return (await templates.approve(made.row.id, CHECKER)).row.id

    async def draft(self, **changes: Any) -> LotteryDraft:
        now = self.ledger.now()
        hour = timedelta(hours=1)
        prizes = changes.pop("prizes", None)
        if prizes is None:
            template = await self.template()
            prizes = (Prize(1, "大奖", str(template), 1), Prize(2, "小奖", str(template), 4))
        values: dict[str, Any] = {
            "title": "新年抽奖", "document": "澄信办〔2026〕9号", "opens_at": now - hour, "closes_at": now + hour,
            "draw_at": now + 2 * hour, "prizes": prizes,
        }  # fmt: skip
        return LotteryDraft(**(values | changes))

    async def published(self, **changes: Any) -> Lottery:
        lotteries = self.services.lotteries
        made = await lotteries.create(await self.draft(**changes), MAKER)
        await lotteries.submit(made.id, MAKER)
        return await lotteries.publish(made.id, CHECKER)

    async def give(self, lottery_id: int, resident: int, tickets: int = 1, source: str = "award:1") -> Any:
        """Tickets from a campaign."""
        async with transaction() as tx:
            return await self.services.lottery_entries.enter(tx, lottery_id, resident, tickets, source)

    async def crowd(self, lottery_id: int, people: int, tickets: int = 1) -> list[int]:
        residents = list(range(FIRST_RESIDENT, FIRST_RESIDENT + people))
        for resident in residents:
            await self.give(lottery_id, resident, tickets)
        return residents

    async def grant(self, template_id: int, resident: int) -> None:
        """A coupon of a template, given beside any lottery."""
        async with transaction() as tx:
            await self.services.grants.owe(tx, resident, template_id, "gift", str(resident))
        (one,) = await fetch("UPDATE coupon_grant SET due_at = due_at - interval '1 day' WHERE source = 'gift'"
                             " AND source_id = $1 RETURNING id", str(resident))  # fmt: skip
        assert one
        await self.services.grants.redrive(1)

    async def second(self, first_id: int) -> Lottery:
        """The draft of a second draw that closes in an hour and is drawn in two."""
        now, hour = self.ledger.now(), timedelta(hours=1)
        wanted = SecondDraft("澄信办〔2026〕10号", now + hour, now + 2 * hour)
        return await self.services.lotteries.create_second(first_id, wanted, MAKER)

    async def pass_time(self, **by: float) -> None:
        await self.ledger.move_clock(**by)
        self.services.clock.follow(await self.services.vault.now())

    async def work(self) -> None:
        """What the worker does until nothing of lotteries is left to do."""
        while await self.services.lottery_draws.redrive() + await run_due(self.services.job_handlers):
            await fetch("UPDATE job SET due_at = clock_timestamp() WHERE status = 'due' AND attempts > 0")

    async def row(self, lottery_id: int) -> Lottery:
        return await self.services.lotteries.get(lottery_id)

    async def file(self, lottery_id: int) -> bytes:
        _, pieces = await self.services.lottery_reader.file(lottery_id)
        return b"".join([piece async for piece in pieces])

    async def verdict(self, lottery_id: int) -> Verdict:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "draw.jsonl"
            path.write_bytes(await self.file(lottery_id))
            return verify(path)


@asynccontextmanager
async def open_lotteries(engines: Engines, database: Database) -> AsyncIterator[LotteryHouse]:
    async with open_ledger(database) as ledger, open_jobs(engines, database) as services:
        yield LotteryHouse(services, ledger)


@pytest_asyncio.fixture
async def house(engines: Engines, fresh_database: Database) -> AsyncIterator[LotteryHouse]:
    async with open_lotteries(engines, fresh_database) as made:
        yield made
