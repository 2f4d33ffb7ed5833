"""Hold-outs are stable and even; an uplift's interval is the published one and covers what it says."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.incentives.experiments.assignment import is_held_out
from server.incentives.experiments.report import Side
from server.incentives.experiments.uplift import Group, uplift, wilson
from server.kit.crypto import BlindIndex

KEY, OTHER = BlindIndex(b"k" * 32), BlindIndex(b"x" * 32)
residents = st.integers(1, 2**63 - 1)
shares = st.integers(0, 10_000)


@given(residents, residents, shares, shares)
def test_a_larger_share_holds_out_everybody_whom_a_smaller_one_did(campaign: int, person: int, a: int, b: int) -> None:
    small, large = sorted((a, b))
    assert is_held_out(KEY, campaign, person, large) >= is_held_out(KEY, campaign, person, small)


@given(residents, residents)
def test_nobody_is_held_out_of_nothing_and_everybody_of_the_whole(campaign: int, person: int) -> None:
    assert not is_held_out(KEY, campaign, person, 0)
    assert is_held_out(KEY, campaign, person, 10_000)


def test_the_share_is_kept_and_campaigns_are_independent() -> None:
    people = range(1, 20_001)
    one = {p for p in people if is_held_out(KEY, 1, p, 1_000)}
    two = {p for p in people if is_held_out(KEY, 2, p, 1_000)}
    assert len(one) == pytest.approx(2_000, abs=200)
    assert len(one & two) == pytest.approx(200, abs=70)
    assert one != {p for p in people if is_held_out(OTHER, 1, p, 1_000)}


def test_the_interval_is_newcombes_published_example() -> None:
    """Newcombe, Statistics in Medicine 17 (1998) 873–890, table II: 56/70 − 48/80, method 10: 0.0524 to 0.3339."""
    found = uplift(Group(70, 56), Group(80, 48))
    assert found.points == pytest.approx(20.0)
    assert (found.low, found.high) == (pytest.approx(5.24, abs=0.005), pytest.approx(33.39, abs=0.005))
    assert found.known


@pytest.mark.parametrize(("treated", "held"), [((10, 0), (10, 10)), ((10, 10), (10, 0)), ((10, 0), (20, 0))])
def test_shares_at_the_edges_stay_within_the_range(treated: tuple[int, int], held: tuple[int, int]) -> None:
    found = uplift(Group(*treated), Group(*held))
    assert -100 <= found.low <= found.points <= found.high <= 100
    assert found.low < found.high


def test_an_empty_side_says_nothing() -> None:
    for treated, held in ((Group(0, 0), Group(5, 5)), (Group(5, 5), Group(0, 0))):
        found = uplift(treated, held)
        assert (found.low, found.high, found.known) == (-100.0, 100.0, False)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    dice = random.Random(7)

    def drawn(people: int, share: float) -> Group:
        return Group(people, sum(dice.random() < share for _ in range(people)))

    hits = 0
    for _ in range(1_000):
        found = uplift(drawn(300, 0.3), drawn(60, 0.2))
        hits += found.low <= 10 <= found.high
    assert 0.93 <= hits / 1_000 <= 0.975


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_wilsons_interval_holds_its_share(group: tuple[int, int]) -> None:
    low, high = wilson(Group(*group))
    assert 0 <= low <= group[1] / group[0] + 1e-12
    assert group[1] / group[0] - 1e-12 <= high <= 1


@pytest.mark.parametrize(
    ("counted", "told"),
    [
        (Side(40, 15, 12), Side(40, 15, 12)),
        (Side(40, 9, 0), Side(40, None, None)),
        (Side(0, 0, 12), Side(None, None, 12)),
        (Side(3, 1, 12), Side(None, None, None)),  # 12 of 15, of whom something is told elsewhere, would tell the 3
    ],
)
def test_no_cell_below_ten_is_told_and_none_that_would_tell_it(counted: Side, told: Side) -> None:
    assert counted.told(10) == told
