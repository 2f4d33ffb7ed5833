"""A month ends while the city spends: the job that books breakage is killed with -9 in the middle and started again.

What is lost: nothing. Every wallet is booked once, and every posting meanwhile is answered as if no job ran.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from server.kit.passes import LEASE_S
from server.sandbox.engines import Engines
from tests.support.databases import ROOT, Database, connected
from tests.support.intents import INTENTS, Field, Mixture, settle
from tests.support.jobs import job_environment
from tests.support.ledger import Ledger, open_ledger
from tests.support.patience import until
from tests.support.posters import Posters

pytestmark = pytest.mark.fault

WALLETS, POINTS = INTENTS // 2, 10
GONE_DAYS = 62
EXPIRED = "SELECT count(*) FROM vault.journal WHERE op = 7 AND st = 0"


def expire_points(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """`chengxin expire-points` in a process of its own."""
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "server.cli", "expire-points"],
            env=os.environ | environment | {"PYTHONPATH": str(ROOT)}, cwd=ROOT, stdout=out, stderr=out,
        )  # fmt: skip


async def lapsing(ledger: Ledger) -> list[int]:
    """Residents whose points end with the next month."""
    terms = await ledger.campaign(points=POINTS, months=1)
    people = [await ledger.resident() for _ in range(WALLETS)]
    for begin in range(0, WALLETS, 500):
        await asyncio.gather(*(ledger.earn(one, terms) for one in people[begin : begin + 500]))
    return people


async def test_breakage_is_booked_once_though_its_job_is_killed_while_everybody_spends(
    engines: Engines, fresh_database: Database, tmp_path: Path
) -> None:
    async with open_ledger(fresh_database) as ledger:
        people = await lapsing(ledger)
        await ledger.move_clock(days=GONE_DAYS)
        await ledger.worker.ensure_partitions(3)
        field = await Field.laid_out(ledger)

    async def kill_and_start_again(mixture: Mixture) -> None:
        slow = job_environment(engines, fresh_database, expiry_per_second=str(WALLETS // 3))
        killed = expire_points(slow, tmp_path / "killed.log")
        async with connected(fresh_database.owner) as owner:

            async def some_are_booked() -> bool:
                assert killed.poll() is None, (tmp_path / "killed.log").read_text()
                return await owner.fetchval(EXPIRED) > 0

            try:
                await until("the first wallets booked", some_are_booked)
            finally:
                killed.send_signal(signal.SIGKILL)
                killed.wait()
            before = await owner.fetchval(EXPIRED)
            assert 0 < before < WALLETS, f"killed in the middle, after {before} of {WALLETS}"
            # The pass is leased to a process that is dead; nobody waits that long here.
            await owner.execute(
                "CREATE OR REPLACE FUNCTION vault.now() RETURNS timestamptz LANGUAGE sql VOLATILE AS "
                f"$$SELECT clock_timestamp() + interval '{GONE_DAYS} days {LEASE_S + 1} seconds'$$"
            )
            again = expire_points(job_environment(engines, fresh_database), tmp_path / "again.log")
            status = await asyncio.to_thread(again.wait, 300)
            assert status == 0, (tmp_path / "again.log").read_text()

    async with Posters.started(fresh_database.app, fresh_database.worker) as posters:
        mixture = Mixture(field, posters, intents=2 * INTENTS, seed=51, ahead=timedelta(days=GONE_DAYS))
        await mixture.run(kill_and_start_again)
    async with connected(fresh_database.owner) as owner:
        booked = await owner.fetch("SELECT owner, count(*) AS n, sum(d_peer)::bigint AS points FROM vault.journal"
                                   " WHERE op = 7 AND st = 0 GROUP BY owner")  # fmt: skip
        assert {row["owner"]: (row["n"], row["points"]) for row in booked} == dict.fromkeys(people, (1, POINTS))
    print(await settle(mixture, fresh_database))
