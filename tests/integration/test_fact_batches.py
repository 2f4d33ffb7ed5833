"""Batches of facts on a real database: whatever stops a job, each fact is told once; what was written down stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from tortoise.exceptions import IntegrityError

from server.incentives.intake.batches import KIND, PAGE, FactOrder
from server.incentives.intake.models import FactBatch, FactLine
from server.kit.db import fetch
from server.kit.jobs import ClaimLost, Task, run_due
from server.sandbox.engines import Engines
from server.services import Services
from tests.support.databases import Database
from tests.support.grants import CHECKER, DOCUMENT, MAKER, enrol, listed
from tests.support.jobs import open_jobs

KIND_TOLD = "library_returned_on_time"


@pytest_asyncio.fixture(scope="module")
async def services(engines: Engines, database: Database) -> AsyncIterator[Services]:
    async with open_jobs(engines, database, facts_per_second="100000") as opened:
        yield opened


async def taken(services: Services, residents: list[int], source: str) -> FactBatch:
    """A file that says that each of them returned a book yesterday, as its office would upload it."""
    day = services.clock.today() - timedelta(days=1)
    lines = [f"{one},{place},{day},1,L1" for place, one in enumerate(residents)]
    content = "\n".join(["resident_id,source_id,occurred_at,books,library_id", *lines]).encode()
    view, unfit = await services.fact_files.take(KIND_TOLD, source, DOCUMENT, content, MAKER)
    assert unfit == []
    return view.row


async def told(source: str) -> list[int]:
    rows = await fetch("SELECT resident_id FROM fact WHERE source_id LIKE $1 ORDER BY resident_id", f"{source}:%")
    return [row["resident_id"] for row in rows]


async def test_a_job_that_lost_its_claim_leaves_nothing_and_the_next_tells_each_fact_once(services: Services) -> None:
    residents = await enrol(PAGE + 50)
    batch = await taken(services, residents, "claims")
    await services.fact_batches.approve(batch.id, CHECKER)
    lost = Task(1, KIND, str(batch.id), "", {"batch_id": str(batch.id)}, {}, 1, "nobody's")
    with pytest.raises(ClaimLost):
        await services.fact_batches.walk(lost)
    row = await FactBatch.get(id=batch.id)
    assert (await told("claims"), row.told, row.position) == ([], 0, 0)
    assert await services.fact_batches.redrive() == 0, "its job is there"
    while await run_due(services.job_handlers):
        pass
    row = await FactBatch.get(id=batch.id)
    assert (await told("claims"), row.told, row.status) == (residents, PAGE + 50, "finished")
    assert await services.fact_batches.purge(100) == 100
    assert await services.fact_batches.purge(10_000) == PAGE - 50
    assert await FactLine.filter(batch_id=batch.id).count() == 0


async def test_what_overlaps_is_told_once_and_what_is_cancelled_not_at_all(services: Services) -> None:
    residents = await enrol(3)
    first, second, third = [await taken(services, residents[:count], "overlap") for count in (2, 3, 3)]
    await services.fact_batches.cancel(third.id, MAKER)
    for batch, new in ((first, 2), (second, 1)):
        await services.fact_batches.approve(batch.id, CHECKER)
        while await run_due(services.job_handlers):
            pass
        assert (await FactBatch.get(id=batch.id)).told == new
    assert await told("overlap") == residents
    assert (await FactBatch.get(id=third.id)).told == 0


async def test_the_database_itself_keeps_two_people_apart_and_a_batch_as_it_was_written(services: Services) -> None:
    chosen = await listed(services, await enrol(1))
    order = FactOrder("administrator_grant", DOCUMENT, "见义勇为", list_id=chosen)
    batch = (await services.fact_batches.order(order, MAKER)).row
    now = services.clock.now()
    for change in (
        {"status": "running", "approved_by": MAKER.admin_id, "approved_at": now}, {"status": "running"},
        {"occasion": "捐赠"}, {"taken": 5}, {"status": "receiving"}, {"document": "x"},
    ):  # fmt: skip
        with pytest.raises(IntegrityError):
            await FactBatch.filter(id=batch.id).update(**change)
    single = (await services.fact_batches.order(
        FactOrder("administrator_grant", DOCUMENT, "捐赠", resident_id=(await enrol(1))[0]), MAKER
    )).row  # fmt: skip
    with pytest.raises(IntegrityError):
        await FactLine.filter(batch_id=single.id).update(attributes={"occasion": "见义勇为"})
