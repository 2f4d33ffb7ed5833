"""The one place where the parts of the house are wired together.

Every process opens its `Services` once (`open_services` for HTTP, `open_worker` for jobs) and closes them last. Rooms
get what they need as constructor arguments; nothing below this file looks anything up.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from server.config import Settings
from server.kit.clock import Clock
from server.kit.db import close_house
from server.kit.jobs import Handler
from server.kit.tasks import end
from server.services.ground import Ground, lay_ground
from server.services.incentives import Campaigns, Facts, Giving, jobs_of, wire_campaigns, wire_facts, wire_giving
from server.services.people import People, wire_people
from server.services.scenes import Scenes, wire_scenes
from server.services.wallets import Wallets, wire_wallets
from wallet import Vault

CLOCK_FOLLOW_S = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Services(Ground, People, Campaigns, Giving, Facts, Wallets, Scenes):
    """Everything one process works with, under one name each."""

    job_handlers: dict[str, Handler]
    background: tuple[asyncio.Task[None], ...]


async def open_services(settings: Settings) -> Services:
    """Opens what an HTTP process needs. Raises when the database cannot be reached."""
    vault = await Vault.connect(
        settings.database_url,
        role="app",
        first_lane=settings.worker_index * settings.lanes,
        lanes=settings.lanes,
        queue=settings.lane_queue,
        batch=settings.lane_batch,
        latency_ms=settings.lane_latency_ms,
        budget_slots=settings.budget_slots,
    )
    services = await _wire(settings, settings.database_url, vault)
    services.news.open()
    return services


async def open_worker(settings: Settings) -> Services:
    """Opens what the background process needs: the worker's role, whose vault posts earnings and expiries."""
    dsn = settings.worker_database_url
    vault = await Vault.connect(
        dsn,
        role="worker",
        queue=settings.lane_queue,
        batch=settings.lane_batch,
        latency_ms=settings.lane_latency_ms,
        budget_slots=settings.budget_slots,
    )
    return await _wire(settings, dsn, vault)


def release_waiters(services: Services) -> None:
    """Answers everybody who only waits for news, now; for a process that is about to stop."""
    services.news.release()


async def close_services(services: Services) -> None:
    """Closes everything; what was taken in is finished first."""
    await end(services.background)
    await services.news.close()
    await services.wechat.aclose()
    await services.real_name.aclose()
    await services.vault.close()
    await close_house()
    await services.cache.close()


async def _wire(settings: Settings, house_dsn: str, vault: Vault) -> Services:
    ground = await lay_ground(settings, house_dsn, vault)
    campaigns = wire_campaigns(ground)
    giving = wire_giving(ground, campaigns)
    facts = wire_facts(ground, campaigns, giving)
    wings = (
        ground, wire_people(ground), campaigns, giving, facts,
        wire_wallets(ground, campaigns.templates), wire_scenes(ground, campaigns.templates),
    )  # fmt: skip
    return Services(
        **{name: part for wing in wings for name, part in vars(wing).items()},
        job_handlers=jobs_of(giving, facts),
        background=(asyncio.create_task(_follow_clock(ground.clock, vault)), asyncio.create_task(ground.counts.run())),
    )


async def _follow_clock(clock: Clock, vault: Vault) -> None:
    """Keeps this process on the vault's clock, also when a sandbox moves it (D11)."""
    while True:
        await asyncio.sleep(CLOCK_FOLLOW_S)
        try:
            clock.follow(await vault.now())
        except Exception as problem:  # asked again, whatever the database said
            log.warning("clock_not_followed", problem=type(problem).__name__)
