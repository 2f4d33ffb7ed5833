"""What keeps somebody from getting something of a rule, whatever he does next."""

from __future__ import annotations

from typing import Any

import pytest

from server.incentives.rules import Tally, barred_by, deed_text, judge, needs, progress
from tests.support.rules import LOGIN, VOLUNTEER, Somebody, case_of, rule_of

TOWN = {"kind": "town_in", "towns": ["华士镇"]}
BAND = {"kind": "band_at_least", "band": "A"}
ONCE = {"kind": "first_time"}
UNKNOWN: dict[str, Any] = {"town": None, "band": None}
LONG = {"kind": "amount", "attribute": "minutes", "at_least": 30}
THREE_HOURS = {
    "kind": "has_done", "fact": "volunteer_hours_recorded", "within": {"kind": "this", "period": "month"},
    "measure": {"kind": "sum", "attribute": "minutes", "at_least": 180},
}  # fmt: skip


def standing(condition: Any, *, times: int = 0, total: int = 0, **person: Any) -> tuple[list[str], list[str]]:
    """What bars him, and how far he has come."""
    rule = rule_of(condition, VOLUNTEER)
    history = {need: Tally(times, total) for need in needs(rule).history}
    decision = judge(rule, case_of(rule, fact=None, history=history, person=Somebody(**person)))
    return [one.text for one in barred_by(decision)], [one.progress.text for one in progress(decision) if one.progress]


@pytest.mark.parametrize(
    ("condition", "person", "barred"),
    [
        (None, {}, []),
        (LONG, {}, []),  # comes with the deed
        (TOWN, {"town": "华士镇"}, []),
        (TOWN, {"town": "新桥镇"}, ["居住在「华士镇」"]),
        ({"kind": "all", "of": [TOWN, BAND, LONG]}, UNKNOWN, ["居住在「华士镇」", "信用等级不低于〔A〕"]),
        ({"kind": "any", "of": [TOWN, LONG]}, {}, []),
        ({"kind": "any", "of": [{"kind": "all", "of": [TOWN, BAND]}, TOWN]}, UNKNOWN, ["居住在「华士镇」"]),
        ({"kind": "not", "of": TOWN}, {"town": "华士镇"}, ["不属于以下情形（居住在「华士镇」）"]),
        ({"kind": "between", "last_day": "2020-01-31"}, {}, ["发生在2020年1月31日及以前"]),
        ({"kind": "between", "first_day": "2190-01-01"}, {}, []),
        ({"kind": "weekly", "weekdays": [1], "from_time": "00:00", "until_time": "00:01"}, {}, []),
    ],
)  # fmt: skip
def test_only_what_stays_as_it_is_bars(condition: Any, person: dict[str, Any], barred: list[str]) -> None:
    assert standing(condition, **person)[0] == barred


def test_what_is_reached_step_by_step_bars_nobody_and_what_was_done_once_does() -> None:
    assert standing(THREE_HOURS, times=2, total=120) == ([], ["已完成2小时，共需3小时"])
    assert standing({"kind": "not", "of": THREE_HOURS}, times=3, total=180)[0] != []
    assert standing(ONCE, times=0)[0] == []
    assert standing(ONCE, times=1)[0] == ["此前从未有过同类记录"]


def test_the_deed_is_told_without_its_conditions() -> None:
    assert deed_text(rule_of(TOWN, LOGIN)).startswith("当日首次登录时，可获得")
