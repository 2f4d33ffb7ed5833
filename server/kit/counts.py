"""Counts per key and minute, for limits and for wrong codes: kept in memory, agreed upon behind the request's back.

    request ──▶ window[key].total + window[key].mine  (memory only)
    every 250 ms:  mine ──INCRBY──▶ Redis ──total──▶ window       one pipeline, never on a request's path

Windows are whole minutes. Between two agreements processes may together let through a little more than the limit; with
Redis gone, each counts for itself. Keys are hashed before they leave the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from time import time
from typing import Any, Final

from server.kit.errors import RateLimited
from server.kit.redis import Cache

WINDOW_S: Final = 60
SYNC_S: Final = 0.25
KEYS_MAX: Final = 200_000
PIPELINE_MAX: Final = 2_000

Key = tuple[str, str]


class Count:
    """Calls of one key in this window: `total` as all processes last agreed, `mine` not yet told to them."""

    __slots__ = ("mine", "total")

    def __init__(self) -> None:
        self.total = 0
        self.mine = 0


class WindowCounts:
    """Counts calls per key and minute. `hit` touches memory only; `run` keeps processes in step."""

    def __init__(self, cache: Cache, *, unix: Callable[[], float] = time) -> None:
        self._cache = cache
        self._unix = unix
        self._window = 0
        self._counts: dict[Key, Count] = {}
        self._changed: set[Key] = set()

    def hit(self, name: str, subject: str, per_minute: int) -> None:
        """Count one call. Raises RateLimited, with the seconds until the next window, when it is one too many."""
        if self.blocked(name, subject, per_minute):
            raise RateLimited(retry_after_s=max(1, int(WINDOW_S - self._unix() % WINDOW_S) + 1))
        self.count(name, subject)

    def blocked(self, name: str, subject: str, per_minute: int) -> bool:
        """Whether this key has been counted `per_minute` times in this window."""
        self._turn(int(self._unix() // WINDOW_S))
        count = self._counts.get((name, subject))
        return count is not None and count.total + count.mine >= per_minute

    def count(self, name: str, subject: str) -> None:
        """Count one for a key."""
        self._turn(int(self._unix() // WINDOW_S))
        key = (name, subject)
        count = self._counts.get(key)
        if count is None:
            if len(self._counts) >= KEYS_MAX:
                return  # a flood of subjects must not cost the service its memory
            count = self._counts[key] = Count()
        count.mine += 1
        self._changed.add(key)

    async def sync(self) -> bool:
        """Tell the others what was counted here and learn their totals; False when nobody could be told."""
        window, changed = self._window, list(self._changed)[:PIPELINE_MAX]
        sent = [(key, self._counts[key].mine) for key in changed]
        if not sent:
            return self._cache.healthy
        totals = await self._cache.attempt(lambda client: _exchange(client, window, sent), None)
        if totals is None:
            return False
        if window == self._window:
            for (key, mine), total in zip(sent, totals, strict=True):
                count = self._counts[key]
                count.total = int(total)
                count.mine -= mine
                if count.mine == 0:
                    self._changed.discard(key)
        return True

    def _turn(self, window: int) -> None:
        if window != self._window:
            self._window = window
            self._counts.clear()
            self._changed.clear()

    async def run(self) -> None:
        """Keep in step with the other processes, for ever."""
        while True:
            await asyncio.sleep(SYNC_S)
            self._turn(int(self._unix() // WINDOW_S))
            await self.sync()


async def _exchange(client: Any, window: int, sent: list[tuple[Key, int]]) -> list[int]:
    pipeline = client.pipeline(transaction=False)
    for key, mine in sent:
        name = _name(window, key)
        pipeline.incrby(name, mine)
        pipeline.expire(name, 2 * WINDOW_S)
    answers: list[int] = await pipeline.execute()
    return answers[::2]


def _name(window: int, key: Key) -> str:
    return f"rate:{window}:{key[0]}:{blake2b(key[1].encode(), digest_size=12).hexdigest()}"
