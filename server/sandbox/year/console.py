"""The console of the year: two administrators and a public reader over real HTTP, by the moved clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import httpx
import pyotp

from server.kit.ids import uuid7
from server.sandbox.environment import ADMIN_PASSWORD, ADMINISTRATORS
from server.sandbox.moved_clock import MovedClock
from server.sandbox.phone import Refusal

T = TypeVar("T")
#: How long whatever the worker does may take before the year gives up.
PATIENCE_S = 180


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


class Office:
    """Administrators by user name, each logged in anew on every day that is lived."""

    def __init__(self, http: httpx.AsyncClient, clock: MovedClock) -> None:
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
        answer = await self._http.request(method, f"/api/admin/v1{path}", json=body, headers=headers)
        return _decoded(answer)

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
            account = next(one for one in ADMINISTRATORS if one.username == who)
            body = {
                "username": who, "password": ADMIN_PASSWORD,
                "totp": pyotp.TOTP(account.totp_secret).at(self._clock.now()),
            }  # fmt: skip
            answer = await self._http.post("/api/admin/v1/sessions", json=body)
            self._tokens[who] = _decoded(answer)["access_token"]
        return self._tokens[who]


def _decoded(answer: httpx.Response) -> Any:
    if answer.status_code >= httpx.codes.BAD_REQUEST:
        raise Refusal(answer.status_code, answer.json())
    return answer.json() if answer.content else None
