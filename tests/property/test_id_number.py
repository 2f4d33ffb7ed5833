"""The ID-number check, against every number that can be written."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from server.people.id_number import birth_date, check_character, is_valid

TODAY = date(2026, 11, 23)
regions = st.sampled_from(["110101", "320281", "320512", "810000", "820000", "830000", "932840", "652801", "719999"])
days = st.dates(min_value=date(1900, 1, 1), max_value=TODAY)
sequences = st.integers(0, 999)


def number(region: str, day: date, sequence: int) -> str:
    first = f"{region}{day:%Y%m%d}{sequence:03d}"
    return first + check_character(first)


@given(regions, days, sequences)
def test_a_number_made_by_the_rules_is_valid_and_tells_its_day(region: str, day: date, sequence: int) -> None:
    made = number(region, day, sequence)
    assert is_valid(made, today=TODAY)
    assert birth_date(made) == day


@given(regions, days, sequences, st.integers(0, 17), st.sampled_from("0123456789X"))
def test_any_single_wrong_character_is_found(region: str, day: date, sequence: int, place: int, other: str) -> None:
    made = number(region, day, sequence)
    assume(made[place] != other)
    assert not is_valid(made[:place] + other + made[place + 1 :], today=TODAY)


@given(regions, days, sequences, st.integers(0, 16))
def test_two_neighbours_exchanged_are_found(region: str, day: date, sequence: int, place: int) -> None:
    made = number(region, day, sequence)
    assume(made[place] != made[place + 1])
    exchanged = made[:place] + made[place + 1] + made[place] + made[place + 2 :]
    assert not is_valid(exchanged, today=TODAY)


@given(st.text(max_size=24))
def test_any_text_gets_an_answer_and_never_an_exception(text: str) -> None:
    assert is_valid(text, today=TODAY) in (True, False)


@given(regions, sequences, st.integers(1, 40_000))
def test_nobody_is_born_tomorrow(region: str, sequence: int, ahead: int) -> None:
    assert not is_valid(number(region, TODAY + timedelta(days=ahead), sequence), today=TODAY)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "11010519491231002x",
        "１１０１０５19491231002X",
        "11010519491231002X ",
        "110105194912310021",
        "110105491231002",
        "000000194912310022",
    ],
)
def test_other_spellings_are_refused(wrong: str) -> None:
    assert not is_valid(wrong, today=TODAY)


def test_the_example_of_the_standard_is_valid() -> None:
    assert is_valid("11010519491231002X", today=TODAY)
    assert birth_date("11010519491231002X") == date(1949, 12, 31)


@pytest.mark.parametrize("day", ["19990229", "19990431", "19991301", "19990100", "18991231"])
def test_days_that_never_were_are_refused(day: str) -> None:
    first = f"320281{day}001"
    assert not is_valid(first + check_character(first), today=TODAY)


@pytest.mark.parametrize("region", ["100000", "160000", "990000", "919000", "840000", "700000"])
def test_a_province_that_does_not_exist_is_refused(region: str) -> None:
    assert not is_valid(number(region, date(1990, 1, 1), 1), today=TODAY)
