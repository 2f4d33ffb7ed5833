"""The app's access token: one for all processes while Redis lives, one per process without it.

    get()         own memory -> Redis -> one fetch at a time (a lock here, a lock in Redis) by /cgi-bin/stable_token
    invalidate()  forgets a token only if it is still the one that failed

The normal mode of stable_token hands every caller the same token, so two fetches at once cost a call and nothing else;
force_refresh kills the token of every other process and is never used here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeGuard

import msgspec

from server.kit.clock import Clock
from server.kit.redis import Cache
from server.people.wechat.errors import BUSY, Errcode
from server.people.wechat.wire import Unanswered, Wire

PATH: Final = "/cgi-bin/stable_token"
REFRESH_BEFORE_S: Final = 600
KEEP_AT_LEAST_S: Final = 60
BACKOFF_S: Final = (0.2, 0.6, 1.8)
LOCK_TTL_S: Final = 10
WAIT_STEP_S: Final = 0.05
WAIT_STEPS: Final = 40

_COMPARE_AND_DELETE: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


class Held(msgspec.Struct, frozen=True):
    """A token and when to ask for the next, in seconds since the epoch."""

    token: str
    refresh_at: float


class StableToken:
    """The current access token of one app."""

    def __init__(
        self,
        *,
        appid: str,
        secret: str,
        wire: Wire,
        cache: Cache,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._request = {"grant_type": "client_credential", "appid": appid, "secret": secret}
        self._wire = wire
        self._cache = cache
        self._clock = clock
        self._sleep = sleep
        self._key = f"wx:at:{appid}"
        self._held: Held | None = None
        self._fetching = asyncio.Lock()

    async def get(self) -> str:
        """A token that lives a while. Errors as `Wire.call`."""
        if self._good(self._held):
            return self._held.token
        async with self._fetching:
            if self._good(self._held):
                return self._held.token
            held = await self._shared() or await self._fetch_alone()
            self._held = held
            return held.token

    async def invalidate(self, failed: str) -> None:
        """WeChat refused `failed`: forget it, here and in Redis, unless a newer one is already there."""
        held = self._held
        if held is not None and held.token == failed:
            self._held = None
        raw = await self._cache.get(self._key)
        if raw is None or (known := _decoded(raw)) is None or known.token != failed:
            return

        async def forget(client: Any) -> object:
            return await client.eval(_COMPARE_AND_DELETE, 1, self._key, raw)

        await self._cache.attempt(forget, None)

    def _good(self, held: Held | None) -> TypeGuard[Held]:
        return held is not None and self._clock.unix() < held.refresh_at

    async def _shared(self) -> Held | None:
        raw = await self._cache.get(self._key)
        held = None if raw is None else _decoded(raw)
        return held if self._good(held) else None

    async def _fetch_alone(self) -> Held:
        """Fetch while the other processes wait; whoever waited too long fetches too."""
        lock = f"{self._key}:lock"
        got = await self._cache.set_if_absent(lock, b"1", ttl_s=LOCK_TTL_S)
        if got is False:
            for _ in range(WAIT_STEPS):
                await self._sleep(WAIT_STEP_S)
                if (held := await self._shared()) is not None:
                    return held
        try:
            held = await self._fetch()
            ttl_s = max(1.0, held.refresh_at - self._clock.unix())
            await self._cache.set(self._key, msgspec.json.encode(held), ttl_s=ttl_s)
            return held
        finally:
            if got:
                await self._cache.delete(lock)

    async def _fetch(self) -> Held:
        """Asking for the token changes nothing, so a busy answer or a broken line is tried again; a timeout is not."""
        for pause_s in (*BACKOFF_S, None):
            asked_at = self._clock.unix()
            try:
                answer = await self._wire.call("POST", PATH, body=self._request)
                return _held(answer, asked_at)
            except Errcode as refused:
                if refused.errcode != BUSY or pause_s is None:
                    raise
            except Unanswered as failure:
                if failure.timed_out or pause_s is None:
                    raise
            await self._sleep(pause_s)
        raise AssertionError("the last try answers or raises")


def _held(answer: dict[str, Any], asked_at: float) -> Held:
    token, expires_in = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(token, str) or not token or not isinstance(expires_in, int):
        raise Unanswered(timed_out=False)
    # In its last minutes WeChat hands out the same token again and again: ask once a minute then, not at each call.
    refresh_at = max(asked_at + expires_in - REFRESH_BEFORE_S, min(asked_at + KEEP_AT_LEAST_S, asked_at + expires_in))
    return Held(token, refresh_at)


def _decoded(raw: bytes) -> Held | None:
    try:
        return msgspec.json.decode(raw, type=Held)
    except msgspec.DecodeError:
        return None
