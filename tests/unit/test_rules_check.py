"""Which rules may not be saved, and what is said about it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from server.incentives.rules import CHINA, RuleRefused, check, mentions, read
from server.incentives.rules.check import MAX_CONDITIONS, MAX_DEPTH
from tests.support.rules import FIVE_POINTS, LOGIN, RULES, VOLUNTEER, rule_of

REDEMPTION = {"kind": "fact", "fact": "redemption_made"}
YEAR_2026 = (date(2026, 1, 1), date(2026, 12, 31))


def refused(document: Any, days: tuple[date, date] | None = None) -> tuple[str, str]:
    with pytest.raises(RuleRefused) as refusal:
        check(read(document), days)
    error = refusal.value
    assert error.message == f"该规则不可用：{error.reason}"
    assert (error.code, error.status) == ("rule_refused", 422)
    return str(error.field), error.reason


def with_condition(condition: Any, trigger: Any = VOLUNTEER, effect: Any = FIVE_POINTS) -> dict[str, Any]:
    return {"trigger": trigger, "condition": condition, "effect": effect}


def weekly(**window: Any) -> dict[str, Any]:
    return {"kind": "weekly", **window}


def every(*parts: Any) -> dict[str, Any]:
    return {"kind": "all", "of": list(parts)}


def amount(low: int | None, high: int | None = None, attribute: str = "minutes") -> dict[str, Any]:
    return {"kind": "amount", "attribute": attribute, "at_least": low, "at_most": high}


def between(first: str | None, last: str | None, kind: str = "between") -> dict[str, Any]:
    return {"kind": kind, "first_day": first, "last_day": last}


TIMES_OF = {"kind": "has_done", "within": {"kind": "ever"}}
FIRST = {"kind": "first_time"}


@pytest.mark.parametrize(
    ("document", "field", "reason"),
    [
        ([], "", "内容不合规范"),
        (None, "", "内容不合规范"),
        ({"trigger": LOGIN}, "effect", "缺少"),
        ({"effect": FIVE_POINTS}, "trigger", "缺少"),
        ({"trigger": LOGIN, "effect": FIVE_POINTS, "priority": 1}, "priority", "没有这一项"),
        ({"trigger": {"kind": "moon"}, "effect": FIVE_POINTS}, "trigger.kind", "没有“moon”这种写法"),
        ({"trigger": {"kind": "fact", "fact": "sneezed"}, "effect": FIVE_POINTS}, "trigger.fact", "login_day"),
        ({"trigger": {"kind": "fact", "fact": "date"}, "effect": FIVE_POINTS}, "trigger.fact", "kind 为 date"),
        ({"trigger": {"kind": "date", "on": "2026-02-30"}, "effect": FIVE_POINTS}, "trigger.on", "不合规范"),
        ({"trigger": LOGIN, "effect": {"kind": "points", "points": 0}}, "effect.points", "超出范围"),
        ({"trigger": LOGIN, "effect": {"kind": "points", "points": 1_000_001}}, "effect.points", "超出范围"),
        ({"trigger": LOGIN, "effect": {"kind": "points", "points": True}}, "effect.points", "不合规范"),
        ({"trigger": LOGIN, "effect": {"kind": "coupon", "template_id": 7}}, "effect.template_id", "不合规范"),
        (with_condition({"kind": "town_in", "towns": []}), "condition.towns", "超出范围"),
        (with_condition({"kind": "town_in", "towns": ["a "]}), "condition.towns[0]", "不合规范"),
        (with_condition({"kind": "town_in", "towns": ["a", "b", "a"]}), "condition.towns[2]", "“a”重复"),
        (with_condition({"kind": "band_in", "bands": ["A", "A"]}), "condition.bands[1]", "“A”重复"),
        (with_condition(every(FIRST)), "condition.of", "超出范围"),
        (with_condition(every(FIRST, {"kind": "maybe"})), "condition.of[1].kind", "没有“maybe”这种写法"),
        (with_condition(weekly(weekdays=[0])), "condition.weekdays[0]", "超出范围"),
        (with_condition(weekly(weekdays=[1, 1])), "condition.weekdays[1]", "“1”重复"),
        (with_condition(weekly(from_time="9:00")), "condition.from_time", "不合规范"),
        (with_condition(weekly(from_time="24:01")), "condition.from_time", "不合规范"),
        (with_condition(weekly(from_time="22:00", until_time="02:00")), "condition.until_time", "跨越零点"),
        (with_condition(weekly(from_time="22:00", until_time="22:00")), "condition.until_time", "须晚于"),
        (with_condition(weekly()), "condition", "没有任何限制"),
        (with_condition(weekly(weekdays=[7, 6, 5, 4, 3, 2, 1])), "condition", "没有任何限制"),
        (with_condition(between(None, None)), "condition", "至少填写一个"),
        (with_condition(between("2026-02-02", "2026-02-01")), "condition.last_day", "早于"),
        (with_condition(between(None, None, "enrolled_between")), "condition", "至少填写一个"),
        (with_condition(amount(None)), "condition", "至少填写一个"),
        (with_condition(amount(5, 4)), "condition.at_most", "上限低于下限"),
        (with_condition(amount(-1)), "condition.at_least", "超出范围"),
        (with_condition(amount(5, attribute="hours")), "condition.attribute", "可用的有：minutes"),
        (with_condition(amount(5, attribute="project_id")), "condition.attribute", "数值属性"),
        (with_condition(amount(5), LOGIN), "condition.attribute", "没有这类属性"),
        (with_condition({"kind": "value_in", "attribute": "minutes", "values": ["5"]}), "condition.attribute",
         "代码属性"),
        ({"trigger": {**VOLUNTEER, "where": [amount(5, attribute="books")]}, "effect": FIVE_POINTS},
         "trigger.where[0].attribute", "可用的有：minutes"),
        (with_condition({"kind": "merchant_category_in", "categories": ["gym"]}), "condition", "不涉及商户"),
        (with_condition({**TIMES_OF, "fact": "sneezed"}), "condition.fact", "没有“sneezed”"),
        (with_condition({**TIMES_OF, "fact": "date"}), "condition.fact", "没有“date”"),
        (with_condition({**TIMES_OF, "fact": "login_day", "measure": {"kind": "sum", "attribute": "x", "at_least": 1}}),
         "condition.measure.attribute", "没有这类属性"),
        (with_condition({**TIMES_OF, "fact": "login_day", "measure": {"kind": "times", "at_least": 0}}),
         "condition.measure.at_least", "超出范围"),
        (with_condition({**TIMES_OF, "fact": "login_day", "within": {"kind": "last_days", "days": 0}}),
         "condition.within.days", "超出范围"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_its_field_with_the_reason(document: Any, field: str, reason: str) -> None:
    found = refused(document)
    assert found[0] == field
    assert reason in found[1]


@pytest.mark.parametrize(
    "part",
    [
        {"kind": "band_in", "bands": ["A"]},
        {"kind": "band_at_least", "band": "A"},
        {"kind": "any", "of": [FIRST, {"kind": "band_in", "bands": ["A"]}]},
        {**TIMES_OF, "fact": "band_reached"},
    ],
)
def test_a_band_opens_doors_and_closes_none(part: Any) -> None:
    rule_of(part)
    field, reason = refused(with_condition({"kind": "not", "of": part}))
    assert field == "condition"
    assert "不得用于排除" in reason


def test_who_has_not_reached_a_band_is_not_asked_for() -> None:
    never = {"kind": "has_not_done", "fact": "band_reached", "within": {"kind": "ever"}}
    assert refused(with_condition(never)) == ("condition", "信用等级只能作为激励的门槛，不得用于排除")
    where = {"kind": "value_in", "attribute": "band", "values": ["A"]}
    reached = {"kind": "fact", "fact": "band_reached"}
    assert "不得用于排除" in refused(with_condition({"kind": "not", "of": where}, reached))[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (between("2026-01-01", "2026-01-31"), between("2026-02-01", None)),
        (between("2026-03-01", None, "enrolled_between"), between(None, "2026-02-28", "enrolled_between")),
        (weekly(weekdays=[1, 2]), weekly(weekdays=[3, 4])),
        (weekly(day="workday"), weekly(day="holiday")),
        (weekly(from_time="09:00", until_time="12:00"), weekly(from_time="12:00")),
        (amount(60), amount(None, 59)),
        ({"kind": "town_in", "towns": ["a"]}, {"kind": "town_in", "towns": ["b"]}),
        ({"kind": "band_in", "bands": ["A"]}, {"kind": "band_in", "bands": ["B"]}),
        ({"kind": "value_in", "attribute": "project_id", "values": ["1"]},
         {"kind": "value_in", "attribute": "project_id", "values": ["2"]}),
        (FIRST, {"kind": "not", "of": FIRST}),
        ({"kind": "not", "of": weekly(day="workday")}, weekly(day="workday")),
    ],
)  # fmt: skip
def test_parts_of_an_all_that_exclude_each_other_are_refused_however_deep(one: Any, other: Any) -> None:
    assert refused(with_condition(every(one, other)))[0] == "condition.of[1]"
    assert refused(with_condition(every(one, every(FIRST, other))))[0] == "condition.of[1].of[1]"
    assert refused(with_condition({"kind": "any", "of": [FIRST, every(one, other)]}))[0] == "condition.of[1].of[1]"
    assert "永远不会满足" in refused(with_condition(every(other, one)))[1]
    rule_of({"kind": "any", "of": [one, other]}, VOLUNTEER)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (between("2026-01-01", "2026-02-01"), between("2026-02-01", None)),
        (between("2026-01-01", "2026-02-01"), between("2026-03-01", None, "enrolled_between")),
        (weekly(weekdays=[1, 2]), weekly(weekdays=[2, 3])),
        (weekly(weekdays=[6, 7]), weekly(day="workday")),
        (weekly(from_time="09:00", until_time="12:01"), weekly(from_time="12:00")),
        (amount(60), amount(None, 60)),
        ({"kind": "town_in", "towns": ["a", "b"]}, {"kind": "town_in", "towns": ["b"]}),
    ],
)
def test_parts_of_an_all_that_have_something_in_common_are_no_contradiction(one: Any, other: Any) -> None:
    rule_of(every(one, other), VOLUNTEER)


@pytest.mark.parametrize(
    "part",
    [
        between("2026-02-28", "2026-02-28"),
        between("2026-02-28", "2026-02-28", "enrolled_between"),
        amount(60, 60),
        amount(0),
        weekly(from_time="23:59", until_time="24:00"),
        weekly(weekdays=[7]),
        weekly(until_time="23:59"),
        weekly(from_time="00:01"),
        weekly(day="holiday"),
    ],
)
def test_the_narrowest_bounds_may_be_saved(part: Any) -> None:
    rule_of(part, VOLUNTEER)


def test_a_condition_that_the_trigger_excludes_is_refused() -> None:
    trigger = {**VOLUNTEER, "where": [amount(60)]}
    assert refused(with_condition(amount(None, 59), trigger))[0] == "condition"
    both = {**VOLUNTEER, "where": [amount(60), amount(None, 59)]}
    assert refused(with_condition(FIRST, both))[0] == "trigger.where[1]"
    national_day = {"kind": "date", "on": "2026-10-01"}
    rule_of(weekly(weekdays=[4], day="holiday"), national_day)
    rule_of(weekly(until_time="00:01"), national_day)
    for never in (weekly(weekdays=[5]), weekly(day="workday"), weekly(from_time="08:00"), between("2026-10-02", None)):
        field, reason = refused(with_condition(never, national_day))
        assert field == "condition"
        assert "触发日期" in reason


def test_windows_are_held_against_the_days_of_the_campaign() -> None:
    golden_week = (date(2026, 10, 1), date(2026, 10, 7))
    rule = rule_of(weekly(day="workday"))
    check(rule, YEAR_2026)
    for never in (weekly(day="workday"), between("2026-10-08", None)):
        assert refused(with_condition(never), golden_week)[0] == "condition"
    check(rule, (date(2026, 10, 1), date(2026, 10, 10)))  # the Saturday after the holidays is worked


def test_a_year_whose_holidays_are_not_published_is_refused_until_they_are() -> None:
    last = max(CHINA.years)
    days = (date(last, 12, 1), date(last + 1, 2, 1))
    anywhere = {"kind": "any", "of": [FIRST, {"kind": "not", "of": weekly(day="holiday")}]}
    field, reason = refused(with_condition(anywhere), days)
    assert field == "condition.of[1].of.day"
    assert f"{last + 1}年的放假安排尚未公布" in reason
    check(rule_of(anywhere), days, CHINA.with_year(last + 1, [date(last + 1, 1, 1)], []))
    check(rule_of(weekly(weekdays=[1])), days)


@pytest.mark.parametrize(
    ("tiers", "field"),
    [
        ([{"per": 60, "up_to": 90}, {"per": 60}], "effect.tiers[0].per"),
        ([{"per": 60, "up_to": 600}, {"per": 90, "up_to": 700}], "effect.tiers[1].per"),
        ([{"per": 60, "up_to": 600}, {"per": 60, "up_to": 600}], "effect.tiers[1].up_to"),
        ([{"per": 60}, {"per": 60}], "effect.tiers[0].up_to"),
        ([{"per": 0}], "effect.tiers[0].per"),
        ([], "effect.tiers"),
        ([{"per": 60, "points": 6}], "effect.at_most_points"),
    ],
)
def test_tiers_that_lose_points_or_do_not_rise_are_refused(tiers: Any, field: str) -> None:
    effect = {"kind": "points_per", "attribute": "minutes", "at_most_points": 5, "tiers": tiers}
    assert refused({"trigger": VOLUNTEER, "effect": effect})[0] == field


def test_one_fact_may_give_as_little_as_one_unit_of_the_tiers() -> None:
    rule_of(None, VOLUNTEER, {
        "kind": "points_per", "attribute": "minutes", "at_most_points": 6, "tiers": [{"per": 60, "points": 6}],
    })  # fmt: skip


def test_points_are_counted_by_a_number_of_the_fact() -> None:
    effect = {"kind": "points_per", "attribute": "project_id", "at_most_points": 5, "tiers": [{"per": 1}]}
    assert refused({"trigger": VOLUNTEER, "effect": effect})[0] == "effect.attribute"


def test_a_rule_too_deep_or_too_large_is_refused() -> None:
    deep: Any = FIRST
    for _ in range(MAX_DEPTH - 1):
        deep = {"kind": "not", "of": deep}
    rule_of(deep)
    assert "嵌套" in refused(with_condition({"kind": "not", "of": deep}))[1]
    broad: Any = FIRST
    for _ in range(MAX_DEPTH - 1):
        broad = every(amount(1), broad)
    rule_of(broad, VOLUNTEER)
    assert "嵌套" in refused(with_condition(every(amount(1), broad)))[1]
    many = [amount(number) for number in range(MAX_CONDITIONS - 1)]
    rule_of(every(*many), VOLUNTEER)
    assert "最多" in refused(with_condition(every(*many, FIRST)))[1]
    bottomless: Any = FIRST
    for _ in range(100_000):
        bottomless = {"of": bottomless}
    assert refused(with_condition(bottomless))[1] == "层次过深"
    for _ in range(100_000):
        bottomless = [bottomless]
    assert refused(with_condition(bottomless))[1] == "层次过深"


def test_a_name_of_any_length_makes_no_long_answer() -> None:
    field, reason = refused({"trigger": LOGIN, "effect": FIVE_POINTS, "x" * 100_000: 1})
    assert len(field) + len(reason) < 200


def test_a_rule_says_which_data_of_the_city_it_names() -> None:
    named = mentions(read(RULES["a coupon for a band"]))
    assert (named.bands, named.template_id, named.lottery_id) == ({"AA", "AAA"}, "7", None)
    reached = {"kind": "fact", "fact": "band_reached"}
    where = [{"kind": "value_in", "attribute": "band", "values": ["S"]}]
    assert mentions(rule_of(None, {**reached, "where": where})).bands == {"S"}
    assert mentions(rule_of(None, {"kind": "date", "on": "2026-10-01"})).bands == set()
    assert mentions(read(RULES["lunch on working days"])).categories == {"canteen"}
    assert mentions(read(RULES["welcome, in two towns, for who joined this spring"])).towns == {"澄江街道", "华士镇"}
    assert mentions(read(RULES["seven logins in seven days"])).lottery_id == "31"
