"""Jobs that go from resident to resident are killed with -9 again and again and started again: each resident is given
coupon, points or fact exactly once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.incentives.commands import CampaignDraft, rule_of
from server.kit.db import fetch
from server.sandbox.engines import Engines
from server.services import Services
from tests.support.databases import Database
from tests.support.grants import CHECKER, DOCUMENT, MAKER, coupons_of, enrol, ordered
from tests.support.jobs import job_environment, open_jobs
from tests.support.killing import Workers, slowly
from tests.support.ledger import CITY, Ledger, open_ledger
from wallet.audit import prove

pytestmark = pytest.mark.fault

RESIDENTS, PAGE, KILLS, POINTS = 120, 20, 3, 5
PAGES = {
    "server.incentives.grants.jobs.PAGE": PAGE, "server.incentives.dates.PAGE": PAGE,
    "server.incentives.intake.batches.PAGE": PAGE,
}  # fmt: skip
#: How far a job has come by what is committed, and whether nothing is left to do.
GRANTED = "SELECT count(*) AS n FROM vault.journal WHERE op = 2 AND st = 0"
GRANTS_OVER = "SELECT FROM grant_job WHERE status = 'finished' AND posted + refused = owed"
#: Every posting that gives something, answered or not.
POSTED = "SELECT count(*) AS n, count(DISTINCT owner) AS owners FROM vault.journal WHERE op = $1 AND st = 0"
TOLD = "SELECT count(*) AS n, count(DISTINCT resident_id) AS owners FROM fact WHERE kind = $1"
SETTLED = " AND (SELECT count(*) FROM award WHERE status = 'posted') = {}"


async def campaign(services: Services, trigger: dict[str, Any]) -> None:
    """Five points for everybody of whom this is told."""
    now = services.clock.now()
    rule = rule_of({"trigger": trigger, "condition": None, "effect": {"kind": "points", "points": POINTS}})
    draft = CampaignDraft("事实", DOCUMENT, rule, now, now + timedelta(days=9), 10_000)
    made = await services.campaigns.create(draft, MAKER)
    await services.campaigns.submit(made.row.id, MAKER)
    await services.campaigns.approve(made.row.id, CHECKER)


async def grants(services: Services, ledger: Ledger, people: list[int]) -> None:
    job = await ordered(services, people)
    await services.grant_jobs.approve(job.row.id, CHECKER)


async def a_date(services: Services, ledger: Ledger, people: list[int]) -> None:
    day = ledger.today() + timedelta(days=1)
    await campaign(services, {"kind": "date", "on": day.isoformat()})
    await ledger.set_clock(datetime.combine(day, time(0, 1), CITY))
    services.clock.follow(await services.vault.now())
    assert await services.date_calls.redrive() == 1


async def a_file(services: Services, ledger: Ledger, people: list[int]) -> None:
    await campaign(services, {"kind": "fact", "fact": "library_returned_on_time"})
    at = services.clock.now().isoformat()
    lines = [f"{one},{place},{at},1" for place, one in enumerate(people)]
    content = "\n".join(["resident_id,source_id,occurred_at,books", *lines]).encode()
    view, unfit = await services.fact_files.take("library_returned_on_time", "city", DOCUMENT, content, MAKER)
    assert unfit == []
    await services.fact_batches.approve(view.row.id, CHECKER)


@pytest.mark.parametrize(("begin", "come", "over", "kind"), [
    (grants, GRANTED, GRANTS_OVER, None),
    (a_date, "SELECT told AS n FROM date_call", "SELECT FROM date_call WHERE finished_at IS NOT NULL", "date"),
    (a_file, "SELECT told AS n FROM fact_batch", "SELECT FROM fact_batch WHERE status = 'finished'",
     "library_returned_on_time"),
], ids=["grants", "a date", "a file"])  # fmt: skip
async def test_a_job_killed_with_9_and_started_again_does_for_each_resident_exactly_one_thing(
    begin: Callable[[Services, Ledger, list[int]], Awaitable[None]], come: str, over: str, kind: str | None,
    engines: Engines, fresh_database: Database, tmp_path: Path,
) -> None:  # fmt: skip
    workers = Workers(job_environment(engines, fresh_database), tmp_path, PAGES)
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        people = await enrol(RESIDENTS)
        await begin(services, ledger, people)
        await slowly(ledger)
        killed_at = [0]
        for _ in range(KILLS):

            async def further() -> bool:
                return (await fetch(come))[0]["n"] > killed_at[-1]

            await workers.kill_when("more residents", further)
            killed_at.append((await fetch(come))[0]["n"])
        assert 0 < killed_at[1] < killed_at[-1] < RESIDENTS, f"killed in the middle each time, after {killed_at}"
        settled = over + (SETTLED.format(RESIDENTS) if kind else "")

        async def done() -> bool:
            return bool(await fetch(settled))

        await workers.finish("the job's end", done)
        once = {"n": RESIDENTS, "owners": RESIDENTS}
        assert (await fetch(POSTED, 1 if kind else 2))[0] == once
        if kind:
            assert (await fetch(TOLD, kind))[0] == once
            wallets = await fetch("SELECT owner, points_avail AS points FROM vault.wallet")
            assert {row["owner"]: row["points"] for row in wallets} == dict.fromkeys(people, POINTS)
        else:
            assert await coupons_of(people) == dict.fromkeys(people, 1)
    assert [one for one in await prove(fresh_database.worker) if one.broken] == []
