"""What may be saved: `read` turns a document into a rule, `check` refuses a rule that may not be; both say why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

import msgspec

from server.incentives.rules.catalogue import FACTS
from server.incentives.rules.contradictions import contradiction, never_open
from server.incentives.rules.errors import RuleRefused
from server.incentives.rules.forbidden import forbidden
from server.incentives.rules.language import (
    AllOf,
    AmountIs,
    AnyOf,
    BandAtLeast,
    BandIn,
    Between,
    Condition,
    DateTrigger,
    EnrolledBetween,
    GivePointsPer,
    HasDone,
    HasNotDone,
    MerchantCategoryIn,
    Not,
    Rule,
    SumDone,
    TownIn,
    ValueIn,
    Weekly,
)
from server.incentives.rules.needs import conditions_of, kind_of
from server.incentives.rules.windows import CHINA, Calendar, minute_of

MAX_DEPTH: Final = 6
MAX_CONDITIONS: Final = 60
#: A document nested deeper than this is no rule; 30 is more than the deepest rule needs.
_MAX_NESTING: Final = 30

_TAKES_AWAY: Final = "规则只能给予，不能扣减、限制或惩罚"
_BAND_EXCLUDES: Final = "信用等级只能作为激励的门槛，不得用于排除"
_TAKING: Final = re.compile(
    r"deduct|subtract|penal|punish|confiscat|forfeit|revok|den(?:y|ial)|block|\bban\b|suspend|remov|take|minus|clawback"
    r"|downgrade|lower|limit|fine\b|扣|罚|惩|减少|取消|没收|限制|禁止|降级|拒绝"
)
_PATH: Final = re.compile(r" - at `\$\.?([^`]*)`$")
_NAMED: Final = re.compile(r"(unknown|required) field `([^`]*)`")
_WRONG_KIND: Final = re.compile(r"^Invalid value '([^']*)'")

Days = tuple[date, date]


def read(document: object) -> Rule:
    """The rule that a decoded JSON document holds, not yet checked; else RuleRefused with the field and the reason."""
    for path, text in _texts(document):
        _refuse_forbidden(path, text)
    if isinstance(document, dict):
        _refuse_taking(document.get("effect"))
    try:
        return msgspec.convert(document, Rule)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None


def check(rule: Rule, days: Days | None = None, calendar: Calendar = CHINA) -> None:
    """Raise RuleRefused with the field and the reason for what may not be saved.

    days: first and last day of the campaign, when they are known; windows are then held against them.
    """
    for path, text in _texts(msgspec.to_builtins(rule)):
        _refuse_forbidden(path, text)
    _check_trigger(rule)
    _check_effect(rule)
    _check_date(rule, days)
    if rule.condition is None:
        return
    _check_size(rule.condition)
    for path, condition in _parts("condition", rule.condition):
        _check_condition(path, condition, rule)
        _check_days(path, condition, days, calendar)
    _check_together(rule, days, calendar)


def _texts(value: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every name and every text of a document with its path."""
    if depth > _MAX_NESTING:
        raise RuleRefused(path, "层次过深")
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            at = f"{path}.{name}" if path else str(name)
            yield at, str(name)
            yield from _texts(inner, at, depth + 1)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _texts(inner, f"{path}[{number}]", depth + 1)


def _refuse_forbidden(path: str, text: str) -> None:
    label = forbidden(text)
    if label is not None:
        raise RuleRefused(path, f"规则不得涉及“{label}”（“{text[:20]}”）")


def _refuse_taking(effect: object, path: str = "effect") -> None:
    if isinstance(effect, dict):
        for name, value in effect.items():
            at = f"{path}.{name}"
            named = value if name == "kind" and isinstance(value, str) else str(name)
            if _TAKING.search(named.casefold()):
                raise RuleRefused(at, _TAKES_AWAY)
            _refuse_taking(value, at)
    elif isinstance(effect, list):
        for number, value in enumerate(effect):
            _refuse_taking(value, f"{path}[{number}]")
    elif isinstance(effect, int | float) and effect < 0:
        raise RuleRefused(path, _TAKES_AWAY)


def _explained(error: str) -> RuleRefused:
    at = _PATH.search(error)
    path = at.group(1) if at else ""
    named = _NAMED.search(error)
    if named:
        inner = f"{path}.{named.group(2)}" if path else named.group(2)
        return RuleRefused(inner, "没有这一项内容" if named.group(1) == "unknown" else "缺少这一项内容")
    kind = _WRONG_KIND.search(error)
    return RuleRefused(path, f"没有“{kind.group(1)[:40]}”这种写法" if kind else "内容不合规范或超出范围")


