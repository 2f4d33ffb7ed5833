from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.kit.db import close_house, open_house
from tests.support.databases import Database
from tests.support.people import Room, make_room


@pytest_asyncio.fixture(autouse=True)
async def house(database: Database) -> AsyncIterator[None]:
    await open_house(database.app)
    yield
    await close_house()


@pytest.fixture
def room() -> Room:
    return make_room()
