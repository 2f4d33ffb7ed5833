"""The console of the demo: administrators and a public reader over real HTTP, by a clock that may be moved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

import httpx
import pyotp

from server.kit.ids import uuid7
from server.sandbox.environment import ADMIN_PASSWORD, ADMINISTRATORS
from server.sandbox.phone import Refusal

T = TypeVar("T")
#: How long whatever the worker does may take before the year gives up.
PATIENCE_S = 180
#: How long a one-time code lives.
STEP_S: Final = 30


class NotInTime(RuntimeError):
    """Something that had to happen did not; says what was waited for, and what was seen last."""


async def until(what: str, look: Callable[[], Awaitable[T]], right: Callable[[T], bool], pause_s: float = 0.2) -> T:
    """What `look` sees once it is right. Raises NotInTime."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        seen = await look()
        if right(seen):
            return seen
        if time.monotonic() > deadline:
            raise NotInTime(f"{what}: still {seen!r:.600} after {PATIENCE_S} s")
        await asyncio.sleep(pause_s)


class TellsTime(Protocol):
    """A clock, moved or not."""

    def now(self) -> datetime: ...


class Office:
    """Administrators by user name, each logged in anew on every day that is lived; who calls too often waits."""

    def __init__(self, http: httpx.AsyncClient, clock: TellsTime) -> None:
        self._http, self._clock = http, clock
        self._tokens: dict[str, str] = {}

    def new_day(self) -> None:
        """Sessions of the day before are over."""
        self._tokens.clear()

    async def call(self, who: str, method: str, path: str, body: object = None, *, key: UUID | None = None) -> Any:
        """The decoded answer. Raises `Refusal`."""
        headers = {"Authorization": f"Bearer {await self._token(who)}"}
        if key is not None:
            headers["Idempotency-Key"] = str(key)
        while True:
            answer = await self._http.request(method, f"/api/admin/v1{path}", json=body, headers=headers)
            if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return _decoded(answer)
            await asyncio.sleep(int(answer.headers["Retry-After"]))

    async def upload(self, who: str, path: str, file: bytes, **query: str) -> Any:
        """Sends a CSV file; the decoded answer. Raises `Refusal`."""
        headers = {"Authorization": f"Bearer {await self._token(who)}", "Content-Type": "text/csv"}
        while True:
            answer = await self._http.post(f"/api/admin/v1{path}", content=file, headers=headers, params=query)
            if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return _decoded(answer)
            await asyncio.sleep(int(answer.headers["Retry-After"]))

    async def public(self, path: str) -> Any:
        """What anybody may read. Raises `Refusal`."""
        return _decoded(await self._http.get(f"/api/public/v1{path}"))

    async def public_file(self, path: str) -> bytes:
        """A published file."""
        answer = await self._http.get(f"/api/public/v1{path}")
        answer.raise_for_status()
        return answer.content

    def key(self) -> UUID:
        """A client-made id of now."""
        return uuid7(self._clock.now())

    async def _token(self, who: str) -> str:
        if who not in self._tokens:
            # A code is used once: after a demo just before, that of the next half minute is taken early.
            self._tokens[who] = await self._log_in(who, 0) or await self._log_in(who, 1) or await self._later(who)
        return self._tokens[who]

    async def _later(self, who: str) -> str:
        await asyncio.sleep(STEP_S - self._clock.now().timestamp() % STEP_S)
        token = await self._log_in(who, 1)
        if token is None:
            raise NotInTime(f"{who} found no code that was not used")
        return token

    async def _log_in(self, who: str, steps_ahead: int) -> str | None:
        account = next(one for one in ADMINISTRATORS if one.username == who)
        totp = pyotp.TOTP(account.totp_secret).at(self._clock.now() + timedelta(seconds=STEP_S * steps_ahead))
        body = {"username": who, "password": ADMIN_PASSWORD, "totp": totp}
        answer = await self._http.post("/api/admin/v1/sessions", json=body)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            return None
        return str(_decoded(answer)["access_token"])


def _decoded(answer: httpx.Response) -> Any:
    if answer.status_code >= httpx.codes.BAD_REQUEST:
        raise Refusal(answer.status_code, answer.json())
    return answer.json() if answer.content else None
