"""`chengxin serve`'s processes: a killed worker is replaced, a stop is graceful, a killed supervisor leaves nobody."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from server.sandbox.engine_postgres import free_port
from tests.support.databases import Database
from tests.support.patience import PATIENCE_S, until
from tests.support.serving import settings

ROOT = Path(__file__).resolve().parents[2]


def environment(database: Database, port: int, **changes: str) -> dict[str, str]:
    chosen = settings(
        database_url=database.app, worker_database_url=database.worker, port=port, wechat_api_base="http://127.0.0.1:1",
        realname_base="http://127.0.0.1:1",
    )  # fmt: skip
    values = {f"CHENGXIN_{name.upper()}": str(value) for name, value in chosen.model_dump(exclude_none=True).items()}
    return {**os.environ, "PYTHONPATH": str(ROOT), **values, **changes}


@asynccontextmanager
async def supervised(database: Database) -> AsyncIterator[tuple[asyncio.subprocess.Process, httpx.AsyncClient]]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server.supervisor", env=environment(database, port), cwd=ROOT,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, headers={"Connection": "close"})

    async def both_ready() -> bool:
        try:
            text = (await client.get("/metrics")).text
        except httpx.HTTPError:
            return False
        return "chengxin_ready_workers 2.0" in text

    try:
        await until("both workers taking requests", both_ready)
        yield process, client
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        await client.aclose()


@pytest.mark.fault
async def test_a_worker_killed_with_9_is_replaced_while_others_answer(database: Database) -> None:
    async with supervised(database) as (process, client):
        before = {child.pid for child in psutil.Process(process.pid).children()}
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        for _ in range(5):
            assert (await client.get("/healthz")).status_code == 200

        async def replaced() -> bool:
            now = {child.pid for child in psutil.Process(process.pid).children()}
            return len(now) == 2 and victim not in now

        await until("a new worker", replaced)
        assert (await client.get("/readyz")).json()["status"] == "degraded"


@pytest.mark.fault
async def test_a_stop_ends_every_process_with_status_0(database: Database) -> None:
    async with supervised(database) as (process, _):
        workers = psutil.Process(process.pid).children()
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
        assert [worker.pid for worker in workers if worker.is_running()] == []


@pytest.mark.fault
async def test_a_killed_supervisor_leaves_no_worker_behind(database: Database) -> None:
    async with supervised(database) as (process, _):
        workers = psutil.Process(process.pid).children()
        process.kill()
        await process.wait()

        async def gone() -> bool:
            return not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)

        await until("the workers' end", gone)


@pytest.mark.fault
async def test_unfit_settings_end_the_service_at_once_and_name_no_secret(database: Database) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server.supervisor", cwd=ROOT, stderr=asyncio.subprocess.PIPE,
        env=environment(database, free_port(), CHENGXIN_ENVIRONMENT="production"),
    )  # fmt: skip
    _, said = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 78
    assert b"wechat_api_base" in said and b"postgresql" not in said
