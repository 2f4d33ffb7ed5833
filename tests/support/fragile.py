"""A house that tests may break: its cache and its processes can be stopped, frozen and killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from server.sandbox.engine_user import EngineUser
from server.sandbox.engine_valkey import Valkey
from server.sandbox.engines import Engines
from tests.support.databases import Database
from tests.support.patience import until
from tests.support.town import Town, settle

PASSWORD = "of-the-tests"


@dataclass
class Fragile:
    """`town` with handles on what carries it."""

    town: Town
    valkey: Valkey
    port: int

    async def start_cache(self) -> None:
        """Valkey runs again on its port, empty."""
        assert await asyncio.to_thread(self.valkey.ensure, port=self.port, password=PASSWORD) == self.port

    async def stop_cache(self) -> None:
        """Valkey ends."""
        await asyncio.to_thread(self.valkey.stop)

    async def flush_cache(self) -> None:
        """Everything in Valkey is gone."""
        client = Redis.from_url(f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0")
        try:
            await client.flushall()
        finally:
            await client.aclose()

    def freeze_cache(self, frozen: bool) -> None:
        """Valkey keeps its connections and answers nothing, or goes on."""
        pid = self.valkey.pid()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def http_processes(self) -> list[int]:
        """The process ids of the HTTP workers."""
        supervisor = psutil.Process(self.town.house.processes["serve"].pid)
        return sorted(
            child.pid for child in supervisor.children(recursive=True) if "server.app_worker" in child.cmdline()
        )

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        """/readyz on a fresh connection."""
        async with httpx.AsyncClient(base_url=self.town.base_url, trust_env=False, timeout=30) as client:
            answer = await client.get("/readyz")
            return answer.status_code, answer.json()

    async def until_status(self, status: str, *, in_a_row: int = 6) -> None:
        """Returns once /readyz says `status` several times in a row (there are several processes)."""
        answers: list[str] = []

        async def said() -> bool:
            answers.append((await self.readiness())[1]["status"])
            return answers[-in_a_row:] == [status] * in_a_row

        await until(f"the readiness {status!r}", said)


@pytest_asyncio.fixture(scope="module")
async def fragile(
    engines: Engines, new_database: Callable[[], Awaitable[Database]], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fragile]:
    """A house of its own, with a cache of its own, for tests that break things."""
    database = await new_database()
    valkey = Valkey(tmp_path_factory.mktemp("cache"), EngineUser.current())
    port = await asyncio.to_thread(valkey.ensure, port=None, password=PASSWORD)
    url = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
    try:
        async with settle(engines.urls, database, folder=tmp_path_factory.mktemp("fragile"), redis_url=url) as town:
            yield Fragile(town, valkey, port)
    finally:
        valkey.destroy()
