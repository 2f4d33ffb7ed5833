"""The people of the year over real HTTP: residents with their phones, counters with theirs, and the outside registers
that tell what residents did elsewhere."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx

from server.sandbox.city import City, SampleResident
from server.sandbox.house import ROOT
from server.sandbox.moved_clock import CITY
from server.sandbox.phone import CounterPhone, Refusal, ResidentPhone, client_id
from server.sandbox.wechat.control import StandInControl
from server.sandbox.year import offers
from server.sandbox.year.account import Account, Coupon, Figures, Unexpected
from server.sandbox.year.console import Office
from server.sandbox.year.promises import Happening

T = TypeVar("T")
R = TypeVar("R")
AT_ONCE = 8
#: How often a resident who is told to come again does so.
TRIES = 40


async def each(things: Iterable[T], do: Callable[[T], Awaitable[R]], at_once: int = AT_ONCE) -> list[R]:
    """Does something for each thing, a few at a time; the answers in the things' order."""
    gate = asyncio.Semaphore(at_once)

    async def one(thing: T) -> R:
        async with gate:
            return await do(thing)

    return list(await asyncio.gather(*(one(thing) for thing in things)))


@dataclass(slots=True)
class Resident:
    """One resident and his phone; `id` once he has joined."""

    sample: SampleResident
    phone: ResidentPhone
    id: str = ""

    @property
    def key(self) -> str:
        return self.sample.key


