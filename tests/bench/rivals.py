"""`pgbench` from the embedded engine: the same single call as the house makes, without the house."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import asyncpg

from server.sandbox.engines import EngineUrls

CLIENTS, THREADS = 16, 2
DOORS = {"app": "post_batch", "worker": "post_internal"}
LOG = "pgbench-calls"
SCHEMA = (
    "CREATE SCHEMA IF NOT EXISTS bench",
    "CREATE TABLE IF NOT EXISTS bench.item (n bigint PRIMARY KEY, item text NOT NULL)",
    # Every session takes numbers in handfuls, so that drawing one costs next to nothing.
    "CREATE SEQUENCE IF NOT EXISTS bench.next CACHE 32",
    "GRANT USAGE ON SCHEMA bench TO chengxin_app, chengxin_worker",
    "GRANT SELECT ON bench.item TO chengxin_app, chengxin_worker",
    "GRANT USAGE ON SEQUENCE bench.next TO chengxin_app, chengxin_worker",
)
#: In parentheses so that the number is drawn once per call, not once per row. Clients have lanes of their own, as many
#: as a budget has slots: on one slot they would wait for each other's commits.
SLOTS = 8
SCRIPT = """SELECT * FROM vault.{door}(0::smallint,
  (SELECT item FROM bench.item WHERE n = (SELECT nextval('bench.next')))::jsonb, (:client_id % {slots})::smallint);
"""


class RoundInvalid(RuntimeError):
    """A round that did not do what it claims to measure; says what it saw."""


class Pgbench:
    """Rounds of pgbench as one of the two roles over TCP, with prepared statements."""

    def __init__(self, binaries: Path, urls: EngineUrls, database: str, folder: Path) -> None:
        self._program, self._folder = binaries / "pgbench", folder
        self._superuser = urls.dsn("superuser", database)
        self._environment = os.environ | {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(urls.postgres_port),
            "PGDATABASE": database,
        }
        self._passwords = urls.passwords

    async def load(self, items: Sequence[str]) -> None:
        """Replaces the items; each is one batch of one as JSON text."""
        connection = await asyncpg.connect(self._superuser)
        try:
            for statement in SCHEMA:
                await connection.execute(statement)
            await connection.execute("TRUNCATE bench.item")
            await connection.execute("SELECT setval('bench.next', 1, false)")
            await connection.copy_records_to_table("item", schema_name="bench", records=list(enumerate(items, 1)))
            await connection.execute("VACUUM ANALYZE bench.item")
        finally:
            await connection.close()

    async def round(
        self, seconds: float, items: int, role: Literal["app", "worker"] = "app"
    ) -> tuple[float, float, float, int]:
        """Calls per second, p50 and p99 in ms, calls; through the role's own door. Raises `RoundInvalid` when a call or
        the items failed."""
        for stale in self._folder.glob(f"{LOG}*"):
            stale.unlink()
        script = self._folder / "call.sql"
        script.write_text(SCRIPT.format(door=DOORS[role], slots=SLOTS))
        process = await asyncio.create_subprocess_exec(
            self._program,
            "-n",
            "-M",
            "prepared",
            "-c",
            str(CLIENTS),
            "-j",
            str(THREADS),
            "-T",
            str(max(1, round(seconds))),
            "-f",
            str(script),
            "-l",
            f"--log-prefix={self._folder / LOG}",
            env=self._environment | {"PGUSER": f"chengxin_{role}", "PGPASSWORD": self._passwords[role]},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        said = out.decode()
        figures = {
            name: re.search(pattern, said)
            for name, pattern in {
                "tps": r"tps = ([0-9.]+)",
                "calls": r"number of transactions actually processed: (\d+)",
                "failed": r"number of failed transactions: (\d+)",
            }.items()
        }
        if process.returncode != 0 or figures["tps"] is None or figures["calls"] is None:
            raise RoundInvalid(f"pgbench ended with {process.returncode}: {err.decode()[-500:]}")
        calls, failed = int(figures["calls"][1]), int(figures["failed"][1]) if figures["failed"] else 0
        if failed or calls + CLIENTS * 32 > items:
            raise RoundInvalid(f"pgbench: {failed} calls failed, {calls} calls for {items} items")
        took_us = sorted(
            int(line.split()[2]) for log in self._folder.glob(f"{LOG}*") for line in log.read_text().splitlines()
        )
        return float(figures["tps"][1]), _at(took_us, 0.5), _at(took_us, 0.99), calls


def _at(took_us: list[int], share: float) -> float:
    """The latency in ms that this share of calls stays below."""
    return took_us[int(len(took_us) * share)] / 1000
