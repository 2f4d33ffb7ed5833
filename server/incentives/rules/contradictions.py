"""Conditions that cannot hold together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from server.incentives.rules.language import (
    AmountIs,
    BandIn,
    Between,
    Condition,
    EnrolledBetween,
    MerchantCategoryIn,
    Not,
    TownIn,
    ValueIn,
    Weekly,
)
from server.incentives.rules.windows import Calendar, Moment, is_open, is_within, minute_of

Placed = tuple[str, Condition]


def contradiction(together: Sequence[Placed]) -> str | None:
    """The path of the first part that excludes what stands before it, or None. Not every contradiction is seen: those
    of days, hours, numbers and lists, and a part beside its own `not`."""
    for number, (path, part) in enumerate(together):
        before = [each for _, each in together[:number]]
        alike = [each for each in before if _key(each) is not None and _key(each) == _key(part)]
        if alike and _are_apart([*alike, part]):
            return path
        if any(each == Not(part) or part == Not(each) for each in before):
            return path
    return None


def never_open(
    together: Sequence[Placed], days: tuple[date, date] | None, at_midnight: bool, calendar: Calendar
) -> str | None:
    """The path of the first window that is closed on each of these days; `at_midnight`: facts come only then."""
    if days is None:
        return None
    first_day, last_day = days
    every = [first_day + timedelta(days=number) for number in range((last_day - first_day).days + 1)]
    for path, part in together:
        if isinstance(part, Between) and not any(is_within(day, part.first_day, part.last_day) for day in every):
            return path
        if isinstance(part, Weekly):
            minute = 0 if at_midnight else minute_of(part.from_time)
            if not any(is_open(part, Moment(day, minute), calendar) for day in every):
                return path
    return None


def _key(part: Condition) -> object:
    """Parts of one key speak of the same thing."""
    if isinstance(part, AmountIs | ValueIn):
        return type(part), part.attribute
    plain = (BandIn, TownIn, MerchantCategoryIn, Between, EnrolledBetween, Weekly)
    return type(part) if isinstance(part, plain) else None


def _are_apart(parts: Sequence[Condition]) -> bool:
    """Whether parts of one key have nothing in common."""
    lists: list[set[object]] = []
    ranges: list[tuple[int | None, int | None]] = []
    for part in parts:
        match part:
            case BandIn(bands=codes) | TownIn(towns=codes) | MerchantCategoryIn(categories=codes):
                lists.append(set(codes))
            case ValueIn(values=codes):
                lists.append(set(codes))
            case AmountIs(at_least=low, at_most=high):
                ranges.append((low, high))
            case Between(first_day=first, last_day=last) | EnrolledBetween(first_day=first, last_day=last):
                ranges.append((_number(first), _number(last)))
            case Weekly():
                kinds = ("workday", "holiday") if part.day == "any" else (part.day,)
                lists.append({(weekday, kind) for weekday in part.weekdays for kind in kinds})
                ranges.append((minute_of(part.from_time), minute_of(part.until_time) - 1))
            case _:
                pass
    return _share_nothing(lists) or _cross(ranges)


def _share_nothing(lists: Sequence[set[object]]) -> bool:
    return bool(lists) and not set.intersection(*lists)


def _cross(ranges: Sequence[tuple[int | None, int | None]]) -> bool:
    lows = [low for low, _ in ranges if low is not None]
    highs = [high for _, high in ranges if high is not None]
    return bool(lows) and bool(highs) and max(lows) > min(highs)


def _number(day: date | None) -> int | None:
    return None if day is None else day.toordinal()
