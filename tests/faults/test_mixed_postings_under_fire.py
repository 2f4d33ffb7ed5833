"""Processes, PostgreSQL and connections die while residents earn, spend, hold, capture, release, refund and claim.

What is lost: nothing, but what an asynchronous standby had not been sent when it took over, and that comes again. Every
request is written down outside the process that posts it, and sent again under its id until it is answered; then log,
journal, wallets, holds, seals and check-ledger are one, and every answer comes again.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace

import pytest

from tests.support.clusters import Cluster, quick_folder
from tests.support.databases import Database
from tests.support.intents import INTENTS, Field, Mixture, settle
from tests.support.ledger import open_ledger
from tests.support.posters import Posters
from tests.support.tampering import READY_FOR_QUERY, Proxy

pytestmark = pytest.mark.fault

#: A process that does not answer for so long is not waited for; the same request goes to another.
ATTEMPT_S = 1.0
STOPPED_S = 30.0 if INTENTS >= 20_000 else 5.0


def answered(received: bytes) -> bool:
    """PostgreSQL's whole answer to a batch that was committed with something in it."""
    return received.endswith(READY_FOR_QUERY) and b"points_after" in received


async def test_posting_processes_killed_with_9_lose_nothing_and_double_nothing(cluster: Cluster) -> None:
    database = await cluster.database()
    field = await Field.on(database)
    async with Posters.started(database.app, database.worker, 3) as posters:
        under_way = []

        async def kill_posters(mixture: Mixture) -> None:
            for n, share in enumerate((0.15, 0.3, 0.45, 0.6, 0.75)):
                await mixture.reached(share)
                under_way.append(await posters.all[n % 3].kill())
                await posters.all[n % 3].start()

        mixture = Mixture(field, posters)
        await mixture.run(kill_posters)
        assert sum(under_way) > 0, "some process died with requests under way"
    print(await settle(mixture, database))


async def test_postgresql_killed_with_9_under_mixed_postings_comes_back_whole(cluster: Cluster) -> None:
    database = await cluster.database()
    field = await Field.on(database)
    async with Posters.started(database.app, database.worker) as posters:

        async def kill(mixture: Mixture) -> None:
            for share in (0.3, 0.6):
                await mixture.reached(share)
                await cluster.kill()
                assert len(mixture.told) < INTENTS, "it died in the middle"
                await asyncio.to_thread(cluster.engines.start)

        mixture = Mixture(field, posters, seed=2)
        await mixture.run(kill)
    print(await settle(mixture, database))
    status, said = await asyncio.to_thread(cluster.amcheck, database)
    assert status == 0, f"pg_amcheck expected no damage after recovery, saw {said}"


async def test_answers_lost_between_commit_and_caller_come_again_as_replays(cluster: Cluster) -> None:
    database = await cluster.database()
    field = await Field.on(database)
    async with Proxy.before(cluster.engines.urls.postgres_port, answered) as proxy:
        through = replace(cluster.engines.urls, postgres_port=proxy.port)
        app, worker = (through.dsn(role, database.name) for role in ("app", "worker"))
        async with Posters.started(app, worker) as posters:

            async def lose_answers(mixture: Mixture) -> None:
                for tenth in range(1, 10):
                    await mixture.reached(tenth / 10)
                    proxy.arm(2)

            mixture = Mixture(field, posters, seed=3)
            await mixture.run(lose_answers)
    assert len(proxy.lost) == 18, f"the proxy lost {len(proxy.lost)} committed answers, expected 18"
    replays = sum(one.first == 0 for one in mixture.told.values())
    assert replays >= 18, f"expected a replay for each request whose answer was lost, saw {replays}"
    print(await settle(mixture, database))


async def test_a_posting_process_that_stands_still_doubles_nothing_and_its_late_answers_harm_nobody(
    cluster: Cluster,
) -> None:
    database = await cluster.database()
    field = await Field.on(database)
    async with Posters.started(database.app, database.worker, attempt_s=ATTEMPT_S) as posters:

        async def stand_still(mixture: Mixture) -> None:
            await mixture.reached(0.3)
            posters.all[0].send_signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(STOPPED_S)
            finally:
                posters.all[0].send_signal(signal.SIGCONT)

        mixture = Mixture(field, posters, seed=4)
        await mixture.run(stand_still)
        assert posters.heard["lost"] > 0, "somebody must have waited for the process in vain"
    print(await settle(mixture, database))


async def test_a_synchronous_standby_that_is_promoted_under_load_has_everything_acknowledged(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    database = await cluster.database()
    field = await Field.on(database)
    answered_before = INTENTS
    urls = cluster.engines.urls
    with quick_folder(tmp_path_factory.mktemp("standby")) as folder:
        async with (
            cluster.standby(folder) as standby,
            Proxy.before(urls.postgres_port, lambda answer: False) as address,
        ):
            through = replace(urls, postgres_port=address.port)
            app, worker = (through.dsn(role, database.name) for role in ("app", "worker"))
            async with Posters.started(app, worker) as posters:

                async def fail_over(mixture: Mixture) -> None:
                    nonlocal answered_before
                    await mixture.reached(0.4)
                    await cluster.kill()
                    answered_before = len(mixture.told)
                    await asyncio.to_thread(standby.promote)
                    address.lead_to(standby.port)

                mixture = Mixture(field, posters, seed=71)
                await mixture.run(fail_over)
            assert answered_before < INTENTS, "the standby took over in the middle"
            print(await settle(mixture, Database.at(replace(urls, postgres_port=standby.port), database.name)))


async def test_what_an_asynchronous_standby_was_not_sent_is_known_and_comes_again_under_its_ids(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    database = await cluster.database()
    field = await Field.on(database)
    urls = cluster.engines.urls
    with quick_folder(tmp_path_factory.mktemp("standby")) as folder:
        async with (
            cluster.standby(folder, synchronous=False) as standby,
            Proxy.before(urls.postgres_port, lambda answer: False) as address,
        ):
            through = replace(urls, postgres_port=address.port)
            app, worker = (through.dsn(role, database.name) for role in ("app", "worker"))
            async with Posters.started(app, worker) as posters:
                mixture = Mixture(field, posters, intents=INTENTS // 4, seed=72)
                await mixture.live()
                sent, sender = set(mixture.told), await cluster.in_step("async")
                os.kill(sender, signal.SIGSTOP)
                try:
                    await mixture.live()
                    await cluster.kill()
                finally:
                    os.kill(sender, signal.SIGKILL)
                await asyncio.to_thread(standby.promote)
                address.lead_to(standby.port)
                after = Database.at(replace(urls, postgres_port=standby.port), database.name)
                async with open_ledger(after) as ledger:
                    assert await ledger.broken() == [], "books that end earlier are whole"
                lost = await mixture.healed()
            assert lost == set(mixture.told) - sent, "exactly what was answered after the last thing that was sent"
            print(f"{len(lost)} answers lost and given again; {await settle(mixture, after)}")
