"""The merchants' room on a database of each module, with the vault beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.databases import Database
from tests.support.merchant_house import House, Opened, built_house, opened_house


@pytest_asyncio.fixture(scope="module")
async def opened(database: Database) -> AsyncIterator[Opened]:
    async with opened_house(database) as both:
        yield both


@pytest.fixture
def house(opened: Opened) -> House:
    return built_house(opened)
