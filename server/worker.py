"""`chengxin worker`: what happens without a request (relays of house events, awards, expiry, house-keeping).

    relay     every 0.2 s   house events, in order, to the rooms that wait for them: facts become points
    values    every 1 s     the vault's journal, in order per resident, to whom value concerns: redemptions become facts
    jobs      every 1 s     what was put off, and events that stumbled, later and later until they are dead letters
    grants    every 0.2 s   coupons that are owed to somebody, under the ids they were owed with
    fold      every 5 s     balances of accounts without a limit
    redrive   every 2 s     what a crash left between house and vault is finished under the same ids (D18); approved
                            corrections of balances are posted; the days that campaigns wait for are begun
    expire    every 30 s    coupons past their last day; what redemptions left in reserve after the void window; holds
                            and locks whose life is over
    watch     every 30 s    budgets: how fast they are used, alerts at thresholds, the end of what stays empty
    breakage  every 60 s    points past their last day, a page at a time, once a day through all wallets
    notify    every 60 s    the inbox: what ends soon, a page at a time, once a day through all wallets and coupons
    forget    every 60 s    facts that nothing can look at any more, a page at a time, once a day
    send      every 10 s    notices for which a resident has left a grant, through WeChat
    seal      every 10 s    the journal's chain of hashes; after midnight the day's head
    upkeep    every 10 min  the journal's coming months; counters of tomorrow's limits; the calendar of working days;
                            rows and counts past their keeping time

Each step is safe to repeat and to run twice at once; a step that fails is logged and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import asyncpg
import structlog

from server.config import Settings, secret_bytes
from server.incentives import value_facts, working_days
from server.kit import outbox
from server.kit.db import fetch
from server.kit.ids import uuid8
from server.kit.jobs import run_due
from server.kit.relay import relay, retry
from server.services import Services, close_services, open_worker
from wallet import Refused
from wallet.errors import InFlight
from wallet.folds import Folds
from wallet.seals import JOB_ROWS
from wallet.stream import JournalStream, Posting

MONTHS_AHEAD = 3
# How far back the expiry step looks once everything older is booked: a void may give an old coupon back for a week.
LOOK_BACK = timedelta(days=8)
# So long before midnight the new day's counters are opened.
COUNTERS_AHEAD = timedelta(hours=2)
JOB_BATCH = 500
# Consumers of value gather what they are handed side by side into one transaction.
VALUES_AT_ONCE = 64
PURGE_BATCH = 10_000
LOCK_OVER = "the lock's life is over"

#: The steps, and for how many seconds each rests when it found nothing left to do; told in docs/operations.md.
PACES: Final = {
    "relay": 0.2, "values": 1.0, "jobs": 1.0, "grants": 0.2, "fold": 5.0, "redrive": 2.0, "expire": 30.0, "watch": 30.0,
    "breakage": 60.0, "notify": 60.0, "forget": 60.0, "send": 10.0, "seal": 10.0, "upkeep": 600.0,
}  # fmt: skip

log = structlog.get_logger(__name__)


class Worker:
    """The steps, each a method; `run` repeats them until told to stop."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._job_key = secret_bytes(services.settings.job_key)
        self._booked_until: datetime | None = None
        self._failed = 0
        self._folds = Folds(fetch)
        # Who listens to which stream: the consumer's name is also the kind of its jobs (server.kit.relay).
        self._house: dict[str, Callable[[outbox.Event], Awaitable[None]]] = {
            "awards": services.awards.on_fact,
            "wallets": services.residents.on_identity_bound,
            "acceptors": services.merchants.redrive,
        }
        self._values: dict[str, Callable[[Posting], Awaitable[None]]] = {
            value_facts.CONSUMER: value_facts.ValueFacts().on_posting
        }
        self._journal = JournalStream(fetch)

    async def relay(self) -> int:
        """Hands out new house events; returns how many."""
        return await _each({name: partial(outbox.relay_once, name, handle) for name, handle in self._house.items()})

    async def values(self) -> int:
        """Hands out new rows of the vault's journal; returns how many."""
        return await _each(
            {
                name: partial(relay, self._journal, name, handle, at_once=VALUES_AT_ONCE)
                for name, handle in self._values.items()
            }
        )

    async def jobs(self) -> int:
        """Does what is due; returns how much was tried."""
        stumbled = {name: retry(outbox.HOUSE, handle) for name, handle in self._house.items()}
        stumbled |= {name: retry(self._journal, handle) for name, handle in self._values.items()}
        return await run_due(stumbled | self._services.job_handlers)

    async def grants(self) -> int:
        """Gives the coupons that are owed; returns how many were tried."""
        return await self._services.grants.redrive()

    async def fold(self) -> int:
        """Adds up what postings left on accounts without a limit; returns how many rows."""
        return await self._folds.step()

    async def redrive(self) -> int:
        """Finishes what was begun and not ended; returns how much."""
        services = self._services
        return await _each(
            {
                "epochs": services.sessions.redrive_epochs,
                "awards": services.awards.redrive,
                "grant_jobs": services.grant_jobs.redrive,
                "budgets": services.budgets.redrive,
                "campaigns": services.campaigns.redrive,
                "templates": services.templates.redrive,
                "date_calls": services.date_calls.redrive,
                "fact_batches": services.fact_batches.redrive,
                "lotteries": services.lottery_draws.redrive,
                "adjustments": services.adjustments.redrive,
            }
        )

    async def watch(self) -> int:
        """Looks at every running budget: alerts, and the end of what is empty; returns how many."""
        await self._services.budget_watch.step()
        return 0

    async def expire(self) -> int:
        """Books expired coupons and releases what redemptions left in reserve; returns how many. The first pass of a
        process looks at everything, later ones only at the days that can still have changed."""
        vault, clock = self._services.vault, self._services.clock
        started, self._failed = clock.now(), 0
        since = None if self._booked_until is None else self._booked_until - LOOK_BACK
        coupons = await vault.read.due_coupons(since and since.astimezone(clock.zone).date(), JOB_BATCH)
        releases = await vault.read.due_releases(since, JOB_BATCH)
        holds = await vault.read.due_holds(JOB_BATCH)
        locks = await vault.read.due_locks(since, JOB_BATCH)
        done = 0
        for resident_id, coupon_id, last_day in coupons:
            at = clock.midnight_after(last_day)
            posting = uuid8(at, "expire_coupon", f"{coupon_id}:{last_day}", self._job_key)
            done += await self._settle(vault.expire_coupon(resident_id, posting, coupon_id=coupon_id))
        for resident_id, coupon_id, void_until, redemption_id in releases:
            posting = uuid8(void_until, "release_subsidy", str(redemption_id), self._job_key)
            done += await self._settle(vault.release_subsidy(resident_id, posting, coupon_id=coupon_id))
        for resident_id, hold_id, until in holds:
            posting = uuid8(until, "release_hold", str(hold_id), self._job_key)
            done += await self._settle(vault.release(resident_id, posting, hold_id=hold_id))
        for resident_id, coupon_id, lock_id, until in locks:
            posting = uuid8(until, "unlock_coupon", str(lock_id), self._job_key)
            done += await self._settle(
                vault.unlock_coupon(resident_id, posting, coupon_id=coupon_id, lock_id=lock_id, reason=LOCK_OVER)
            )
        if max(len(coupons), len(releases), len(locks)) < JOB_BATCH and not self._failed:
            self._booked_until = started
        return done

    async def breakage(self) -> int:
        """A page of today's walk over all wallets; returns whether there is more to do."""
        return await self._services.expiry.step()

    async def notify(self) -> int:
        """A page of today's walks that fill the inbox; returns whether there is more to do."""
        return await self._services.notices.writer.step()

    async def forget(self) -> int:
        """A page of today's walk through old facts; returns whether there is more to do."""
        return await self._services.fact_forgetting.step()

    async def send(self) -> int:
        """A batch of notices through WeChat; returns how many went out."""
        return await self._services.notices.sender.step()

    async def seal(self) -> int:
        """Seals what is committed and writes the heads of days that are over; returns how much is to be done again at
        once: a full seal, or a day."""
        seals = self._services.vault.seals
        full = await seals.seal(JOB_ROWS) == JOB_ROWS
        return int(full or await seals.next_head() is not None)

    async def upkeep(self) -> int:
        """Months and counters ahead, and what has been kept long enough; returns how many of them and how many rows."""
        vault = self._services.vault
        made = await vault.ensure_partitions(MONTHS_AHEAD)
        for limit in await vault.read.due_counters(COUNTERS_AHEAD, JOB_BATCH):
            await vault.open_counter(limit)
            made += 1
        await working_days.tell(vault, self._services.clock.today())
        await self._services.administrators.lockout.purge()
        await self._services.sessions.purge()
        made += await outbox.purge()
        await self._services.notices.writer.purge(PURGE_BATCH)
        made += await self._services.segment_snapshots.purge(PURGE_BATCH)
        made += await self._services.recipient_lists.purge(PURGE_BATCH)
        made += await self._services.fact_batches.purge(PURGE_BATCH)
        made += await self._services.dry_runs.purge(PURGE_BATCH)
        return made + await vault.purge(PURGE_BATCH)

    async def run(self, stop: asyncio.Event) -> None:
        """Repeats every step at its pace until `stop`."""
        paces = ((getattr(self, step), pause_s) for step, pause_s in PACES.items())
        await asyncio.gather(*(self._repeat(step, pause_s, stop) for step, pause_s in paces))

    async def _repeat(self, step: Callable[[], Awaitable[int]], pause_s: float, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                if await step():
                    continue
            except Exception:  # the worker outlives whatever one step met; the step is repeated
                log.exception("step_failed", step=step.__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)

    async def _settle(self, posting: Awaitable[object]) -> int:
        try:
            await posting
        except Refused as refusal:  # somebody redeemed or booked it meanwhile
            log.info("job_refused", code=refusal.code)
            return 0
        except (asyncpg.PostgresError, InFlight) as problem:  # this one alone; the others are not held up by it
            log.error("job_failed", error=type(problem).__name__)
            self._failed += 1
            return 0
        return 1


async def _each(parts: Mapping[str, Callable[[], Awaitable[int]]]) -> int:
    """Runs every part of a step; one that fails is logged and tried again next time, and holds up no other."""
    done = 0
    for name, part in parts.items():
        try:
            done += await part()
        except Exception:
            log.exception("part_failed", part=name)
    return done


async def serve(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT; the step under way is finished."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    services = await open_worker(settings)
    try:
        log.info("worker_started")
        await Worker(services).run(stop)
    finally:
        await close_services(services)
    log.info("worker_stopped")
