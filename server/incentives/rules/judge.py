"""What a rule means for one person: pure, without clock, database or chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol, assert_never
from zoneinfo import ZoneInfo

from msgspec import Struct

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
    FactTrigger,
    FirstTime,
    GivePoints,
    GivePointsPer,
    HasDone,
    HasNotDone,
    MerchantCategoryIn,
    Not,
    Rule,
    SumDone,
    Tier,
    TownIn,
    Trigger,
    ValueIn,
    Weekly,
)
from server.incentives.rules.needs import Need, Tally, kind_of, need_of, need_of_effect
from server.incentives.rules.windows import CHINA, Calendar, Moment, Opening, is_open, is_within

#: What was looked at: a text, a number, a day, a moment; None when it is not known.
Seen = str | int | date | Opening | None


class Person(Protocol):
    """A resident as rules see him: nothing else about him exists here."""

    @property
    def band(self) -> str | None: ...
    @property
    def town(self) -> str | None: ...
    @property
    def enrolled_on(self) -> date: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fact of one person, and all that the rule's `needs` name.

    fact: its kind; None when nothing has happened yet and only the standing is asked for, `at` is then now. person: as
    he was at that time. ranks: of the bands, higher is better. history: an answer to every need. began_at: of the
    campaign. merchant_category: of the fact's merchant, when that is known.
    """

    at: datetime
    person: Person
    zone: ZoneInfo
    fact: str | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)
    history: Mapping[Need, Tally] = field(default_factory=dict)
    merchant_category: str | None = None
    began_at: datetime | None = None
    calendar: Calendar = CHINA


class Progress(Struct, frozen=True):
    """How far a measure is reached; both in the unit of `Need.attribute`, times without one."""

    done: int
    needed: int


class Node(Struct, frozen=True):
    """One part of the rule and whether it holds. `seen`: what was looked at. `wording.explain` says it in Chinese."""

    part: Trigger | Condition | Effect
    met: bool
    seen: Seen = None
    children: tuple[Node, ...] = ()
    progress: Progress | None = None


class Decision(Struct, frozen=True):
    """granted: whether the effect is owed; `points`: how many, when the effect is points, else 0.

    nodes: trigger, condition (when there is one), effect; granted is that all of them are met.
    """

    rule: Rule
    granted: bool
    points: int
    nodes: tuple[Node, ...]

    def why_not(self) -> tuple[Node, ...]:
        """The shortest list of parts that would have to be otherwise; empty when granted. A part with `met` stands in a
        `not`: it holds and ought not to."""
        return tuple(part for node in self.nodes for part in shortest(node, True))

    def progress(self) -> tuple[Node, ...]:
        """Every part that is reached step by step, in the order of the rule."""
        return tuple(part for node in self.nodes for part in _leaves(node) if part.progress is not None)


def judge(rule: Rule, case: Case) -> Decision:
    """Whether the rule gives, what it gives, and why: every part is looked at. Never raises for a rule that was checked
    and a case that answers its needs."""
    look = _Look(rule, case)
    nodes = [look.trigger()]
    if rule.condition is not None:
        nodes.append(look.condition(rule.condition))
    nodes.append(look.effect())
    granted = all(node.met for node in nodes)
    return Decision(rule, granted, look.points if granted else 0, tuple(nodes))


def speaks_of(rule: Rule, case: Case) -> bool:
    """Whether the case is what the rule waits for, whatever its condition says of it."""
    return _Look(rule, case).trigger().met


def shortest(node: Node, wanted: bool) -> tuple[Node, ...]:
    """The fewest parts below that would have to be otherwise for the node to be met, or not met, as is wanted."""
    if node.met == wanted:
        return ()
    part = node.part
    if isinstance(part, Not):
        return shortest(node.children[0], not wanted)
    narrowed = isinstance(part, FactTrigger) and node.seen == part.fact
    if not narrowed and not isinstance(part, AllOf | AnyOf):
        return (node,)
    lists = [shortest(child, wanted) for child in node.children if child.met != wanted]
    if narrowed or isinstance(part, AllOf) == wanted:
        return tuple(one for each in lists for one in each)
    return min(lists, key=len)


def _leaves(node: Node) -> tuple[Node, ...]:
    return tuple(leaf for child in node.children for leaf in _leaves(child)) if node.children else (node,)


