"""What lags behind, as figures: how old the oldest running transaction is, how far consumers are, what died.

The background process serves no HTTP, so the HTTP processes read this from the database at a pace of their own; every
one reads the same, and whoever is asked tells the largest. Nothing here is asked of the database while it is away.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import structlog
from prometheus_client import Gauge

from server.kit import dead_letters, relay
from server.kit.db import fetch
from server.kit.outbox import HOUSE
from wallet.stream import JournalStream

LOOK_EVERY_S: Final = 1.0
COUNT_EVERY_S: Final = 10.0

OLDEST: Final = Gauge(
    "chengxin_oldest_transaction_seconds",
    "For how long the oldest transaction that writes has been running; streams, folds and seals wait for it.",
    multiprocess_mode="livemax",
)
BEHIND: Final = Gauge(
    "chengxin_relay_behind",
    "Events a consumer has not handled yet, those held back and dead included; counted to 10,000.",
    ("consumer",),
    multiprocess_mode="livemax",
)
DEAD: Final = Gauge(
    "chengxin_dead_letters",
    "Events and jobs that failed at every try and wait for somebody to decide.",
    ("consumer",),
    multiprocess_mode="livemax",
)

log = structlog.get_logger(__name__)


class OldestTransaction:
    """How long the oldest writing transaction has been seen running; right to the pace at which it is asked.

    Only a superuser may see when others' transactions began. Their numbers everybody may see: while the lowest running
    one stays the same, it is the same transaction.
    """

    def __init__(self) -> None:
        self._number = -1
        self._since = 0.0

    def age_s(self, lowest: int, following: int, now_s: float) -> float:
        """From a snapshot's xmin and xmax, at a monotonic time."""
        if lowest == following:  # nobody writes
            self._number = -1
            return 0.0
        if lowest != self._number:
            self._number, self._since = lowest, now_s
        return now_s - self._since


class Delays:
    """Reads and sets the figures."""

    def __init__(self) -> None:
        self._oldest = OldestTransaction()
        self._streams: dict[str, relay.Source[Any]] = {"house": HOUSE, "values": JournalStream(fetch)}
        self._known: set[str] = set()

    async def look(self) -> None:
        """The oldest transaction."""
        (row,) = await fetch(
            "SELECT pg_snapshot_xmin(s)::text::bigint AS lowest, pg_snapshot_xmax(s)::text::bigint AS following"
            " FROM pg_current_snapshot() s"
        )
        OLDEST.set(self._oldest.age_s(row["lowest"], row["following"], time.monotonic()))

    async def count(self) -> None:
        """Consumers and dead letters; a consumer without any keeps its line, at 0."""
        for row in await fetch("SELECT consumer, stream FROM event_cursor"):
            BEHIND.labels(row["consumer"]).set(await relay.lag(self._streams[row["stream"]], row["consumer"]))
            self._known.add(row["consumer"])
        dead = await dead_letters.counts()
        self._known |= dead.keys()
        for consumer in self._known:
            DEAD.labels(consumer).set(dead.get(consumer, 0))


async def watch() -> None:
    """Keeps the figures fresh for as long as the process lives; what the database refuses is asked again."""
    delays, counted = Delays(), float("-inf")
    while True:
        try:
            await delays.look()
            if time.monotonic() - counted >= COUNT_EVERY_S:
                await delays.count()
                counted = time.monotonic()
        except Exception as problem:
            log.warning("delays_not_read", problem=type(problem).__name__)
        await asyncio.sleep(LOOK_EVERY_S)
