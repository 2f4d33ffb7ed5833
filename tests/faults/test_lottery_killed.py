"""A lottery's worker is killed with -9 while it lists, draws, ranks and owes prizes: the result is the one that the
file proves, and every winner has one coupon."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.incentives.lottery.published import Prize
from server.kit.db import fetch
from server.sandbox.engines import Engines
from tests.support.databases import Database
from tests.support.jobs import job_environment
from tests.support.killing import Workers, slowly
from tests.support.lottery_house import open_lotteries
from wallet.audit import prove

pytestmark = pytest.mark.fault

ENTRIES, PRIZES = 800, 120
PAGES = {"server.incentives.lottery.drawing.PAGE": 200, "server.incentives.lottery.drawing.OWED_PAGE": 20}
#: Where the worker is killed: a state that its job has between two of its pages.
STAGES = {
    "the list": "kind = 'lottery_list' AND state ? 'after'",
    "the scores": "kind = 'lottery_draw' AND state ? 'kept'",
    "the winners": "kind = 'lottery_draw' AND state ->> 'phase' = 'rank'",
    "the prizes": "kind = 'lottery_prizes' AND state ? 'rank'",
}
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


async def test_a_lottery_whose_worker_is_killed_with_9_at_every_stage_is_drawn_once_and_truly(
    engines: Engines, fresh_database: Database, tmp_path: Path
) -> None:
    workers = Workers(job_environment(engines, fresh_database), tmp_path, PAGES)
    async with open_lotteries(engines, fresh_database) as house:
        template = str(await house.template(stock=PRIZES))
        prizes = (Prize(1, "大奖", template, 1), Prize(2, "小奖", template, PRIZES - 1))
        lottery = (await house.published(max_tickets=3, prizes=prizes)).id
        await slowly(house.ledger)
        await house.ledger.owner.execute("ALTER TABLE lottery_entry DISABLE TRIGGER lottery_entry_open")
        await house.ledger.owner.execute(CROWD, lottery, ENTRIES)
        await house.pass_time(hours=2)
        for stage, where in STAGES.items():

            async def reached() -> bool:
                return bool(await fetch(f"SELECT FROM job WHERE {where}"))  # noqa: B023

            await workers.kill_when(stage, reached)
            assert await reached(), f"killed in the middle of {stage}"

        async def settled() -> bool:
            (row,) = await fetch(SETTLED, lottery)
            return bool(row["owed"]) and row["grants"] == row["posted"]

        await workers.finish("every prize given", settled)
        verdict = await house.verdict(lottery)
        assert (verdict.holds, verdict.listed.entries, verdict.winners) == (True, ENTRIES, PRIZES), verdict.checks
        (seen,) = await fetch(COUPONS, lottery)
        assert set(seen.values()) == {PRIZES}, seen
        assert await fetch("SELECT FROM lottery_score") == []
    assert [one for one in await prove(fresh_database.worker) if one.broken] == []
