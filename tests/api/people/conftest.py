from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from server.kit.db import close_house, open_house
from tests.support.databases import Database
from tests.support.people import Room, make_room
from tests.support.people_server import serving


@pytest.fixture
def room() -> Room:
    return make_room()


@pytest_asyncio.fixture
async def client(room: Room, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    await open_house(database.app)
    async with serving(room) as client:
        yield client
    await close_house()
