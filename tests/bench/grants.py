"""A grant job for many: its list laid in, given by `chengxin worker` in a process that is watched."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping

from server.incentives.grants.jobs import KIND, PER_SECOND_MAX
from server.sandbox.house import ROOT
from tests.bench.expiry import peak_bytes
from tests.bench.rivals import RoundInvalid
from tests.support.databases import Database, connected
from wallet.items import Op

FIRST_OWNER = 7 << 40
LOOK_EVERY_S = 0.25

WALLETS = "INSERT INTO vault.wallet (b, owner) SELECT n & 1023, n FROM generate_series($1::bigint, $2::bigint) n"
LIST = """
INSERT INTO recipient_list (name, status, taken, unknown, repeated, unreadable, created_by, created_at)
VALUES ('bench', 'ready', $1, 0, 0, 0, 1, now()) RETURNING id
"""
RECIPIENTS = "INSERT INTO recipient (list_id, resident_id) SELECT $3, n FROM generate_series($1::bigint, $2::bigint) n"
JOB = """
INSERT INTO grant_job (template_id, list_id, per_second, document, note, status, why, recipients, position, owed,
  posted, refused, created_by, created_at, approved_by, approved_at)
VALUES ($1, $2, $3, 'bench', '', 'running', '', $4, 0, 0, 0, 0, 1, now(), 2, now()) RETURNING id
"""
TASK = """
INSERT INTO job (kind, key, stream, payload, state, status, attempts, due_at, error, created_at)
VALUES ($1, $2::bigint::text, '', jsonb_build_object('job_id', $2::bigint::text), '{}', 'due', 0, now(), '', now())
"""
TOOK = """
SELECT count(*) AS n, count(DISTINCT owner) AS owners, extract(epoch FROM max(at) - min(at))::float8 AS took_s
FROM vault.journal WHERE op = $1 AND st = 0 AND owner BETWEEN $2 AND $3
"""


class Grants:
    """Gives coupons of one template."""

    def __init__(self, database: Database, environment: Mapping[str, str], template: int) -> None:
        self._database, self._environment, self._template = database, environment, template
        self._next = FIRST_OWNER

    async def give(self, count: int) -> dict[str, float]:
        """One coupon to each of `count` more residents: coupons a second, from the first row to the last, and the
        worker's MiB at most. Raises `RoundInvalid` unless each has exactly one."""
        first, last = self._next, self._next + count - 1
        self._next += count
        async with connected(self._database.owner) as owner:
            await owner.execute("SET statement_timeout = 0")
            await owner.execute(WALLETS, first, last)
            list_id = await owner.fetchval(LIST, count)
            await owner.execute(RECIPIENTS, first, last, list_id)
            await owner.execute("ANALYZE recipient")
            job = await owner.fetchval(JOB, self._template, list_id, PER_SECOND_MAX, count)
            await owner.execute(TASK, KIND, job)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "server.cli", "worker", env=os.environ | self._environment, cwd=ROOT,
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            watching = asyncio.create_task(peak_bytes(process.pid))
            settled = "SELECT status = 'finished' AND posted + refused = owed FROM grant_job WHERE id = $1"
            while not await owner.fetchval(settled, job):
                if process.returncode is not None:
                    raise RoundInvalid(f"the worker ended with {process.returncode}")
                await asyncio.sleep(LOOK_EVERY_S)
            process.terminate()
            await process.wait()
            row = await owner.fetchrow(TOOK, Op.CLAIM, first, last)
        assert row is not None
        if (row["n"], row["owners"]) != (count, count):
            raise RoundInvalid(f"{count} residents, {row['n']} coupons of {row['owners']}")
        return {"per_second": count / row["took_s"], "peak_mib": await watching / 2**20}
