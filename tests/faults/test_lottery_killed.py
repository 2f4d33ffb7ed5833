"""A lottery's worker is killed with -9 while it lists, draws, ranks and owes prizes: the result is the one that the
file proves, and every winner has one coupon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from server.incentives.lottery.published import Prize
from server.kit.db import fetch
from server.sandbox.engines import Engines
from tests.support.databases import ROOT, Database
from tests.support.jobs import job_environment
from tests.support.lottery_house import open_lotteries
from tests.support.patience import until
from wallet.audit import prove

pytestmark = pytest.mark.fault

ENTRIES, PRIZES = 20_000, 3_000
#: Where the worker is killed: a state that its job has between two of its pages.
STAGES = {
    "the list": "kind = 'lottery_list' AND state ? 'after'",
    "the scores": "kind = 'lottery_draw' AND state ? 'kept'",
    "the winners": "kind = 'lottery_draw' AND state ->> 'phase' = 'rank'",
    "the prizes": "kind = 'lottery_prizes' AND state ? 'rank'",
}
#: A page takes long enough to be seen.
SLOWLY = """
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END$$;
CREATE TRIGGER slowly AFTER UPDATE OF state ON job FOR EACH ROW EXECUTE FUNCTION slowly();
GRANT EXECUTE ON FUNCTION slowly() TO chengxin_app, chengxin_worker;
ALTER TABLE lottery_entry DISABLE TRIGGER lottery_entry_open;
"""
CROWD = """
INSERT INTO lottery_entry (lottery_id, resident_id, code, tickets, sources, entered_at)
SELECT $1, 8000000 + n, substr(upper(encode(sha256(n::text::bytea), 'hex')), 1, 20), 1 + n % 3, '["resident"]', now()
FROM generate_series(1, $2::bigint) n
"""
SETTLED = """
SELECT l.owed_at IS NOT NULL AS owed, count(g.id) AS grants, count(g.id) FILTER (WHERE g.status = 'posted') AS posted
FROM lottery l LEFT JOIN coupon_grant g ON g.source = 'lottery' WHERE l.id = $1 GROUP BY l.id
"""
COUPONS = """
SELECT count(*) AS winners, count(DISTINCT w.resident_id) AS people,
  (SELECT count(*) FROM vault.coupon c) AS coupons,
  count(*) FILTER (WHERE (SELECT count(*) FROM vault.coupon c
                          WHERE c.owner = w.resident_id AND c.b = w.resident_id & 1023) = 1) AS with_one
FROM lottery_winner w WHERE w.lottery_id = $1
"""


def worker(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """`chengxin worker` in a process of its own."""
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "server.cli", "worker"],
            env=os.environ | environment | {"PYTHONPATH": str(ROOT)}, cwd=ROOT, stdout=out, stderr=out,
        )  # fmt: skip


async def test_a_lottery_whose_worker_is_killed_with_9_at_every_stage_is_drawn_once_and_truly(
    engines: Engines, fresh_database: Database, tmp_path: Path
) -> None:
    environment = job_environment(engines, fresh_database)
    async with open_lotteries(engines, fresh_database) as house:
        template = str(await house.template(stock=PRIZES))
        prizes = (Prize(1, "大奖", template, 1), Prize(2, "小奖", template, PRIZES - 1))
        lottery = (await house.published(max_tickets=3, prizes=prizes)).id
        await house.ledger.owner.execute(SLOWLY)
        await house.ledger.owner.execute(CROWD, lottery, ENTRIES)
        await house.pass_time(hours=2)
        for stage, where in STAGES.items():
            log = tmp_path / f"{stage}.log"
            process = worker(environment, log)

            async def reached() -> bool:
                assert process.poll() is None, log.read_text()  # noqa: B023
                return bool(await fetch(f"SELECT FROM job WHERE {where}"))  # noqa: B023

            try:
                await until(stage, reached, every_s=0.01)
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
            assert await fetch(f"SELECT FROM job WHERE {where}"), f"killed in the middle of {stage}"
            # The job is claimed by a process that is dead; nobody waits that long here.
            await fetch("UPDATE job SET claimed_until = clock_timestamp() WHERE claim IS NOT NULL")

        last = worker(environment, tmp_path / "last.log")

        async def settled() -> bool:
            assert last.poll() is None, (tmp_path / "last.log").read_text()
            (row,) = await fetch(SETTLED, lottery)
            return bool(row["owed"]) and row["grants"] == row["posted"]

        try:
            await until("every prize given", settled, every_s=0.2)
        finally:
            last.terminate()
            last.wait()
        verdict = await house.verdict(lottery)
        assert (verdict.holds, verdict.listed.entries, verdict.winners) == (True, ENTRIES, PRIZES), verdict.checks
        (seen,) = await fetch(COUPONS, lottery)
        assert set(seen.values()) == {PRIZES}, seen
        assert await fetch("SELECT FROM lottery_score") == []
    assert [one for one in await prove(fresh_database.worker) if one.broken] == []
