"""Days, hours and periods of the city, and the days on which China works."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, Literal, assert_never
from zoneinfo import ZoneInfo

import chinese_calendar
from msgspec import Struct

from server.incentives.rules.language import Ever, LastDays, SinceCampaignBegan, ThisPeriod, Weekly, Within


@dataclass(frozen=True, slots=True)
class Calendar:
    """On which days China works: `years` whose arrangement is published, and how their days differ from other weeks'.

    The State Council publishes a year's arrangement in the November before. In a year that is not known yet people work
    from Monday to Friday; a rule that needs such a year is not saved.
    """

    years: frozenset[int]
    holidays: frozenset[date]
    workdays: frozenset[date]

    def knows(self, day: date) -> bool:
        """Whether the arrangement of the day's year is published."""
        return day.year in self.years

    def is_workday(self, day: date) -> bool:
        """Whether China works on this day."""
        return day in self.workdays or (day.isoweekday() <= 5 and day not in self.holidays)

    def with_year(self, year: int, holidays: Iterable[date], workdays: Iterable[date]) -> Calendar:
        """The same with one year more, or with another arrangement of a year."""

        def renewed(old: frozenset[date], new: Iterable[date]) -> frozenset[date]:
            return frozenset(day for day in old if day.year != year) | {day for day in new if day.year == year}

        return Calendar(self.years | {year}, renewed(self.holidays, holidays), renewed(self.workdays, workdays))


def _published() -> Calendar:
    holidays, workdays = frozenset(chinese_calendar.holidays), frozenset(chinese_calendar.workdays)
    return Calendar(frozenset(day.year for day in holidays), holidays, workdays)


#: What the library knows; a year that is published later comes with its next release or with `with_year`.
CHINA: Final = _published()


class Moment(Struct, frozen=True):
    """An instant as the city's clock and calendar show it."""

    day: date
    minute: int

    @classmethod
    def of(cls, at: datetime, zone: ZoneInfo) -> Moment:
        local = at.astimezone(zone)
        return cls(local.date(), local.hour * 60 + local.minute)


class Opening(Struct, frozen=True):
    """A moment held against a window. `published`: whether the year's arrangement was known."""

    moment: Moment
    workday: bool
    published: bool

    @classmethod
    def of(cls, moment: Moment, calendar: Calendar) -> Opening:
        return cls(moment, calendar.is_workday(moment.day), calendar.knows(moment.day))


def minute_of(text: str) -> int:
    """Minutes since midnight: 09:30 is 570, 24:00 is 1440."""
    return int(text[:2]) * 60 + int(text[3:])


def is_open(window: Weekly, moment: Moment, calendar: Calendar) -> bool:
    """Whether the moment lies in the window; its end no longer belongs to it."""
    if moment.day.isoweekday() not in window.weekdays:
        return False
    if window.day != "any" and calendar.is_workday(moment.day) != (window.day == "workday"):
        return False
    return minute_of(window.from_time) <= moment.minute < minute_of(window.until_time)


def is_within(day: date, first_day: date | None, last_day: date | None) -> bool:
    """Whether the day is one of these, both ends included; None is open."""
    return (first_day is None or first_day <= day) and (last_day is None or day <= last_day)


def span(
    within: Within, day: date, began_at: datetime | None, zone: ZoneInfo
) -> tuple[datetime | None, datetime | None]:
    """From which instant and before which the window around a city day reaches; None is open."""
    match within:
        case LastDays(days=days):
            return _midnight(day - timedelta(days=days - 1), zone), _midnight(day + timedelta(days=1), zone)
        case ThisPeriod(period=period):
            first, following = _period(period, day)
            return _midnight(first, zone), _midnight(following, zone)
        case SinceCampaignBegan():
            return began_at, None
        case Ever():
            return None, None
        case _:
            assert_never(within)


def _period(period: Literal["day", "week", "month", "year"], day: date) -> tuple[date, date]:
    if period == "day":
        return day, day + timedelta(days=1)
    if period == "week":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    if period == "month":
        return day.replace(day=1), date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return date(day.year, 1, 1), date(day.year + 1, 1, 1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)
