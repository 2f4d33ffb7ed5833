"""One mutant in a process of its own: forked from a parent that has the libraries loaded, so that a trial is short."""

from __future__ import annotations

import asyncio
import importlib.abc
import importlib.machinery
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tests.mutation.mutants import Mutant
from tests.mutation.plan import Stage
from tests.support.databases import Database

ROOT = Path(__file__).resolve().parents[2]
SURVIVED, NOTICED, BROKE_THE_COLLECTION = 0, 1, 2


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives `wallet.<module>` with its one thing wrong to whoever imports it."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = f"wallet.{mutant.module}"
        self._file = ROOT / "wallet" / f"{mutant.module}.py"
        self._tree = mutant.tree(self._file.read_text())

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=str(self._file))

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(self._file)
        exec(compile(self._tree, str(self._file), "exec"), module.__dict__)


@dataclass
class Running:
    """A trial under way in one place; a place has a database, which no other trial uses meanwhile."""

    module: str
    mutant: Mutant | None
    stage: int
    place: Database
    pid: int
    began: float
    log: Path

    def over(self, limit_s: float) -> int | None:
        """How it ended, None while it runs; a trial past its limit is killed and counts as noticed."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - self.began > limit_s:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            return NOTICED
        return None


def start(module: str, mutant: Mutant | None, number: int, stage: Stage, place: Database, log: Path) -> Running:
    """Forks a trial of one stage; without a mutant it is the measure of the others."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = _child(mutant, stage, place, log)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return Running(module, mutant, number, place, pid, time.monotonic(), log)


def _child(mutant: Mutant | None, stage: Stage, place: Database, log: Path) -> int:
    with log.open("w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    assert not any(name.split(".")[0] == "wallet" for name in sys.modules), "the parent has loaded the original"
    if mutant is not None:
        sys.meta_path.insert(0, Finder(mutant))
    if stage.kind == "chapters":
        try:
            asyncio.run(asyncio.wait_for(_chapters(place, os.getpid()), 120))
        except Exception:
            traceback.print_exc()
            return NOTICED
        return SURVIVED
    import pytest

    quick = ["--noconftest", "-p", "pytest_asyncio.plugin"] if stage.kind == "unit" else []
    if quick:
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return int(pytest.main([*stage.tests, *quick, "-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=line"]))


async def _chapters(place: Database, number: int) -> None:
    from tests.support.chapters import CHAPTERS, live
    from tests.support.deeds import MONTHS_AHEAD
    from tests.support.ledger import open_ledger

    async with open_ledger(place) as ledger:
        ledger.number_from(10_000 * number)
        await ledger.stop_clock(MONTHS_AHEAD)
        await ledger.worker.ensure_partitions(1)
        for chapter in CHAPTERS:
            await live(ledger, chapter)