@dataclass(slots=True)
class Town:
    """Everybody who acts. What was answered goes into the account as it is answered."""

    http: httpx.AsyncClient
    city: City
    control: StandInControl
    office: Office
    account: Account
    environment: dict[str, str]
    folder: Path
    residents: dict[str, Resident] = field(default_factory=dict)
    merchants: dict[str, str] = field(default_factory=dict)
    stores: dict[str, str] = field(default_factory=dict)
    counters: dict[str, CounterPhone] = field(default_factory=dict)
    orders: int = 0

    async def open(self) -> None:
        """Looks up the merchants and their first stores, as the console lists them."""
        listed = await self.office.call("editor", "GET", "/merchants?limit=100")
        names = {one.name: one.key for one in self.city.merchants}
        for one in listed["items"]:
            key = names[one["name"]]
            self.merchants[key], self.stores[key] = one["id"], one["stores"][0]["id"]

    async def new_day(self) -> None:
        """Everybody who has joined opens the mini-program; the counters log in when they are needed."""
        self.office.new_day()
        self.counters.clear()

        async def open_app(resident: Resident) -> None:
            at = await self._log_in(resident)
            self.account.tell(Happening(resident.key, "login_day", at))

        await each(self.joined, open_app)

    async def server_time(self) -> datetime:
        """What the house says it is, to a phone of nobody's that logs in."""
        phone = ResidentPhone(self.http)
        session = await phone.log_in(await self.control.login_code("oYearClock"))
        return datetime.fromisoformat(session["server_time"])

    @property
    def joined(self) -> list[Resident]:
        return list(self.residents.values())

    async def join(self, people: Sequence[SampleResident]) -> None:
        """New residents log in and tell their real names."""

        async def one(sample: SampleResident) -> tuple[Resident, datetime]:
            resident = Resident(sample, ResidentPhone(self.http))
            await self._log_in(resident)
            await resident.phone.bind(sample.name, sample.id_number)
            me = await resident.phone.call("GET", "/me")
            resident.id = me["resident_id"]
            return resident, datetime.fromisoformat(me["bound_at"])

        for resident, bound_at in await each(people, one):
            self.residents[resident.key] = resident
            self.account.join(resident.key, resident.sample.town)
            self.account.tell(Happening(resident.key, "identity_bound", bound_at))

    async def _log_in(self, resident: Resident) -> datetime:
        session = await resident.phone.log_in(await self.control.login_code(resident.sample.openid))
        return datetime.fromisoformat(session["server_time"])

    async def tell(self, facts: Sequence[Happening]) -> None:
        """What registers outside the house tell, by ID number, in a file for each kind that two people let in."""
        kinds = sorted({one.kind for one in facts})
        await offers.let_in(
            self.office, {kind: self._file([one for one in facts if one.kind == kind]) for kind in kinds}
        )
        for one in facts:
            self.account.tell(one)

    def _file(self, facts: Sequence[Happening]) -> list[list[str]]:
        names = sorted(facts[0].told)
        rows = [
            [self.residents[one.who].sample.id_number, f"{one.who}-{one.at:%Y%m%d%H%M%S}", one.at.isoformat(),
             *(str(one.told[name]) for name in names)]
            for one in facts
        ]  # fmt: skip
        return [["id_number", "source_id", "occurred_at", *names], *rows]

    async def import_bands(self, bands: dict[str, str], as_of: date) -> None:
        """Band and town of everybody who has joined, from a file, by `chengxin import-bands`."""
        file = self.folder / f"bands-{as_of}.csv"
        lines = [f"{self.residents[who].sample.id_number},{band},{self.residents[who].sample.town}"
                 for who, band in bands.items()]  # fmt: skip
        file.write_text("\n".join(["身份证号,信用等级,镇街", *lines]) + "\n", encoding="utf-8")
        await self.command("import-bands", str(file), "--source", "市信用办（示例）", "--as-of", str(as_of))
        for who, band in bands.items():
            self.account.rises(who, band, as_of)

    async def command(self, *words: str) -> None:
        """`chengxin …` with the settings of this house. Raises Unexpected when it fails."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "server.cli", *words, env=os.environ | self.environment, cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        if process.returncode:
            raise Unexpected(f"chengxin {' '.join(words)} ended with {process.returncode}:\n{output.decode()}")

    # -- coupons ------------------------------------------------------------------------------------------------------

    async def claim(self, resident: Resident, template: str, template_id: str) -> Coupon:
        """Claims or exchanges; who is told to come again does so under the same id. Raises `Refusal`."""
        key = client_id(resident.phone.unix())
        for _ in range(TRIES):
            try:
                got = await resident.phone.claim(template_id, key)
                break
            except Refusal as refusal:
                if refusal.status != httpx.codes.SERVICE_UNAVAILABLE:
                    raise
                await asyncio.sleep(0.5)
        else:
            raise Unexpected(f"{template}: still busy after {TRIES} tries")
        if got["price_points"] != self.account.offers[template].price_points:
            raise Unexpected(f"{template}: the price was {got['price_points']}")
        on = _city_day(got["claimed_at"])
        return self.account.got(resident.key, template, got["id"], got["expires_on"], on, paid=True)

    async def pick_up(self, template_keys: dict[str, str]) -> int:
        """Looks for coupons that were given; `template_keys` by template id. Returns how many are still owed."""

        async def look(resident: Resident) -> None:
            page = await resident.phone.call("GET", "/coupons?limit=100")
            for one in page["items"]:
                template = template_keys[one["benefit"]["id"]]
                if one["id"] in self.account.coupons:
                    continue
                owed = self.account.owed_coupons[resident.key, template]
                if owed <= 0:
                    raise Unexpected(f"{resident.key} has a coupon of {template} that nobody owed him")
                self.account.owed_coupons[resident.key, template] = owed - 1
                on = _city_day(one["issued_at"])
                self.account.got(resident.key, template, one["id"], one["expires_on"], on, paid=False)

        waiting = {who for (who, _), count in self.account.owed_coupons.items() if count}
        await each([self.residents[who] for who in sorted(waiting)], look)
        return sum(self.account.owed_coupons.values())

    async def scan(self, coupon: Coupon) -> dict[str, Any]:
        """The resident shows the coupon, the counter scans it: what the counter is told."""
        (handle,) = await self.residents[coupon.who].phone.show(coupon.id)
        counter = await self.counter(coupon.offer.merchants[0])
        return await counter.verify(handle.code_at(time.time()))

    async def use(self, coupon: Coupon, order_fen: int) -> Figures:
        """Shows, scans and redeems a coupon at the first merchant of its terms; the receipt, held against the plan."""
        merchant = coupon.offer.merchants[0]
        found = await self.scan(coupon)
        if found["result"] != "usable":
            raise Unexpected(f"{coupon.offer.title} of {coupon.who}: {found}")
        asked = found["benefit"]
        amount = order_fen if asked["needs_order_amount"] else None
        self.orders += 1
        number = f"D{self.orders:06d}" if asked["needs_order_no"] else None
        receipt: dict[str, Any] = await (await self.counter(merchant)).redeem(found["ticket"], amount, number)
        self.account.redeemed(coupon, merchant, amount, receipt)
        at = datetime.fromisoformat(receipt["redeemed_at"])
        self.account.tell(Happening(coupon.who, "redemption_made", at))
        return receipt | {"order": amount}

    async def take_back(self, coupon: Coupon, receipt: Figures) -> None:
        """The counter voids a redemption; the coupon is the resident's again."""
        merchant = coupon.offer.merchants[0]
        await (await self.counter(merchant)).void(str(receipt["id"]), "顾客退单")
        self.account.redeemed(coupon, merchant, receipt["order"], receipt, sign=-1)

    async def counter(self, merchant: str) -> CounterPhone:
        """The cashier of a merchant's first store."""
        if merchant not in self.counters:
            sample = next(one for one in self.city.merchants if one.key == merchant)
            staff = next(one for one in sample.staff if one.store == sample.stores[0].key)
            phone = CounterPhone(self.http)
            await phone.log_in(await self.control.login_code(staff.openid), self.stores[merchant])
            self.counters[merchant] = phone
        return self.counters[merchant]


def _city_day(instant: str) -> date:
    return datetime.fromisoformat(instant).astimezone(CITY).date()
