"""One whole house per test process: two HTTP processes, worker, stand-in, sample city; asked over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from server.sandbox.engines import Engines
from tests.support.databases import Database
from tests.support.town import Town, settle


@pytest_asyncio.fixture(scope="session")
async def town(
    engines: Engines,
    new_database: Callable[[], Awaitable[Database]],
    _valkey_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Town]:
    database = await new_database()
    async with settle(
        engines.urls, database, folder=tmp_path_factory.mktemp("house"), redis_url=_valkey_server
    ) as town:
        yield town
