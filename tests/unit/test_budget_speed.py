"""How fast a budget is used: what its days say, also when coupons come back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from server.incentives.watch import Burn, speed

TODAY, NOW = date(2026, 5, 20), datetime(2026, 5, 20, 4, tzinfo=UTC)


def at(*looks: tuple[int, int], left: int = 0) -> Burn:
    """The speed of a budget by (days ago, used)."""
    return speed([(TODAY - timedelta(days=ago), used) for ago, used in looks], left, TODAY, NOW)


def test_coupons_that_came_back_before_this_week_do_not_slow_it() -> None:
    burn = at((10, 500), (7, 300), (0, 400), left=100)
    assert burn.per_day_7 == pytest.approx(100 / 7)
    assert burn.empty_at == NOW + timedelta(days=7)


def test_what_comes_back_this_week_is_a_negative_speed_and_no_end() -> None:
    burn = at((8, 380), (7, 400), (0, 300), left=100)
    assert burn.per_day_7 == pytest.approx(-100 / 7)
    assert burn.empty_at is None


def test_a_week_whose_first_day_was_not_looked_at_counts_from_the_look_before_it() -> None:
    assert at((12, 20), (10, 100), (3, 150), (0, 200)).per_day_7 == 10.0


def test_a_budget_younger_than_a_week_is_as_fast_as_since_it_began() -> None:
    assert at((3, 10), (0, 40), left=40) == Burn(10.0, 10.0, NOW + timedelta(days=4))
    assert at() == Burn(0.0, 0.0, None)
