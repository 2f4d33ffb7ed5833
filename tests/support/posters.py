"""Processes that post (`tests.support.posting`) and may be killed, stopped and started; their askers never give up."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.databases import ROOT
from tests.support.patience import PATIENCE_S

PAUSE_S = 0.02
Said = dict[str, Any]


class Lost(Exception):
    """No answer came: the process died, or took too long. What happened to the request is not known."""


class Poster:
    """One process. It is started anew by `start` after it was killed."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._process: asyncio.subprocess.Process | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Said]] = {}
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.posting", cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            limit=1 << 20,
        )  # fmt: skip
        self._process, self._waiting = process, {}
        self._hearing = asyncio.create_task(self._hear(process, self._waiting))
        self._write(self._plan)

    async def ask(self, request: dict[str, Any], *, timeout_s: float) -> Said:
        """What the vault said. Raises `Lost`; an answer that comes later is heard by nobody."""
        number = next(self._numbers)
        future: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        waiting = self._waiting
        waiting[number] = future
        try:
            self._write({"n": number, **request})
            async with asyncio.timeout(timeout_s):
                return await future
        except (OSError, TimeoutError):
            raise Lost from None
        finally:
            waiting.pop(number, None)

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> int:
        """Kills it with -9; returns how many requests were under way."""
        under_way = len(self._waiting)
        self.send_signal(signal.SIGKILL)
        await self._end()
        return under_way

    async def close(self) -> None:
        """Lets it end by itself; kills it when it does not."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), PATIENCE_S)
        except TimeoutError:
            self._process.kill()
        await self._end()

    async def _end(self) -> None:
        assert self._process is not None and self._hearing is not None
        await self._process.wait()
        await self._hearing

    def _write(self, what: dict[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        if self._process.returncode is not None or self._process.stdin.is_closing():
            raise Lost
        self._process.stdin.write(json.dumps(what, default=str).encode() + b"\n")

    async def _hear(self, process: asyncio.subprocess.Process, waiting: dict[int, asyncio.Future[Said]]) -> None:
        assert process.stdout is not None
        while (line := await process.stdout.readline()).endswith(b"\n"):
            told = json.loads(line)
            future = waiting.get(told["n"])
            if future is not None and not future.done():
                future.set_result(told["said"])
        for future in waiting.values():
            if not future.done():
                future.set_exception(Lost())


class Posters:
    """Several of them. `heard` counts answers that told to send the same again, and answers that never came."""

    def __init__(self, plans: list[dict[str, Any]], *, attempt_s: float) -> None:
        self.all = [Poster(plan) for plan in plans]
        self.heard: Counter[str] = Counter()
        self._attempt_s = attempt_s

    async def ask(self, first: int, request: dict[str, Any]) -> Said:
        """The final answer to one request, sent under its one id until it comes: to the process `first`, then to the
        others in turn."""
        deadline = asyncio.get_running_loop().time() + 3 * PATIENCE_S
        for turn in itertools.count(first):
            try:
                said = await self.all[turn % len(self.all)].ask(request, timeout_s=self._attempt_s)
            except Lost:
                said = {"again": "lost"}
            if "again" not in said:
                return said
            self.heard[said["again"]] += 1
            assert asyncio.get_running_loop().time() < deadline, f"no answer to {request}; heard {dict(self.heard)}"
            await asyncio.sleep(PAUSE_S)
        raise AssertionError("turns do not end")

    @classmethod
    @asynccontextmanager
    async def started(
        cls, app_dsn: str, worker_dsn: str, count: int = 2, *, attempt_s: float = PATIENCE_S, queue: int = 2048
    ) -> AsyncIterator[Posters]:
        """`count` processes, ended at the end. An answer is waited for at most `attempt_s`."""
        plans = [{"app": app_dsn, "worker": worker_dsn, "lane": number, "queue": queue} for number in range(count)]
        posters = cls(plans, attempt_s=attempt_s)
        await asyncio.gather(*(one.start() for one in posters.all))
        try:
            yield posters
        finally:
            await asyncio.gather(*(one.close() for one in posters.all))
