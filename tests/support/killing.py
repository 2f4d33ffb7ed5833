"""`chengxin worker` in processes of its own that are killed with -9 in the middle of a job, and started again.

They are forked from a server that has imported the worker once, so that a start costs next to nothing; pages are as
small as the test wants them, so that a few residents make many.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from server.kit.db import fetch
from tests.support.ledger import Ledger
from tests.support.patience import until

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["server.worker"])

#: A page takes long enough to be seen, and to be killed in.
_SLOWLY = """
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END$$;
CREATE TRIGGER slowly AFTER UPDATE OF state ON job FOR EACH ROW EXECUTE FUNCTION slowly();
GRANT EXECUTE ON FUNCTION slowly() TO chengxin_app, chengxin_worker;
"""
# What a dead process has claimed is given back when its time is over; nobody waits that long here.
_GIVEN_BACK = (
    "UPDATE job SET claimed_until = clock_timestamp() WHERE claim IS NOT NULL",
    "UPDATE event_cursor SET leased_until = clock_timestamp() WHERE lease IS NOT NULL",
    "UPDATE award SET due_at = least(due_at, vault.now()) WHERE status = 'pending'",
    "UPDATE coupon_grant SET due_at = least(due_at, vault.now()) WHERE status = 'pending'",
)


@dataclass(frozen=True)
class Workers:
    """One after the other. `pages`: sizes of pages by the full name of their constant; `folder`: for their logs."""

    environment: dict[str, str]
    folder: Path
    pages: Mapping[str, int]

    async def kill_when(self, what: str, reached: Callable[[], Awaitable[bool]]) -> None:
        """Starts one and kills it with -9 as soon as this is so."""
        process = self._start()
        try:
            await until(what, self._alive(process, reached), every_s=0.01)
        finally:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            await asyncio.to_thread(process.join)
        for statement in _GIVEN_BACK:
            await fetch(statement)

    async def finish(self, what: str, settled: Callable[[], Awaitable[bool]]) -> None:
        """Lets a last one work until this is so, and end by itself."""
        process = self._start()
        try:
            await until(what, self._alive(process, settled))
        finally:
            process.terminate()
            await asyncio.to_thread(process.join)

    def _alive(self, process: ForkServerProcess, check: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            assert process.is_alive(), (self.folder / "workers.log").read_text()
            return await check()

        return look

    def _start(self) -> ForkServerProcess:
        process = _FORKS.Process(target=_work, args=(self.environment, str(self.folder / "workers.log"), self.pages))
        process.start()
        return process


async def slowly(ledger: Ledger) -> None:
    """From now on every job takes a tenth of a second for each page."""
    await ledger.owner.execute(_SLOWLY)


def _work(environment: dict[str, str], log: str, pages: Mapping[str, int]) -> None:
    import uvloop

    from server.config import Settings
    from server.worker import serve

    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.update(environment)
    for name, size in pages.items():
        module, _, constant = name.rpartition(".")
        setattr(import_module(module), constant, size)
    uvloop.run(serve(Settings()))
