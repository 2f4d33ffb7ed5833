"""Rules and cases by chance, for hypothesis."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from server.incentives.rules import FACTS, Case, Rule, RuleRefused, Tally, check, needs
from server.incentives.rules.language import (
    AllOf,
    AmountIs,
    AnyOf,
    BandAtLeast,
    BandIn,
    Between,
    DateTrigger,
    EnrolledBetween,
    Ever,
    FactTrigger,
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
    SinceCampaignBegan,
    SumDone,
    ThisPeriod,
    Tier,
    TimesDone,
    TownIn,
    ValueIn,
    Weekly,
)
from server.incentives.rules.needs import kind_of
from tests.support.holidays import FREE, MADE_UP
from tests.support.rules import RANKS, Somebody

ZONES = st.sampled_from([ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York"), ZoneInfo("Pacific/Apia")])
DAYS = st.dates(date(2025, 1, 1), date(2026, 12, 31))
BANDS = st.sampled_from(list(RANKS))
TOWNS = st.sampled_from(["澄江街道", "华士镇", "周庄镇"])
CATEGORIES = st.sampled_from(["canteen", "books", "sport"])
CODES = st.sampled_from(["7", "12", "x1"])
AMOUNTS = st.integers(0, 400)
CLOCK = ["00:00", "00:01", "09:30", "12:00", "23:59", "24:00"]
HOURS = st.sampled_from(CLOCK)
A_MOMENT = timedelta(microseconds=1)
#: Days around which something begins or ends: months, years, moved clocks, holidays and what makes up for them.
_TURNS = (
    {date(year, month, 1) for year in (2025, 2026) for month in range(1, 13)} | FREE | MADE_UP
    | {date(2025, 3, 9), date(2025, 11, 2), date(2026, 3, 8), date(2026, 11, 1)}
)  # fmt: skip
_AROUND = {day + timedelta(days=off) for day in _TURNS for off in (-1, 0, 1)}
TURNS = st.sampled_from(sorted(day for day in _AROUND if date(2025, 1, 3) <= day <= date(2026, 12, 29)))


def at_time(day: date, hour: str, zone: ZoneInfo) -> datetime:
    """The instant at which a city's clock shows this; 24:00 is the midnight behind the day."""
    past = timedelta(days=1) if hour == "24:00" else timedelta()
    clock = time() if hour == "24:00" else time.fromisoformat(hour)
    return datetime.combine(day + past, clock, zone).astimezone(UTC)


