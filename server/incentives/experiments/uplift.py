"""How much a campaign changed: the difference of two shares with its confidence interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Final

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Group:
    """`people` of one side, of whom `acted` did what the campaign wants."""

    people: int
    acted: int

    @property
    def share(self) -> float:
        """The part that acted; 0 of nobody."""
        return self.acted / self.people if self.people else 0.0


@dataclass(frozen=True, slots=True)
class Uplift:
    """Share of the treated minus share of the held out, and where it lies with the stated confidence. All three are
    in percentage points; `known` is False while a side is empty or the interval holds zero."""

    points: float
    low: float
    high: float
    known: bool


def uplift(treated: Group, held_out: Group, confidence: float = CONFIDENCE) -> Uplift:
    """Newcombe's interval (1998, method 10) from Wilson's for each side: it holds for small groups and shares near 0
    and 1, where the usual one leaves the range or has no width."""
    difference = treated.share - held_out.share
    if not treated.people or not held_out.people:
        return Uplift(100 * difference, -100.0, 100.0, False)
    low_t, high_t = wilson(treated, confidence)
    low_h, high_h = wilson(held_out, confidence)
    low = difference - sqrt((treated.share - low_t) ** 2 + (high_h - held_out.share) ** 2)
    high = difference + sqrt((high_t - treated.share) ** 2 + (held_out.share - low_h) ** 2)
    return Uplift(100 * difference, 100 * low, 100 * high, low > 0 or high < 0)


def wilson(group: Group, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of one share (Wilson 1927)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    n, p = group.people, group.share
    middle = p + z * z / (2 * n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)
