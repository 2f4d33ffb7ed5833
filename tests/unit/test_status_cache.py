from __future__ import annotations

import asyncio

import pytest

from server.people.status_cache import StatusCache


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Source:
    def __init__(self) -> None:
        self.loads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> int:
        self.loads += 1
        mine = self.loads
        await self.gate.wait()
        return mine


async def test_a_status_is_asked_again_after_a_second_and_not_before() -> None:
    time, source = Time(), Source()
    cache: StatusCache[str, int] = StatusCache(ttl_s=1.0, monotonic=time)
    assert [await cache.get("a", source), await cache.get("a", source)] == [1, 1]
    time.now = 0.99
    assert await cache.get("a", source) == 1
    time.now = 1.0
    assert await cache.get("a", source) == 2


async def test_many_callers_share_one_load_and_one_that_gives_up_does_not_end_it() -> None:
    source = Source()
    source.gate.clear()
    cache: StatusCache[str, int] = StatusCache()
    first = asyncio.create_task(cache.get("a", source))
    others = [asyncio.create_task(cache.get("a", source)) for _ in range(20)]
    await asyncio.sleep(0)
    first.cancel()
    source.gate.set()
    assert await asyncio.gather(*others) == [1] * 20
    assert source.loads == 1


async def test_a_failed_load_is_told_to_everybody_and_not_remembered() -> None:
    async def fail() -> int:
        raise RuntimeError("no database")

    cache: StatusCache[str, int] = StatusCache()
    answers = await asyncio.gather(cache.get("a", fail), cache.get("a", fail), return_exceptions=True)
    assert [type(answer) for answer in answers] == [RuntimeError, RuntimeError]
    assert await cache.get("a", Source()) == 1


async def test_the_memory_is_bounded_and_can_refuse_values() -> None:
    source = Source()
    cache: StatusCache[int, int] = StatusCache(size=2)
    for key in (1, 2, 3):
        await cache.get(key, source)
    assert await cache.get(1, source) == 4
    assert await cache.get(3, source) == 3
    refused = Source()
    await cache.get(9, refused, keep=lambda _: False)
    assert await cache.get(9, refused, keep=lambda _: False) == 2


async def test_forgetting_during_a_load_keeps_the_old_answer_out_of_the_memory() -> None:
    source = Source()
    source.gate.clear()
    cache: StatusCache[str, int] = StatusCache()
    before = asyncio.create_task(cache.get("a", source))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    cache.forget("a")
    after = asyncio.create_task(cache.get("a", source))
    await asyncio.sleep(0)
    source.gate.set()
    assert (await before, await after) == (1, 2)
    assert await cache.get("a", source) == 2


@pytest.mark.parametrize("size", [1, 50])
async def test_a_value_survives_while_there_is_room(size: int) -> None:
    source = Source()
    cache: StatusCache[int, int] = StatusCache(size=size)
    await cache.get(1, source)
    assert await cache.get(1, source) == 1
