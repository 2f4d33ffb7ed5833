"""What the people room needs from outside: WeChat, the real-name check, the vault and the intake of facts.

The parts are handed over in `server.services`; nothing here knows who implements them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from tortoise.backends.base.client import BaseDBAsyncClient


class WeChatLogin(Protocol):
    @property
    def openid(self) -> str: ...


class WeChatPort(Protocol):
    """The routes of WeChat that people need. Refused codes and outages are `AppError`s of the client."""

    async def code_to_session(self, code: str) -> WeChatLogin: ...

    async def phone_number(self, code: str) -> str: ...


class RealNamePort(Protocol):
    async def verify(self, name: str, id_number: str) -> bool:
        """Whether the name belongs to the ID number. An outage is an `AppError`, never False."""
        ...


class WalletPort(Protocol):
    """The two calls of the vault that people make; both may be repeated."""

    async def open_wallet(self, resident_id: int) -> object: ...

    async def bump_epoch(self, resident_id: int) -> object: ...


class RecordFact(Protocol):
    """The one intake of facts (D37), inside the caller's transaction; (kind, source_id) counts once."""

    async def __call__(
        self,
        tx: BaseDBAsyncClient,
        resident_id: int,
        *,
        kind: str,
        source_id: str,
        occurred_at: datetime,
        attributes: Mapping[str, object],
    ) -> object: ...


class AsksFor(Protocol):
    """Whether anybody wants to be told facts of this kind now; cheap enough to ask each time."""

    async def __call__(self, kind: str) -> bool: ...


class RecordFacts(Protocol):
    """The same intake for many residents to whom the same happened at once: (resident, source id, attributes) each."""

    async def __call__(
        self,
        tx: BaseDBAsyncClient,
        *,
        kind: str,
        occurred_at: datetime,
        told: Sequence[tuple[int, str, Mapping[str, object]]],
    ) -> object: ...
