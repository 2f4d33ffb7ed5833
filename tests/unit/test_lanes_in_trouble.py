"""Lanes with a database that dies in the worst moments, and items that cannot be served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import asyncpg
import pytest

from tests.support.wires import OTHER, OWNER, Wire, claim, opened
from wallet import InFlight, VaultUnavailable, lanes
from wallet.items import Item, Op
from wallet.lanes import Answer, Lanes


async def test_a_database_that_is_gone_is_not_called_once_for_every_item_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "RECONNECT_PAUSES_S", (0.01,))
    gone = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
    calls = 0

    async def connect() -> Any:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise ConnectionRefusedError
        return Wire(fails=lambda items: gone)

    lane = Lanes(connect, "post_batch", first=0, count=1, queue=400, batch=100)
    await lane.open()
    answers = await asyncio.gather(*(lane.post(claim(n)) for n in range(50)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [VaultUnavailable] * 50
    assert calls < 10
    await lane.close()


async def test_an_item_that_cannot_be_sent_fails_alone() -> None:
    lane = await opened(Wire())
    items = [Item(Op.CLAIM, b=n, owner=n, reason="\ud800" if n == 3 else "fine") for n in range(6)]
    answers = await asyncio.gather(*(lane.post(item) for item in items), return_exceptions=True)
    assert [isinstance(answer, Answer) for answer in answers] == [True, True, True, False, True, True]
    await lane.close()


async def test_a_deadlocked_batch_is_sent_again_one_by_one() -> None:
    wire = Wire(fails=lambda items: asyncpg.DeadlockDetectedError() if len(items) > 1 else None)
    lane = await opened(wire)
    await asyncio.gather(*(lane.post(claim(n)) for n in range(20)))
    assert [len(batch) for batch in wire.batches] == [20] + [1] * 20
    assert lane.counts.deadlocks == 1 and lane.counts.resent == 20
    await lane.close()


async def test_two_that_met_a_deadlock_part_at_once_and_one_alone_tries_again() -> None:
    troubles = [asyncpg.DeadlockDetectedError(), asyncpg.DeadlockDetectedError(), None, None]
    wire = Wire(fails=lambda items: troubles.pop(0))
    lane = await opened(wire)
    answers = await asyncio.gather(*(lane.post(claim(n)) for n in range(2)))
    assert [type(answer) for answer in answers] == [Answer, Answer]
    assert [[item["owner"] for item in batch] for batch in wire.batches] == [[0, 1], [0], [0], [1]]
    assert lane.counts.deadlocks == 2 and lane.counts.resent == 2
    await lane.close()


async def test_every_trouble_is_counted_as_what_it_is() -> None:
    lost, full = asyncpg.ConnectionDoesNotExistError("gone"), asyncpg.DiskFullError("full")
    troubles: list[Exception | None] = [lost, None, full, ValueError("odd"), None, None]
    first = Wire(fails=lambda items: troubles.pop(0))
    lane = await opened(first, batch=2)
    lane._connect = _again(first)
    none = dict.fromkeys(asdict(lane.counts), 0)
    assert asdict(lane.counts) == none

    assert isinstance(await lane.post(claim(1)), Answer)  # on a connection made anew
    assert asdict(lane.counts) == none | {"connections_lost": 1, "calls": 1, "items": 1}
    answers = await asyncio.gather(*(lane.post(claim(n)) for n in range(2)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [VaultUnavailable] * 2
    assert lane.counts.failures == 1 and lane.counts.resent == 0
    answers = await asyncio.gather(*(lane.post(claim(n)) for n in range(2)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Answer] * 2
    assert asdict(lane.counts) == none | {"connections_lost": 1, "calls": 3, "items": 3, "failures": 2, "resent": 2}
    await lane.close()


async def test_a_connection_that_is_lost_twice_is_not_tried_a_third_time() -> None:
    gone = asyncpg.ConnectionDoesNotExistError("gone")
    wire = Wire(fails=lambda items: gone)
    lane = await opened(wire)
    lane._connect = _again(wire)
    with pytest.raises(VaultUnavailable):
        await lane.post(claim(1))
    assert len(wire.batches) == 2 and lane.counts.connections_lost == 2
    await lane.close()


def _again(wire: Wire) -> Callable[[], Any]:
    """Connects to the same database once more."""

    async def connect() -> Any:
        wire._closed = False
        return wire

    return connect


async def test_who_waits_for_a_lock_too_long_is_told_so_and_with_him_who_waits_behind_him() -> None:
    wire = Wire(fails=lambda items: asyncpg.LockNotAvailableError() if OWNER in [i["owner"] for i in items] else None)
    lane = await opened(wire)
    answers = await asyncio.gather(
        *(lane.post(claim(owner)) for owner in (1, OWNER, OWNER, OTHER)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [Answer, InFlight, InFlight, Answer]
    assert wire.said == ["SET lock_timeout = 250", "RESET lock_timeout"]
    assert [len(batch) for batch in wire.batches] == [3, 1, 1, 1]
    await lane.close()


async def test_an_answer_that_is_missing_is_told_as_unknown_and_stops_nothing() -> None:
    class Forgetful(Wire):
        async def fetch(self, _sql: str, b: int, payload: str, _lane: int) -> list[tuple[int, int, bool, None]]:
            return [row for row in await super().fetch(_sql, b, payload, _lane) if row[0] != 1]

    lane = await opened(Forgetful())
    answers = await asyncio.gather(*(lane.post(claim(n)) for n in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Answer, VaultUnavailable, Answer]
    assert isinstance(await lane.post(claim(5)), Answer)
    await lane.close()


async def test_terms_that_cannot_be_laid_out_hold_nobody_up() -> None:
    wire = Wire()
    lane = await opened(wire)

    async def fails() -> None:
        later.append(asyncio.create_task(lane.post(claim(2, 7))))
        await asyncio.sleep(0.01)
        assert wire.batches == []
        raise VaultUnavailable

    later: list[asyncio.Task[Answer]] = []
    with pytest.raises(VaultUnavailable):
        await lane.post_again(claim(1, 7), fails, held=True)
    assert isinstance(await later[0], Answer)
    await lane.close()


async def test_a_lane_that_gets_no_connection_asks_after_every_pause_and_then_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "RECONNECT_PAUSES_S", (0.0, 0.0))
    calls = 0

    async def connect() -> Any:
        nonlocal calls
        calls += 1
        raise ConnectionRefusedError

    lane = Lanes(connect, "post_batch", first=0, count=1, queue=400, batch=100)
    with pytest.raises(VaultUnavailable):
        await lane.open()
    assert calls == 3
