"""A decision in Chinese: part by part for whoever wants to know, and in the fewest words why somebody got nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from msgspec import Struct

from server.incentives.rules.catalogue import FACTS, Unit
from server.incentives.rules.judge import Decision, Node
from server.incentives.rules.language import (
    AmountIs,
    BandAtLeast,
    BandIn,
    DateTrigger,
    FactTrigger,
    GiveCoupon,
    GiveFreeMinutes,
    GiveLotteryTickets,
    GivePoints,
    GivePointsPer,
    HasDone,
    HasNotDone,
    MerchantCategoryIn,
    SumDone,
    TownIn,
    ValueIn,
)
from server.incentives.rules.needs import kind_of
from server.incentives.rules.standing import barriers
from server.incentives.rules.windows import Opening
from server.incentives.rules.wording import (
    NO_NAMES,
    WEEKDAYS,
    Names,
    condition_text,
    day_text,
    effect_text,
    named,
    town_text,
    trigger_text,
    unit_of,
)


class Steps(Struct, frozen=True):
    """How far one has come: `done` of `needed` in the small unit (minutes, fen, times), and the same in Chinese."""

    done: int
    needed: int
    text: str


class Told(Struct, frozen=True):
    """One part of a rule. code: its `kind`; text: what it asks; seen: what was found, "" when nothing is to be seen."""

    code: str
    text: str
    met: bool
    seen: str = ""
    progress: Steps | None = None
    parts: tuple[Told, ...] = ()


def explain(decision: Decision, names: Names = NO_NAMES) -> tuple[Told, ...]:
    """Every part of the rule: the trigger, the condition when there is one, the effect."""
    return tuple(_told(node, kind_of(decision.rule), names) for node in decision.nodes)


def reasons(decision: Decision, names: Names = NO_NAMES) -> tuple[Told, ...]:
    """Why the effect is not given: the fewest parts that would have to be otherwise; empty when it is given."""
    return _against(decision, decision.why_not(), names)


def barred_by(decision: Decision, names: Names = NO_NAMES) -> tuple[Told, ...]:
    """What keeps somebody from getting the effect whatever he does next; empty when he can do something."""
    return _against(decision, barriers(decision), names)


def progress(decision: Decision, names: Names = NO_NAMES) -> tuple[Told, ...]:
    """The parts that are reached step by step."""
    return tuple(_told(node, kind_of(decision.rule), names) for node in decision.progress())


def _against(decision: Decision, nodes: tuple[Node, ...], names: Names) -> tuple[Told, ...]:
    found = []
    for node in nodes:
        told = _told(node, kind_of(decision.rule), names)
        if node.met:
            told = Told("not", f"不属于以下情形（{told.text}）", False, told.seen, None, (told,))
        found.append(told)
    return tuple(found)


def _told(node: Node, kind: str, names: Names) -> Told:
    part = node.part
    code = str(part.__struct_config__.tag)
    if isinstance(part, DateTrigger | FactTrigger):
        said = trigger_text(part, names)
    elif isinstance(part, GivePoints | GivePointsPer | GiveCoupon | GiveFreeMinutes | GiveLotteryTickets):
        said = effect_text(part, kind, names)
    else:
        said = condition_text(part, kind, names)
    return Told(
        code,
        said,
        node.met,
        _seen(node, kind, names),
        _steps(node),
        tuple(_told(each, kind, names) for each in node.children),
    )


def _steps(node: Node) -> Steps | None:
    if node.progress is None or not isinstance(node.part, HasDone):
        return None
    done, needed = node.progress.done, node.progress.needed
    unit = _unit(node.part)
    return Steps(done, needed, f"已完成{unit.say(done)}，共需{unit.say(needed)}")


def _seen(node: Node, kind: str, names: Names) -> str:
    part, seen = node.part, node.seen
    match part:
        case BandIn() | BandAtLeast():
            return _code(seen, names.bands, "暂无信用等级")
        case TownIn():
            return town_text(seen) if isinstance(seen, str) else "暂无居住镇街信息"
        case MerchantCategoryIn():
            return _code(seen, names.categories, "商户类别未知")
        case ValueIn(attribute=name):
            return _code(seen, names.values.get(name, {}), "未提供")
        case AmountIs(attribute=name):
            return unit_of(kind, name).say(seen) if isinstance(seen, int) else "未提供"
        case HasDone() | HasNotDone():
            return _unit(part).say(seen) if isinstance(seen, int) else ""
        case FactTrigger():
            return FACTS[seen].happens if isinstance(seen, str) and seen in FACTS else "尚未发生"
        case GivePointsPer():
            return f"{seen}积分" if isinstance(seen, int) else ""
        case _:
            pass
    if isinstance(seen, Opening):
        return _opening(seen)
    if isinstance(seen, date):
        return day_text(seen)
    return f"此前{seen}次" if isinstance(seen, int) else ""


def _unit(part: HasDone | HasNotDone) -> Unit:
    return unit_of(part.fact, part.measure.attribute if isinstance(part.measure, SumDone) else None)


def _code(seen: object, names: Mapping[str, str], unknown: str) -> str:
    return named(seen, names) if isinstance(seen, str) else unknown


def _opening(seen: Opening) -> str:
    day = seen.moment.day
    hour, minute = divmod(seen.moment.minute, 60)
    kind = "工作日" if seen.workday else "休息日"
    guessed = "" if seen.published else "（当年放假安排尚未公布，按周一至周五推定）"
    return f"{day_text(day)}{WEEKDAYS[day.weekday()]}{hour:02d}:{minute:02d}，{kind}{guessed}"
