"""Waiting for what must come, on a machine of any speed.

The relay of house events is such a thing: its window ends at `pg_snapshot_xmin`, and that is the oldest transaction of
the whole cluster. What another test process holds open in a database of its own holds the relay back for so long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from server.kit.outbox import BATCH, Event, lag, relay_once

#: Nothing that works takes as long, however busy the machine is; who waits in vain waits no longer.
PATIENCE_S = 60.0

T = TypeVar("T")


async def until(what: str, check: Callable[[], Awaitable[T]], *, every_s: float = 0.05) -> T:
    """The first answer of `check` that is true; AssertionError, with the last answer, when none came in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := await check()):
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE_S:.0f} s; last seen: {found!r}"
        await asyncio.sleep(every_s)
    return found


async def relay_all(consumer: str, handle: Callable[[Event], Awaitable[None]], limit: int = BATCH) -> list[int]:
    """Relays until every committed event is handled; how many each pass handled that handled any. What `handle` raises
    leaves after the pass, in which the relay has made a job of it."""
    bites: list[int] = []
    raised: list[Exception] = []

    async def watched(event: Event) -> None:
        try:
            await handle(event)
        except Exception as problem:
            raised.append(problem)
            raise

    async def all_handled() -> bool:
        handled = await relay_once(consumer, watched, limit)
        bites.extend([handled] if handled else [])
        if raised:
            raise raised[0]
        return await lag(consumer) == 0

    await until(f"all events handled for {consumer}", all_handled)
    return bites
