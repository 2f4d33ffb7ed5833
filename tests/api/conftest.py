"""One whole house per test process: two HTTP processes, worker, stand-in, sample city; asked over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from server.sandbox.engine_user import EngineUser
from server.sandbox.engine_valkey import Valkey
from server.sandbox.engines import Engines
from tests.support.databases import Database
from tests.support.fragile import PASSWORD, Fragile
from tests.support.play import Console
from tests.support.town import Town, settle

LAST = (
    "test_random_requests_get_documented_answers_and_no_fault",
    "test_no_merchants_body_of_all_tests_before_this_one_shows_a_person",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Random requests end campaigns too, so they come after what needs them; the search through everything merchants
    were shown comes after everything else."""
    items.sort(key=lambda item: LAST.index(item.name) if item.name in LAST else -1)


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


@pytest_asyncio.fixture(scope="session")
async def console(town: Town) -> Console:
    return Console(town)


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
