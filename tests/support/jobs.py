"""The worker's services on a test's own database, without its loop: each job is called when the test wants it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.config import Settings
from server.sandbox.engines import Engines
from server.sandbox.environment import sandbox_environment
from server.sandbox.wechat.control import StandInControl
from server.services import Services, close_services, open_worker
from tests.support.databases import Database

NOBODY_LISTENS = "http://127.0.0.1:9"


def job_environment(
    engines: Engines, database: Database, *, wechat_base: str = NOBODY_LISTENS, **settings: str
) -> dict[str, str]:
    """Environment variables of a worker that paces itself as little as it may, unless `settings` say otherwise."""
    fast = {"redis_url": "", "expiry_per_second": "1000000", "expiry_share": "100", "notice_from_hour": "0",
            "notice_until_hour": "24", "notice_per_second": "1000"}  # fmt: skip
    environment = sandbox_environment(
        engines.urls,
        database=database.name,
        wechat_base=wechat_base,
        appid=StandInControl.appid,
        app_secret=StandInControl.secret,
        realname_key=StandInControl.realname_key,
    )
    return environment | {f"CHENGXIN_{name.upper()}": value for name, value in (fast | settings).items()}


@asynccontextmanager
async def open_jobs(
    engines: Engines, database: Database, *, wechat_base: str = NOBODY_LISTENS, **settings: str
) -> AsyncIterator[Services]:
    """The services of one worker process."""
    environment = job_environment(engines, database, wechat_base=wechat_base, **settings)
    values = {name.removeprefix("CHENGXIN_").lower(): value for name, value in environment.items()}
    services = await open_worker(Settings(**values))  # type: ignore[arg-type]
    try:
        yield services
    finally:
        await close_services(services)
