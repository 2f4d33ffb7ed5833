"""A short memory of what the database said.

Session status is asked on every request; the house answers from memory for at most one second (D26). Value operations
check the acceptor inside the vault, so nothing of value rests on this memory.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class StatusCache(Generic[K, V]):
    """Remembers values for `ttl_s` seconds counted from the start of their load, at most `size` of them.

    Callers that ask for the same key at once share one load. A failed load is not remembered, and a caller that gives
    up does not end the load for the others.
    """

    def __init__(
        self, *, ttl_s: float = 1.0, size: int = 20_000, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_s = ttl_s
        self._size = size
        self._monotonic = monotonic
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._loading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, load: Callable[[], Awaitable[V]], *, keep: Callable[[V], bool] = lambda _: True) -> V:
        """The value of `key`, loaded when it is not remembered. Values that `keep` refuses are never remembered."""
        entry = self._entries.get(key)
        if entry is not None and self._monotonic() < entry[0] + self._ttl_s:
            return entry[1]
        task = self._loading.get(key)
        if task is None:
            task = asyncio.create_task(self._load(key, load, keep))
            self._loading[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def forget(self, key: K) -> None:
        """Ask the database again next time; a load under way is not joined and not remembered."""
        self._entries.pop(key, None)
        self._loading.pop(key, None)

    async def _load(self, key: K, load: Callable[[], Awaitable[V]], keep: Callable[[V], bool]) -> V:
        asked_at = self._monotonic()
        value = await load()
        if self._loading.get(key) is asyncio.current_task() and keep(value):
            self._entries[key] = (asked_at, value)
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
        return value

    def _ended(self, key: K, task: asyncio.Task[V]) -> None:
        if self._loading.get(key) is task:
            del self._loading[key]
        if not task.cancelled():
            task.exception()
