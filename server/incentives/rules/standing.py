"""What a rule still holds for somebody before anything has happened: whether he can get it by what he does next.

A decision without a fact says of every part how it stands. Some of it stays whatever one does today (a town, a day of
enrolment, "never before"), some comes with the deed (an amount, an hour, a shop) and some is reached step by step. Only
the first can bar somebody.
"""

from __future__ import annotations

from server.incentives.rules.judge import Decision, Node
from server.incentives.rules.language import (
    AllOf,
    AnyOf,
    BandAtLeast,
    BandIn,
    Between,
    EnrolledBetween,
    FirstTime,
    HasDone,
    HasNotDone,
    Not,
    TownIn,
)

#: What stands as it is, for now.
_OF_THE_PERSON = (BandIn, BandAtLeast, TownIn, EnrolledBetween, FirstTime, HasNotDone)


def barriers(decision: Decision) -> tuple[Node, ...]:
    """The fewest parts that keep the rule from giving whatever is done next; empty when something can be done."""
    return tuple(part for node in decision.nodes for part in _barring(node, True))


def can_become(node: Node, wanted: bool) -> bool:
    """Whether a part can be as wanted when something is done next."""
    part = node.part
    match part:
        case Not():
            return can_become(node.children[0], not wanted)
        case AllOf() | AnyOf():
            each = [can_become(child, wanted) for child in node.children]
            return all(each) if isinstance(part, AllOf) == wanted else any(each)
        case HasDone():  # what was done stays done
            return wanted or not node.met
        case Between(last_day=last):
            return not wanted or last is None or node.seen is None or node.seen <= last  # type: ignore[operator]
        case _:
            return not isinstance(part, _OF_THE_PERSON) or node.met == wanted


def _barring(node: Node, wanted: bool) -> tuple[Node, ...]:
    """The fewest parts below that keep a part from becoming as wanted."""
    if can_become(node, wanted):
        return ()
    part = node.part
    if isinstance(part, Not):
        return _barring(node.children[0], not wanted)
    if not isinstance(part, AllOf | AnyOf):
        return (node,)
    lists = [found for child in node.children if (found := _barring(child, wanted))]
    return tuple(one for each in lists for one in each) if isinstance(part, AllOf) == wanted else min(lists, key=len)
