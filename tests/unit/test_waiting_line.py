"""When a crowd that found no room is told to come again."""

from __future__ import annotations

from itertools import cycle

from server.incentives.waiting import LONGEST_S, WaitingLine


def line(now: list[float], *chances: float) -> WaitingLine:
    turns = cycle(chances or (0.0,))
    return WaitingLine(clock=lambda: now[0], chance=lambda: next(turns))


def test_a_crowd_comes_back_as_fast_as_it_can_be_served_and_in_its_order() -> None:
    waiting = line([0.0])
    waits = [waiting.place(2.0, 1 / 128) for _ in range(1_024)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (3, 10)
    assert [waits.count(second) for second in range(3, 11)] == [128] * 8, "each second as many as it can serve"


def test_two_of_one_moment_are_not_told_the_same() -> None:
    waiting = line([5.0], 0.1, 0.9, 0.5)
    assert {waiting.place(0.5, 0.0) for _ in range(9)} == {1, 3, 4}


def test_nobody_waits_longer_than_the_longest_and_the_rest_is_spread_over_its_second_half() -> None:
    waiting = line([0.0], 0.0, 0.33, 0.66, 0.99, 0.5)
    waits = [waiting.place(1.0, 0.01) for _ in range(20_000)]
    assert max(waits) == LONGEST_S and set(waits[10_000:]) >= {15, 20, 25, 30}


def test_the_line_is_short_again_when_the_crowd_is_gone() -> None:
    now = [0.0]
    waiting = line(now)
    for _ in range(10_000):
        waiting.place(1.0, 0.01)
    now[0] = 60.0
    assert waiting.place(1.0, 0.01) == 2
