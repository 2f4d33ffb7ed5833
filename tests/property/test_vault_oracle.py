"""Random lives of small towns against an oracle that knows the rules and nothing of the SQL.

Every answer must be one the oracle explains; balances, lots, holds, refunds, coupons, allowances, budgets and the
journal itself must be the oracle's in the end, and the books must balance. The clock stands still between steps, so
that edges are met exactly: midnight, a month's end, the last instant of a hold.

Hypothesis looks for a short way to a contradiction, dice go far. `CHENGXIN_ORACLE_EXAMPLES=2000` makes both long,
`CHENGXIN_ORACLE_SEED` other; a failure prints the steps that lead to it.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.support.chapters import CHAPTERS, live
from tests.support.databases import Database
from tests.support.deeds import DEEDS, LATEST, MONTHS_AHEAD, STARTS, Deed
from tests.support.ledger import COUNTER, Ledger, open_ledger
from tests.support.oracle_state import OPS
from tests.support.town_life import TEMPLATES, TownLife

EXAMPLES = int(os.environ.get("CHENGXIN_ORACLE_EXAMPLES", "12"))
SEED = int(os.environ.get("CHENGXIN_ORACLE_SEED", "20261123"))
STEPS = 60
TOWNS, DAYS = EXAMPLES * 2 // 3, 300
HAD = ["coupons", "redemptions", "spent"]


class Bridge:
    """One event loop, one database and its ledger for all examples; each example is a town of its own in it."""

    def __init__(self, database: Database) -> None:
        self.loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self.seen: Counter[str] = Counter()
        self.ledger: Ledger = self.run(self._open(database))

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    async def _open(self, database: Database) -> Ledger:
        ledger = await self._stack.enter_async_context(open_ledger(database))
        await ledger.stop_clock(MONTHS_AHEAD)
        await ledger.worker.ensure_partitions(1)
        return ledger

    def close(self) -> None:
        self.run(self._stack.aclose())
        self.loop.close()


async def begin(life: TownLife, start: datetime, points: int, had: set[str]) -> None:
    """A town that may have a past: coupons, redemptions, something spent and something held."""
    await life.begin(start, points)
    for which in TEMPLATES if "coupons" in had else ():
        await life.claim(0, which)
    if "redemptions" in had and life.oracle.coupons:
        for pick in range(3):
            await life.counter(pick, COUNTER, 7777)
    for some in (15, 10) if "spent" in had else ():
        await life.app(0, "spend", points=some, payee=501)
        await life.app(0, "hold", points=some, payee=502, life_s=86_400)


class Town(RuleBasedStateMachine):
    """Three residents, some budgets, one clock."""

    bridge: ClassVar[Bridge]
    failed = False

    def do(self, work: Any) -> Any:
        try:
            return self.bridge.run(work)
        except BaseException:
            self.failed = True
            raise

    @initialize(start=st.sampled_from(STARTS), points=st.sampled_from([40, 1000, 0]), had=st.sets(st.sampled_from(HAD)))
    def begin(self, start: datetime, points: int, had: set[str]) -> None:
        self.life = TownLife(self.bridge.ledger)
        self.do(begin(self.life, start, points, had))

    def teardown(self) -> None:
        if hasattr(self, "life"):
            self.do(self.life.reopen())
            if not self.failed:
                self.do(self.life.trial.compare())
            self.bridge.seen.update(self.life.trial.seen)


def as_rule(one: Deed) -> Any:
    def act(self: Town, **drawn: Any) -> None:
        self.do(one.act(self.life, **drawn))

    act.__name__ = one.name
    drawn = {name: st.sampled_from(values) for name, values in one.choices.items()}
    return precondition(lambda self: one.needs(self.life))(rule(**drawn)(act))


for _deed in DEEDS:
    setattr(Town, _deed.name, as_rule(_deed))


@pytest.fixture(scope="module")
def bridge(database: Database) -> Iterator[Bridge]:
    made = Bridge(database)
    yield made
    made.close()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_life_told_step_by_step(bridge: Bridge, chapter: str) -> None:
    bridge.run(live(bridge.ledger, chapter))


def test_the_shortest_way_to_a_contradiction_is_none(bridge: Bridge) -> None:
    chosen = settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, database=None, print_blob=True,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False,
    )  # fmt: skip
    machine = seed(SEED)(type("SeededTown", (Town,), {"bridge": bridge}))
    run_state_machine_as_test(machine, settings=chosen)
    assert bridge.run(bridge.ledger.broken()) == []


@pytest.mark.parametrize("town", range(TOWNS))
def test_long_lives_end_as_the_oracle_says(bridge: Bridge, town: int) -> None:
    dice, life, told = random.Random(f"{SEED}/{town}"), TownLife(bridge.ledger), []
    had = {which for which in HAD if dice.random() < 0.5}
    bridge.run(begin(life, STARTS[town % len(STARTS)], dice.choice((40, 1000)), had))
    try:
        for _ in range(DAYS):
            able = [one for one in DEEDS if one.needs(life)]
            one = dice.choices(able, [each.weight for each in able])[0]
            drawn = {name: dice.choice(values) for name, values in one.choices.items()}
            told.append(f"{one.name}({drawn})")
            bridge.run(one.act(life, **drawn))
        bridge.run(life.outlive(LATEST))
        bridge.run(life.trial.compare())
    except BaseException as wrong:
        wrong.add_note(f"seed {SEED}, town {town}, step {len(told)}; the last steps: " + "; ".join(told[-6:]))
        raise
    finally:
        bridge.run(life.reopen())
    bridge.seen.update(life.trial.seen)


def test_everything_was_asked_and_the_books_balance(bridge: Bridge) -> None:
    """Otherwise the dice were loaded: every operation was done, and refused for many reasons."""
    assert bridge.run(bridge.ledger.broken()) == []
    print(f"{bridge.seen.total()} answers of {len(bridge.seen)} kinds: {dict(sorted(bridge.seen.items()))}")
    assert {op for op in OPS if not bridge.seen[f"{op} done"]} == set()
    assert len(bridge.seen) >= 90, dict(bridge.seen)