class _Look:
    """One look at a case. `points`: what the effect gives, known after `effect`."""

    def __init__(self, rule: Rule, case: Case) -> None:
        self._rule = rule
        self._case = case
        self._kind = kind_of(rule)
        self._moment = Moment.of(case.at, case.zone)
        self.points = 0

    def trigger(self) -> Node:
        trigger, case = self._rule.trigger, self._case
        if isinstance(trigger, DateTrigger):
            return Node(trigger, case.fact == "date" and self._moment.day == trigger.on, self._moment.day)
        narrowed = tuple(self.condition(part) for part in trigger.where)
        happened = case.fact == trigger.fact and all(node.met for node in narrowed)
        return Node(trigger, happened, case.fact, narrowed)

    def condition(self, part: Condition) -> Node:
        case, person = self._case, self._case.person
        match part:
            case AllOf(of=parts):
                nodes = tuple(self.condition(each) for each in parts)
                return Node(part, all(node.met for node in nodes), None, nodes)
            case AnyOf(of=parts):
                nodes = tuple(self.condition(each) for each in parts)
                return Node(part, any(node.met for node in nodes), None, nodes)
            case Not(of=negated):
                node = self.condition(negated)
                return Node(part, not node.met, None, (node,))
            case BandIn(bands=bands):
                return Node(part, person.band in bands, person.band)
            case BandAtLeast():
                return Node(part, self._reaches(part), person.band)
            case TownIn(towns=towns):
                return Node(part, person.town in towns, person.town)
            case EnrolledBetween(first_day=first, last_day=last):
                return Node(part, is_within(person.enrolled_on, first, last), person.enrolled_on)
            case Between(first_day=first, last_day=last):
                return Node(part, is_within(self._moment.day, first, last), self._moment.day)
            case Weekly():
                return Node(part, is_open(part, self._moment, case.calendar), Opening.of(self._moment, case.calendar))
            case MerchantCategoryIn(categories=categories):
                return Node(part, case.merchant_category in categories, case.merchant_category)
            case AmountIs(attribute=name, at_least=low, at_most=high):
                amount = self._amount(name)
                holds = amount is not None and (low is None or low <= amount) and (high is None or amount <= high)
                return Node(part, holds, amount)
            case ValueIn(attribute=name, values=values):
                value = case.attributes.get(name)
                code = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
                return Node(part, code in values, code)
            case FirstTime() | HasDone() | HasNotDone():
                return self._past(part)
            case _:
                assert_never(part)

    def effect(self) -> Node:
        effect = self._rule.effect
        if isinstance(effect, GivePoints):
            self.points = effect.points
        if not isinstance(effect, GivePointsPer) or self._case.fact is None:
            return Node(effect, True)
        need = need_of_effect(self._rule)
        before = 0 if need is None else max(0, self._case.history[need].total)
        now = max(0, self._amount(effect.attribute) or 0)
        points = climbed(effect.tiers, before + now) - climbed(effect.tiers, before)
        self.points = min(points, effect.at_most_points)
        return Node(effect, self.points > 0, self.points)

    def _past(self, part: FirstTime | HasDone | HasNotDone) -> Node:
        need = need_of(part, self._rule)
        assert need is not None
        tally = self._case.history[need]
        if isinstance(part, FirstTime):
            return Node(part, tally.times == 0, tally.times)
        measure = part.measure
        done = tally.total if isinstance(measure, SumDone) else tally.times
        if isinstance(part, HasNotDone):
            return Node(part, done < measure.at_least, done)
        if self._case.fact == part.fact:
            done += (self._amount(measure.attribute) or 0) if isinstance(measure, SumDone) else 1
        return Node(part, done >= measure.at_least, done, (), Progress(done, measure.at_least))

    def _reaches(self, part: BandAtLeast) -> bool:
        own, wanted = self._case.ranks.get(self._case.person.band or ""), self._case.ranks.get(part.band)
        return own is not None and wanted is not None and own >= wanted

    def _amount(self, name: str) -> int | None:
        """What the fact carries, when it is a whole number."""
        value = self._case.attributes.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def climbed(tiers: tuple[Tier, ...], total: int) -> int:
    """The points of a sum that climbs the tiers from nothing: in each, `points` for every full `per`."""
    points, below = 0, 0
    for tier in tiers:
        top = total if tier.up_to is None else min(total, tier.up_to)
        points += max(0, top - below) // tier.per * tier.points
        below = tier.up_to or 0
    return points
