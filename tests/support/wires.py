"""Lanes on connections that answer, fail and wait as a test wants; a real database is asked in tests/concurrency."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from wallet.items import Item, Op, bucket_of
from wallet.lanes import Lanes

OWNER, OTHER = 7, 8


class Wire:
    """A connection that answers every item as told (status and body; else done), fails as told, and remembers what
    each call carried."""

    def __init__(
        self,
        *,
        fails: Callable[[list[Any]], Exception | None] = lambda items: None,
        answers: Callable[[Any], tuple[int, str | None]] = lambda item: (0, None),
    ) -> None:
        self._fails, self._answers, self._closed = fails, answers, False
        self.batches: list[list[Any]] = []
        self.sent_to: list[int] = []
        self.said: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, _sql: str, b: int, payload: str, _lane: int) -> list[tuple[int, int, bool, str | None]]:
        items = msgspec.json.decode(payload)
        self.sent_to.append(b)
        self.batches.append(items)
        await asyncio.sleep(0)
        await self.gate.wait()
        problem = self._fails(items)
        if problem is not None:
            raise problem
        told = [self._answers(item) for item in items]
        return [(item["n"], status, False, body) for item, (status, body) in zip(items, told, strict=True)]

    async def execute(self, sql: str) -> None:
        self.said.append(sql)

    def is_closed(self) -> bool:
        return self._closed

    def terminate(self) -> None:
        self._closed = True

    async def close(self, *, timeout: float) -> None:
        self._closed = True


async def opened(*wires: Wire, queue: int = 4096, batch: int = 100) -> Lanes:
    waiting = iter(wires)

    async def connect() -> Any:
        return next(waiting)

    # However slow the machine is, a call keeps its size.
    made = Lanes(connect, "post_batch", first=0, count=len(wires), queue=queue, batch=batch, latency_ms=60_000)
    await made.open()
    return made


def claim(owner: int, place: int = 0) -> Item:
    return Item(Op.CLAIM, b=bucket_of(owner), owner=owner, terms=place)


def redemption(owner: int, terminal: int) -> Item:
    return Item(Op.REDEEM, b=bucket_of(owner), owner=owner, terminal=terminal)
