"""Breakage: points past their last day are booked, for every wallet of the city, once.

    daily pass ──► a page of wallets by primary key ──► those whose first lot is past its day ──► op 7 in the vault

What is past its day has been unspendable since midnight whether this ran or not; booking it makes the statement and the
balance say so. Memory holds one page. The posting's id comes from the wallet and the lot's day (D23), so a page that is
done twice, after a kill -9 or by two workers at once, names the same rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from server.kit import passes
from server.kit.clock import Clock
from server.kit.ids import uuid8
from server.kit.pace import UNBOUND, Pace, Stopwatch
from server.kit.passes import Page, PassState
from wallet import Refused, Vault, statuses
from wallet.due import LotPage, OwnedLot
from wallet.errors import InFlight, QueueFull

JOB: Final = "expire_points"
PAGE: Final = 1_000
# Live postings of this process share its lanes: they wait for no more than these.
IN_FLIGHT: Final = 64
ATTEMPTS: Final = 3
RETRY_AFTER_S: Final = 0.2
BUCKETS: Final = 1024
LOG_EVERY_PAGES: Final = 100
IDLE_S: Final = 0.5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """A pass as it stands. `points`: what was booked as breakage, counted by the pages that were noted."""

    day: date
    wallets: int
    booked: int
    failed: int
    points: int
    share: float
    started_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, state: PassState) -> Report:
        """Wallets go by bucket, and residents are spread evenly over buckets, so the bucket says how far it is."""
        bucket = int(state.position[0]) if state.position else 0
        share = 1.0 if state.finished else bucket / BUCKETS
        return cls(
            state.day, state.seen, state.done, state.failed, state.amount, share, state.started_at, state.finished_at
        )


class PointsExpiry:
    """The job. `step` does one page and may be called by several processes: the pass is leased to one of them."""

    def __init__(
        self,
        *,
        vault: Vault,
        clock: Clock,
        job_key: bytes,
        pace: Pace = UNBOUND,
        page: int = PAGE,
        in_flight: int = IN_FLIGHT,
    ) -> None:
        self._vault, self._clock, self._job_key, self._pace = vault, clock, job_key, pace
        self._page, self._in_flight = page, in_flight
        self._walk = passes.Walk(JOB, clock)
        self._pages = 0

    async def step(self) -> bool:
        """One page of today's pass; returns whether there is more for this process to do now. Raises when the vault
        cannot be reached: the page is done again then."""
        state = await self._walk.page(self._page_of)
        if state is None:
            return False
        self._tell(state)
        return not state.finished

    async def report(self) -> Report | None:
        """The newest pass as it stands, None when there never was one."""
        state = await passes.look(JOB)
        return None if state is None else Report.of(state)

    async def again(self) -> None:
        """Makes a finished pass look at every wallet once more."""
        await passes.again(JOB)

    async def run(self, on_progress: Callable[[Report], None] = lambda report: None) -> Report:
        """Steps until today's pass is finished, by this process or by another one."""
        while True:
            more = await self.step()
            report = await self.report()
            assert report is not None, "a step begins the pass"
            on_progress(report)
            if report.finished_at is not None:
                return report
            if not more:
                await asyncio.sleep(IDLE_S)

    async def _page_of(self, state: PassState) -> Page:
        watch = Stopwatch()
        found = await self._vault.read.lots_ending(
            _position(state), first=date.min, last=state.day - timedelta(days=1), limit=self._page
        )
        await self._pace.rest(0, watch.s)
        return await self._book(found)

    async def _book(self, found: LotPage) -> Page:
        first: dict[int, OwnedLot] = {}
        for lot in found.lots:
            first.setdefault(lot.owner, lot)
        due = list(first.values())
        booked = failed = points = 0
        for begin in range(0, len(due), self._in_flight):
            watch = Stopwatch()
            some = due[begin : begin + self._in_flight]
            results = await asyncio.gather(*(self._expire(lot) for lot in some), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
                booked += result is not None and result > 0
                failed += result is None
                points += result or 0
            await self._pace.rest(len(some), watch.s)
        return Page(found.last, seen=found.seen, done=booked, failed=failed, amount=points)

    async def _expire(self, lot: OwnedLot) -> int | None:
        """Books one wallet; returns the points, 0 when somebody booked it meanwhile, None when it cannot be booked now.
        A wallet that cannot is left to the next day's pass: its points are unspendable all the same."""
        posting = posting_id(self._clock, self._job_key, lot)
        problem = ""
        for attempt in range(ATTEMPTS):
            try:
                done = await self._vault.expire_points(lot.owner, posting)
                return 0 if done.replayed else done.result.points
            except Refused as refusal:
                if refusal.code == statuses.NOT_DUE.code:
                    return 0
                problem = refusal.code
                break
            except (InFlight, QueueFull) as busy:
                problem = busy.code
                await asyncio.sleep(RETRY_AFTER_S * (attempt + 1))
            except asyncpg.PostgresError as broken:
                problem = type(broken).__name__
                break
        log.error("points_not_expired", resident_id=lot.owner, day=str(lot.expires_on), problem=problem)
        return None

    def _tell(self, state: PassState) -> None:
        self._pages += 1
        if state.finished or self._pages % LOG_EVERY_PAGES == 0:
            report = Report.of(state)
            log.info(
                "points_expiry", day=str(report.day), wallets=report.wallets, booked=report.booked,
                failed=report.failed, points=report.points, percent=round(report.share * 100, 1),
                finished=state.finished,
            )  # fmt: skip


async def expire_points(
    vault: Vault,
    clock: Clock,
    job_key: bytes,
    *,
    pace: Pace = UNBOUND,
    page: int = PAGE,
    in_flight: int = IN_FLIGHT,
    on_progress: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Runs today's pass to its end and reports. Needs the house open as the worker's role."""
    job = PointsExpiry(vault=vault, clock=clock, job_key=job_key, pace=pace, page=page, in_flight=in_flight)
    return await job.run(on_progress)


def posting_id(clock: Clock, job_key: bytes, lot: OwnedLot) -> UUID:
    """The one name of the breakage of a wallet whose soonest lot ended on this day: stamped with the midnight after."""
    at = clock.midnight_after(lot.expires_on)
    return uuid8(at, "expire_points", f"{lot.owner}:{lot.expires_on}", job_key)


def _position(state: PassState) -> tuple[int, int] | None:
    return None if state.position is None else (int(state.position[0]), int(state.position[1]))
