"""Somebody who shows a coupon in the town, and the counter that he shows it to; the books are proven afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from server.sandbox.phone import CounterPhone, ResidentPhone
from tests.support.play import GYM_STORE, Shown, books_balance, show
from tests.support.town import Town


@pytest_asyncio.fixture(scope="module")
async def shown(town: Town) -> Shown:
    return await show(town)


@pytest_asyncio.fixture(scope="module")
async def resident(shown: Shown) -> ResidentPhone:
    return shown.resident


@pytest_asyncio.fixture
async def counter(town: Town) -> CounterPhone:
    return await town.counter(GYM_STORE)


@pytest_asyncio.fixture(scope="module", autouse=True)
async def books(town: Town) -> AsyncIterator[None]:
    yield
    await books_balance(town)
