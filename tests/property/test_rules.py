"""The engine of rules, met by chance: what it decides, says and writes."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec import structs

from server.incentives.rules import (
    CHINA,
    Case,
    Rule,
    RuleRefused,
    Told,
    barred_by,
    check,
    explain,
    judge,
    read,
    reasons,
    text,
)
from server.incentives.rules.judge import Node, climbed, shortest
from server.incentives.rules.language import AllOf, AnyOf, Condition, GivePointsPer, Not, ThisPeriod, Tier, Weekly
from server.incentives.rules.needs import need_of_effect, needs
from server.incentives.rules.reach import may_reach, relaxed
from server.incentives.rules.windows import Moment, is_open, span
from tests.support.holidays import is_worked
from tests.support.rule_strategies import (
    A_MOMENT,
    DAYS,
    HOURS,
    INSTANTS,
    TURNS,
    ZONES,
    at_time,
    cases,
    conditions,
    instants,
    judged,
    rules,
    several,
    tiers,
    withins,
)
from tests.support.rules import CITY, NOON, case_of, rule_of

EXAMPLES = int(os.environ.get("CHENGXIN_RULE_EXAMPLES", "60"))
#: A busy machine is no defect of a rule.
by_chance = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# The explanation


def holds(told: Told) -> bool:
    """What a part comes to, from its parts alone."""
    if told.code == "all":
        return all(holds(part) for part in told.parts)
    if told.code == "any":
        return any(holds(part) for part in told.parts)
    return not holds(told.parts[0]) if told.code == "not" else told.met


def otherwise(node: Node, changed: set[int]) -> bool:
    """What a node would come to, were the leaves of these ids the opposite."""
    if isinstance(node.part, AllOf):
        return all(otherwise(child, changed) for child in node.children)
    if isinstance(node.part, AnyOf):
        return any(otherwise(child, changed) for child in node.children)
    if isinstance(node.part, Not):
        return not otherwise(node.children[0], changed)
    return node.met != (id(node) in changed)


def leaves_of(node: Node) -> Iterator[Node]:
    if not isinstance(node.part, AllOf | AnyOf | Not):
        yield node
        return
    for child in node.children:
        yield from leaves_of(child)


def agrees(told: Told) -> bool:
    """Whether every part is what its parts come to."""
    return told.met == holds(told) and (told.code == "fact" or all(agrees(part) for part in told.parts))


@by_chance
@given(judged())
def test_whoever_qualifies_is_reached_whatever_is_not_known_of_his_past(both: tuple[Rule, Case]) -> None:
    rule, case = both
    loose = relaxed(rule)
    assert needs(loose).history == ()
    assert may_reach(loose, case) or not judge(rule, case).granted
    if not needs(rule).history:
        assert may_reach(loose, case) == judge(structs.replace(rule, effect=loose.effect), case).granted


@by_chance
@given(judged())
def test_an_explanation_always_agrees_with_the_decision(both: tuple[Rule, Case]) -> None:
    rule, case = both
    decision = judge(rule, case)
    told = explain(decision)
    assert all(agrees(part) for part in told)
    assert decision.granted == all(holds(part) for part in told)
    assert bool(reasons(decision)) != decision.granted
    assert decision.granted or decision.points == 0
    assert decision.points >= 0
    msgspec.json.encode([told, reasons(decision)])


@by_chance
@given(judged())
def test_who_is_told_that_something_bars_him_gets_nothing_whatever_he_does(both: tuple[Rule, Case]) -> None:
    rule, case = both
    assume(all(not isinstance(value, int) or value >= 0 for value in case.attributes.values()))
    standing = judge(rule, replace(case, fact=None, attributes={}, merchant_category=None))
    told = [one.text for one in barred_by(standing)]
    assert not (told and judge(rule, case).granted), told


@by_chance
@given(judged())
def test_the_reasons_are_the_fewest_parts_that_would_have_to_be_otherwise(both: tuple[Rule, Case]) -> None:
    rule, case = both
    assume(rule.condition is not None)
    condition = judge(rule, case).nodes[1]
    found = shortest(condition, True)
    assert otherwise(condition, {id(node) for node in found})
    ids = [id(node) for node in leaves_of(condition)]
    fewest = next(
        size
        for size in range(len(ids) + 1)
        if any(otherwise(condition, set(chosen)) for chosen in itertools.combinations(ids, size))
    )
    assert len(found) == fewest


def _fact(rule: Rule) -> str:
    return getattr(rule.trigger, "fact", "date")


# What conditions do together


@st.composite
def with_more(draw: st.DrawFn) -> tuple[Rule, Condition, Case]:
    rule = draw(rules().filter(lambda made: made.condition is not None))
    more = draw(conditions(_fact(rule)))
    both = msgspec.structs.replace(rule, condition=AllOf((rule.condition, more)))  # type: ignore[arg-type]
    return rule, more, draw(cases(both))


def granted(rule: Rule, condition: Condition | None, case: Case) -> bool:
    return judge(msgspec.structs.replace(rule, condition=condition), case).granted


@by_chance
@given(with_more())
def test_a_condition_more_in_an_all_never_widens_and_in_an_any_never_narrows(
    made: tuple[Rule, Condition, Case],
) -> None:
    rule, more, case = made
    assert rule.condition is not None
    alone, other = granted(rule, rule.condition, case), granted(rule, more, case)
    assert granted(rule, AllOf((rule.condition, more)), case) == (alone and other)
    assert granted(rule, AnyOf((rule.condition, more)), case) == (alone or other)
    assert granted(rule, AllOf((rule.condition, more)), case) <= alone <= granted(rule, None, case)


@by_chance
@given(with_more())
def test_not_is_the_opposite_and_twice_not_is_nothing(made: tuple[Rule, Condition, Case]) -> None:
    rule, more, case = made
    one = rule.condition
    assert one is not None
    assert granted(rule, Not(Not(one)), case) == granted(rule, one, case)
    assert granted(rule, Not(one), case) == (granted(rule, None, case) and not granted(rule, one, case))
    assert granted(rule, Not(AllOf((one, more))), case) == granted(rule, AnyOf((Not(one), Not(more))), case)
    assert granted(rule, Not(AnyOf((one, more))), case) == granted(rule, AllOf((Not(one), Not(more))), case)


# What is written


@by_chance
@given(rules())
def test_a_rule_comes_back_from_json_as_it_was(rule: Rule) -> None:
    again = msgspec.json.decode(msgspec.json.encode(rule))
    assert read(again) == rule
    check(read(again))


@by_chance
@given(rules(), rules())
def test_two_rules_never_say_the_same(one: Rule, other: Rule) -> None:
    assert (text(one) == text(other)) == (one == other)


OTHERS = (
    "x2", "5", "A+", "AAA", "2026-02-03", "08:15", "workday", "holiday", "any", "day", "week", "month", "year", "each",
    "ever", "campaign", "all", "band_at_least", "has_done", "has_not_done", "between", "enrolled_between", "login_day",
    "minutes", "fee_fen", "stay_minutes", "discount_fen", "lot_id", "store_id", "volunteer_hours_recorded",
)  # fmt: skip


def changed_in_one_leaf(rule: Rule) -> Iterator[Rule]:
    """Every rule that differs from this one in one leaf, as far as it may be saved."""
    document = msgspec.json.decode(msgspec.json.encode(rule))
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key, inner in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
            if isinstance(inner, dict | list):
                walk(inner)
            else:
                places.append((value, key))

    walk(document)
    for holder, key in places:
        was = holder[key]
        for other in (*OTHERS, 3, 60, 3600) if was is None else (was + 1, was * 60, None) if isinstance(was, int) else (
            *OTHERS, None):  # fmt: skip
            holder[key] = other
            with contextlib.suppress(RuleRefused):
                changed = read(document)
                check(changed)
                yield changed
        holder[key] = was


@settings(by_chance, max_examples=max(1, EXAMPLES // 3))
@given(rules())
def test_a_rule_that_differs_in_one_leaf_says_something_else(rule: Rule) -> None:
    for changed in changed_in_one_leaf(rule):
        assert (text(changed) == text(rule)) == (changed == rule)


# Time


def test_every_day_of_two_years_is_worked_or_free_as_the_state_council_wrote() -> None:
    days = [date(2025, 1, 1) + timedelta(days=number) for number in range(730)]
    assert {day for day in days if CHINA.is_workday(day)} == {day for day in days if is_worked(day)}


@st.composite
def at_windows(draw: st.DrawFn) -> tuple[Weekly, datetime, Any]:
    """A window, and an instant that often lies a microsecond before, at or behind one of its edges in the city."""
    kinds = st.sampled_from(["any", "workday", "holiday"])
    window = draw(st.builds(Weekly, several(st.integers(1, 7)), kinds, HOURS, HOURS))
    zone = draw(ZONES)
    return window, draw(instants(zone, window.from_time, window.until_time)), zone


@by_chance
@given(at_windows())
def test_a_window_is_open_as_the_city_s_clock_and_calendar_say(met: tuple[Weekly, datetime, Any]) -> None:
    window, at, zone = met
    local = at.astimezone(zone)
    hour = f"{local:%H:%M}"
    kind = "workday" if is_worked(local.date()) else "holiday"
    expected = (
        local.isoweekday() in window.weekdays
        and window.day in ("any", kind)
        and window.from_time <= hour
        and hour < window.until_time
    )
    assert is_open(window, Moment.of(at, zone), CHINA) == expected


#: The last day of one kind, and of which kind the next is.
KINDS_CHANGE = (
    ("2026-01-03", "workday"), ("2026-02-14", "holiday"), ("2026-02-23", "workday"), ("2026-02-28", "holiday"),
    ("2026-09-19", "workday"), ("2026-09-30", "holiday"), ("2026-10-07", "workday"), ("2026-10-10", "holiday"),
)  # fmt: skip


@by_chance
@given(st.sampled_from(KINDS_CHANGE), st.integers(1, 60_000_000))
def test_across_a_holiday_s_midnight_one_kind_of_window_closes_as_the_other_opens(
    turn: tuple[str, Any], microseconds: int
) -> None:
    day, following = date.fromisoformat(turn[0]), turn[1]
    ended, begun = Weekly(day="holiday" if following == "workday" else "workday"), Weekly(day=following)
    midnight, passed = at_time(day, "24:00", CITY), timedelta(microseconds=microseconds)
    before, after = Moment.of(midnight - passed, CITY), Moment.of(midnight + passed - A_MOMENT, CITY)
    assert [is_open(one, before, CHINA) for one in (ended, begun)] == [True, False]
    assert [is_open(one, after, CHINA) for one in (ended, begun)] == [False, True]


@by_chance
@given(DAYS | TURNS, ZONES)
def test_a_day_begins_at_midnight_and_not_a_microsecond_before(day: date, zone: Any) -> None:
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    assume(midnight.astimezone(zone).date() == day)
    assert Moment.of(midnight, zone).day == day
    assert Moment.of(midnight - timedelta(microseconds=1), zone).day == day - timedelta(days=1)


@by_chance
@given(withins, INSTANTS, ZONES)
def test_a_fact_lies_within_every_span_around_it(within: Any, at: datetime, zone: Any) -> None:
    since, until = span(within, Moment.of(at, zone).day, datetime(2025, 1, 1, tzinfo=UTC), zone)
    assert since is None or since <= at
    assert until is None or at < until


@by_chance
@given(st.sampled_from(["day", "week", "month", "year"]), INSTANTS, ZONES)
def test_calendar_periods_follow_each_other_without_gap_or_overlap(period: Any, at: datetime, zone: Any) -> None:
    within = ThisPeriod(period)
    since, until = span(within, Moment.of(at, zone).day, None, zone)
    assert since is not None
    assert until is not None
    last = until - timedelta(microseconds=1)
    assert span(within, Moment.of(last.astimezone(UTC), zone).day, None, zone) == (since, until)
    assert span(within, Moment.of(until.astimezone(UTC), zone).day, None, zone)[0] == until
    before = since.astimezone(UTC) - timedelta(microseconds=1)
    assert span(within, Moment.of(before, zone).day, None, zone)[1] == since
    local = since.astimezone(zone)
    assert period != "week" or local.isoweekday() == 1
    assert period not in ("month", "year") or local.day == 1


# Points by tiers


def unit_by_unit(steps: tuple[Tier, ...], total: int) -> int:
    """The same, a unit at a time."""
    points, filled, tier = 0, 0, 0
    for amount in range(1, total + 1):
        top = steps[tier].up_to
        if top is not None and amount > top:
            tier, filled = tier + 1, 0
        filled += 1
        if filled == steps[tier].per:
            points, filled = points + steps[tier].points, 0
    return points


@by_chance
@given(tiers(), st.integers(0, 900))
def test_tiers_are_climbed_unit_by_unit(steps: tuple[Tier, ...], total: int) -> None:
    assert climbed(steps, total) == unit_by_unit(steps, total)


@by_chance
@given(tiers(), st.lists(st.integers(0, 120), min_size=1, max_size=8))
def test_facts_of_a_year_give_what_their_sum_gives_in_whatever_order_they_come(
    steps: tuple[Tier, ...], amounts: list[int]
) -> None:
    effect = GivePointsPer("minutes", steps, 1_000_000, "year")
    volunteer = {"kind": "fact", "fact": "volunteer_hours_recorded"}
    rule = msgspec.structs.replace(rule_of(None, volunteer), effect=effect)
    need = need_of_effect(rule)
    assert need is not None
    given_points, before = 0, 0
    for amount in amounts:
        case = case_of(rule, at=NOON, attributes={"minutes": amount})
        case = replace(case, history={need: type(case.history[need])(0, before)})
        given_points += judge(rule, case).points
        before += amount
    assert given_points == climbed(steps, before)
