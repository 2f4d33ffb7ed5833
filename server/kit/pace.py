"""How hard a job may work beside people who wait for an answer.

A job works in pieces and rests after each. The rest is long enough that no more than `per_second` things are done, and
at least so long that the job works no more than `share` percent of the time: when the database is slow a piece takes
longer, and so does the rest after it. That is how a job yields without knowing who else is there.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Pace:
    """`per_second` 0: no bound. `share`: 1 to 100 percent of the time."""

    per_second: int = 0
    share: int = 100

    def rest_s(self, pieces: int, took_s: float) -> float:
        """How long to rest after `pieces` that took `took_s`."""
        by_rate = pieces / self.per_second - took_s if self.per_second else 0.0
        by_share = took_s * (100 - self.share) / self.share
        return max(0.0, by_rate, by_share)

    async def rest(self, pieces: int, took_s: float) -> None:
        """Rests for `rest_s`."""
        await asyncio.sleep(self.rest_s(pieces, took_s))


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._from = time.perf_counter()

    @property
    def s(self) -> float:
        """Seconds by now."""
        return time.perf_counter() - self._from


UNBOUND: Final = Pace()
