"""One round of each kind: fresh stock, rendered requests, the load from its own process, every answer checked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import asyncpg
import httpx
import psutil

from server.sandbox.engine_postgres import free_port
from server.sandbox.house import ROOT
from tests.bench.load import pack
from tests.bench.rivals import Pgbench, RoundInvalid
from tests.support.databases import Database
from tests.support.rawhttp import render
from tests.support.stock import Piece, Stock, as_batch, redeem_item, scan_item
from tests.support.town import Town
from wallet.audit import prove

#: Stock of a round: what the last round of its kind suggests and more; before the first, this many a second.
GUESS_PER_SECOND, MARGIN, SPARE = 4000, 1.6, 1500
READY_WITHIN_S = 40
REDEEM, VERIFY = "/api/mp/v1/merchant/redemptions", "/api/mp/v1/merchant/verifications"

Kind = Literal["redemption", "verification"]
Round = dict[str, float]


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
    """Where rounds are run; knows from earlier rounds how much stock the next needs."""

    def __init__(
        self, stock: Stock, pgbench: Pgbench, database: Database, folder: Path, connections: int, postgres_pid: int
    ) -> None:
        self._stock, self._pgbench, self._database, self._folder = stock, pgbench, database, folder
        self._connections, self._postgres_pid = connections, postgres_pid
        self._rates: dict[object, float] = {}

    async def redemptions(self, server: HttpServer, seconds: float) -> Round:
        """Every ticket once; 201 and not a replay, or the round is invalid. `batch`: redemptions per vault call."""
        pieces = await self._fresh(server, seconds, claimed=True)
        requests = [
            render("POST", REDEEM, token=piece.till.token, body={"ticket": self._stock.ticket(piece)})
            for piece in pieces
        ]
        begun = datetime.now(UTC)
        found = await self._load(server, seconds, requests, expect="201", contains='"redeemed_at"')
        done, calls = await self._row(
            "SELECT count(*), count(DISTINCT txid) FROM vault.journal WHERE op = 3 AND at >= $1", begun
        )
        if done != found["answers"]:
            raise RoundInvalid(f"{found['answers']} answers 201, {done} redemptions in the journal")
        self._rates[server] = found["per_second"]
        return self._figures(found) | {"batch": done / calls}

    async def verifications(self, server: HttpServer, seconds: float) -> Round:
        """Every code once, at its time; `usable`, or the round is invalid."""
        key = (server, "verification")
        pieces = await self._fresh(key, seconds, claimed=False)
        unix_s = time.time() + seconds / 2
        requests = [
            render("POST", VERIFY, token=piece.till.token, body={"code": self._stock.code(piece, unix_s)})
            for piece in pieces
        ]
        found = await self._load(server, seconds, requests, expect="200", contains='"usable"')
        self._rates[key] = found["per_second"]
        return self._figures(found)

    async def empty_route(self, server: HttpServer, seconds: float) -> Round:
        """The route that does nothing: what the framework costs."""
        found = await self._load(
            server, seconds, [render("GET", "/healthz")], expect="200", contains="ok", forever=True
        )
        return self._figures(found)

    async def pgbench_round(self, kind: Kind, seconds: float) -> Round:
        """The same items as single calls of pgbench; what the vault holds afterwards must be what pgbench counted."""
        key = ("pgbench", kind)
        pieces = await self._fresh(key, seconds, claimed=kind == "redemption")
        make = redeem_item if kind == "redemption" else scan_item
        await self._pgbench.load([as_batch(make(piece)) for piece in pieces])
        await self._calm()
        sql = (
            "SELECT count(*) FROM vault.redemption"
            if kind == "redemption"
            else "SELECT count(*) FROM vault.credential WHERE state = 'claimed'"
        )
        (before,) = await self._row(sql)
        per_second, p50_ms, p99_ms, calls = await self._pgbench.round(seconds, len(pieces))
        (after,) = await self._row(sql)
        if after - before != calls:
            raise RoundInvalid(f"pgbench made {calls} calls, the vault shows {after - before} {kind}s")
        self._rates[key] = per_second
        return {"per_second": per_second, "p50_ms": p50_ms, "p99_ms": p99_ms}

    async def prove(self) -> None:
        """The books must balance after all that. Raises `RoundInvalid`."""
        broken = [finding for finding in await prove(self._database.worker) if finding.broken]
        if broken:
            raise RoundInvalid(f"check-ledger expected no finding, saw {broken}")

    async def _fresh(self, key: object, seconds: float, *, claimed: bool) -> list[Piece]:
        return await self._stock.lay_in(
            int(self._rates.get(key, GUESS_PER_SECOND) * MARGIN * seconds) + SPARE, claimed=claimed
        )

    async def _load(
        self,
        server: HttpServer,
        seconds: float,
        requests: list[bytes],
        *,
        expect: str,
        contains: str,
        forever: bool = False,
    ) -> dict[str, Any]:
        packed, plan = self._folder / "requests", self._folder / "plan.json"
        packed.write_bytes(pack(requests))
        plan.write_text(
            json.dumps(
                {
                    "port": server.port,
                    "connections": self._connections,
                    "seconds": seconds,
                    "requests": str(packed),
                    "expect": expect,
                    "contains": contains,
                    "forever": forever,
                }
            )
        )
        await self._calm()
        before = _cpu_s(server.pid), _cpu_s(self._postgres_pid)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.bench.load",
            str(plan),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode != 0:
            raise RoundInvalid(f"the load generator ended with {process.returncode}: {err.decode()[-500:]}")
        found: dict[str, Any] = json.loads(out)
        found["server_cpus"] = (_cpu_s(server.pid) - before[0]) / found["seconds"]
        found["postgres_cpus"] = (_cpu_s(self._postgres_pid) - before[1]) / found["seconds"]
        if found["wrong"]:
            raise RoundInvalid(
                f"{found['wrong']} of {found['answers']} answers are not {expect} with {contains}: {found['strange']}"
            )
        return found

    @staticmethod
    def _figures(found: dict[str, Any]) -> Round:
        return {
            "per_second": found["per_second"],
            "p50_ms": found["p50_ms"],
            "p99_ms": found["p99_ms"],
            "load_cpus": found["cpu_share"],
            "server_cpus": found["server_cpus"],
            "postgres_cpus": found["postgres_cpus"],
        }

    async def _calm(self) -> None:
        """What laying in the stock left for later happens now, not in somebody's round."""
        connection = await asyncpg.connect(self._database.superuser)
        try:
            await connection.execute("ANALYZE")
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()

    async def _row(self, sql: str, *args: object) -> asyncpg.Record:
        connection = await asyncpg.connect(self._database.worker)
        try:
            row = await connection.fetchrow(sql, *args)
            assert row is not None
            return row
        finally:
            await connection.close()


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process and its children so far."""
    top = psutil.Process(pid)
    total = 0.0
    for process in (top, *top.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system
    return total
