"""The primary dies under load and a synchronous standby takes over at the same address.

What is lost: nothing that was acknowledged. What was not is sent again under its id, and is there once.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.support.clusters import Cluster, quick_folder
from tests.support.databases import Database
from tests.support.intents import INTENTS, Field, Mixture, settle
from tests.support.posters import Posters
from tests.support.tampering import Proxy

pytestmark = pytest.mark.fault


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
