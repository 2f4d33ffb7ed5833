"""`make mutate`: the score of the value code's Python part, and who survived.

    python -m tests.mutation [--all] [--module points] [--jobs 2] [--least 80]

Exit status 1 when the score is below `--least` per cent.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import deque
from itertools import count
from pathlib import Path

import asyncpg  # noqa: F401 (loaded once, before the trials are forked)
import msgspec  # noqa: F401
import pytest  # noqa: F401

from server.sandbox.engines import Engines
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.plan import EQUIVALENT, OF_VALUE, STAGES
from tests.mutation.trial import BROKE_THE_COLLECTION, NOTICED, ROOT, SURVIVED, Running, start
from tests.support import databases
from tests.support.databases import Database

PAUSE_S = 0.02


class Judge:
    """Tries mutants, as many at a time as there are places, stage after stage until one is noticed."""

    def __init__(self, places: list[Database], folder: Path) -> None:
        self._free, self._folder = list(places), folder
        self._running: list[Running] = []
        self._limits: dict[tuple[str, int], float] = {}
        self._waiting: deque[tuple[Mutant, int]] = deque()
        self._logs = count()
        self.survivors: list[Mutant] = []

    def measure(self, module: str) -> None:
        """How long each stage takes when nothing is wrong; all must be green."""
        for number in range(len(STAGES[module])):
            self._start(module, None, number)
            trial, began = self._running[-1], time.monotonic()
            while (status := trial.over(900)) is None:
                time.sleep(PAUSE_S)
            self._end(trial)
            if status != SURVIVED:
                sys.exit(f"the tests of wallet/{module}.py are not green:\n{trial.log.read_text()[-3000:]}")
            self._limits[module, number] = 30 + 5 * (time.monotonic() - began)

    def judge(self, mutants: list[Mutant]) -> None:
        self._waiting.extend((one, 0) for one in mutants)
        noticed = 0
        while self._waiting or self._running:
            while self._waiting and self._free:
                one, number = self._waiting.popleft()
                self._start(one.module, one, number)
            for trial in list(self._running):
                status = trial.over(self._limits[trial.module, trial.stage])
                if status is None:
                    continue
                self._end(trial)
                if not self._outlived(trial, status):
                    noticed += 1
                    if noticed % 100 == 0:
                        print(f"{noticed} noticed, {len(self.survivors)} survived", flush=True)
            time.sleep(PAUSE_S)

    def _start(self, module: str, mutant: Mutant | None, number: int) -> None:
        log = self._folder / f"{module}-{next(self._logs)}.log"
        stage = STAGES[module][number]
        self._running.append(start(module, mutant, number, stage, self._free.pop(), log))

    def _end(self, trial: Running) -> None:
        self._running.remove(trial)
        self._free.append(trial.place)

    def _outlived(self, trial: Running, status: int) -> bool:
        """Whether the mutant lived through this stage; it is sent to the next, or has survived."""
        one = trial.mutant
        if one is None or status in (NOTICED, BROKE_THE_COLLECTION):
            return False
        if status != SURVIVED:
            sys.exit(f"{one.name}: the trial ended with {status}:\n{trial.log.read_text()[-3000:]}")
        if trial.stage + 1 < len(STAGES[one.module]):
            self._waiting.append((one, trial.stage + 1))
        else:
            self.survivors.append(one)
            print(f"survived  wallet/{one.module}.py:{one.line}  {one.name}", flush=True)
        return True


async def places(engines: Engines, number: int) -> list[Database]:
    source = await databases.template(engines.urls, engines.folder)
    return [await databases.clone(engines.urls, source) for _ in range(number)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument(
        "--all", action="store_true", help="every module of wallet, not only those through which value moves"
    )
    parser.add_argument("--module", action="append", help="these modules only")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--least", type=float, default=80.0, help="the score below which the gate is closed")
    args = parser.parse_args()
    modules = args.module or (sorted(STAGES) if args.all else list(OF_VALUE))
    made = {name: mutants(name, (ROOT / "wallet" / f"{name}.py").read_text()) for name in modules}
    unknown = set(EQUIVALENT) - {one.name for some in made.values() for one in some}
    if stale := {name for name in unknown if name.split(":")[0] in modules}:
        sys.exit(f"no such mutants any more: {sorted(stale)}")
    began = time.monotonic()
    engines = databases.start_engines()
    made_places = asyncio.run(places(engines, args.jobs))
    try:
        with tempfile.TemporaryDirectory() as kept:
            judge = Judge(made_places, Path(kept))
            for name in modules:
                judge.measure(name)
            judge.judge([one for some in made.values() for one in some if one.name not in EQUIVALENT])
    finally:
        for one in made_places:
            asyncio.run(databases.drop(engines.urls, one.name))
        engines.stop()
    return tell(made, judge.survivors, time.monotonic() - began, args.least)


def tell(made: dict[str, list[Mutant]], survivors: list[Mutant], seconds: float, least: float) -> int:
    for name, some in made.items():
        real = [one for one in some if one.name not in EQUIVALENT]
        killed = len(real) - sum(one.module == name for one in survivors)
        print(f"wallet/{name}.py  {killed} of {len(real)} noticed, {len(some) - len(real)} equivalent")
    total = sum(one.name not in EQUIVALENT for some in made.values() for one in some)
    score = 100 * (total - len(survivors)) / max(total, 1)
    print(f"mutation score {score:.1f} % ({total - len(survivors)} of {total}) in {seconds / 60:.0f} min")
    return 0 if score >= least else 1


if __name__ == "__main__":
    sys.exit(main())
