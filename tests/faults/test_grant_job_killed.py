"""A grant job is killed with -9 again and again and started again: each resident has exactly one coupon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from server.incentives.grants.jobs import KIND
from server.incentives.grants.models import GrantJob
from server.kit.db import fetch
from server.sandbox.engines import Engines
from tests.support.databases import ROOT, Database
from tests.support.grants import CHECKER, coupons_of, enrol, ordered
from tests.support.jobs import job_environment, open_jobs
from tests.support.patience import until
from wallet.audit import prove

pytestmark = pytest.mark.fault

RESIDENTS, PER_SECOND, KILLS = 1_500, 300, 3
#: Every posting of the template's coupons, answered or not.
POSTED = "SELECT count(*) AS n, count(DISTINCT owner) AS owners FROM vault.journal WHERE op = 2 AND st = 0"


def worker(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """`chengxin worker` in a process of its own."""
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "server.cli", "worker"],
            env=os.environ | environment | {"PYTHONPATH": str(ROOT)}, cwd=ROOT, stdout=out, stderr=out,
        )  # fmt: skip


async def test_a_grant_job_killed_with_9_and_started_again_gives_each_resident_exactly_one(
    engines: Engines, fresh_database: Database, tmp_path: Path
) -> None:
    environment = job_environment(engines, fresh_database)
    async with open_jobs(engines, fresh_database) as services:
        people = await enrol(RESIDENTS)
        job = (await ordered(services, people, per_second=PER_SECOND)).row.id
        await services.grant_jobs.approve(job, CHECKER)
        killed_at = [0]
        for number in range(KILLS):
            process = worker(environment, tmp_path / f"worker-{number}.log")

            async def further() -> bool:
                assert process.poll() is None, (tmp_path / f"worker-{number}.log").read_text()  # noqa: B023
                return (await fetch(POSTED))[0]["n"] > killed_at[-1] + 20

            try:
                await until("more coupons given", further, every_s=0.01)
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
            killed_at.append((await fetch(POSTED))[0]["n"])
            # The job is claimed by a process that is dead; nobody waits that long here.
            await fetch("UPDATE job SET claimed_until = clock_timestamp() WHERE kind = $1 AND claim IS NOT NULL", KIND)
        assert 0 < killed_at[1] < killed_at[-1] < RESIDENTS, f"killed in the middle each time, after {killed_at}"

        last = worker(environment, tmp_path / "last.log")

        async def settled() -> bool:
            assert last.poll() is None, (tmp_path / "last.log").read_text()
            row = await GrantJob.get(id=job)
            return row.status == "finished" and row.posted + row.refused == row.owed

        try:
            await until("the job's end", settled)
        finally:
            last.terminate()
            last.wait()
        done = await GrantJob.get(id=job)
        assert (done.owed, done.posted, done.refused) == (RESIDENTS, RESIDENTS, 0)
        assert await coupons_of(people) == dict.fromkeys(people, 1)
        assert (await fetch(POSTED))[0] == {"n": RESIDENTS, "owners": RESIDENTS}
    assert [one for one in await prove(fresh_database.worker) if one.broken] == []
    print(f"killed after {killed_at[1:]} of {RESIDENTS} coupons; 0 lost, 0 given twice")
