"""The Chinese text of a rule, made from the rule itself: all that is in it is said, and two rules never say the same.

Names stand in 「」, codes without a name in 〔〕, and neither sign can be part of them; what belongs together stands in
（）. So the text could be read back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, assert_never

from server.incentives.rules.catalogue import FACTS, TIMES, Attribute, Unit
from server.incentives.rules.language import (
    AllOf,
    AmountIs,
    AnyOf,
    BandAtLeast,
    BandIn,
    Between,
    Condition,
    DateTrigger,
    Effect,
    EnrolledBetween,
    Ever,
    FirstTime,
    GiveCoupon,
    GiveFreeMinutes,
    GiveLotteryTickets,
    GivePoints,
    GivePointsPer,
    HasDone,
    HasNotDone,
    LastDays,
    MerchantCategoryIn,
    Not,
    Rule,
    SinceCampaignBegan,
    SumDone,
    ThisPeriod,
    TimesDone,
    TownIn,
    Trigger,
    ValueIn,
    Weekly,
    Within,
)
from server.incentives.rules.needs import kind_of

WEEKDAYS: Final = ("周一", "周二", "周三", "周四", "周五", "周六", "周日")
_DAYS: Final = {"workday": "工作日（含调休上班日）", "holiday": "休息日（周末和节假日，不含调休上班日）"}
_PERIODS: Final = {"day": "当日", "week": "当周", "month": "当月", "year": "当年"}
_OVER: Final = {"each": "每次单独计算", "month": "按当月累计计算", "year": "按当年累计计算"}
_SCENES: Final = {"parking": "停车"}


@dataclass(frozen=True, slots=True)
class Names:
    """What the city calls its codes. `values`: by attribute of a fact. A name that two codes share is not used."""

    bands: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)
    lotteries: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


NO_NAMES: Final = Names()


def text(rule: Rule, names: Names = NO_NAMES) -> str:
    """What the rule says, in one Chinese sentence."""
    kind = kind_of(rule)
    begins = f"{trigger_text(rule.trigger, names)}时，"
    holds = "" if rule.condition is None else f"须{_bare(rule.condition, kind, names)}，"
    return f"{begins}{holds}可获得{effect_text(rule.effect, kind, names)}。"


def deed_text(rule: Rule, names: Names = NO_NAMES) -> str:
    """What is to be done for what, without the conditions."""
    given = effect_text(rule.effect, kind_of(rule), names)
    return f"{trigger_text(rule.trigger, names)}时，可获得{given}"


def trigger_text(trigger: Trigger, names: Names) -> str:
    """What must happen."""
    if isinstance(trigger, DateTrigger):
        return f"{day_text(trigger.on)}到来"
    narrowed = "，且".join(condition_text(part, trigger.fact, names) for part in trigger.where)
    return FACTS[trigger.fact].happens + (f"（{narrowed}）" if narrowed else "")


def condition_text(part: Condition, kind: str, names: Names) -> str:
    """What must hold of a fact of this kind."""
    match part:
        case AllOf() | AnyOf():
            return f"（{_bare(part, kind, names)}）"
        case Not(of=negated):
            return f"不属于以下情形（{_bare(negated, kind, names)}）"
        case BandIn(bands=codes):
            return f"信用等级为{_listed(codes, names.bands)}"
        case BandAtLeast(band=code):
            return f"信用等级不低于{named(code, names.bands)}"
        case TownIn(towns=codes):
            return f"居住在{'、'.join(map(town_text, codes))}"
        case EnrolledBetween(first_day=first, last_day=last):
            return f"于{_days_text(first, last)}加入计划"
        case Between(first_day=first, last_day=last):
            return f"发生在{_days_text(first, last)}"
        case Weekly():
            return f"发生在{weekly_text(part)}"
        case FirstTime():
            return "此前从未有过同类记录"
        case MerchantCategoryIn(categories=codes):
            return f"商户类别为{_listed(codes, names.categories)}"
        case AmountIs(attribute=name):
            attribute = FACTS[kind].attributes[name]
            low = [] if part.at_least is None else [f"不少于{_amount(part.at_least, attribute)}"]
            high = [] if part.at_most is None else [f"不超过{_amount(part.at_most, attribute)}"]
            return attribute.name + "且".join([*low, *high])
        case ValueIn(attribute=name, values=codes):
            return f"{FACTS[kind].attributes[name].name}为{_listed(codes, names.values.get(name, {}))}"
        case HasDone() | HasNotDone():
            return _done_text(part, kind)
        case _:
            assert_never(part)


def effect_text(effect: Effect, kind: str, names: Names) -> str:
    """What is given for a fact of this kind."""
    match effect:
        case GivePoints(points=points):
            return f"{points}积分"
        case GivePointsPer():
            return _per_text(effect, FACTS[kind].attributes[effect.attribute])
        case GiveCoupon(template_id=code):
            return f"优惠券{named(code, names.templates)}1张"
        case GiveFreeMinutes(minutes=minutes, scene=scene):
            return f"{_SCENES[scene]}免费时长{minutes}分钟"
        case GiveLotteryTickets(lottery_id=code, tickets=tickets):
            return f"抽奖{named(code, names.lotteries)}的抽奖券{tickets}张"
        case _:
            assert_never(effect)


def named(code: str, names: Mapping[str, str]) -> str:
    """A code by its name, when it has one of its own."""
    name = names.get(code)
    if name is None or set(name) & set("「」〔〕") or Counter(names.values())[name] > 1:
        return f"〔{code}〕"
    return f"「{name}」"


def town_text(town: str) -> str:
    """A town is called what it is."""
    return f"「{town}」"


def day_text(day: date) -> str:
    """2026年1月1日."""
    return f"{day.year}年{day.month}月{day.day}日"


def unit_of(fact: str, attribute: str | None) -> Unit:
    """In which unit a sum of this attribute, or a number of facts, is said."""
    return TIMES if attribute is None else FACTS[fact].attributes[attribute].unit or TIMES


def _bare(part: Condition, kind: str, names: Names) -> str:
    """Without the brackets around it."""
    if isinstance(part, AllOf | AnyOf):
        joint = "，且" if isinstance(part, AllOf) else "，或"
        return joint.join(condition_text(each, kind, names) for each in part.of)
    return condition_text(part, kind, names)


def _listed(codes: Iterable[str], names: Mapping[str, str]) -> str:
    return "、".join(named(code, names) for code in codes)


def _days_text(first: date | None, last: date | None) -> str:
    if first is None or last is None:
        return f"{day_text(first)}及以后" if first else f"{day_text(last)}及以前" if last else "任何一天"
    return f"{day_text(first)}至{day_text(last)}"


def weekly_text(window: Weekly) -> str:
    """The days and hours of a window."""
    days = "、".join(WEEKDAYS[number - 1] for number in window.weekdays)
    every = window.weekdays == (1, 2, 3, 4, 5, 6, 7)
    if window.day == "any":
        which = "每天" if every else days
    else:
        which = _DAYS[window.day] if every else f"{days}中的{_DAYS[window.day]}"
    hours = (window.from_time, window.until_time)
    return which + ("全天" if hours == ("00:00", "24:00") else f"{hours[0]}至{hours[1]}")


def _within_text(within: Within) -> str:
    match within:
        case LastDays(days=days):
            return f"近{days}天内（含当天）"
        case ThisPeriod(period=period):
            return f"{_PERIODS[period]}内"
        case SinceCampaignBegan():
            return "活动开始以来"
        case Ever():
            return "历来"
        case _:
            assert_never(within)


def _done_text(part: HasDone | HasNotDone, kind: str) -> str:
    measure = part.measure
    fact = FACTS[part.fact]
    attribute = measure.attribute if isinstance(measure, SumDone) else None
    amount = unit_of(part.fact, attribute).say(measure.at_least)
    what = f"{_within_text(part.within)}“{fact.name}”" + (
        f"的{fact.attributes[attribute].name}合计" if attribute is not None else "累计"
    )
    if isinstance(part, HasDone):
        return f"{what}达到{amount}" + ("（含本次）" if part.fact == kind else "")
    if measure == TimesDone():
        return f"{_within_text(part.within)}没有“{fact.name}”记录" + ("（不含本次）" if part.fact == kind else "")
    return f"{what}少于{amount}" + ("（不含本次）" if part.fact == kind else "")


def _per_text(effect: GivePointsPer, attribute: Attribute) -> str:
    tiers = []
    for tier in effect.tiers:
        part = "其余部分" if tier.up_to is None else f"至{_amount(tier.up_to, attribute)}的部分"
        part = "" if tier.up_to is None and len(effect.tiers) == 1 else part
        tiers.append(f"{part}每满{_amount(tier.per, attribute)}得{tier.points}积分")
    return f"积分，{attribute.name}{_OVER[effect.over]}（{'，'.join(tiers)}），一次最多{effect.at_most_points}积分"


def _amount(amount: int, attribute: Attribute) -> str:
    return (attribute.unit or TIMES).say(amount)
