"""How many facts one process judges: rules of every kind in turn, each for somebody who gets something and somebody who
does not."""

from __future__ import annotations

import time
from datetime import date

from server.incentives.rules import Case, Rule, Tally, judge, needs, read
from tests.bench.ground import Round
from tests.bench.rivals import RoundInvalid
from tests.support.rules import NOON, RULES, Somebody, case_of

#: Carries what any of the rules looks at.
ATTRIBUTES = {"minutes": 90, "books": 2, "fee_fen": 800, "file_id": "12", "occasion": "flood-helpers", "band": "AA"}
LUCKY, OTHER = Somebody("AAA", "华士镇", date(2026, 4, 1)), Somebody(None, None, date(2020, 1, 1))
#: So often all cases are judged between two looks at the clock.
TURNS = 20


def cases() -> list[tuple[Rule, Case]]:
    """Every rule twice; the second case is a fact of another kind, so that all of its parts are looked at in vain."""
    found = []
    for document in RULES.values():
        rule = read(document)
        history = {need: Tally(6, 3_000) for need in needs(rule).history}
        found.append((rule, case_of(rule, at=NOON, person=LUCKY, attributes=ATTRIBUTES, history=history)))
        found.append((rule, case_of(rule, at=NOON, person=OTHER, history=history, fact="points_expired")))
    return found


async def judgements(seconds: float) -> Round:
    """Decisions of one process in one thread; a round whose decisions differ from the first ones is invalid."""
    several = cases() * TURNS
    expected = sum(judge(rule, case).granted for rule, case in several)
    if not 0 < expected < len(several):
        raise RoundInvalid("the rules that are judged all decide the same")
    judged = 0
    began = time.perf_counter()
    while (took_s := time.perf_counter() - began) < seconds:
        granted = sum(judge(rule, case).granted for rule, case in several)
        if granted != expected:
            raise RoundInvalid(f"{granted} of {len(several)} cases were granted, not {expected}")
        judged += len(several)
    return {"per_second": judged / took_s}
