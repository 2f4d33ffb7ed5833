"""Redis or Valkey: fast, never true.

Every call ends within `TIMEOUT_S` and swallows its failure; callers get "nothing known" and go on. While the server is
away, calls are skipped for `RETRY_AFTER_S` at a time instead of waiting again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any, Final, TypeVar

import redis.asyncio as aioredis
from redis.exceptions import RedisError

T = TypeVar("T")

TIMEOUT_S: Final = 0.25
RETRY_AFTER_S: Final = 1.0
_FAILURES = (RedisError, OSError, TimeoutError, asyncio.TimeoutError, ValueError)


class Cache:
    """A cache that may be gone. `healthy` tells whether the last call succeeded; without a URL it is False for ever."""

    def __init__(self, url: str | None) -> None:
        self.configured = bool(url)
        self.healthy = False
        self._retry_at = 0.0
        self.client: Any = None
        if url:
            self.client = aioredis.Redis.from_url(
                url,
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
                max_connections=32,
                health_check_interval=0,
            )

    async def attempt(self, call: Callable[[Any], Awaitable[T]], otherwise: T) -> T:
        """Run one call against the client; `otherwise` when it fails, takes too long or the server is away."""
        if self.client is None or (not self.healthy and monotonic() < self._retry_at):
            return otherwise
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await call(self.client)
        except _FAILURES:
            self.healthy = False
            self._retry_at = monotonic() + RETRY_AFTER_S
            return otherwise
        self.healthy = True
        return answer

    async def get(self, key: str) -> bytes | None:
        """The value, or None when there is none or nobody can tell."""

        async def call(client: Any) -> bytes | None:
            value: bytes | None = await client.get(key)
            return value

        return await self.attempt(call, None)

    async def set(self, key: str, value: bytes | str, *, ttl_s: float) -> bool:
        """Keep a value for `ttl_s`; False when it could not be kept."""

        async def call(client: Any) -> bool:
            return bool(await client.set(key, value, px=max(1, int(ttl_s * 1000))))

        return await self.attempt(call, False)

    async def set_if_absent(self, key: str, value: bytes | str, *, ttl_s: float) -> bool | None:
        """True when we set it, False when another had, None when nobody can tell."""

        async def call(client: Any) -> bool | None:
            return bool(await client.set(key, value, px=max(1, int(ttl_s * 1000)), nx=True))

        return await self.attempt(call, None)

    async def delete(self, *keys: str) -> None:
        """Forget keys."""

        async def call(client: Any) -> None:
            await client.delete(*keys)

        await self.attempt(call, None)

    async def publish(self, channel: str, message: bytes | str) -> bool:
        """Tell whoever listens now; False when it could not be said."""

        async def call(client: Any) -> bool:
            await client.publish(channel, message)
            return True

        return await self.attempt(call, False)

    async def ping(self) -> bool:
        """Whether the server answers now."""

        async def call(client: Any) -> bool:
            return bool(await client.ping())

        return await self.attempt(call, False)

    async def subscribe(self, *channels: str) -> AsyncIterator[tuple[str, bytes]]:
        """`(channel, message)` as they come; ends silently when the server goes away: subscribe again later."""
        if self.client is None:
            return
        pubsub = self.client.pubsub()
        try:
            await pubsub.subscribe(*channels)
            self.healthy = True
            while True:
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=1.0)
                if message is not None:
                    yield message["channel"].decode(), message["data"]
        except _FAILURES:
            self.healthy = False
        finally:
            with contextlib.suppress(*_FAILURES):
                await pubsub.aclose()

    async def close(self) -> None:
        """Close every connection."""
        if self.client is not None:
            with contextlib.suppress(*_FAILURES):
                await self.client.aclose()
