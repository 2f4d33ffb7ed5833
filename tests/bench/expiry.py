"""Breakage: wallets whose points are past their day, and `chengxin expire-points` that books them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping

import psutil

from server.sandbox.house import ROOT
from tests.bench.rivals import RoundInvalid
from tests.support.databases import Database, connected
from wallet.items import Op

FIRST_OWNER, BUDGET = 3 << 40, 3 << 42
POINTS = 10
LOOK_EVERY_S = 0.1
#: No bound on the job's pace.
FLAT_OUT = {"CHENGXIN_EXPIRY_PER_SECOND": "1000000", "CHENGXIN_EXPIRY_SHARE": "100"}

#: What an earning of last month's first day left that lives until last month's end, for residents $1 to $1 + $2 - 1.
LAY_IN = (
    """INSERT INTO vault.wallet (b, owner, seq, points_avail, lot_expiry, lot_points)
       SELECT n & 1023, n, 1, $3::bigint, ARRAY[date_trunc('month', vault.today())::date - 1], ARRAY[$3::bigint]
       FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) n""",
    """INSERT INTO vault.journal (b, owner, id, seq, op, st, d_avail, d_held, d_peer, peer, avail_after, held_after,
         terms, takes, lots, detail, hash, at)
       SELECT n & 1023, n, (lpad(to_hex((extract(epoch FROM begun) * 1000)::bigint), 12, '0') || '8'
           || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
         1, 1, 0, $3::bigint, 0, -$3::bigint, $4::bigint, $3::bigint, 0, $4::bigint,
         jsonb_build_array(jsonb_build_array($4::bigint, 0, $3::bigint)),
         jsonb_build_array(jsonb_build_array(day, $3::bigint)),
         jsonb_build_object('points', $3::bigint, 'expires_on', day, 'earned_on', begun::date), '\\x00', begun
       FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) n,
         (SELECT date_trunc('month', vault.today())::date - 1 AS day,
            date_trunc('month', vault.today() - interval '1 month') + interval '12 hours' AS begun) x""",
)


class Expiry:
    """Lays lots in and has them booked, in a process that is watched."""

    def __init__(self, database: Database, environment: Mapping[str, str]) -> None:
        self._database, self._environment = database, environment
        self._next = FIRST_OWNER

    async def lay_in(self, count: int) -> None:
        """`count` more wallets with points past their day, as the vault's functions would have left them."""
        async with connected(self._database.owner) as connection:
            await connection.execute("SET statement_timeout = 0")
            async with connection.transaction():
                await connection.execute("SELECT vault.create_budget($1, 'points', 1::smallint)", BUDGET)
                # Half of a top-up is leased to the one slot.
                put = "SELECT vault.put_budget_entry($1, gen_random_uuid(), 'topup', $2, 1, 2, 'bench')"
                await connection.execute(put, BUDGET, 4 * POINTS * count)
                for statement in LAY_IN:
                    arguments = (self._next, count, POINTS, BUDGET)
                    await connection.execute(statement, *arguments[: 3 if "wallet" in statement[:30] else 4])
                await connection.execute(
                    "UPDATE vault.slot SET avail = avail - $2 WHERE budget = $1 AND slot = 0", BUDGET, POINTS * count
                )
        self._next += count

    async def book(self, count: int, since: int, changes: Mapping[str, str] | None = None) -> dict[str, float]:
        """Runs the job until all of them are booked: lots a second, from the first row to the last, and MiB at most."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "server.cli", "expire-points", "--again",
            env=os.environ | self._environment | (changes or {}), cwd=ROOT,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        watching = asyncio.create_task(peak_bytes(process.pid))
        _, err = await process.communicate()
        if process.returncode != 0:
            raise RoundInvalid(f"expire-points ended with {process.returncode}: {err.decode()[-500:]}")
        async with connected(self._database.worker) as connection:
            row = await connection.fetchrow(
                "SELECT count(*) AS n, extract(epoch FROM max(at) - min(at))::float8 AS took_s FROM vault.journal"
                " WHERE op = $1 AND txid >= $2", Op.EXPIRE_POINTS, since, timeout=600,
            )  # fmt: skip
        assert row is not None
        if row["n"] != count:
            raise RoundInvalid(f"{count} lots were past their day, {row['n']} booked")
        return {"per_second": count / row["took_s"], "peak_mib": await watching / 2**20}


async def peak_bytes(pid: int) -> int:
    """The most memory a process had resident, looked at ten times a second until it ended."""
    peak = 0
    try:
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            peak = max(peak, process.memory_info().rss)
            await asyncio.sleep(LOOK_EVERY_S)
    except psutil.NoSuchProcess:
        pass
    return peak
