"""How many items one call may carry: as many as it can without its items adding more than a bound to its time.

A batch holds its wallets and slots until it commits, so a long call makes others wait. Additive increase would crawl
from 1 to 128, so the size grows by an eighth with each full call inside the bound, and is halved by a call beyond it.

A call also has a cost that does not depend on its size: the round trip, the fsync, a synchronous standby. Halving
would not lower that, only divide it among fewer items, so it is told apart (a running least-squares line of time over
size) and does not count against the bound.
"""

from __future__ import annotations

#: The weight of the newest call, and how far beyond the bound one call counts: a single wait for a lock is no trend.
NEWEST, OUTLIER = 0.1, 8


class BatchSize:
    """`now` is the size to use, between 1 and `most`. Seconds."""

    def __init__(self, most: int, bound_s: float) -> None:
        self._most, self._bound_s = most, bound_s
        self.now = most
        self._mean_size = self._mean_s = self._variance = self._covariance = 0.0

    @property
    def fixed_s(self) -> float:
        """What a call costs before its first item, as far as calls of different sizes have told."""
        if self._variance <= 0:
            return 0.0
        per_item_s = max(self._covariance / self._variance, 0.0)
        return min(max(self._mean_s - per_item_s * self._mean_size, 0.0), self._mean_s)

    def learn(self, size: int, took_s: float) -> None:
        """A call of `size` items took so long."""
        self._fit(size, min(took_s, OUTLIER * self._bound_s))
        if took_s > self._bound_s + self.fixed_s:
            if size > 1:
                self.now = max(1, self.now // 2)
        elif size >= self.now:
            self.now = min(self._most, self.now + max(1, self.now // 8))

    def _fit(self, size: int, took_s: float) -> None:
        more, longer = size - self._mean_size, took_s - self._mean_s
        self._mean_size += NEWEST * more
        self._mean_s += NEWEST * longer
        self._variance = (1 - NEWEST) * (self._variance + NEWEST * more * more)
        self._covariance = (1 - NEWEST) * (self._covariance + NEWEST * more * longer)
