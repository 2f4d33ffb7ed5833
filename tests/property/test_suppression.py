"""Hidden sizes stay hidden from somebody who knows how they are hidden and sees everything that is told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.incentives.segments.suppression import hidden_cells, told, told_total

Published = tuple[int | None, tuple[int | None, ...]]
FLOOR = 10


def published(counts: Sequence[int], floor: int) -> Published:
    total = told_total(sum(counts), floor)
    return total, tuple(told(counts, floor)) if total is not None else tuple(None for _ in counts)


def tables(cells: int, total: int) -> Iterator[tuple[int, ...]]:
    """Every table of so many cells with at most so many people."""
    if cells == 0:
        yield ()
        return
    for count in range(total + 1):
        for rest in tables(cells - 1, total - count):
            yield (count, *rest)


@pytest.mark.parametrize(("floor", "cells", "total"), [(10, 2, 79), (10, 3, 59), (5, 4, 34), (3, 5, 17)])
def test_every_small_cell_may_be_anything_below_the_floor(floor: int, cells: int, total: int) -> None:
    """All tables that look alike, side by side: where one has a small size, others have every other one."""
    possible: dict[Published, list[set[int]]] = defaultdict(lambda: [set() for _ in range(cells)])
    for table in tables(cells, total):
        for place, values in enumerate(possible[published(table, floor)]):
            values.add(table[place])
    small = set(range(floor))
    narrow = {}
    for seen, places in possible.items():
        for place, values in enumerate(places):
            if seen[0] is not None and values & small and not small <= values:
                narrow[seen] = (place, values)
    assert narrow == {}


@given(st.lists(st.integers(0, 60), min_size=1, max_size=20))
def test_another_city_would_look_the_same(counts: list[int]) -> None:
    """In a table of any width: one person more or less in a small cell, and perhaps in one other, looks alike."""
    seen = published(counts, FLOOR)
    for place, count in enumerate(counts):
        if count >= FLOOR:
            continue
        others = []
        for step in (1, -1):
            moved = [*counts[:place], count + step, *counts[place + 1 :]]
            others += [moved] + [
                [*moved[:other], moved[other] - step, *moved[other + 1 :]]
                for other in range(len(counts)) if other != place
            ]  # fmt: skip
        assert any(published(other, FLOOR) == seen for other in others if min(other) >= 0), (counts, place)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20))
def test_no_small_size_is_told_and_none_is_told_more_exactly_than_the_floor(counts: list[int]) -> None:
    for count, cell in zip(counts, told(counts, FLOOR), strict=True):
        assert cell is None or (count >= FLOOR and cell % FLOOR == 0 and 0 <= count - cell < FLOOR)
    hidden = hidden_cells(counts, FLOOR)
    small = {place for place, count in enumerate(counts) if count < FLOOR}
    assert small <= hidden and len(hidden - small) == (1 if small and len(small) < len(counts) else 0)
