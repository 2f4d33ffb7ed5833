"""The size of a batch against databases of every kind: seconds are computed here, nothing sleeps."""

from __future__ import annotations

import random
from collections.abc import Callable
from statistics import median

import pytest

from wallet.batch_size import BatchSize

MOST, BOUND_S = 128, 0.025


def served(size: BatchSize, cost_s: Callable[[int], float], calls: int = 400) -> list[int]:
    """The sizes after each of many full calls, the second half of them; times vary by a quarter."""
    chance, seen = random.Random(7), []
    for _ in range(calls):
        full = size.now
        size.learn(full, cost_s(full) * chance.uniform(0.8, 1.3))
        seen.append(size.now)
    return seen[calls // 2 :]


@pytest.mark.parametrize(
    ("fixed_s", "per_item_s", "least", "most"),
    [
        (0.001, 0.00015, 100, 128),  # all of them fit
        (0.002, 0.002, 5, 14),  # 11 would fit exactly
        (0.002, 0.030, 1, 2),  # not even one fits
        (0.030, 0.00015, 40, 128),  # a slow disk: smaller calls would gain nothing
        (0.060, 0.001, 8, 40),  # a far standby: the items add 25 ms at 25
    ],
)
def test_the_items_of_a_call_add_no_more_than_the_bound(
    fixed_s: float, per_item_s: float, least: int, most: int
) -> None:
    seen = served(BatchSize(MOST, BOUND_S), lambda size: fixed_s + per_item_s * size)
    assert least <= median(seen) <= most, seen


def test_the_size_comes_back_when_the_database_is_quick_again() -> None:
    size = BatchSize(MOST, BOUND_S)
    assert median(served(size, lambda n: 0.002 + 0.002 * n)) < 20
    assert served(size, lambda n: 0.001 + 0.00015 * n, calls=80)[-1] == MOST


def test_waits_for_locks_now_and_then_change_little() -> None:
    chance = random.Random(11)
    seen = served(
        BatchSize(MOST, BOUND_S), lambda n: 2.0 if chance.random() < 0.02 else 0.001 + 0.00015 * n, calls=1000
    )
    assert median(seen) > 60


def test_a_call_of_one_item_says_nothing_about_size() -> None:
    size = BatchSize(MOST, BOUND_S)
    for _ in range(50):
        size.learn(1, 1.0)
    assert size.now == MOST
