"""What residents are told, in the inbox and through WeChat, and when.

A notice is due from `lead` days before the last day on. A job that did not run for days tells the nearest lead only:
nobody gets two notices of one lot on one day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

Kind = Literal["points_expiring", "coupon_expiring"]

POINTS: Final[Kind] = "points_expiring"
COUPON: Final[Kind] = "coupon_expiring"
TITLES: Final[dict[Kind, str]] = {POINTS: "积分即将到期", COUPON: "优惠券即将到期"}
ADVICE: Final = "请在到期日前使用，过期自动失效"
UNNAMED: Final = "优惠券"

#: How many characters WeChat takes in a keyword, by the letters of its key.
LONGEST: Final[dict[str, int]] = {"thing": 20, "character_string": 32, "phrase": 5, "name": 10}


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """A subscribe-message template of the mini-program's account: its id, and which keyword says what."""

    id: str
    keywords: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> MessageTemplate | None:
        """From a setting such as `templateid;title=thing1;points=number2;day=date3`; None when it is empty."""
        id, *pairs = text.split(";")
        return cls(id, dict(pair.split("=", 1) for pair in pairs)) if id else None

    def values(self, kind: Kind, *, last_day: date, points: int | None, name: str) -> dict[str, str]:
        """The values of its keywords, cut to what WeChat takes."""
        said = {
            "title": TITLES[kind],
            "name": name or UNNAMED,
            "points": str(points or 0),
            "day": chinese_day(last_day),
            "advice": ADVICE,
        }
        return {key: _fitted(key, said[role]) for role, key in self.keywords.items()}


def lead_due(today: date, last_day: date, leads: Sequence[int]) -> int | None:
    """Which notice is due today for what ends after `last_day`: the nearest of `leads` (days before) that has come;
    None when none has, or the day is over."""
    left = (last_day - today).days
    if left < 0:
        return None
    return min((lead for lead in leads if left <= lead), default=None)


def leads_of(text: str) -> tuple[int, ...]:
    """The leads of a setting such as `30,7`, longest first; none when it is empty."""
    return tuple(sorted({int(part) for part in text.split(",") if part}, reverse=True))


def points_text(points: int, last_day: date, today: date) -> str:
    """The notice of a lot of points."""
    return (
        f"您有 {points} 积分将于{chinese_day(last_day)}到期，{_left(last_day, today)}。到期当天仍可使用，过期自动失效。"
    )


def coupon_text(name: str, last_day: date, today: date) -> str:
    """The notice of a coupon."""
    return f"您的“{name or UNNAMED}”将于{chinese_day(last_day)}到期，{_left(last_day, today)}。到期当天仍可使用。"


def chinese_day(day: date) -> str:
    """2026年11月30日."""
    return f"{day.year}年{day.month}月{day.day}日"


def _left(last_day: date, today: date) -> str:
    days = (last_day - today).days
    return f"还有 {days} 天" if days > 0 else "今天是最后一天"


def _fitted(key: str, text: str) -> str:
    longest = LONGEST.get(key.rstrip("0123456789"), len(text))
    return text if len(text) <= longest else text[: longest - 1] + "…"
