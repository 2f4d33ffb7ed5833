"""What must be read before a rule can be judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from server.incentives.rules.language import (
    AllOf,
    AnyOf,
    BandAtLeast,
    BandIn,
    Condition,
    DateTrigger,
    EnrolledBetween,
    Ever,
    FactTrigger,
    FirstTime,
    GiveCoupon,
    GiveLotteryTickets,
    GivePointsPer,
    HasDone,
    HasNotDone,
    MerchantCategoryIn,
    Not,
    Rule,
    SumDone,
    ThisPeriod,
    TownIn,
    ValueIn,
    Within,
)
from server.incentives.rules.windows import Moment, span


@dataclass(frozen=True, slots=True)
class Need:
    """How many facts of a kind a resident has within a time, and the sum of one of their amounts.

    Counted are the facts told before the one that is judged, whenever they happened: a fact that comes late then adds
    to what is there, one fact only is the first of its kind, and the tiers of a year are climbed exactly.
    """

    fact: str
    within: Within
    attribute: str | None = None

    def window(
        self, at: datetime, began_at: datetime | None, zone: ZoneInfo
    ) -> tuple[datetime | None, datetime | None]:
        """From which instant and before which their `occurred_at` lies, for a fact at this instant; None is open."""
        return span(self.within, Moment.of(at, zone).day, began_at, zone)


@dataclass(frozen=True, slots=True)
class Tally:
    """The answer to a need. `total`: in the unit of the attribute, 0 without one."""

    times: int
    total: int = 0


@dataclass(frozen=True, slots=True)
class Needs:
    """`history`: each once; `profile`: any of band, town and enrolment; the rest: whether the rule asks for it."""

    history: tuple[Need, ...]
    profile: bool
    bands: bool
    merchant_category: bool


def needs(rule: Rule) -> Needs:
    """What a case of this rule must hold."""
    history: dict[Need, None] = {}
    kinds: set[type[Condition]] = set()
    for condition in conditions_of(rule.condition):
        kinds.add(type(condition))
        need = need_of(condition, rule)
        if need is not None:
            history[need] = None
    summed = need_of_effect(rule)
    if summed is not None:
        history[summed] = None
    return Needs(
        history=tuple(history),
        profile=bool(kinds & {BandIn, BandAtLeast, TownIn, EnrolledBetween}),
        bands=BandAtLeast in kinds,
        merchant_category=MerchantCategoryIn in kinds,
    )


def conditions_of(condition: Condition | None) -> Iterator[Condition]:
    """The condition and all that it is made of."""
    if condition is None:
        return
    yield condition
    if isinstance(condition, AllOf | AnyOf):
        for part in condition.of:
            yield from conditions_of(part)
    elif isinstance(condition, Not):
        yield from conditions_of(condition.of)


def kind_of(rule: Rule) -> str:
    """The kind of fact that the rule is about."""
    return "date" if isinstance(rule.trigger, DateTrigger) else rule.trigger.fact


def need_of(condition: Condition, rule: Rule) -> Need | None:
    """What this condition alone asks of the past."""
    if isinstance(condition, FirstTime):
        return Need(kind_of(rule), Ever())
    if isinstance(condition, HasDone | HasNotDone):
        measure = condition.measure
        return Need(condition.fact, condition.within, measure.attribute if isinstance(measure, SumDone) else None)
    return None


def need_of_effect(rule: Rule) -> Need | None:
    """What the effect asks of the past: the sum on which its tiers stand."""
    effect = rule.effect
    if isinstance(effect, GivePointsPer) and effect.over != "each":
        return Need(kind_of(rule), ThisPeriod(effect.over), effect.attribute)
    return None


@dataclass(frozen=True, slots=True)
class Mentions:
    """The codes of other data that a rule names, for whoever knows whether they exist."""

    bands: frozenset[str]
    towns: frozenset[str]
    categories: frozenset[str]
    template_id: str | None
    lottery_id: str | None


def mentions(rule: Rule) -> Mentions:
    """What the rule names: bands, towns, categories of merchants, a coupon template, a lottery."""
    bands: set[str] = set()
    towns: set[str] = set()
    categories: set[str] = set()
    where = rule.trigger.where if isinstance(rule.trigger, FactTrigger) else ()
    for part in (*where, *conditions_of(rule.condition)):
        match part:
            case BandIn(bands=codes):
                bands.update(codes)
            case BandAtLeast(band=code):
                bands.add(code)
            case ValueIn(attribute="band", values=codes):
                bands.update(codes)
            case ValueIn(attribute="merchant_category", values=codes):
                categories.update(codes)
            case TownIn(towns=codes):
                towns.update(codes)
            case MerchantCategoryIn(categories=codes):
                categories.update(codes)
            case _:
                pass
    return Mentions(
        frozenset(bands),
        frozenset(towns),
        frozenset(categories),
        rule.effect.template_id if isinstance(rule.effect, GiveCoupon) else None,
        rule.effect.lottery_id if isinstance(rule.effect, GiveLotteryTickets) else None,
    )
