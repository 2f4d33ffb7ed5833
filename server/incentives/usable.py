"""When and where a coupon can be used, as its editor writes it: checked, told in Chinese, and handed to the vault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from server.incentives.rules.language import HourAndMinute, Weekday, Weekly
from server.incentives.rules.windows import minute_of
from server.incentives.rules.wording import weekly_text
from server.kit.errors import InvalidField
from wallet import UsableWindow

MAX_WINDOWS = 16
EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)


class UsableTime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A time of the week: on these weekdays (1 is Monday) and on days of this kind, from `from_time` until before
    `until_time` by the city's clock. workday: a day on which China works, the weekend days that make up for a holiday
    included; holiday: any other day. In a year whose arrangement is not published people work from Monday to Friday."""

    weekdays: tuple[Weekday, ...] = EVERY_DAY
    day: Literal["any", "workday", "holiday"] = "any"
    from_time: HourAndMinute = "00:00"
    until_time: HourAndMinute = "24:00"


def usable_times(stored: Sequence[Mapping[str, Any]]) -> list[UsableTime]:
    """Times as a version keeps them."""
    return msgspec.convert(stored, list[UsableTime])


def check_windows(windows: tuple[UsableTime, ...]) -> None:
    """Raise InvalidField for a time that cannot be, says nothing, or stands there twice."""
    if len(windows) > MAX_WINDOWS or len(set(windows)) != len(windows):
        raise InvalidField(field="windows")
    for place, window in enumerate(windows):
        at = f"windows[{place}]"
        known = [number for number in window.weekdays if number in EVERY_DAY]
        if not known or sorted(set(known)) != list(window.weekdays):
            raise InvalidField(field=f"{at}.weekdays")
        if window.day not in ("any", "workday", "holiday"):
            raise InvalidField(field=f"{at}.day")
        if minute_of(window.until_time) <= minute_of(window.from_time):
            raise InvalidField(field=f"{at}.until_time")
        if window == UsableTime():
            raise InvalidField(field=at)


def in_vault(window: UsableTime) -> UsableWindow:
    """The time as coupon terms keep it."""
    return UsableWindow(
        weekdays=window.weekdays, day=window.day, from_minute=minute_of(window.from_time),
        until_minute=minute_of(window.until_time),
    )  # fmt: skip


def windows_text(windows: Sequence[UsableTime]) -> list[str]:
    """When a coupon can be used; nothing for one that always can."""
    told = [
        weekly_text(Weekly(weekdays=one.weekdays, day=one.day, from_time=one.from_time, until_time=one.until_time))
        for one in windows
    ]
    return [f"可用时段：{'，或'.join(told)}"] if windows else []
