"""The city's days: holidays, midnight, ends of months, clocks that are moved."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from server.incentives.rules import CHINA
from server.incentives.rules.language import Ever, LastDays, SinceCampaignBegan, ThisPeriod, Weekly
from server.incentives.rules.windows import Moment, Opening, is_open, is_within, minute_of, span
from tests.support.rules import CITY

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("day", "workday"),
    [
        ("2026-01-01", False), ("2026-01-04", True), ("2026-01-05", True),
        ("2026-02-14", True), ("2026-02-15", False), ("2026-02-17", False), ("2026-02-23", False),
        ("2026-02-24", True), ("2026-02-28", True), ("2026-03-01", False),
        ("2026-09-20", True), ("2026-09-25", False), ("2026-10-01", False), ("2026-10-07", False),
        ("2026-10-08", True), ("2026-10-10", True), ("2026-10-11", False),
        ("2025-09-28", True), ("2025-10-06", False), ("2025-10-08", False), ("2025-10-11", True),
    ],
)  # fmt: skip
def test_holidays_and_the_days_that_make_up_for_them_are_those_of_the_state_council(day: str, workday: bool) -> None:
    assert CHINA.is_workday(date.fromisoformat(day)) == workday


def test_a_year_that_is_not_published_is_monday_to_friday_and_says_so() -> None:
    year = max(CHINA.years) + 1
    days = [date(year, 1, 1) + timedelta(days=number) for number in range(365)]
    assert {day for day in days if CHINA.is_workday(day)} == {day for day in days if day.isoweekday() <= 5}
    assert not CHINA.knows(days[0])
    assert not Opening.of(Moment(days[0], 0), CHINA).published


def test_a_year_may_be_given_and_changes_no_other() -> None:
    year = max(CHINA.years) + 1
    new_year, saturday = date(year, 1, 1), next(
        day for day in (date(year, 1, 1) + timedelta(days=number) for number in range(9)) if day.isoweekday() == 6
    )  # fmt: skip
    known = CHINA.with_year(year, [new_year, date(2026, 3, 3)], [saturday])
    assert known.knows(new_year)
    assert not known.is_workday(new_year)
    assert known.is_workday(saturday)
    assert known.is_workday(date(2026, 3, 3))
    assert not known.is_workday(date(2026, 10, 1))
    again = known.with_year(year, [], [])
    assert not again.is_workday(saturday)
    assert again.holidays == CHINA.holidays


@pytest.mark.parametrize(
    ("at", "is_in"),
    [
        ("2026-09-30T23:59:59.999999", False), ("2026-10-01T00:00:00", True), ("2026-10-07T23:59:59.999999", True),
        ("2026-10-08T00:00:00", False), ("2026-10-10T12:00:00", False), ("2026-10-11T12:00:00", True),
    ],
)  # fmt: skip
def test_a_window_of_holidays_opens_and_closes_at_midnight_of_the_city(at: str, is_in: bool) -> None:
    moment = Moment.of(datetime.fromisoformat(at).replace(tzinfo=CITY), CITY)
    assert is_open(Weekly(day="holiday"), moment, CHINA) == is_in
    assert is_open(Weekly(day="workday"), moment, CHINA) != is_in


@pytest.mark.parametrize(
    ("at", "is_in"),
    [("08:59:59.999999", False), ("09:00:00", True), ("16:59:59.999999", True), ("17:00:00", False)],
)
def test_hours_begin_on_the_minute_and_end_before_it(at: str, is_in: bool) -> None:
    local = datetime.fromisoformat(f"2026-05-05T{at}").replace(tzinfo=CITY)
    window = Weekly(weekdays=(2,), from_time="09:00", until_time="17:00")
    assert is_open(window, Moment.of(local.astimezone(UTC), CITY), CHINA) == is_in
    assert not is_open(window, Moment.of(local + timedelta(days=1), CITY), CHINA)


def test_the_last_minute_of_a_day_belongs_to_a_window_until_24_00() -> None:
    last = Moment.of(datetime(2026, 5, 5, 23, 59, 59, 999_999, tzinfo=CITY), CITY)
    assert is_open(Weekly(from_time="23:59", until_time="24:00"), last, CHINA)
    assert not is_open(Weekly(from_time="00:00", until_time="23:59"), last, CHINA)
    assert (minute_of("00:00"), minute_of("09:30"), minute_of("24:00")) == (0, 570, 1440)


def test_days_between_include_both_ends_and_may_be_open() -> None:
    day = date(2026, 2, 28)
    assert is_within(day, day, day)
    assert is_within(day, None, day)
    assert is_within(day, day, None)
    assert not is_within(day, day + timedelta(days=1), None)
    assert not is_within(day, None, day - timedelta(days=1))


@pytest.mark.parametrize(
    ("within", "day", "since", "until"),
    [
        (ThisPeriod("day"), "2026-02-28", "2026-02-28", "2026-03-01"),
        (ThisPeriod("week"), "2026-03-01", "2026-02-23", "2026-03-02"),
        (ThisPeriod("week"), "2026-03-02", "2026-03-02", "2026-03-09"),
        (ThisPeriod("month"), "2026-02-28", "2026-02-01", "2026-03-01"),
        (ThisPeriod("month"), "2028-02-29", "2028-02-01", "2028-03-01"),
        (ThisPeriod("month"), "2026-12-31", "2026-12-01", "2027-01-01"),
        (ThisPeriod("year"), "2026-12-31", "2026-01-01", "2027-01-01"),
        (LastDays(1), "2026-03-01", "2026-03-01", "2026-03-02"),
        (LastDays(30), "2026-03-01", "2026-01-31", "2026-03-02"),
    ],
)
def test_spans_are_whole_days_of_the_city(within: LastDays | ThisPeriod, day: str, since: str, until: str) -> None:
    expected = tuple(datetime.fromisoformat(f"{each}T00:00").replace(tzinfo=CITY) for each in (since, until))
    assert span(within, date.fromisoformat(day), None, CITY) == expected


def test_a_span_may_have_no_end() -> None:
    began = datetime(2026, 1, 5, tzinfo=UTC)
    assert span(SinceCampaignBegan(), date(2026, 2, 1), began, CITY) == (began, None)
    assert span(Ever(), date(2026, 2, 1), began, CITY) == (None, None)


def test_a_day_on_which_clocks_are_moved_has_23_or_25_hours_and_the_city_s_24() -> None:
    def hours(day: date, zone: ZoneInfo) -> float:
        since, until = span(ThisPeriod("day"), day, None, zone)
        assert since is not None
        assert until is not None
        return (until.astimezone(UTC) - since.astimezone(UTC)) / timedelta(hours=1)

    assert [hours(date(2026, 3, 8), zone) for zone in (NEW_YORK, CITY)] == [23, 24]
    assert [hours(date(2026, 11, 1), zone) for zone in (NEW_YORK, CITY)] == [25, 24]


def test_an_hour_that_comes_twice_is_open_twice() -> None:
    window = Weekly(weekdays=(7,), from_time="01:00", until_time="02:00")
    for hour in (5, 6):
        at = datetime(2026, 11, 1, hour, 30, tzinfo=UTC)
        assert is_open(window, Moment.of(at, NEW_YORK), CHINA)
    assert not is_open(window, Moment.of(datetime(2026, 11, 1, 7, 0, tzinfo=UTC), NEW_YORK), CHINA)
