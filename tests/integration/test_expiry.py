"""Breakage, lapsed holds and lapsed locks on a real database: each once, whoever is killed in between."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from server.expiry.points import PointsExpiry, expire_points
from server.kit.passes import LEASE_S
from server.sandbox.engines import Engines
from server.services import Services
from server.worker import Worker
from tests.support.databases import Database
from tests.support.jobs import job_environment, open_jobs
from tests.support.ledger import JOB_KEY, Ledger, open_ledger
from tests.support.patience import until

ROOT = Path(__file__).resolve().parents[2]
YEAR_END = datetime(2027, 12, 31, 15, 59, 59, tzinfo=UTC)  # 23:59:59 in the city


async def people(ledger: Ledger, count: int, *, points: int = 10, months: int = 1) -> list[int]:
    """Residents with points that end with the month `months` ahead."""
    terms = await ledger.campaign(points=points, months=months)
    made = [await ledger.resident() for _ in range(count)]
    await asyncio.gather(*(ledger.earn(one, terms) for one in made))
    return made


async def breakage(ledger: Ledger) -> tuple[int, int]:
    """How many rows of breakage there are, and their points."""
    row = await ledger.owner.fetchrow(
        "SELECT count(*), coalesce(sum(d_peer), 0)::bigint AS points FROM vault.journal WHERE op = 7 AND st = 0"
    )
    return row["count"], row["points"]


def job(services: Services, *, page: int = 1000, in_flight: int = 64) -> PointsExpiry:
    """The job as another process would have it."""
    return PointsExpiry(vault=services.vault, clock=services.clock, job_key=JOB_KEY, page=page, in_flight=in_flight)


async def moved(ledger: Ledger, services: Services) -> None:
    """The services follow the vault's clock at once instead of within seconds."""
    services.clock.follow(await services.vault.now())
    assert abs((services.clock.now() - ledger.now()).total_seconds()) < 60


async def after_month(ledger: Ledger, services: Services, months: int = 2) -> None:
    """Past the last day of what lives for a month."""
    await ledger.move_clock(days=31 * months)
    await services.vault.ensure_partitions(3)
    await moved(ledger, services)


