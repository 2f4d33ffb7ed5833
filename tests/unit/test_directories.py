"""A directory's reads: grouped while one is under way, each caller answered for himself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wallet import VaultUnavailable
from wallet.directories import Directory


class Shelf:
    """Knows the even numbers; remembers what was asked together."""

    def __init__(self) -> None:
        self.reads: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.gone = False

    async def read(self, keys: list[int]) -> list[Any]:
        self.reads.append(sorted(keys))
        await self.gate.wait()
        if self.gone:
            raise VaultUnavailable
        return [(key, f"row {key}") for key in keys if key % 2 == 0]


async def test_what_is_asked_during_a_read_is_the_next_read() -> None:
    shelf = Shelf()
    shelf.gate.clear()
    directory = Directory[int](shelf.read)
    first = asyncio.create_task(directory.find(2))
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(directory.find(key)) for key in (3, 4, 4, 6)]
    await asyncio.sleep(0.01)
    later[3].cancel()
    shelf.gate.set()
    found = await asyncio.gather(first, *later, return_exceptions=True)
    assert found[:4] == [(2, "row 2"), None, (4, "row 4"), (4, "row 4")]
    assert isinstance(found[4], asyncio.CancelledError)
    assert shelf.reads == [[2], [3, 4, 6]]
    assert await directory.find(8) == (8, "row 8"), "it goes on"


async def test_a_read_that_fails_is_told_to_all_who_asked_and_to_nobody_after_them() -> None:
    shelf = Shelf()
    directory = Directory[int](shelf.read)
    shelf.gone = True
    found = await asyncio.gather(*(directory.find(key) for key in (2, 4)), return_exceptions=True)
    assert [type(one) for one in found] == [VaultUnavailable] * 2
    shelf.gone = False
    with pytest.raises(asyncio.TimeoutError):
        shelf.gate.clear()
        await asyncio.wait_for(directory.find(2), 0.01)
    shelf.gate.set()
    assert await directory.find(2) == (2, "row 2")
