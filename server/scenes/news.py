"""What a resident's phone waits for: "your code was used", within a second (D36).

    redeem commits ──happened()──▶ waiters of this process
                          └─batch─▶ Redis channel ──▶ waiters of the other processes
    without Redis: every process asks the vault once a second how far its waiting residents have come

News are journal rows after a sequence number the phone knows: whatever wakes it, it reads the rows, in order, none
lost. Redis only makes it sooner.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable

import structlog

from server.kit.redis import Cache
from server.kit.tasks import end
from wallet import Entry, Vault

CHANNEL = "chengxin:news"
POLL_S = 1.0
POLLS_SKIPPED_WITH_REDIS = 4
PUBLISH_EVERY_S = 0.02
PAGE = 50

log = structlog.get_logger(__name__)


class News:
    """Wakes those who wait for a resident's next journal row."""

    def __init__(self, vault: Vault, cache: Cache) -> None:
        self._vault, self._cache = vault, cache
        self._waiting: dict[int, set[asyncio.Event]] = defaultdict(set)
        self._seen: dict[int, int] = {}
        self._to_publish: set[int] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self.released = False

    def open(self) -> None:
        """Starts listening, publishing and polling."""
        self._tasks = [asyncio.create_task(loop()) for loop in (self._publish, self._listen, self._poll)]

    async def close(self) -> None:
        """Wakes everybody and stops."""
        await end(self._tasks)
        self._wake(list(self._waiting))

    def release(self) -> None:
        """Lets everybody who waits go home with what there is, now and from now on."""
        self.released = True
        self._wake(list(self._waiting))

    def happened(self, resident_id: int) -> None:
        """Something was written for this resident and is committed."""
        self._wake([resident_id])
        if self._cache.configured:
            self._to_publish.add(resident_id)

    async def wait(self, resident_id: int, *, after_seq: int, timeout_s: float) -> list[Entry]:
        """The resident's journal rows after `after_seq`, at once when there are some, else as soon as there are; []
        after the time."""
        bell = asyncio.Event()
        self._waiting[resident_id].add(bell)
        ends_at = asyncio.get_running_loop().time() + timeout_s
        try:
            while True:
                rows = await self._vault.read.entries_after(resident_id, after_seq=after_seq, limit=PAGE)
                if rows or self.released:
                    return rows
                self._seen.setdefault(resident_id, after_seq)
                try:
                    async with asyncio.timeout_at(ends_at):
                        await bell.wait()
                except TimeoutError:
                    return []
                bell.clear()
        finally:
            self._waiting[resident_id].discard(bell)
            if not self._waiting[resident_id]:
                del self._waiting[resident_id]
                self._seen.pop(resident_id, None)

    def _wake(self, resident_ids: Iterable[int]) -> None:
        for resident_id in resident_ids:
            for bell in self._waiting.get(resident_id, ()):
                bell.set()

    async def _publish(self) -> None:
        while True:
            await asyncio.sleep(PUBLISH_EVERY_S)
            if self._to_publish:
                batch, self._to_publish = self._to_publish, set()
                await self._cache.publish(CHANNEL, ",".join(map(str, batch)))

    async def _listen(self) -> None:
        while True:
            if self._cache.configured:
                with contextlib.suppress(ValueError):
                    async for _, message in self._cache.subscribe(CHANNEL):
                        self._wake(int(one) for one in message.split(b","))
            await asyncio.sleep(POLL_S)

    async def _poll(self) -> None:
        skipped = 0
        while True:
            await asyncio.sleep(POLL_S)
            if self._cache.healthy and skipped < POLLS_SKIPPED_WITH_REDIS:
                skipped += 1
                continue
            skipped = 0
            if not self._seen:
                continue
            try:
                for resident_id, seq in (await self._vault.read.seqs(list(self._seen))).items():
                    if seq > self._seen.get(resident_id, seq):
                        self._seen[resident_id] = seq
                        self._wake([resident_id])
            except Exception as problem:  # asked again in a second, whatever the database said
                log.warning("news_poll_failed", problem=type(problem).__name__)
