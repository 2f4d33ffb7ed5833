"""What waits for a lane: bounded, fair between callers, in order for each wallet.

    put ─▶ chain of its wallet ─▶ line of its caller ─▶ turns: one item of each caller in turn ─▶ take
    put_back ──────────────────────────────────────────────────────────── before all turns ──────────────────▶ take

Of one wallet one item at a time is in a line or under way; the next follows when that one is answered. So a resident's
items run in the order they came, two lanes never wait for each other's lock on one wallet, and a batch holds a wallet
once. A caller with a thousand items gets one place of each turn, and at most a quarter of the queue, so that somebody
with one item finds room and is in the next batch.

What is asked to come again, as its budget must be laid out anew first, is put back before everybody who came after it.
Until then its terms are held: nobody is served out of the same budget meanwhile.
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
        self._again: deque[Entry[Answered]] = deque()  # put back, then resumed, then turns
        self._resumed: deque[Entry[Answered]] = deque()
        self._holders: dict[int, int] = {}
        self._held: dict[int, tuple[list[Entry[Answered]], list[Entry[Answered]]]] = {}
        self._waiting_of: dict[Key, int] = {}
        self.depth = 0
        self.dropped = 0

    @property
    def ready(self) -> bool:
        """Whether something can be taken now."""
        return bool(self._again or self._resumed or self._turns)

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

    def put_back(self, item: Item, future: asyncio.Future[Answered]) -> None:
        """Takes in an item again that had its turn: it is the next of its wallet and of all, and there is room for it,
        as it had a place before."""
        entry = Entry(item, future, caller_of(item))
        self.depth += 1
        self._waiting_of[entry.caller] = self._waiting_of.get(entry.caller, 0) + 1
        chain = self._chains.get(item.owner)
        if chain is not None:
            chain.appendleft(entry)
        else:
            self._chains[item.owner] = deque()
            self._again.append(entry)

    def hold(self, terms: int) -> None:
        """Nothing of these terms is taken before everybody who holds them has released them."""
        self._holders[terms] = self._holders.get(terms, 0) + 1

    def release(self, terms: int) -> None:
        """One holder less. After the last, what was put back comes first and then what was held, in its order."""
        holders = self._holders.pop(terms) - 1
        if holders:
            self._holders[terms] = holders
            return
        again, others = self._held.pop(terms, ((), ()))
        self._again.extendleft(reversed(again))
        self._resumed.extendleft(reversed(others))

    def take(self, most: int) -> list[Entry[Answered]]:
        """At most `most` entries, one of each caller in turn. Each must be given to `finish`. Entries whose caller
        hung up meanwhile are dropped here, unsent."""
        taken: list[Entry[Answered]] = []
        while len(taken) < most and self.ready:
            is_again = bool(self._again)
            waiting = self._again or self._resumed
            entry = waiting.popleft() if waiting else self._next_turn()
            if entry.item.terms in self._holders:
                again, others = self._held.setdefault(entry.item.terms, ([], []))
                (again if is_again else others).append(entry)
                continue
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

    def _next_turn(self) -> Entry[Answered]:
        caller = self._turns.popleft()
        line = self._lines[caller]
        entry = line.popleft()
        if line:
            self._turns.append(caller)
        else:
            del self._lines[caller]
        return entry

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
