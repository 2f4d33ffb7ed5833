"""The year is lived: a house on a moved clock, day after day, and at the end the books are held against each other."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from server.config import Settings
from server.sandbox.city import City, sample_city
from server.sandbox.engines import EngineUrls
from server.sandbox.environment import write_env_file
from server.sandbox.house import House
from server.sandbox.loader import load_city
from server.sandbox.moved_clock import CITY, MovedClock
from server.sandbox.wechat.control import StandInControl
from server.sandbox.year import books
from server.sandbox.year.account import Account
from server.sandbox.year.books import LEDGER_FIGURES, VIEW_FIGURES, Ids
from server.sandbox.year.console import NotInTime, Office, until
from server.sandbox.year.days import DAYS, Day
from server.sandbox.year.reconcile import Difference, differences
from server.sandbox.year.story import Story
from server.sandbox.year.town import Town
from wallet.audit import check_books, check_seals

#: Everybody lives behind one address here.
_LIMITS = ("LOGIN", "RESIDENT", "COUNTER", "ADMIN", "ADDRESS", "CLAIM_DEVICE", "CLAIM_ADDRESS")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the year ended: what differs (nothing, when all is well), and what the proofs of the ledger found broken."""

    differences: tuple[Difference, ...]
    broken: tuple[str, ...]
    proofs: int
    story: Story
    expected: dict[str, dict[str, Any]]

    @property
    def holds(self) -> bool:
        """Whether everything agrees."""
        return not self.differences and not self.broken


async def live_year(
    urls: EngineUrls, database: str, *, folder: Path, residents: int, seed: int, console: Console, port: int = 0,
    days: Sequence[Day] = DAYS, log_level: str = "warning",
) -> Outcome:  # fmt: skip
    """Lives these days in a migrated database of their own. Raises HouseFailed, NotInTime, Unexpected or Refusal."""
    began = time.monotonic()
    clock = MovedClock(urls.dsn("owner", database))
    await clock.set(days[0][0])
    generous = {f"CHENGXIN_{name}_PER_MINUTE": "1000000" for name in _LIMITS} | {"CHENGXIN_ACCESS_TTL_S": "3600"}
    # One process over HTTP: when it has followed the clock, all of them have.
    house = House(
        urls, database, folder=folder, port=port, workers=1, extra=generous | {"CHENGXIN_LOG_LEVEL": log_level}
    )
    house.start_wechat()
    write_env_file(folder / "env", house.environment)
    city = sample_city(seed, residents=residents)
    control = StandInControl(house.wechat_base)
    try:
        await load_city(_settings(house), seed=seed, residents=residents, offers=False)
        await house.start()
        async with httpx.AsyncClient(base_url=house.base_url, trust_env=False, timeout=120) as http:
            story = _story(http, city, control, clock, house, folder, seed)
            for number, one in enumerate(days):
                if number:
                    await _move(house, clock, story.town, one[0])
                await _live(story, one, console, began)
            return await _reckon(story, urls.dsn("worker", database))
    finally:
        await control.aclose()
        house.stop()


def _story(
    http: httpx.AsyncClient,
    city: City,
    control: StandInControl,
    clock: MovedClock,
    house: House,
    folder: Path,
    seed: int,
) -> Story:
    office = Office(http, clock)
    account = Account(tuple(code for code, _ in city.bands))
    town = Town(http, city, control, office, account, house.environment, folder)
    ids = Ids(merchants=town.merchants)
    return Story(town, ids, clock, random.Random(f"{seed}:year"), folder)


def _settings(house: House) -> Settings:
    return Settings(**{name.removeprefix("CHENGXIN_").lower(): value for name, value in house.environment.items()})  # type: ignore[arg-type]


async def _move(house: House, clock: MovedClock, town: Town, at: datetime) -> None:
    """The clock is moved while the worker is away; it begins anew with every step, and the server follows."""
    await asyncio.to_thread(house.stop_process, "worker")
    await clock.set(at)
    house.start_process("worker")

    async def server_time() -> datetime:
        return await town.server_time()

    await until("the server following the clock", server_time, lambda seen: seen >= at)
    await town.new_day()


async def _live(story: Story, one: Day, console: Console, began: float) -> None:
    at, name, do = one
    await do(story)
    await story.settle()
    console.print(
        f"  [dim]{at.astimezone(CITY):%Y-%m-%d %H:%M}[/] {name}  [cyan]{story.note}[/]"
        f"  [green]{time.monotonic() - began:.0f} s[/]",
        soft_wrap=True,
    )


async def _reckon(story: Story, dsn: str) -> Outcome:
    """Waits for the worker's last bookings, and tells what differs when they never make it right."""
    ids, account, today = story.ids, story.town.account, story.clock.today()
    ids.residents = {key: one.id for key, one in story.town.residents.items()}
    expected: dict[str, dict[str, Any]] = {
        "campaigns": account.campaigns(), "templates": account.templates(today), "residents": account.residents(today),
        "merchants": account.merchants(), "city": account.city(today),
    }  # fmt: skip

    async def look() -> list[Difference]:
        told = await books.ledger(dsn, ids)
        campaigns, templates = await books.views(story.town.office, ids)
        return [
            *differences("账本·活动", expected["campaigns"], told.campaigns, ["points"]),
            *differences("账本·券", expected["templates"], told.templates, LEDGER_FIGURES),
            *differences("账本·居民", expected["residents"], told.residents),
            *differences("账本·商户", expected["merchants"], told.merchants),
            *differences("账本·全市", expected["city"], told.city),
            *differences("预算·活动", expected["campaigns"], campaigns),
            *differences("预算·券", expected["templates"], templates, VIEW_FIGURES),
        ]

    try:
        found = await until("the books", look, lambda seen: not seen, pause_s=1.0)
    except NotInTime:
        found = await look()
    proved, sealed = await check_books(dsn, remember=False), await check_seals(dsn)
    broken = [one.check for one in proved.findings if one.broken] + [str(one) for one in sealed.found]
    return Outcome(tuple(found), tuple(broken), len(proved.findings), story, expected)
