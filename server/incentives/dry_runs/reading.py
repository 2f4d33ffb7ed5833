"""What may be told of a dry run: amounts, without single people.

A number that fewer residents than the small cell stand behind is not told (guard rail 21). A day that is hidden cannot
be worked out from the sum of all days either, as one beside it is hidden too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import msgspec

from server.incentives.dry_runs.meter import GIVEN, Told, Totals
from server.incentives.dry_runs.models import DryRun
from server.incentives.segments.suppression import hidden_cells


@dataclass(frozen=True, slots=True)
class Reading:
    """A finished run. None: fewer residents than the small cell, or what would tell them."""

    given: Told | None
    withheld: Told | None
    cut_by_limits: Told | None
    cut_by_budget: Told | None
    days: list[tuple[date, Told | None]]


def read(run: DryRun, floor: int) -> Reading:
    """A run as it may leave the house."""
    totals = msgspec.convert(run.state, Totals, str_keys=True)

    def outcome(name: str) -> Told | None:
        told = totals.outcomes.get(name)
        return None if told is None or told.residents < floor else told

    given = outcome(GIVEN)
    dates = [run.first_day + timedelta(days=n) for n in range((run.last_day - run.first_day).days + 1)]
    days = [totals.days.get(day, Told()) for day in dates]
    hidden = hidden_cells([day.residents for day in days], floor) if given else range(len(days))
    return Reading(
        given, outcome("withheld"), outcome("limit"), outcome("budget"),
        [(day, None if place in hidden else told) for place, (day, told) in enumerate(zip(dates, days, strict=True))],
    )  # fmt: skip
