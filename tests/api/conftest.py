"""One whole house per test process: two HTTP processes, worker, stand-in, sample city; asked over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from server.sandbox.engines import Engines
from tests.support.databases import Database
from tests.support.fragile import fragile
from tests.support.play import Console
from tests.support.town import Town, settle

__all__ = ["fragile"]

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