async def test_points_past_their_day_are_booked_once_and_the_sums_are_equal(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        gone = await people(ledger, 25)
        stay = await people(ledger, 5, months=6)
        await after_month(ledger, services)
        report = await expire_points(services.vault, services.clock, JOB_KEY, page=10)
        assert (report.wallets, report.booked, report.points, report.failed) == (30, 25, 250, 0)
        assert report.share == 1.0
        for _ in range(2):
            await services.expiry.again()
            assert (await services.expiry.run()).booked == 0
        assert await breakage(ledger) == (25, 250)
        assert [await ledger.balance(one) for one in gone] == [0] * 25
        assert [await ledger.balance(one) for one in stay] == [10] * 5
        assert await ledger.broken() == []


async def test_a_pass_that_is_finished_is_not_begun_again_before_the_next_day(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        await people(ledger, 3)
        worker = Worker(services)
        assert not await worker.breakage()
        first = await services.expiry.report()
        assert first is not None
        assert first.finished_at is not None
        assert not await worker.breakage()
        assert await services.expiry.report() == first
        await after_month(ledger, services)
        assert not await worker.breakage()
        assert await breakage(ledger) == (3, 30)


async def test_a_clock_that_was_put_back_does_not_stop_the_passes(engines: Engines, fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        await after_month(ledger, services)
        ahead = (await services.expiry.run()).day
        await ledger.move_clock(days=-1)
        await moved(ledger, services)
        assert not await services.expiry.step(), "a process that is still in yesterday takes nothing away"
        report = await services.expiry.report()
        assert report is not None
        assert report.day == ahead
        await ledger.restore_clock()
        await moved(ledger, services)
        assert (await services.expiry.run()).day == services.clock.today() < ahead


async def test_a_page_holds_as_many_wallets_as_was_set_and_no_more(engines: Engines, fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        await people(ledger, 25)
        await after_month(ledger, services)
        expiry = job(services, page=10, in_flight=4)
        seen, deepest = [], 0

        async def watch() -> None:
            nonlocal deepest
            while True:
                deepest = max(deepest, services.vault.lanes.depth)
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        more = True
        while more:
            more = await expiry.step()
            report = await expiry.report()
            assert report is not None
            seen.append((report.wallets, report.booked))
        watching.cancel()
        assert seen == [(10, 10), (20, 20), (25, 25)]
        assert deepest <= 4
        page = await services.vault.read.lots_ending(None, first=date.min, last=date.max, limit=7)
        assert page.seen == 7
        assert page.last is not None


async def test_another_process_goes_on_where_a_dead_one_stopped(engines: Engines, fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        await people(ledger, 25)
        await after_month(ledger, services)
        first, second = job(services, page=10), job(services, page=10)
        assert await first.step()
        assert not await second.step(), "the pass is the first one's"
        assert await breakage(ledger) == (10, 100)
        await ledger.move_clock(seconds=LEASE_S + 1)
        await moved(ledger, services)
        report = await second.run()
        assert (report.wallets, report.booked, report.points) == (25, 25, 250)
        assert not await first.step(), "it is over"
        assert await breakage(ledger) == (25, 250)
        assert await ledger.broken() == []


async def test_a_process_that_lost_its_pass_notes_nothing(engines: Engines, fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        await people(ledger, 25)
        await after_month(ledger, services)
        first, second = job(services, page=10), job(services, page=10)
        assert await first.step()
        await ledger.move_clock(seconds=LEASE_S + 1)
        await moved(ledger, services)
        assert await second.step()
        assert not await first.step()
        report = await second.report()
        assert report is not None
        assert report.wallets == 20


async def test_a_job_that_is_killed_and_started_again_books_every_wallet_once(
    engines: Engines, fresh_database: Database, tmp_path: Path
) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        await people(ledger, 400)
        await after_month(ledger, services)
        slow = job_environment(engines, fresh_database, expiry_per_second="100")
        with (tmp_path / "killed.log").open("wb") as log:
            killed = command(slow, log)
            try:

                async def some_are_booked() -> bool:
                    assert killed.poll() is None, (tmp_path / "killed.log").read_text()
                    return (await breakage(ledger))[0] > 0

                await until("the first wallets booked", some_are_booked)
            finally:
                killed.send_signal(signal.SIGKILL)
                killed.wait()
        before, _ = await breakage(ledger)
        assert 0 < before < 400, "it was killed in the middle"
        await ledger.move_clock(seconds=LEASE_S + 1)
        with (tmp_path / "again.log").open("wb") as log:
            again = command(job_environment(engines, fresh_database), log)
            status = await asyncio.to_thread(again.wait, 120)
        said = (tmp_path / "again.log").read_text()
        assert status == 0, said
        counted = re.search(r"400 wallets, (\d+) booked, (\d+) points, 0 failed", said)
        assert counted, said
        assert int(counted[1]) == 400 - before, "what was booked before is not booked again"
        assert await breakage(ledger) == (400, 4000)
        assert await ledger.broken() == []


def command(environment: dict[str, str], log: object) -> subprocess.Popen[bytes]:
    """`chengxin expire-points` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "server.cli", "expire-points"],
        env=os.environ | environment,
        cwd=ROOT,
        stdout=log,  # type: ignore[call-overload]
        stderr=log,
    )


async def test_a_lot_lives_until_the_city_s_midnight_also_at_a_year_s_end(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        await ledger.set_clock(YEAR_END - timedelta(days=40))
        await services.vault.ensure_partitions(3)
        (resident,) = await people(ledger, 1)
        assert await ledger.lots(resident) == {date(2027, 12, 31): 10}
        await ledger.set_clock(YEAR_END - timedelta(seconds=3600))
        await moved(ledger, services)
        assert (await services.expiry.run()).booked == 0
        await ledger.set_clock(YEAR_END + timedelta(seconds=1))
        await services.vault.ensure_partitions(3)
        await moved(ledger, services)
        report = await services.expiry.run()
        assert (report.day, report.booked) == (date(2028, 1, 1), 1)
        row = await ledger.owner.fetchrow("SELECT id, lots FROM vault.journal WHERE owner = $1 AND op = 7", resident)
        assert row["id"].int >> 80 == int(datetime(2027, 12, 31, 16, tzinfo=UTC).timestamp() * 1000)


async def test_several_lots_past_their_day_go_in_one_row(engines: Engines, fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        (resident,) = await people(ledger, 1)
        for months in (2, 12):
            await ledger.earn(resident, await ledger.campaign(points=5, months=months))
        await after_month(ledger, services, months=3)
        report = await services.expiry.run()
        assert (report.booked, report.points) == (1, 15)
        assert await breakage(ledger) == (1, 15)
        assert list((await ledger.lots(resident)).values()) == [5]
        assert await ledger.broken() == []


async def test_a_wallet_that_somebody_booked_meanwhile_is_left_alone(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        (resident,) = await people(ledger, 1)
        await after_month(ledger, services)
        page = await services.vault.read.lots_ending(
            None, first=date.min, last=services.clock.today() - timedelta(days=1), limit=10
        )
        await ledger.earn(resident, await ledger.campaign(points=1))
        assert await breakage(ledger) == (1, 10), "the earning booked it"
        found = await job(services)._book(page)
        assert (found.done, found.failed, found.amount) == (0, 0, 0)
        assert await breakage(ledger) == (1, 10)


async def test_a_hold_whose_life_is_over_is_given_back_and_a_live_one_is_not(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        worker = Worker(services)
        resident = await ledger.resident(points=100)
        await ledger.app.hold(resident, ledger.id7(), points=30, payee=5, life_s=60)
        await ledger.app.hold(resident, ledger.id7(), points=20, payee=5, life_s=3600)
        assert await worker.expire() == 0
        await ledger.move_clock(seconds=120)
        assert await worker.expire() == 1
        assert await worker.expire() == 0
        wallet = await ledger.app.read.wallet(resident)
        assert wallet is not None
        assert (wallet.points, wallet.held) == (80, 20)
        assert await ledger.broken() == []


async def test_a_lock_whose_life_is_over_is_lifted_in_the_books_as_well(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        worker = Worker(services)
        terms = await ledger.template()
        resident = await ledger.resident()
        coupon = await ledger.coupon(resident, terms)
        await ledger.app.lock_coupon(resident, ledger.id7(), coupon_id=coupon, life_s=60, request_no="order-1", actor=1)
        assert await worker.expire() == 0
        await ledger.move_clock(seconds=120)
        assert await worker.expire() == 1
        assert await worker.expire() == 0
        assert (await ledger.coupon_row(resident, coupon))["state"] == "issued"
        assert await ledger.broken() == []
