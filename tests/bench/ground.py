"""What every round stands on: an HTTP server, the load from its own process, pgbench, callers in Python, CPU shares,
and the count in the journal that must be what was answered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import asyncpg
import httpx
import msgspec
import psutil

from server.sandbox.engine_postgres import free_port
from server.sandbox.house import ROOT
from tests.bench.load import pack
from tests.bench.rivals import Pgbench, RoundInvalid
from tests.support.databases import Database, connected
from tests.support.stock import as_batch
from tests.support.town import Town
from wallet.audit import prove
from wallet.items import Item

READY_WITHIN_S = 40
#: Lanes of the callers in Python; the HTTP processes have the lower ones.
FIRST_LANE = 4

Round = dict[str, float]
Role = Literal["app", "worker"]


@dataclass(frozen=True)
class HttpServer:
    """`chengxin serve` with its processes."""

    port: int
    pid: int

    @classmethod
    @asynccontextmanager
    async def beside(cls, town: Town, changes: Mapping[str, str]) -> AsyncIterator[HttpServer]:
        """A second server on the same database with other settings; idle while the other is measured."""
        port = free_port()
        environment = os.environ | town.house.environment | changes | {"CHENGXIN_PORT": str(port)}
        process = subprocess.Popen(  # noqa: ASYNC220 ends with the block
            [sys.executable, "-m", "server.cli", "serve"],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                for _ in range(READY_WITHIN_S * 10):
                    with contextlib.suppress(httpx.HTTPError):
                        if (await client.get("/readyz")).status_code == httpx.codes.OK:
                            break
                    await asyncio.sleep(0.1)
            yield cls(port, process.pid)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait)


class Ground:
    """Runs one load at a time on one database and measures it."""

    def __init__(self, pgbench: Pgbench, database: Database, folder: Path, connections: int, postgres_pid: int) -> None:
        self._pgbench, self._database, self._folder = pgbench, database, folder
        self._connections, self._postgres_pid = connections, postgres_pid
        self.calming = True

    async def http(
        self,
        server: HttpServer,
        requests: Sequence[bytes],
        seconds: float,
        *,
        expect: str,
        contains: str,
        forever: bool = False,
        rate: float | None = None,
    ) -> tuple[Round, int]:
        """The figures, and how many answers there were: all of them as expected, or the round is invalid."""
        found, shares = await self._load(
            server, requests, seconds, expect=expect, contains=contains, forever=forever, rate=rate
        )
        return {**_figures(found), "load_cpus": found["cpu_share"], **shares}, found["answers"]

    async def crowd(
        self, server: HttpServer, requests: Sequence[bytes], seconds: float, kinds: Mapping[str, tuple[str, str]],
        connections: int,
    ) -> dict[str, Any]:  # fmt: skip
        """Every request once over so many connections: what the load found, with every answer one of these kinds."""
        found, shares = await self._load(server, requests, seconds, kinds=kinds, connections=connections, forever=False)
        return found | shares

    async def _load(
        self, server: HttpServer, requests: Sequence[bytes], seconds: float, **more: Any
    ) -> tuple[dict[str, Any], Round]:
        packed, plan = self._folder / "requests", self._folder / "plan.json"
        packed.write_bytes(pack(list(requests)))
        plan.write_text(
            json.dumps(
                {
                    "port": server.port,
                    "connections": self._connections,
                    "seconds": seconds,
                    "requests": str(packed),
                    **more,
                }
            )
        )
        return await self._run("tests.bench.load", plan, server.pid)

    async def callers(
        self, items: Sequence[Item], seconds: float, *, role: Role, lanes: int, callers: int, batch: int = 128
    ) -> tuple[Round, int]:
        """Callers in a Python process of their own post items, through lanes or one by one (`lanes` 0)."""
        listed, plan = self._folder / "items.json", self._folder / "plan.json"
        listed.write_bytes(msgspec.json.encode(list(items)))
        plan.write_text(
            json.dumps(
                {
                    "dsn": self._database.app if role == "app" else self._database.worker,
                    "function": "post_batch" if role == "app" else "post_internal",
                    "first": FIRST_LANE,
                    "lanes": lanes,
                    "batch": batch,
                    "callers": callers,
                    "seconds": seconds,
                    "items": str(listed),
                }
            )
        )
        found, shares = await self._run("tests.bench.callers", plan, None)
        return {
            **_figures(found), "batch": found["batch"], "callers_cpus": found["cpu_share"], **shares
        }, found["answers"]  # fmt: skip

    async def pgbench(self, items: Sequence[Item], seconds: float, *, role: Role = "app") -> tuple[Round, int]:
        """The same items as single calls of pgbench."""
        await self._pgbench.load([as_batch(item) for item in items])
        await self.calm()
        before = cpu_s(self._postgres_pid)
        per_second, p50_ms, p99_ms, calls = await self._pgbench.round(seconds, len(items), role)
        share = (cpu_s(self._postgres_pid) - before) * per_second / calls
        return {"per_second": per_second, "p50_ms": p50_ms, "p99_ms": p99_ms, "postgres_cpus": share}, calls

    async def booked(self, op: int, since: int) -> tuple[int, float]:
        """Journal rows of an operation since a transaction number, and how many of them a call wrote."""
        count, calls = await self.row(
            "SELECT count(*), count(DISTINCT txid) FROM vault.journal WHERE op = $1 AND txid >= $2 AND st = 0",
            op,
            since,
        )
        return count, count / max(calls, 1)

    async def mark(self) -> int:
        """The transaction number from which a round counts."""
        (txid,) = await self.row("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        return int(txid)

    async def _wal(self) -> int:
        """How many bytes of WAL were written so far."""
        (position,) = await self.row("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
        return int(position)

    async def prove(self) -> None:
        """The books must balance after all that. Raises `RoundInvalid`."""
        broken = [finding for finding in await prove(self._database.worker) if finding.broken]
        if broken:
            raise RoundInvalid(f"check-ledger expected no finding, saw {broken}")

    async def calm(self) -> None:
        """What laying in the stock left for later happens now, not in somebody's round. Unless `calming` is off: the
        first write to a page after a checkpoint puts the whole page into the WAL."""
        if not self.calming:
            return
        async with connected(self._database.superuser) as connection:
            await connection.execute("SET statement_timeout = 0")
            await connection.execute("ANALYZE")
            await connection.execute("CHECKPOINT")

    async def row(self, sql: str, *args: object) -> asyncpg.Record:
        async with connected(self._database.worker) as connection:
            row = await connection.fetchrow(sql, *args, timeout=600)
            assert row is not None
            return row

    async def _run(self, module: str, plan: Path, server_pid: int | None) -> tuple[dict[str, Any], Round]:
        """A generator's findings, and the CPUs that the others used meanwhile."""
        await self.calm()
        others = {"postgres_cpus": self._postgres_pid} | ({"server_cpus": server_pid} if server_pid else {})
        before, wal = {name: cpu_s(pid) for name, pid in others.items()}, await self._wal()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, str(plan), cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        if process.returncode != 0:
            raise RoundInvalid(f"{module} ended with {process.returncode}: {err.decode()[-500:]}")
        found: dict[str, Any] = json.loads(out)
        if found["wrong"]:
            raise RoundInvalid(
                f"{found['wrong']} of {found['answers']} answers are not as expected: {found['strange']}"
            )
        shares = {name: (cpu_s(pid) - before[name]) / found["seconds"] for name, pid in others.items()}
        return found, shares | {"wal_bytes": (await self._wal() - wal) / found["answers"]}


def _figures(found: Mapping[str, Any]) -> Round:
    return {name: found[name] for name in ("per_second", "p50_ms", "p99_ms")}


async def end_worker(town: Town) -> None:
    """Ends `chengxin worker`: what it does later for a row is no part of a round."""
    worker = town.house.processes.pop("worker")
    worker.terminate()
    await asyncio.to_thread(worker.wait)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and its children so far, those that ended included."""
    top = psutil.Process(pid)
    total = 0.0
    for process in (top, *top.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total
