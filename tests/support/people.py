"""The people room with everything outside it in memory: WeChat, the verification port and the vault."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from argon2 import PasswordHasher

from server.incentives.facts import record_fact
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex, Envelope, Keyring
from server.kit.errors import TemporarilyUnavailable
from server.people.administrators import AdministratorService
from server.people.id_number import check_character
from server.people.ports import RealNamePort, WeChatPort
from server.people.residents import ResidentService
from server.people.sessions import SessionService
from server.people.tokens import TokenKeys, Tokens

PASSWORD = "correct horse battery"
KEYS = TokenKeys(keys={"1": b"1" * 32}, current="1")


@dataclass
class Outside:
    """WeChat, the verification port, the vault and what campaigns ask for, as far as people call them."""

    names: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    kinds_asked: set[str] = field(default_factory=set)
    opened: list[int] = field(default_factory=list)
    bumped: list[int] = field(default_factory=list)
    vault_is_down: bool = False
    verification_is_down: bool = False

    async def code_to_session(self, code: str) -> Login:
        return Login(openid=f"openid-of-{code}")

    async def phone_number(self, code: str) -> str:
        return "13812340000"

    async def verify(self, name: str, id_number: str) -> bool:
        if self.verification_is_down:
            raise TemporarilyUnavailable
        self.asked += 1
        await asyncio.sleep(0.01)
        return self.names.get(id_number, name) == name

    async def asks_for(self, kind: str) -> bool:
        return kind in self.kinds_asked

    async def open_wallet(self, resident_id: int) -> None:
        if self.vault_is_down:
            raise ConnectionError("the vault is down")
        self.opened.append(resident_id)

    async def bump_epoch(self, resident_id: int) -> None:
        if self.vault_is_down:
            raise ConnectionError("the vault is down")
        self.bumped.append(resident_id)


@dataclass(frozen=True)
class Login:
    openid: str


@dataclass(frozen=True)
class Room:
    clock: Clock
    outside: Outside
    sessions: SessionService
    residents: ResidentService
    administrators: AdministratorService

    def another_process(self) -> SessionService:
        return sessions_of(self.clock, self.outside)


ENVELOPE = Envelope(Keyring({1: b"k" * 32}))
INDEX = BlindIndex(b"i" * 32)
_numbers = itertools.count()


def sessions_of(
    clock: Clock, outside: Outside, keys: TokenKeys = KEYS, wechat: WeChatPort | None = None
) -> SessionService:
    return SessionService(
        clock=clock,
        wechat=wechat or outside,
        wallet=outside,
        envelope=ENVELOPE,
        index=INDEX,
        keys=keys,
        refresh_ttl_s=86_400,
        record_fact=record_fact,
        asks_for=outside.asks_for,
    )


def make_room(wechat: WeChatPort | None = None, real_name: RealNamePort | None = None) -> Room:
    clock, outside = Clock(), Outside()
    sessions = sessions_of(clock, outside, wechat=wechat)
    return Room(
        clock=clock,
        outside=outside,
        sessions=sessions,
        residents=ResidentService(
            clock=clock,
            wechat=wechat or outside,
            real_name=real_name or outside,
            wallet=outside,
            record_fact=record_fact,
            envelope=ENVELOPE,
            index=INDEX,
        ),
        administrators=AdministratorService(
            clock=clock,
            sessions=sessions,
            envelope=ENVELOPE,
            index=INDEX,
            hasher=PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1),
        ),
    )


def id_number(born: str = "19900101") -> str:
    """A number with the right form and check digit, of nobody known; another one each time."""
    first_17 = f"320281{born}{next(_numbers) % 1000:03d}"
    return first_17 + check_character(first_17)


def claims_of(tokens: Tokens) -> Mapping[str, Any]:
    decoded: dict[str, Any] = jwt.decode(tokens.access_token, options={"verify_signature": False})
    return decoded


async def login(room: Room, code: str | None = None) -> tuple[Tokens, int]:
    done = await room.sessions.log_in(code or secrets.token_hex(8))
    return done.tokens, done.identity_id
