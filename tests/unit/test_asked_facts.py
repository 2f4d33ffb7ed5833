"""Which facts an approved version asks for, and how far back it looks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from server.incentives.asked import Asking, looked_at_from
from server.incentives.experiments.hold_out import HoldOut
from server.incentives.forgetting import border_of
from tests.support.rules import CITY, LOGIN, VOLUNTEER, rule_of

START, END = datetime(2026, 5, 1, tzinfo=CITY), datetime(2026, 8, 1, tzinfo=CITY)
BORDER = datetime(2026, 6, 1, tzinfo=CITY)
SECOND = timedelta(seconds=1)


def asking(condition: dict[str, Any] | None, trigger: dict[str, Any] = VOLUNTEER, **more: Any) -> Asking:
    times = {"starts_at": START, "ends_at": END, "began_at": START} | more
    return Asking(rule_of(condition, trigger), times.pop("hold_out", None), **times)


def done(within: dict[str, Any], kind: str = "has_done") -> dict[str, Any]:
    return {"kind": kind, "fact": "login_day", "within": within}


def test_a_trigger_is_asked_for_while_its_version_runs() -> None:
    version = asking(None, LOGIN)
    assert [version.asks("login_day", at) for at in (START - SECOND, START, END - SECOND, END)] == [
        False, True, True, False
    ]  # fmt: skip
    assert not version.asks("volunteer_hours_recorded", START)
    assert not asking(None, LOGIN, paused=True).asks("login_day", START)
    assert not asking(None, LOGIN, over_at=START).asks("login_day", START)


@pytest.mark.parametrize("condition", [
    done({"kind": "ever"}), done({"kind": "ever"}, "has_not_done"),
    {"kind": "any", "of": [{"kind": "town_in", "towns": ["华士镇"]}, {"kind": "not", "of": done({"kind": "ever"})}]},
])  # fmt: skip
def test_what_a_condition_will_look_back_at_is_asked_for_from_the_approval_on(condition: dict[str, Any]) -> None:
    early = START - timedelta(days=40)
    assert asking(condition).asks("login_day", early)
    assert asking(condition, paused=True).asks("login_day", early)
    assert not asking(condition, over_at=early).asks("login_day", early)


def test_what_a_hold_out_is_compared_by_is_asked_for_until_the_last_has_had_his_days() -> None:
    version = asking(None, hold_out=HoldOut(1_000, "login_day", 30))
    last = END + timedelta(days=30)
    assert [version.asks("login_day", at) for at in (START - SECOND, START, END, last - SECOND, last)] == [
        False, True, True, True, False
    ]  # fmt: skip
    early = asking(None, hold_out=HoldOut(1_000, "login_day", 30), over_at=START + timedelta(days=1))
    assert early.asks("login_day", START + timedelta(days=30)) and not early.asks("login_day", END)


@pytest.mark.parametrize(("within", "since"), [
    ({"kind": "last_days", "days": 30}, datetime(2026, 5, 3, tzinfo=CITY)),
    ({"kind": "this", "period": "month"}, BORDER),
    ({"kind": "this", "period": "year"}, datetime(2026, 1, 1, tzinfo=CITY)),
    ({"kind": "campaign"}, START),
    ({"kind": "ever"}, None),
])  # fmt: skip
def test_it_looks_as_far_back_as_a_fact_of_the_border_would(within: dict[str, Any], since: datetime | None) -> None:
    assert asking(done(within)).looks_from("login_day", BORDER, CITY) == since
    assert asking(done(within)).looks_from("parking_exit_paid", BORDER, CITY) == BORDER


def test_what_begins_later_looks_back_from_its_own_beginning() -> None:
    later = asking(done({"kind": "last_days", "days": 31}), starts_at=END, ends_at=END + timedelta(days=9))
    assert later.looks_from("login_day", BORDER, CITY) == BORDER
    assert asking({"kind": "first_time"}).looks_from("volunteer_hours_recorded", BORDER, CITY) is None
    year = {"kind": "points_per", "attribute": "minutes", "over": "year", "at_most_points": 9, "tiers": [{"per": 60}]}
    climbing = Asking(rule_of(None, VOLUNTEER, year), None, START, END, START)
    assert climbing.looks_from("volunteer_hours_recorded", BORDER, CITY) == datetime(2026, 1, 1, tzinfo=CITY)


def test_the_version_that_looks_furthest_back_decides() -> None:
    near, far, ever = (
        asking(done(within)) for within in (
            {"kind": "last_days", "days": 2}, {"kind": "campaign"}, {"kind": "ever"},
        )
    )  # fmt: skip
    assert looked_at_from("login_day", [], BORDER, CITY) == BORDER
    assert looked_at_from("login_day", [near, far], BORDER, CITY) == START
    assert looked_at_from("login_day", [near, ever, far], BORDER, CITY) is None
    counted = asking(None, hold_out=HoldOut(1_000, "login_day", 30))
    assert looked_at_from("login_day", [near, counted], BORDER, CITY) == START


@pytest.mark.parametrize(("today", "months", "border"), [
    (date(2026, 11, 23), 36, (2023, 11)), (date(2026, 12, 31), 13, (2025, 11)), (date(2026, 1, 1), 13, (2024, 12)),
])  # fmt: skip
def test_the_border_is_the_first_of_a_month_in_the_city(today: date, months: int, border: tuple[int, int]) -> None:
    assert border_of(today, months, CITY) == datetime(*border, 1, tzinfo=CITY)
    assert border_of(today, months, CITY).astimezone(UTC).hour == 16
