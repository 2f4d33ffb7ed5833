"""Whom a rule could reach at all: what may be said of a person before his past is read."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from msgspec import structs

from server.incentives.rules.judge import Case, judge
from server.incentives.rules.language import (
    AllOf,
    AnyOf,
    Condition,
    FirstTime,
    GivePoints,
    HasDone,
    HasNotDone,
    Not,
    Rule,
)


def relaxed(rule: Rule) -> Rule:
    """The rule without what it asks of the past, so that it needs no history. Whoever qualifies by the rule qualifies
    by this one; others may, too."""
    condition = None if rule.condition is None else _relaxed(rule.condition, True)
    return structs.replace(rule, condition=condition, effect=GivePoints(points=1))


def may_reach(rule: Rule, case: Case) -> bool:
    """False only where the rule gives nothing, whatever the person has done; `rule` is `relaxed`."""
    return judge(rule, replace(case, history={})).granted


def _relaxed(part: Condition, wanted: bool) -> Condition | None:
    """A condition that holds (or, when not wanted, fails) wherever the part may, whatever the past; None: anywhere."""
    if isinstance(part, FirstTime | HasDone | HasNotDone):
        return None
    if isinstance(part, Not):
        inner = _relaxed(part.of, not wanted)
        return None if inner is None else Not(inner)
    if not isinstance(part, AllOf | AnyOf):
        return part
    parts = [_relaxed(each, wanted) for each in part.of]
    left = [each for each in parts if each is not None]
    every = isinstance(part, AllOf) == wanted  # all of them are asked for: those of the past are left out
    if not left or (not every and len(left) < len(parts)):
        return None
    return left[0] if len(left) == 1 else cast(Condition, type(part)(tuple(left)))