def _parts(path: str, condition: Condition) -> Iterator[tuple[str, Condition]]:
    """The condition and all that it is made of, with their paths."""
    yield path, condition
    if isinstance(condition, AllOf | AnyOf):
        for number, part in enumerate(condition.of):
            yield from _parts(f"{path}.of[{number}]", part)
    elif isinstance(condition, Not):
        yield from _parts(f"{path}.of", condition.of)


def _check_trigger(rule: Rule) -> None:
    trigger = rule.trigger
    if isinstance(trigger, DateTrigger):
        return
    if trigger.fact == "date":
        raise RuleRefused("trigger.fact", "日期触发请使用 kind 为 date 的写法")
    if trigger.fact not in FACTS:
        raise RuleRefused("trigger.fact", f"没有“{trigger.fact}”这种事实，可用的有：{'、'.join(FACTS)}")
    for number, narrowing in enumerate(trigger.where):
        _check_attribute(f"trigger.where[{number}]", narrowing, rule)


def _check_effect(rule: Rule) -> None:
    effect = rule.effect
    if not isinstance(effect, GivePointsPer):
        return
    _attribute("effect.attribute", kind_of(rule), effect.attribute, "amount")
    below = 0
    for number, tier in enumerate(effect.tiers):
        at = f"effect.tiers[{number}]"
        if tier.up_to is None:
            if number + 1 < len(effect.tiers):
                raise RuleRefused(f"{at}.up_to", "只有最后一档可以不设上限")
            break
        if tier.up_to <= below:
            raise RuleRefused(f"{at}.up_to", "各档上限须逐档增大")
        if (tier.up_to - below) % tier.per:
            raise RuleRefused(f"{at}.per", "每一档须为计分单位的整数倍，否则零头会丢失")
        below = tier.up_to
    if effect.at_most_points < min(tier.points for tier in effect.tiers):
        raise RuleRefused("effect.at_most_points", "单次上限低于最小的一份积分，永远不会发放")


def _check_size(condition: Condition) -> None:
    def depth(part: Condition) -> int:
        if isinstance(part, AllOf | AnyOf):
            return 1 + max(depth(inner) for inner in part.of)
        return 1 + depth(part.of) if isinstance(part, Not) else 1

    if depth(condition) > MAX_DEPTH:
        raise RuleRefused("condition", f"条件最多嵌套{MAX_DEPTH}层")
    if sum(1 for _ in conditions_of(condition)) > MAX_CONDITIONS:
        raise RuleRefused("condition", f"条件最多{MAX_CONDITIONS}项")


def _check_condition(path: str, condition: Condition, rule: Rule) -> None:
    match condition:
        case Not(of=negated):
            if any(_speaks_of_bands(part) for part in conditions_of(negated)):
                raise RuleRefused(path, _BAND_EXCLUDES)
        case BandIn(bands=codes):
            _check_distinct(f"{path}.bands", codes)
        case TownIn(towns=codes):
            _check_distinct(f"{path}.towns", codes)
        case MerchantCategoryIn(categories=codes):
            _check_distinct(f"{path}.categories", codes)
            if "merchant_id" not in FACTS[kind_of(rule)].attributes:
                raise RuleRefused(path, f"“{FACTS[kind_of(rule)].name}”不涉及商户，不能限定商户类别")
        case Between() | EnrolledBetween():
            _check_between(path, condition)
        case Weekly():
            _check_weekly(path, condition)
        case AmountIs() | ValueIn():
            _check_attribute(path, condition, rule)
        case HasDone() | HasNotDone():
            _check_done(path, condition)
        case _:
            pass


def _speaks_of_bands(part: Condition) -> bool:
    if isinstance(part, HasDone):
        return part.fact == "band_reached"
    return isinstance(part, BandIn | BandAtLeast) or (isinstance(part, ValueIn) and part.attribute == "band")


def _check_distinct(path: str, values: Sequence[object]) -> None:
    for number, value in enumerate(values):
        if value in values[:number]:
            raise RuleRefused(f"{path}[{number}]", f"“{value}”重复")


def _check_between(path: str, condition: Between | EnrolledBetween) -> None:
    first_day, last_day = condition.first_day, condition.last_day
    if first_day is None and last_day is None:
        raise RuleRefused(path, "起止日期至少填写一个")
    if first_day is not None and last_day is not None and last_day < first_day:
        raise RuleRefused(f"{path}.last_day", "截止日期早于开始日期")


