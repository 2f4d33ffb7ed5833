"""A house with merchants for tests: the real database and vault, WeChat reduced to "the code names the phone"."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import asyncpg
import jwt

from server.incentives.asked import AskedFacts
from server.incentives.facts import record_fact
from server.kit.audit import Actor
from server.kit.caller import Caller
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex, Envelope, Keyring
from server.kit.db import close_house, open_house
from server.merchants.acceptors import AcceptorKind, AcceptorRegister
from server.merchants.service import MerchantService
from server.merchants.views import MerchantView, StoreView
from server.people.sessions import SessionService
from server.people.tokens import TokenKeys, Tokens
from tests.support.databases import Database
from wallet import Vault, VaultUnavailable

ADMIN = Actor("admin", "1")
KEYS = TokenKeys({"t1": b"s" * 32}, "t1")
_numbers = count(1)


@dataclass
class Login:
    openid: str


class Phones:
    """WeChat as these tests need it: the code names the phone."""

    async def code_to_session(self, code: str) -> Login:
        return Login(f"openid-{code}")

    async def phone_number(self, code: str) -> str:
        return "13800000000"


class NoWallet:
    async def open_wallet(self, resident_id: int) -> None: ...

    async def bump_epoch(self, resident_id: int) -> None: ...


@dataclass
class Register:
    """The real vault behind a line that may break (`down`) or be slow (`before` runs once, before the call)."""

    vault: Vault
    reader: asyncpg.Pool
    down: bool = False
    before: list[Any] = field(default_factory=list)

    async def set_acceptor(
        self,
        kind: AcceptorKind,
        acceptor_id: int,
        merchant_id: int,
        store_id: int | None,
        is_open: bool,
        town: str | None,
        /,
    ) -> None:
        if self.down:
            raise VaultUnavailable
        if self.before:
            await self.before.pop()()
        await self.vault.set_acceptor(kind, acceptor_id, merchant_id, store_id, is_open, town)

    async def is_open(self, kind: str, acceptor_id: int) -> bool | None:
        sql = "SELECT open FROM vault.acceptor WHERE kind = $1 AND id = $2"
        found: bool | None = await self.reader.fetchval(sql, kind, acceptor_id)
        return found

    async def accepts(self, caller: Caller) -> bool:
        """What a scan and a redemption ask inside the vault: everybody at this counter is open."""
        accepts: bool = await self.reader.fetchval(
            """SELECT count(*) = CASE WHEN $4::bigint IS NULL THEN 3 ELSE 4 END FROM vault.acceptor WHERE open AND (
                 kind = 'merchant' AND id = $1 OR kind = 'store' AND id = $2 AND merchant_id = $1
                 OR kind = 'terminal' AND id = $3 AND store_id = $2
                 OR kind = 'staff' AND id = $4 AND merchant_id = $1)""",
            caller.merchant_id,
            caller.store_id,
            caller.terminal_id,
            caller.staff_id,
        )
        return accepts


@dataclass
class House:
    clock: Clock
    register: Register
    sessions: SessionService
    merchants: MerchantService

    def another_process(self) -> MerchantService:
        """A second service with a memory of its own."""
        return make_service(self.clock, self.register, self.sessions)

    async def merchant(self) -> tuple[MerchantView, str]:
        merchant, owner = await self.merchants.registry.create_merchant(
            name=f"诚信超市{next(_numbers)}", owner_name="王店主", actor=ADMIN, request_id="r"
        )
        return merchant, owner.code

    async def store(self, merchant_id: int, name: str = "总店") -> StoreView:
        return await self.merchants.registry.create_store(
            merchant_id, town="城关镇", name=name, actor=ADMIN, request_id="r"
        )

    async def shop(self) -> tuple[MerchantView, StoreView, Caller]:
        """A merchant with one store and its owner logged in."""
        merchant, code = await self.merchant()
        store = await self.store(merchant.id)
        phone = f"owner-{merchant.id}"
        await self.merchants.join(phone, code, request_id="r")
        return merchant, store, await self.log_in(phone, store.id)

    async def hire(self, boss: Caller, role: str, store_id: int | None) -> tuple[int, str]:
        """(staff id, phone) of somebody who joined by the boss's invitation."""
        invited = await self.merchants.staff.invite(
            boss, role=role, display_name="小李", store_id=store_id, request_id="r"
        )
        phone = f"phone-{next(_numbers)}"
        return (await self.merchants.join(phone, invited.code, request_id="r")).id, phone

    async def tokens(self, phone: str, store_id: int) -> Tokens:
        return (await self.merchants.access.log_in(phone, store_id, request_id="r")).tokens

    async def log_in(self, phone: str, store_id: int) -> Caller:
        return await self.merchants.check_counter(claims(await self.tokens(phone, store_id)))

    async def enrolled(self, boss: Caller, store_id: int, kind: str) -> tuple[int, str, dict[str, Any]]:
        """(terminal id, secret, claims of its token)."""
        issued = await self.merchants.terminals.create(boss, store_id=store_id, kind=kind, label="门口", request_id="r")
        machine = await self.merchants.terminals.enrol(issued.code, request_id="r")
        token = await self.merchants.access.open_terminal(machine.secret)
        return machine.terminal.id, machine.secret, read(token.access_token)


def read(token: str) -> dict[str, Any]:
    return jwt.decode(token, KEYS.keys["t1"], algorithms=["HS256"], options={"verify_aud": False})


def claims(tokens: Tokens) -> dict[str, Any]:
    return read(tokens.access_token)


def make_service(clock: Clock, register: AcceptorRegister, sessions: SessionService) -> MerchantService:
    return MerchantService(
        clock=clock,
        vault=register,
        sessions=sessions,
        envelope=Envelope(Keyring({1: b"d" * 32})),
        index=BlindIndex(b"i" * 32),
        keys=KEYS,
    )


@dataclass
class Opened:
    vault: Vault
    owner: asyncpg.Pool


@asynccontextmanager
async def opened_house(database: Database) -> AsyncIterator[Opened]:
    """The house and the vault of one test module, closed at the end."""
    await open_house(database.app)
    vault = await Vault.connect(database.app, role="app")
    owner = await asyncpg.create_pool(database.owner, min_size=1, max_size=4)
    yield Opened(vault, owner)
    await owner.close()
    await vault.close()
    await close_house()


def built_house(opened: Opened) -> House:
    """Fresh services over the opened house, so that no memory of another test is left."""
    clock, register = Clock(), Register(opened.vault, opened.owner)
    sessions = SessionService(
        clock=clock,
        wechat=Phones(),
        wallet=NoWallet(),
        envelope=Envelope(Keyring({1: b"d" * 32})),
        index=BlindIndex(b"i" * 32),
        keys=KEYS,
        record_fact=record_fact,
        asks_for=AskedFacts(clock=clock).asks,
    )
    return House(clock, register, sessions, make_service(clock, register, sessions))
