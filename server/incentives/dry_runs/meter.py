"""Limits and budgets as they would have counted: pure arithmetic over what was used by then.

The rules are those of the vault (D17): an award is given whole or not at all, a limit counts in the period of the
fact's day, whoever comes first takes. A person's own limits are asked first, then those of places, then the budgets.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final, Literal

from msgspec import Struct, field

from server.incentives.counting import period_days

Outcome = Literal["given", "limit", "budget", "withheld"]
GIVEN: Final = "given"


class Cap(Struct, frozen=True):
    """A limit. `name` tells it from the same way of counting elsewhere: of the campaign, or of the coupon it gives."""

    name: str
    scope: str
    measure: str
    period: str
    cap: int

    def key(self, day: date, town: str | None) -> str:
        """Under which it is counted for a fact of this day, of somebody who lives in this town."""
        first, _ = period_days(self.period, day)
        place = town or "" if self.scope == "town" else ""
        return f"{self.name}/{self.scope}/{self.measure}/{self.period}/{place}/{first or ''}"

    def outlasts(self, day: date, until: date) -> bool:
        """Whether its period around a day reaches to another."""
        _, following = period_days(self.period, day)
        return following is None or following > until


class Amounts(Struct):
    """What awards gave, or would have; `fen` is the most that coupons cost platform and sponsor."""

    awards: int = 0
    points: int = 0
    coupons: int = 0
    fen: int = 0
    free_minutes: int = 0
    lottery_tickets: int = 0

    def add(self, more: Amounts) -> None:
        """As much more."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(more, name))


class Told(Struct):
    """One outcome: by how many residents it was met, and what awards it were."""

    residents: int = 0
    amounts: Amounts = field(default_factory=Amounts)


class Person(Struct):
    """What one resident used of limits by now, which outcomes he met, and on which days he was given something."""

    used: dict[str, int] = {}
    met: list[str] = []
    days: list[date] = []


class Totals(Struct):
    """A run as far as it has come. `left`: of budgets, by unit; `used`: of limits of places."""

    left: dict[str, int] = {}
    used: dict[str, int] = {}
    outcomes: dict[str, Told] = {}
    days: dict[date, Told] = {}


class Meter:
    """Decides what becomes of awards, one after another."""

    def __init__(self, caps: tuple[Cap, ...], totals: Totals) -> None:
        self._own = [cap for cap in caps if cap.scope == "resident"]
        self._places = [cap for cap in caps if cap.scope != "resident"]
        self.totals = totals

    def meet(
        self, person: Person, day: date, town: str | None, award: Amounts, measures: Mapping[str, int], held_out: bool
    ) -> Outcome:
        """What becomes of one award, which is then counted. `measures`: how much of each measure it is."""
        outcome = self._outcome(person, day, town, award, measures, held_out)
        if outcome in ("given", "withheld"):
            _count(self._own, person.used, day, town, measures)
        if outcome == "given":
            _count(self._places, self.totals.used, day, town, measures)
            self._pay(award)
            told = self.totals.days.setdefault(day, Told())
            told.amounts.add(award)
            if day not in person.days:
                person.days.append(day)
                told.residents += 1
        told = self.totals.outcomes.setdefault(outcome, Told())
        told.amounts.add(award)
        if outcome not in person.met:
            person.met.append(outcome)
            told.residents += 1
        return outcome

    def remember(
        self, person: Person, day: date, town: str | None, award: Amounts, measures: Mapping[str, int], first: date,
        held_out: bool,
    ) -> None:  # fmt: skip
        """Count what was really given before the first day, as far as it uses up limits and budgets of later ones."""
        _count([cap for cap in self._own if cap.outlasts(day, first)], person.used, day, town, measures)
        if not held_out:
            places = [cap for cap in self._places if cap.outlasts(day, first)]
            _count(places, self.totals.used, day, town, measures)
            self._pay(award)

    def _outcome(
        self, person: Person, day: date, town: str | None, award: Amounts, measures: Mapping[str, int], held_out: bool
    ) -> Outcome:
        if _is_over(self._own, person.used, day, town, measures):
            return "limit"
        if held_out:
            return "withheld"
        if _is_over(self._places, self.totals.used, day, town, measures):
            return "limit"
        short = any(getattr(award, unit) > left for unit, left in self.totals.left.items())
        return "budget" if short else "given"

    def _pay(self, award: Amounts) -> None:
        for unit in self.totals.left:
            self.totals.left[unit] -= getattr(award, unit)


def _is_over(caps: list[Cap], used: dict[str, int], day: date, town: str | None, measures: Mapping[str, int]) -> bool:
    return any(
        measures[cap.measure] and used.get(cap.key(day, town), 0) + measures[cap.measure] > cap.cap for cap in caps
    )


def _count(caps: list[Cap], used: dict[str, int], day: date, town: str | None, measures: Mapping[str, int]) -> None:
    for cap in caps:
        if measures[cap.measure]:
            key = cap.key(day, town)
            used[key] = used.get(key, 0) + measures[cap.measure]
