"""A running house with the sample city in it, and the people to play in it: fresh residents with points, staff at
their stores."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import httpx

from server.config import Settings
from server.kit.db import close_house, fetch, open_house
from server.sandbox.city import City, id_number, sample_city
from server.sandbox.engines import EngineUrls
from server.sandbox.house import House
from server.sandbox.loader import load_city
from server.sandbox.phone import CounterPhone, ResidentPhone
from server.sandbox.wechat.control import StandInControl
from tests.support.contract import Contract
from tests.support.databases import Database
from tests.support.privacy import MerchantBodies

SEED, RESIDENTS = 7, 20

LIVE_TEMPLATES = "SELECT t.id, v.title FROM coupon_template t JOIN coupon_template_version v ON v.id = t.live_version"


@dataclass
class Town:
    """`base_url` answers; `stores` are ids by store name, `templates` ids by title."""

    house: House
    database: Database
    city: City
    control: StandInControl
    http: httpx.AsyncClient
    settings: Settings
    stores: dict[str, str] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)
    shown: MerchantBodies = field(default_factory=MerchantBodies)

    @property
    def base_url(self) -> str:
        return self.house.base_url

    async def person(self) -> tuple[str, str, str]:
        """(name, ID number, openid) of somebody new whom the name-and-ID check knows."""
        number = id_number(date(1950, 1, 1) + timedelta(days=secrets.randbelow(20_000)), 1 + secrets.randbelow(999))
        name = secrets.choice(self.city.residents).name
        await self.control.register_people([(name, number)])
        openid = f"oTest{secrets.token_hex(8)}"
        self.shown.secrets |= {number, openid}
        return name, number, openid

    async def resident(self, points: int = 120) -> ResidentPhone:
        """A resident who is logged in, bound and has earned the welcome points."""
        name, number, openid = await self.person()
        phone = ResidentPhone(self.http)
        await phone.log_in(await self.control.login_code(openid))
        await phone.bind(name, number)
        if points:
            wallet = await phone.wait_for_points(points)
            assert wallet["points"] >= points, wallet
        return phone

    async def counter(self, store_name: str, role: str = "cashier") -> CounterPhone:
        """Staff of a store, logged in there."""
        merchant = next(one for one in self.city.merchants if any(store.name == store_name for store in one.stores))
        store = next(store for store in merchant.stores if store.name == store_name)
        staff = next(one for one in merchant.staff if one.role == role and one.store in (None, store.key))
        phone = CounterPhone(self.http)
        await phone.log_in(await self.control.login_code(staff.openid), self.stores[store_name])
        return phone


@asynccontextmanager
async def settle(
    urls: EngineUrls,
    database: Database,
    *,
    folder: Path,
    redis_url: str | None,
    workers: int = 2,
    extra: dict[str, str] | None = None,
) -> AsyncIterator[Town]:
    """Starts a house on this database, loads the city, and ends everything afterwards."""
    limited = ("LOGIN", "RESIDENT", "COUNTER", "ADMIN", "ADDRESS", "CLAIM_DEVICE", "CLAIM_ADDRESS")
    limits = {f"CHENGXIN_{name}_PER_MINUTE": "1000000" for name in limited}
    limits["CHENGXIN_VOUCHER_WRONG_PER_MINUTE_ADDRESS"] = "1000000"  # all tests have one address
    # No session ends because the tests of one house take long.
    lives = {"CHENGXIN_ACCESS_TTL_S": "3600"}
    house = House(
        urls,
        database.name,
        folder=folder,
        workers=workers,
        extra={"CHENGXIN_REDIS_URL": redis_url or "", **limits, **lives, **(extra or {})},
    )
    house.start_wechat()
    settings = Settings(**{name.removeprefix("CHENGXIN_").lower(): value for name, value in house.environment.items()})  # type: ignore[arg-type]
    control = StandInControl(house.wechat_base)
    try:
        await load_city(settings, seed=SEED, residents=RESIDENTS)
        await open_house(settings.database_url)
        try:
            stores = {row["name"]: str(row["id"]) for row in await fetch("SELECT id, name FROM store")}
            templates = {row["title"]: str(row["id"]) for row in await fetch(LIVE_TEMPLATES)}
        finally:
            await close_house()
        await house.start()
        limits_http = httpx.Limits(max_connections=256, max_keepalive_connections=256)
        city = sample_city(SEED, residents=RESIDENTS)
        shown = MerchantBodies.of(city)
        contract = Contract()
        hooks = {"response": [shown.keep, contract.keep]}
        async with httpx.AsyncClient(
            base_url=house.base_url, trust_env=False, timeout=120, limits=limits_http, event_hooks=hooks
        ) as http:
            yield Town(house, database, city, control, http, settings, stores, templates, shown)
            assert shown.leaks() == []
            assert contract.surprises == set()
    finally:
        await control.aclose()
        house.stop()
