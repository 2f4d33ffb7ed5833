"""What waits for a lane: bounded, fair between callers, in order for each wallet.

    put ─▶ chain of its wallet ─▶ line of its caller ─▶ turns: one item of each caller in turn ─▶ take

Of one wallet one item at a time is in a line or under way; the next follows when that one is answered. So a resident's
items run in the order they came, two lanes never wait for each other's lock on one wallet, and a batch holds a wallet
once. A caller with a thousand items gets one place of each turn, and at most a quarter of the queue, so that somebody
with one item finds room and is in the next batch.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from wallet.items import Item

Key: TypeAlias = "tuple[str, int]"
Answered = TypeVar("Answered")

#: One caller's part of the queue.
SHARE = 4


@dataclass(slots=True, eq=False)
class Entry(Generic[Answered]):
    """One item and who waits for its answer."""

    item: Item
    future: asyncio.Future[Answered]
    caller: Key
    queued_at: float = field(default_factory=time.monotonic)


def caller_of(item: Item) -> Key:
    """Who is served in turn: the terminal at a counter, else the resident."""
    return ("terminal", item.terminal) if item.terminal is not None else ("resident", item.owner)


class FairQueue(Generic[Answered]):
    """Holds at most `limit` entries that nobody has taken yet. One event loop only."""

    def __init__(self, limit: int) -> None:
        self._limit, self._share = limit, max(1, limit // SHARE)
        self._chains: dict[int, deque[Entry[Answered]]] = {}
        self._lines: dict[Key, deque[Entry[Answered]]] = {}
        self._turns: deque[Key] = deque()
        self._waiting_of: dict[Key, int] = {}
        self.depth = 0
        self.dropped = 0

    @property
    def ready(self) -> bool:
        """Whether something can be taken now."""
        return bool(self._turns)

    def put(self, item: Item, future: asyncio.Future[Answered]) -> bool:
        """Takes an item in; False when there is no room for it, or none for more of its caller."""
        caller = caller_of(item)
        if self.depth >= self._limit or self._waiting_of.get(caller, 0) >= self._share:
            return False
        entry = Entry(item, future, caller)
        self.depth += 1
        self._waiting_of[caller] = self._waiting_of.get(caller, 0) + 1
        chain = self._chains.get(item.owner)
        if chain is None:
            self._chains[entry.item.owner] = deque()
            self._line_up(entry)
        else:
            chain.append(entry)
        return True

    def take(self, most: int) -> list[Entry[Answered]]:
        """At most `most` entries, one of each caller in turn. Each must be given to `finish`. Entries whose caller
        hung up meanwhile are dropped here, unsent."""
        taken: list[Entry[Answered]] = []
        while len(taken) < most and self._turns:
            caller = self._turns.popleft()
            line = self._lines[caller]
            entry = line.popleft()
            if line:
                self._turns.append(caller)
            else:
                del self._lines[caller]
            self._leave(entry)
            if entry.future.done():
                self.dropped += 1
                self.finish(entry)
            else:
                taken.append(entry)
        return taken

    def finish(self, entry: Entry[Answered]) -> None:
        """An entry that was taken is done with: the next of its chain may go."""
        chain = self._chains[entry.item.owner]
        while chain:
            following = chain.popleft()
            if not following.future.done():
                self._line_up(following)
                return
            self._leave(following)
            self.dropped += 1
        del self._chains[entry.item.owner]

    def followers(self, entry: Entry[Answered]) -> list[Entry[Answered]]:
        """Takes out everything that waits behind an entry in its chain."""
        chain = self._chains[entry.item.owner]
        behind = list(chain)
        chain.clear()
        for one in behind:
            self._leave(one)
        return behind

    def chained(self, item: Item) -> int:
        """How many wait one behind another in an item's chain."""
        return len(self._chains.get(item.owner, ()))

    def _line_up(self, entry: Entry[Answered]) -> None:
        line = self._lines.get(entry.caller)
        if line is None:
            self._lines[entry.caller] = deque((entry,))
            self._turns.append(entry.caller)
        else:
            line.append(entry)

    def _leave(self, entry: Entry[Answered]) -> None:
        self.depth -= 1
        left = self._waiting_of[entry.caller] - 1
        if left:
            self._waiting_of[entry.caller] = left
        else:
            del self._waiting_of[entry.caller]