def _check_weekly(path: str, window: Weekly) -> None:
    _check_distinct(f"{path}.weekdays", window.weekdays)
    if minute_of(window.until_time) <= minute_of(window.from_time):
        raise RuleRefused(f"{path}.until_time", "结束时刻须晚于开始时刻；跨越零点请用 any 组合两个时段")
    if window == Weekly(weekdays=window.weekdays) and len(window.weekdays) == 7:
        raise RuleRefused(path, "该时段没有任何限制")


def _check_attribute(path: str, condition: AmountIs | ValueIn, rule: Rule) -> None:
    if isinstance(condition, ValueIn):
        _attribute(f"{path}.attribute", kind_of(rule), condition.attribute, "code")
        _check_distinct(f"{path}.values", condition.values)
        return
    _attribute(f"{path}.attribute", kind_of(rule), condition.attribute, "amount")
    if condition.at_least is None and condition.at_most is None:
        raise RuleRefused(path, "上下限至少填写一个")
    if condition.at_least is not None and condition.at_most is not None and condition.at_most < condition.at_least:
        raise RuleRefused(f"{path}.at_most", "上限低于下限")


def _check_done(path: str, condition: HasDone | HasNotDone) -> None:
    if condition.fact not in FACTS or condition.fact == "date":
        raise RuleRefused(f"{path}.fact", f"没有“{condition.fact}”这种可以查询的事实")
    if isinstance(condition, HasNotDone) and condition.fact == "band_reached":
        raise RuleRefused(path, _BAND_EXCLUDES)
    if isinstance(condition.measure, SumDone):
        _attribute(f"{path}.measure.attribute", condition.fact, condition.measure.attribute, "amount")


def _attribute(path: str, kind: str, name: str, wanted: str) -> None:
    fact = FACTS[kind]
    known = [each for each, attribute in fact.attributes.items() if attribute.type == wanted]
    if name not in known:
        what = "数值" if wanted == "amount" else "代码"
        instead = f"可用的有：{'、'.join(known)}" if known else "该事实没有这类属性"
        raise RuleRefused(path, f"“{fact.name}”没有名为“{name}”的{what}属性，{instead}")


def _check_days(path: str, condition: Condition, days: Days | None, calendar: Calendar) -> None:
    if not isinstance(condition, Weekly) or condition.day == "any" or days is None:
        return
    unknown = [year for year in range(days[0].year, days[1].year + 1) if year not in calendar.years]
    if unknown:
        raise RuleRefused(f"{path}.day", f"{unknown[0]}年的放假安排尚未公布，活动期间不能区分工作日和休息日")


def _check_date(rule: Rule, days: Days | None) -> None:
    """The day of a trigger begins, at midnight, within the campaign."""
    trigger = rule.trigger
    if isinstance(trigger, DateTrigger) and days is not None and not days[0] <= trigger.on <= days[1]:
        raise RuleRefused("trigger.on", "触发日期的零点不在活动期间内")


def _check_together(rule: Rule, days: Days | None, calendar: Calendar) -> None:
    """No part of an `all`, the trigger and the campaign's days included, may make the rest impossible."""
    assert rule.condition is not None
    where = [] if isinstance(rule.trigger, DateTrigger) else list(rule.trigger.where)
    roots: list[tuple[str, Condition]] = [(f"trigger.where[{number}]", part) for number, part in enumerate(where)]
    given = rule.trigger.on if isinstance(rule.trigger, DateTrigger) else None
    groups = [roots + _together("condition", rule.condition)]
    groups += [_together(path, part) for path, part in _parts("condition", rule.condition) if isinstance(part, AllOf)]
    for group in groups:
        path = contradiction(group)
        if path is not None:
            raise RuleRefused(path, "与必须同时满足的其他条件矛盾，永远不会满足")
    path = never_open(groups[0], (given, given) if given else days, given is not None, calendar)
    if path is not None:
        raise RuleRefused(path, "在触发日期或活动期间内永远不会满足")


def _together(path: str, condition: Condition) -> list[tuple[str, Condition]]:
    """What must hold at once: the condition, or the parts of an `all` and of those inside it."""
    if not isinstance(condition, AllOf):
        return [(path, condition)]
    return [each for number, part in enumerate(condition.of) for each in _together(f"{path}.of[{number}]", part)]
