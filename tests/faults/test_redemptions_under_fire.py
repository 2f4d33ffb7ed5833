"""Processes, the database and connections die during redemptions by retrying clients: nothing lost, nothing twice.

One house on engines of its own for all of these tests. Its HTTP processes reach PostgreSQL through a proxy that can
lose answers. CHENGXIN_FAULT_REDEMPTIONS says how many tickets each storm redeems.
What is lost: nothing. A client sends until it is told 201, and every ticket is then redeemed once.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from server.kit.bootstrap import bootstrap
from server.sandbox.engines import Engines
from tests.support.clusters import copy_shared, quick_folder
from tests.support.databases import Database, connected
from tests.support.patience import until
from tests.support.rawhttp import Line, render
from tests.support.stock import Stock, market_stock
from tests.support.storm import REDEMPTIONS, Storm, settle_accounts
from tests.support.tampering import Proxy, created, posted
from tests.support.town import Town, settle

pytestmark = pytest.mark.fault

STOPPED_S = 3.0 if REDEMPTIONS < 10_000 else 30.0
#: How many postings may wait in each HTTP process of this house; the storms stay below it, the crowd does not.
WAITING = 64
PROCESSES = 2
CROWD = 10 * PROCESSES * WAITING // 4
NO_ANSWER_S = 60.0


@dataclass
class Ground:
    """The house that is going to be hurt."""

    engines: Engines
    town: Town
    stock: Stock
    database_proxy: Proxy

    @property
    def port(self) -> int:
        return self.town.house.port

    def workers(self) -> list[psutil.Process]:
        """The HTTP processes that are alive, oldest first."""
        serve = psutil.Process(self.town.house.processes["serve"].pid)
        return sorted(serve.children(), key=lambda process: process.create_time())

    async def storm(self) -> Storm:
        return Storm(self.port, self.stock, await self.stock.lay_in(REDEMPTIONS, claimed=True))


@pytest_asyncio.fixture(scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    folder = tmp_path_factory.mktemp("ground")
    with quick_folder(folder) as place:
        async with settled_ground(Engines(place / "engines"), folder / "house") as ground:
            yield ground


@asynccontextmanager
async def settled_ground(engines: Engines, folder: Path) -> AsyncIterator[Ground]:
    source = await copy_shared(engines)
    urls = await asyncio.to_thread(engines.start)
    try:
        await bootstrap(urls.superuser, "chengxin", urls.role_passwords, template=source)
        database = Database.at(urls, "chengxin")
        async with Proxy.before(urls.postgres_port, posted) as proxy:
            through = replace(urls, postgres_port=proxy.port).dsn("app", "chengxin")
            extra = {"CHENGXIN_DATABASE_URL": through, "CHENGXIN_LANE_QUEUE": str(WAITING)}
            async with settle(
                urls, database, folder=folder, redis_url=urls.redis, workers=PROCESSES, extra=extra
            ) as town:
                yield Ground(engines, town, await market_stock(town), proxy)
                for process in psutil.Process(town.house.processes["serve"].pid).children():
                    process.kill()  # nothing of this house is needed any more, least of all its drain
    finally:
        await asyncio.to_thread(engines.destroy)


async def test_http_processes_killed_with_9_lose_nothing_and_double_nothing(ground: Ground) -> None:
    storm = await ground.storm()

    async def kill_workers(storm: Storm) -> None:
        for share in (0.2, 0.5, 0.8):
            await storm.reached(share)
            ground.workers()[0].send_signal(signal.SIGKILL)

    account = await storm.run(kill_workers)
    print(await settle_accounts(account, storm.pieces, ground.town.database.worker))


async def test_postgresql_killed_with_9_loses_nothing_and_doubles_nothing(ground: Ground) -> None:
    storm = await ground.storm()

    async def kill_postgres(storm: Storm) -> None:
        for share in (0.3, 0.7):
            await storm.reached(share)
            pid = ground.engines.postgres.pid()
            assert pid is not None, "PostgreSQL runs before it is killed"
            os.kill(pid, signal.SIGKILL)
            # Dying takes a moment, and meanwhile its port still answers.
            while ground.engines.postgres.pid() is not None:  # noqa: ASYNC110 a process of somebody else's
                await asyncio.sleep(0.02)
            await asyncio.to_thread(ground.engines.start)

    account = await storm.run(kill_postgres)
    print(await settle_accounts(account, storm.pieces, ground.town.database.worker))


async def test_an_http_process_that_stands_still_for_seconds_doubles_nothing(ground: Ground) -> None:
    storm = await ground.storm()

    async def stop_a_worker(storm: Storm) -> None:
        await storm.reached(0.3)
        worker = ground.workers()[0]
        worker.send_signal(signal.SIGSTOP)
        await asyncio.sleep(STOPPED_S)
        worker.send_signal(signal.SIGCONT)

    account = await storm.run(stop_a_worker)
    print(await settle_accounts(account, storm.pieces, ground.town.database.worker))


async def test_connections_to_the_database_lost_after_commit_double_nothing(ground: Ground) -> None:
    storm = await ground.storm()
    before = len(ground.database_proxy.lost)

    async def lose_answers(storm: Storm) -> None:
        for share in (0.2, 0.4, 0.6):
            await storm.reached(share)
            ground.database_proxy.arm()

    account = await storm.run(lose_answers)
    lost = len(ground.database_proxy.lost) - before
    assert lost == 3, f"the proxy lost {lost} committed answers, expected 3"
    assert account.answers["201 replayed"] > account.sent, f"lost answers come back as replays; {account.text()}"
    print(await settle_accounts(account, storm.pieces, ground.town.database.worker))


async def test_an_answer_lost_on_the_way_to_the_client_comes_again_byte_for_byte(ground: Ground) -> None:
    async with Proxy.before(ground.port, created) as proxy:
        pieces = await ground.stock.lay_in(20, claimed=True)
        for piece in pieces:
            request = render(
                "POST",
                "/api/mp/v1/merchant/redemptions",
                token=piece.till.token,
                body={"ticket": ground.stock.ticket(piece)},
            )
            line = Line(proxy.port)
            proxy.arm()
            with pytest.raises(OSError):
                await line.ask(request, timeout_s=10)
            answer = await line.ask(request, timeout_s=10)
            line.close()
            first = proxy.lost[-1].partition(b"\r\n\r\n")[2]
            assert answer.status == 201 and answer.replayed, (
                f"saw {answer}, expected 201 and Idempotency-Replayed: true"
            )
            assert answer.body == first, f"the retry saw {answer.body!r}, the lost answer was {first!r}"
        assert len(proxy.lost) == len(pieces)


async def test_ten_times_the_clients_get_a_place_or_a_503_with_a_time_and_nobody_waits_without_end(
    ground: Ground,
) -> None:
    """While somebody's lock holds every posting back: what may wait is bounded, the others are told when to come."""
    pieces = await ground.stock.lay_in(max(REDEMPTIONS, CROWD), claimed=True)
    storm = Storm(ground.port, ground.stock, pieces, clients=CROWD, attempt_s=NO_ANSWER_S)

    async def hold_everything(storm: Storm) -> None:
        async with connected(ground.town.database.owner) as owner, owner.transaction():
            await owner.execute("LOCK TABLE vault.redemption IN ACCESS EXCLUSIVE MODE")
            await until("somebody told that there is no place", refused)

    async def refused() -> int:
        return len(storm.account.told_when)

    account = await storm.run(hold_everything)
    assert account.told_when, f"a queue of {WAITING} must have been full for {CROWD} clients; {account.text()}"
    assert all(when.isdecimal() and int(when) > 0 for when in account.told_when), set(account.told_when)
    assert set(account.answers) <= {"201", "201 replayed", "409", "503"}, f"every client is answered; {account.text()}"
    print(await settle_accounts(account, storm.pieces, ground.town.database.worker))
