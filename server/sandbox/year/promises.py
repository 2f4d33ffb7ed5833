"""What each campaign of the plan promises for a fact, said a second time by hand: nothing here reads a rule, asks the
engine or knows a database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from server.sandbox.moved_clock import CITY
from server.sandbox.year.plan import LIBRARY_AFTER, LIBRARY_BEFORE, OUTER_TOWNS, day

NATIONAL_DAY: Final = day("10-01")
SPRING_FESTIVAL: Final = (day("02-15"), day("02-23"))
#: Weekdays of 2026 on which nobody works, and weekend days on which one does, as the State Council published them.
OFF_DAYS: Final = frozenset(
    map(day, ("01-01", "01-02", "02-16", "02-17", "02-18", "02-19", "02-20", "02-23", "04-06", "05-01", "05-04",
              "05-05", "06-19", "09-25", "10-01", "10-02", "10-05", "10-06", "10-07"))
)  # fmt: skip
MADE_UP_DAYS: Final = frozenset(map(day, ("01-04", "02-14", "02-28", "05-09", "09-20", "10-10")))


def is_workday(on: date) -> bool:
    """Whether China works on a day of 2026."""
    return on in MADE_UP_DAYS or (on.isoweekday() <= 5 and on not in OFF_DAYS)


@dataclass(frozen=True, slots=True)
class Happening:
    """A fact as its source tells it."""

    who: str
    kind: str
    at: datetime
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def local(self) -> datetime:
        return self.at.astimezone(CITY)

    @property
    def month(self) -> tuple[int, int]:
        return self.local.year, self.local.month


@dataclass(slots=True)
class Life:
    """What is known of a resident: his town, what happened before (in the order in which it was told), and what each
    campaign gave for it."""

    town: str
    past: list[Happening] = field(default_factory=list)
    given: list[tuple[str, Happening]] = field(default_factory=list)

    def told(self, kind: str) -> list[Happening]:
        """Everything of one kind."""
        return [one for one in self.past if one.kind == kind]

    def times(self, campaign: str, month: tuple[int, int] | None = None, on: date | None = None) -> int:
        """How often a campaign gave: in a month, on a day, ever."""
        return sum(
            1 for key, one in self.given
            if key == campaign and (month is None or one.month == month) and (on is None or one.local.date() == on)
        )  # fmt: skip


@dataclass(slots=True)
class Switches:
    """When the new version of the library's campaign became live, as the console answered; None: not yet."""

    library_at: datetime | None = None


Promise = Callable[[Happening, Life, Switches], int]


def _volunteer_sum(minutes: int) -> int:
    first, second = min(minutes, 600), max(0, min(minutes, 1200) - 600)
    return first // 60 * 10 + second // 60 * 6 + max(0, minutes - 1200) // 120 * 5


def _volunteer(fact: Happening, life: Life, _: Switches) -> int:
    minutes = fact.told["minutes"]
    before = sum(
        one.told["minutes"] for one in life.told(fact.kind) if one.local.year == fact.local.year
    )  # fmt: skip
    if minutes < 30 or life.times("volunteer", month=fact.month) >= 20:
        return 0
    return min(40, _volunteer_sum(before + minutes) - _volunteer_sum(before))


def _library(fact: Happening, life: Life, switches: Switches) -> int:
    if life.times("library", month=fact.month) >= 3:
        return 0
    is_new = switches.library_at is not None and fact.at >= switches.library_at
    return LIBRARY_AFTER if is_new else LIBRARY_BEFORE


def _spring(fact: Happening, life: Life, _: Switches) -> int:
    first, last = SPRING_FESTIVAL
    inside = first <= fact.local.date() <= last and 9 <= fact.local.hour < 21
    return 8 if inside and life.times("spring") < 2 else 0


def _lunch(fact: Happening, life: Life, _: Switches) -> int:
    minute, on = fact.local.hour * 60 + fact.local.minute, fact.local.date()
    return 2 if is_workday(on) and 660 <= minute < 810 and not life.times("lunch", on=on) else 0


def _parking(fact: Happening, life: Life, _: Switches) -> int:
    times = 1 + sum(1 for one in life.told(fact.kind) if one.month == fact.month)
    return 60 if times >= 3 and not life.times("parking", month=fact.month) else 0


def _visits(fact: Happening, life: Life, _: Switches) -> int:
    return int(not any(one.month == fact.month for one in life.told(fact.kind)))


def _tickets(fact: Happening, life: Life, _: Switches) -> int:
    inside = day("03-01") <= fact.local.date() <= day("04-12")
    return int(inside and fact.told["minutes"] >= 60 and life.times("tickets") < 2)


#: campaign -> the kind of fact that it pays for, and how much it gives: points, minutes, tickets or coupons.
PROMISES: Final[dict[str, tuple[str, Promise]]] = {
    "welcome": ("identity_bound", lambda _, life, __: 0 if life.times("welcome") else 100),
    "volunteer": ("volunteer_hours_recorded", _volunteer),
    "library": ("library_returned_on_time", _library),
    "band": (
        "band_reached", lambda fact, life, _: 30 if fact.told["band"] in ("AA", "AAA") and not life.times("band") else 0
    ),
    "towns": (
        "library_returned_on_time",
        lambda fact, life, _: 4 if life.town in OUTER_TOWNS and not life.times("towns", month=fact.month) else 0,
    ),
    "spring": ("redemption_made", _spring),
    "lunch": ("redemption_made", _lunch),
    "parking": ("parking_exit_paid", _parking),
    "trial": ("parking_exit_paid", lambda *_: 1),
    "visits": ("login_day", _visits),
    "national": ("date", lambda fact, _, __: 6 if fact.local.date() == NATIONAL_DAY else 0),
    "honour": ("administrator_grant", lambda fact, life, _: 25 * int(not life.times("honour"))),
    "first_service": ("volunteer_hours_recorded", lambda fact, life, _: int(not life.told(fact.kind))),
    "tickets": ("volunteer_hours_recorded", _tickets),
    "summer": (
        "volunteer_hours_recorded",
        lambda fact, life, _: 20 * int(
            day("06-25") <= fact.local.date() <= day("07-31") and not life.times("summer")
        ),
    ),
    "autumn": ("library_returned_on_time", lambda _, life, __: 5 if life.times("autumn") < 5 else 0),
}  # fmt: skip
#: What is not points.
IN_KIND: Final = {"parking": "minutes", "first_service": "coupons", "tickets": "tickets"}