@st.composite
def instants(draw: st.DrawFn, zone: ZoneInfo, *hours: str) -> datetime:
    """An instant of these two years: more often than not a microsecond before, at or behind one of these hours of the
    city's clock (any that is written here, when none is named), on a day on which something turns."""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.datetimes(datetime(2025, 1, 2), datetime(2026, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001
    day = draw(st.one_of(TURNS, TURNS, st.dates(date(2025, 1, 3), date(2026, 12, 29))))
    edge = at_time(day, draw(st.sampled_from(hours or CLOCK)), zone)
    return edge + draw(st.sampled_from([-A_MOMENT, timedelta(), A_MOMENT]))


INSTANTS = ZONES.flatmap(instants)


def several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, min_size=1, max_size=3, unique=True).map(tuple)


def attributes_of(kind: str, type: str) -> list[str]:
    return [name for name, attribute in FACTS[kind].attributes.items() if attribute.type == type]


@cache
def attribute_conditions(kind: str) -> list[st.SearchStrategy[Any]]:
    found: list[st.SearchStrategy[Any]] = []
    if amounts := attributes_of(kind, "amount"):
        bounds = st.none() | AMOUNTS
        found.append(st.builds(AmountIs, st.sampled_from(amounts), bounds, bounds))
    if codes := attributes_of(kind, "code"):
        found.append(st.builds(ValueIn, st.sampled_from(codes), several(CODES)))
    return found


withins = st.one_of(
    st.builds(LastDays, st.integers(1, 40)),
    st.builds(ThisPeriod, st.sampled_from(["day", "week", "month", "year"])),
    st.just(SinceCampaignBegan()),
    st.just(Ever()),
)


@st.composite
def done(draw: st.DrawFn, kind: type[HasDone | HasNotDone]) -> HasDone | HasNotDone:
    fact = draw(st.sampled_from([name for name in FACTS if name != "date"]))
    measure: TimesDone | SumDone = TimesDone(draw(st.integers(1, 4)))
    amounts = attributes_of(fact, "amount")
    if amounts and draw(st.booleans()):
        measure = SumDone(draw(st.sampled_from(amounts)), draw(st.integers(1, 400)))
    return kind(fact, draw(withins), measure)


@cache
def leaves(kind: str) -> st.SearchStrategy[Any]:
    ends = st.none() | DAYS
    some: list[st.SearchStrategy[Any]] = [
        st.builds(BandIn, several(BANDS)),
        st.builds(BandAtLeast, BANDS),
        st.builds(TownIn, several(TOWNS)),
        st.builds(EnrolledBetween, ends, ends),
        st.builds(Between, ends, ends),
        st.just(FirstTime()),
        st.builds(Weekly, several(st.integers(1, 7)), st.sampled_from(["any", "workday", "holiday"]), HOURS, HOURS),
        done(HasDone),
        done(HasNotDone),
        *attribute_conditions(kind),
    ]
    if kind == "redemption_made":
        some.append(st.builds(MerchantCategoryIn, several(CATEGORIES)))
    return st.one_of(some).filter(lambda part: may_be_saved(Rule(trigger_of(kind), GivePoints(1), part)))


def trigger_of(kind: str) -> FactTrigger | DateTrigger:
    return DateTrigger(date(2026, 10, 1)) if kind == "date" else FactTrigger(kind)


def may_be_saved(rule: Rule) -> bool:
    try:
        check(rule)
    except RuleRefused:
        return False
    return True


@cache
def conditions(kind: str) -> st.SearchStrategy[Any]:
    """Conditions on facts of a kind, each part of which may be saved."""

    def larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several_parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return st.builds(AllOf, several_parts) | st.builds(AnyOf, several_parts) | st.builds(Not, inner)

    return st.recursive(leaves(kind), larger, max_leaves=6)


@st.composite
def tiers(draw: st.DrawFn) -> tuple[Tier, ...]:
    made, below = [], 0
    for _ in range(draw(st.integers(0, 3))):
        per = draw(st.integers(1, 40))
        below += per * draw(st.integers(1, 5))
        made.append(Tier(per, draw(st.integers(1, 5)), below))
    return (*made, Tier(draw(st.integers(1, 40)), draw(st.integers(1, 5)), None))


@cache
def effects(kind: str) -> st.SearchStrategy[Any]:
    some: list[st.SearchStrategy[Any]] = [
        st.builds(GivePoints, st.integers(1, 9)),
        st.builds(GiveCoupon, st.sampled_from(["7", "8"])),
        st.builds(GiveFreeMinutes, st.integers(1, 90)),
        st.builds(GiveLotteryTickets, st.sampled_from(["3", "4"]), st.integers(1, 3)),
    ]
    if amounts := attributes_of(kind, "amount"):
        over = st.sampled_from(["each", "month", "year"])
        some.append(st.builds(GivePointsPer, st.sampled_from(amounts), tiers(), st.integers(5, 50), over))
    return st.one_of(some)


@st.composite
def rules(draw: st.DrawFn, saved: bool = True) -> Rule:
    """Any rule; `saved`: one that may be saved."""
    kind = draw(st.sampled_from(list(FACTS)))
    trigger: FactTrigger | DateTrigger = trigger_of(kind)
    if isinstance(trigger, DateTrigger):
        trigger = DateTrigger(draw(DAYS))
    elif (narrowings := attribute_conditions(kind)) and draw(st.booleans()):
        trigger = FactTrigger(kind, (draw(st.one_of(narrowings)),))
    rule = Rule(trigger, draw(effects(kind)), draw(st.none() | conditions(kind)))
    if saved and not may_be_saved(rule):
        rule = Rule(trigger_of(kind), rule.effect, draw(leaves(kind)))
    return rule


@st.composite
def cases(draw: st.DrawFn, rule: Rule) -> Case:
    """Something that happened to somebody; mostly a fact of the rule's kind."""
    kind = kind_of(rule)
    attributes: dict[str, object] = {}
    for name, attribute in FACTS[kind].attributes.items():
        right: st.SearchStrategy[Any] = AMOUNTS if attribute.type == "amount" else CODES | BANDS
        attributes[name] = draw(st.one_of(right, right, right, st.sampled_from([None, True, "?", 1.5, -3, [1]])))
    zone = draw(ZONES)
    return Case(
        at=draw(instants(zone)),
        person=Somebody(draw(st.none() | BANDS), draw(st.none() | TOWNS), draw(DAYS)),
        zone=zone,
        fact=draw(st.sampled_from([kind, kind, kind, kind, "login_day", None])),
        attributes=attributes,
        ranks=RANKS,
        history={need: Tally(draw(st.integers(0, 4)), draw(AMOUNTS)) for need in needs(rule).history},
        merchant_category=draw(st.none() | CATEGORIES),
        began_at=datetime(2025, 1, 1, tzinfo=UTC),
    )


@st.composite
def judged(draw: st.DrawFn) -> tuple[Rule, Case]:
    rule = draw(rules())
    return rule, draw(cases(rule))
