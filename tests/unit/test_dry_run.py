"""The meter counts as the vault does, and what is told of a dry run hides single people."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec
import pytest

from server.incentives.dry_runs.meter import Amounts, Cap, Meter, Outcome, Person, Told, Totals
from server.incentives.dry_runs.models import DryRun
from server.incentives.dry_runs.reading import read
from server.incentives.dry_runs.runs import Days
from server.kit.errors import InvalidField

SUNDAY, MONDAY = date(2026, 11, 1), date(2026, 11, 2)


def measures(points: int) -> dict[str, int]:
    return {"count": 1, "points": points, "face_value_fen": 0, "fen": 0}


def give(meter: Meter, person: Person, day: date, points: int, town: str | None = None, held: bool = False) -> Outcome:
    return meter.meet(person, day, town, Amounts(1, points), measures(points), held)


def test_each_limit_counts_in_its_own_period_and_an_award_is_whole_or_nothing() -> None:
    week = Cap("campaign", "resident", "points", "week", 30)
    meter, person = Meter((week,), Totals(left={"points": 1_000})), Person()
    assert [give(meter, person, SUNDAY, 20), give(meter, person, SUNDAY, 20)] == ["given", "limit"]
    assert [give(meter, person, SUNDAY, 10), give(meter, person, MONDAY, 30)] == ["given", "given"]
    assert meter.totals.left == {"points": 940}
    assert (meter.totals.outcomes["given"].residents, meter.totals.outcomes["limit"].amounts.points) == (1, 20)


def test_a_place_is_shared_a_town_is_its_own_and_budgets_are_asked_last() -> None:
    caps = (Cap("campaign", "town", "count", "total", 1), Cap("campaign", "campaign", "points", "day", 50))
    meter = Meter(caps, Totals(left={"points": 45}))
    told = [give(meter, Person(), SUNDAY, 20, town) for town in ("华士镇", "华士镇", "新桥镇", None)]
    assert told == ["given", "limit", "given", "limit"]  # 20 more would pass the day's 50
    assert give(meter, Person(), MONDAY, 20, "周庄镇") == "budget"
    assert give(meter, Person(), MONDAY, 5, "周庄镇") == "given"
    assert meter.totals.left == {"points": 0}


def test_who_is_held_out_uses_up_his_own_limits_and_nothing_else() -> None:
    meter, person = Meter((Cap("campaign", "resident", "count", "total", 1),), Totals(left={"points": 10})), Person()
    assert [give(meter, person, SUNDAY, 10, held=True) for _ in range(2)] == ["withheld", "limit"]
    assert (meter.totals.left, meter.totals.days) == ({"points": 10}, {})


def test_what_was_given_before_counts_only_where_its_period_reaches_into_the_run() -> None:
    caps = tuple(Cap("campaign", "resident", "count", period, 1) for period in ("day", "month", "total"))
    for kept, day in ((2, date(2026, 11, 1)), (1, date(2026, 10, 31))):
        meter, person = Meter(caps, Totals(left={"points": 10})), Person()
        meter.remember(person, day, None, Amounts(1, 3), measures(3), date(2026, 11, 2), held_out=False)
        assert (len(person.used), meter.totals.left, meter.totals.days) == (kept, {"points": 7}, {})
        assert give(meter, person, MONDAY, 1) == "limit"


def run_of(*residents: int) -> DryRun:
    dates = [date(2026, 10, place) for place in range(1, len(residents) + 1)]
    days = {day: Told(count, Amounts(count, 5 * count)) for day, count in zip(dates, residents, strict=True)}
    given = sum(residents)
    totals = Totals(outcomes={"given": Told(given, Amounts(given, 5 * given)), "limit": Told(9)}, days=days)
    return DryRun(
        campaign_id=1, version_id=1, number=1, first_day=dates[0], last_day=dates[-1],
        content={}, state=msgspec.to_builtins(totals, str_keys=True), ordered_by=1, ordered_at=datetime.now(UTC),
    )  # fmt: skip


def test_a_small_day_is_hidden_with_one_beside_it_and_few_people_hide_everything() -> None:
    found = read(run_of(12, 9, 30, 40), 10)
    assert found.given is not None and found.given.residents == 91
    assert [None if told is None else told.residents for _, told in found.days] == [12, None, None, 40]
    assert (found.cut_by_limits, found.cut_by_budget) == (None, None)
    few = read(run_of(5, 4), 10)
    assert few.given is None and [told for _, told in few.days] == [None, None]


@pytest.mark.parametrize(
    ("days", "today", "expected"),
    [
        (Days(), date(2026, 3, 31), (date(2026, 2, 1), date(2026, 2, 28))),
        (Days(date(2026, 1, 5)), date(2026, 3, 3), (date(2026, 1, 5), date(2026, 3, 3))),
        (Days(date(2026, 1, 1)), date(2026, 12, 3), (date(2026, 1, 1), date(2026, 4, 2))),
        (Days(last=date(2026, 3, 2)), date(2026, 3, 3), (date(2026, 2, 1), date(2026, 3, 2))),
    ],
)
def test_days_are_the_last_calendar_month_unless_others_are_named(
    days: Days, today: date, expected: tuple[date, date]
) -> None:
    assert days.within(today) == expected
    with pytest.raises(InvalidField):
        Days(today, date(2000, 1, 1)).within(today)
