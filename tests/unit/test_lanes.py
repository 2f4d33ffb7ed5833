"""Lanes with a database that dies in the worst moments. What a real one answers is tested in tests/concurrency."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import msgspec
import pytest

from wallet import VaultUnavailable, lanes
from wallet.items import Item, Op
from wallet.lanes import Answer, Lanes


class Wire:
    """A connection that answers every item, or dies in the middle of every call."""

    def __init__(self, *, dies: bool) -> None:
        self._dies, self._closed = dies, False

    async def fetch(self, _sql: str, payload: str, _lane: int) -> list[tuple[int, int, bool, None]]:
        await asyncio.sleep(0)
        if self._dies:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return [(item["n"], 0, False, None) for item in msgspec.json.decode(payload)]

    def is_closed(self) -> bool:
        return self._closed

    def terminate(self) -> None:
        self._closed = True

    async def close(self, *, timeout: float) -> None:
        self._closed = True


async def test_a_database_that_is_gone_is_not_called_once_for_every_item_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "RECONNECT_PAUSES_S", (0.01,))
    calls = 0

    async def connect() -> Any:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise ConnectionRefusedError
        return Wire(dies=True)

    lane = Lanes(connect, "post_batch", first=0, count=1, queue=100, batch=100)
    await lane.open()
    answers = await asyncio.gather(*(lane.post(Item(Op.CLAIM)) for _ in range(50)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [VaultUnavailable] * 50
    assert calls < 10
    await lane.close()


async def test_an_item_that_cannot_be_sent_fails_alone() -> None:
    async def connect() -> Any:
        return Wire(dies=False)

    lane = Lanes(connect, "post_batch", first=0, count=1, queue=100, batch=100)
    await lane.open()
    items = [Item(Op.CLAIM, reason="\ud800" if n == 3 else "fine") for n in range(6)]
    answers = await asyncio.gather(*(lane.post(item) for item in items), return_exceptions=True)
    assert [isinstance(answer, Answer) for answer in answers] == [True, True, True, False, True, True]
    await lane.close()
