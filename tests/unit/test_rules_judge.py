"""What each part of a rule means for one person."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from server.incentives.rules import Case, Decision, Need, Rule, Tally, judge, needs
from server.incentives.rules.language import Ever, LastDays, ThisPeriod, Tier
from tests.support.rules import CITY, LOGIN, NOON, VOLUNTEER, Somebody, case_of, rule_of

REDEMPTION = {"kind": "fact", "fact": "redemption_made"}
WEIHAI = [{"per": 60, "up_to": 1200}, {"per": 120, "up_to": 4800}, {"per": 180, "up_to": 12000}, {"per": 240}]
YEAR_OF_MINUTES = Need("volunteer_hours_recorded", ThisPeriod("year"), "minutes")


def given(condition: Any, trigger: Any = LOGIN, **case: Any) -> bool:
    rule = rule_of(condition, trigger)
    return judge(rule, case_of(rule, **case)).granted


def past(rule: Rule, times: int, total: int = 0) -> dict[Need, Tally]:
    return {need: Tally(times, total) for need in needs(rule).history}


def done(kind: str, fact: str, measure: Any = None, within: Any = None) -> dict[str, Any]:
    return {
        "kind": kind, "fact": fact, "within": within or {"kind": "this", "period": "month"},
        "measure": measure or {"kind": "times"},
    }  # fmt: skip


def test_a_rule_without_a_condition_gives_for_its_fact_and_for_no_other() -> None:
    assert given(None)
    assert not given(None, fact="identity_bound")
    assert not given(None, fact=None)


def test_a_narrowed_trigger_hears_only_the_facts_it_names() -> None:
    where = [{"kind": "value_in", "attribute": "project_id", "values": ["7"]},
             {"kind": "amount", "attribute": "minutes", "at_least": 60}]  # fmt: skip
    trigger = {**VOLUNTEER, "where": where}
    assert given(None, trigger, attributes={"project_id": "7", "minutes": 60})
    assert given(None, trigger, attributes={"project_id": 7, "minutes": 60})
    assert not given(None, trigger, attributes={"project_id": "8", "minutes": 60})
    assert not given(None, trigger, attributes={"project_id": "7", "minutes": 59})
    assert not given(None, trigger, attributes={})


def test_a_date_comes_with_the_city_s_midnight() -> None:
    trigger = {"kind": "date", "on": "2026-10-01"}
    midnight = datetime(2026, 10, 1, tzinfo=CITY).astimezone(UTC)
    assert given(None, trigger, at=midnight)
    assert not given(None, trigger, at=datetime(2026, 9, 30, 15, 59, 59, tzinfo=UTC))
    assert not given(None, trigger, at=midnight, fact="login_day")


@pytest.mark.parametrize(
    ("band", "at_least", "is_in"),
    [("AAA", True, False), ("AA", True, True), ("A+", False, False), ("B", False, False), (None, False, False),
     ("unheard-of", False, False)],
)  # fmt: skip
def test_bands_are_compared_by_rank_or_by_name(band: str | None, at_least: bool, is_in: bool) -> None:
    assert given({"kind": "band_at_least", "band": "AA"}, person=Somebody(band=band)) == at_least
    assert given({"kind": "band_in", "bands": ["AA", "A"]}, person=Somebody(band=band)) == is_in


def test_a_band_that_the_scale_does_not_have_is_reached_by_nobody() -> None:
    assert not given({"kind": "band_at_least", "band": "S"}, person=Somebody(band="AAA"))
    assert not given({"kind": "band_at_least", "band": "A"}, person=Somebody(band="A"), ranks={})


def test_towns_and_days_of_enrolment_are_his_own() -> None:
    assert given({"kind": "town_in", "towns": ["华士镇", "x"]}, person=Somebody(town="华士镇"))
    assert not given({"kind": "town_in", "towns": ["华士镇"]}, person=Somebody(town=None))
    spring = {"kind": "enrolled_between", "first_day": "2026-03-01", "last_day": "2026-05-31"}
    for day, expected in ((date(2026, 2, 28), False), (date(2026, 3, 1), True), (date(2026, 5, 31), True),
                          (date(2026, 6, 1), False)):  # fmt: skip
        assert given(spring, person=Somebody(enrolled_on=day)) == expected


def test_the_category_is_that_of_the_fact_s_merchant() -> None:
    canteens = {"kind": "merchant_category_in", "categories": ["canteen"]}
    assert given(canteens, REDEMPTION, merchant_category="canteen")
    assert not given(canteens, REDEMPTION, merchant_category="gym")
    assert not given(canteens, REDEMPTION)


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(59, False), (60, True), (120, True), (121, False), (None, False), ("90", False), (True, False), (90.0, False)],
)
def test_amounts_are_whole_numbers_with_both_ends_included(minutes: object, expected: bool) -> None:
    between = {"kind": "amount", "attribute": "minutes", "at_least": 60, "at_most": 120}
    assert given(between, VOLUNTEER, attributes={"minutes": minutes}) == expected


def test_the_first_of_its_kind_is_the_one_before_which_none_was_told() -> None:
    rule = rule_of({"kind": "first_time"})
    assert needs(rule).history == (Need("login_day", Ever()),)
    assert judge(rule, case_of(rule)).granted
    assert not judge(rule, case_of(rule, history=past(rule, 1))).granted


def test_what_was_done_counts_the_fact_itself_when_it_is_of_the_kind() -> None:
    same = rule_of(done("has_done", "login_day", {"kind": "times", "at_least": 3}))
    other = rule_of(done("has_done", "parking_exit_paid", {"kind": "times", "at_least": 3}))
    for rule, needed in ((same, 2), (other, 3)):
        assert judge(rule, case_of(rule, history=past(rule, needed))).granted
        assert not judge(rule, case_of(rule, history=past(rule, needed - 1))).granted


def test_sums_count_what_the_fact_carries() -> None:
    measure = {"kind": "sum", "attribute": "minutes", "at_least": 180}
    rule = rule_of(done("has_done", "volunteer_hours_recorded", measure), VOLUNTEER)
    assert needs(rule).history == (Need("volunteer_hours_recorded", ThisPeriod("month"), "minutes"),)

    def decided(before: int, now: object) -> Decision:
        return judge(rule, case_of(rule, history=past(rule, 1, before), attributes={"minutes": now}))

    assert decided(120, 60).granted
    assert not decided(120, 59).granted
    assert not decided(179, None).granted
    (node,) = decided(60, 60).progress()
    assert node.progress is not None
    assert (node.progress.done, node.progress.needed) == (120, 180)


def test_what_was_not_done_looks_only_at_what_came_before() -> None:
    rule = rule_of(done("has_not_done", "redemption_made", within={"kind": "last_days", "days": 30}), REDEMPTION)
    assert needs(rule).history == (Need("redemption_made", LastDays(30)),)
    assert judge(rule, case_of(rule)).granted
    assert not judge(rule, case_of(rule, history=past(rule, 1))).granted
    twice = rule_of(done("has_not_done", "redemption_made", {"kind": "times", "at_least": 2}), REDEMPTION)
    assert judge(twice, case_of(twice, history=past(twice, 1))).granted
    assert not judge(twice, case_of(twice, history=past(twice, 2))).granted


def test_what_must_be_read_is_named_once_and_nothing_else_is() -> None:
    twice = {"kind": "all", "of": [done("has_done", "login_day"), {"kind": "not", "of": done("has_done", "login_day")},
                                   {"kind": "town_in", "towns": ["a"]}]}  # fmt: skip
    rule = Rule(rule_of(None).trigger, rule_of(None).effect, rule_of({"kind": "any", "of": twice["of"]}).condition)
    asked = needs(rule)
    assert asked.history == (Need("login_day", ThisPeriod("month")),)
    assert (asked.profile, asked.bands, asked.merchant_category) == (True, False, False)
    nothing = needs(rule_of(None))
    assert (nothing.history, nothing.profile, nothing.bands, nothing.merchant_category) == ((), False, False, False)
    assert needs(rule_of({"kind": "band_at_least", "band": "A"})).bands
    assert needs(rule_of({"kind": "merchant_category_in", "categories": ["a"]}, REDEMPTION)).merchant_category


def test_a_need_tells_from_when_to_when_in_the_city_s_days() -> None:
    at = datetime(2026, 4, 30, 16, 0, tzinfo=UTC)  # 1 May in the city
    month = Need("login_day", ThisPeriod("month")).window(at, None, CITY)
    assert month == (datetime(2026, 5, 1, tzinfo=CITY), datetime(2026, 6, 1, tzinfo=CITY))


def test_a_case_that_leaves_a_need_unanswered_is_a_mistake_and_never_a_gift() -> None:
    rule = rule_of(done("has_not_done", "login_day"))
    case = Case(at=NOON, person=Somebody(), zone=CITY, fact="login_day")
    with pytest.raises(KeyError):
        judge(rule, case)


def hours(over: str, before: int, now: object, at_most: int = 1_000, tiers: Any = WEIHAI) -> Decision:
    effect = {"kind": "points_per", "attribute": "minutes", "over": over, "at_most_points": at_most, "tiers": tiers}
    rule = rule_of(None, VOLUNTEER, effect)
    return judge(rule, case_of(rule, attributes={"minutes": now}, history=past(rule, 1, before)))


@pytest.mark.parametrize(
    ("before_h", "now_h", "points"),
    [(0, 1, 1), (0, 20, 20), (0, 21, 20), (0, 22, 21), (20, 2, 1), (19, 3, 2), (80, 3, 1), (200, 4, 1), (200, 3, 0),
     (0, 204, 20 + 30 + 40 + 1)],
)  # fmt: skip
def test_volunteer_hours_climb_the_tiers_of_a_year(before_h: int, now_h: int, points: int) -> None:
    decision = hours("year", before_h * 60, now_h * 60)
    assert (decision.points, decision.granted) == (points, points > 0)


def test_nothing_is_counted_that_was_not_told() -> None:
    assert [hours(over, 0, 59).points for over in ("each", "month", "year")] == [0, 0, 0]
    assert [hours("year", 59, nothing).points for nothing in (0, None, "1")] == [0, 0, 0]
    assert hours("each", 0, 120, tiers=[{"per": 60, "points": 3}]).points == 6
    assert hours("each", 0, 2, tiers=[{"per": 1, "up_to": 2}, {"per": 1}]).points == 2


def test_minutes_that_fill_no_unit_are_kept_for_the_next_fact_of_the_year() -> None:
    assert [hours("year", before, 30).points for before in (0, 30, 60, 90)] == [0, 1, 0, 1]
    assert [hours("each", before, 90).points for before in (0, 30)] == [1, 1]


def test_one_fact_gives_no_more_than_its_ceiling_and_never_less_than_nothing() -> None:
    assert hours("each", 0, 1200, at_most=8).points == 8
    for strange in (-600, 0, None, "600", True):
        decision = hours("year", 600, strange)
        assert (decision.granted, decision.points) == (False, 0)
    assert hours("year", -600, 60).points == 1


def test_a_last_tier_with_an_end_gives_nothing_beyond_it() -> None:
    assert hours("each", 0, 6_000, tiers=[{"per": 60, "up_to": 120}]).points == 2
    assert Tier(60).points == 1


def test_the_reasons_are_the_shortest_way_to_the_effect() -> None:
    long_way = {"kind": "all", "of": [{"kind": "town_in", "towns": ["x"]}, {"kind": "band_in", "bands": ["AAA"]}]}
    short_way = {"kind": "band_at_least", "band": "AA"}
    rule = rule_of({"kind": "any", "of": [long_way, short_way]})
    decision = judge(rule, case_of(rule))
    assert [node.part for node in decision.why_not()] == [rule_of(short_way).condition]
    assert judge(rule, case_of(rule, person=Somebody(band="AA"))).why_not() == ()


def test_what_ought_not_to_hold_is_a_reason_too() -> None:
    first = {"kind": "first_time"}
    rule = rule_of({"kind": "not", "of": {"kind": "all", "of": [first, {"kind": "town_in", "towns": ["华士镇"]}]}})
    (node,) = judge(rule, case_of(rule)).why_not()
    assert node.met
    assert node.part == rule_of(first).condition


def test_a_standing_is_asked_for_before_anything_has_happened() -> None:
    rule = rule_of(done("has_done", "login_day", {"kind": "times", "at_least": 3}))
    standing = judge(rule, case_of(rule, fact=None, history=past(rule, 2)))
    assert not standing.granted
    (node,) = standing.progress()
    assert node.progress is not None
    assert (node.progress.done, node.progress.needed) == (2, 3)
    tiered = rule_of(
        None, VOLUNTEER, {"kind": "points_per", "attribute": "minutes", "at_most_points": 9, "tiers": WEIHAI}
    )
    assert [node.met for node in judge(tiered, case_of(tiered, fact=None)).nodes] == [False, True]
