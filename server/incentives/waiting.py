"""A waiting room for crowds: who finds no place is told when to come again, each at another time.

Everybody turned away is given the next free place on a line that moves as fast as claims are served, so that the crowd
comes back spread over the time that it takes, those who were first turned away first. Nobody keeps the place; a client
that comes at its time simply finds room.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Final

#: The longest that anybody is told to wait. Whoever would have to wait longer is told some time of its second half.
LONGEST_S: Final = 30
#: How long a claim is taken to need before that has been measured.
EACH_S: Final = 0.001
#: Clients count whole seconds from the moment in which they were turned away, all of them at once: over so many more
#: they are spread by chance.
SPREAD_S: Final = 3


class WaitingLine:
    """The line of one process. `clock` counts seconds; `chance` gives numbers from 0 up to 1."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self._clock, self._chance = clock, chance
        self._next = 0.0

    def place(self, drain_s: float, each_s: float) -> int:
        """Seconds after which to come again, 1 to 30. `drain_s`: how long what waits already will take; `each_s`: how
        long one claim takes."""
        now = self._clock()
        self._next = max(self._next, now + drain_s) + (each_s or EACH_S)
        wait_s = self._next - now + SPREAD_S * self._chance()
        if wait_s > LONGEST_S:
            self._next = min(self._next, now + LONGEST_S)
            wait_s = LONGEST_S * (1 + self._chance()) / 2
        return max(1, math.ceil(wait_s))
