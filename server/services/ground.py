"""What every room stands on: clock, cache, vault, keys, and the services outside."""

from __future__ import annotations

from dataclasses import dataclass, field

from server.config import Settings, UnsafeSettings, secret_bytes
from server.kit.clock import Clock
from server.kit.counts import WindowCounts
from server.kit.crypto import BlindIndex, Envelope, Keyring
from server.kit.db import open_house
from server.kit.pace import Pace
from server.kit.redis import Cache
from server.people.realname import HttpRealNameVerifier
from server.people.tokens import TokenKeys
from server.people.wechat.client import WeChat
from wallet import Vault


@dataclass(frozen=True, kw_only=True)
class Ground:
    """One process's own; secrets are not shown."""

    settings: Settings
    clock: Clock
    cache: Cache
    counts: WindowCounts
    vault: Vault
    wechat: WeChat
    real_name: HttpRealNameVerifier
    envelope: Envelope = field(repr=False)
    index: BlindIndex = field(repr=False)
    token_keys: TokenKeys = field(repr=False)
    credential_key: bytes = field(repr=False)
    job_key: bytes = field(repr=False)

    @property
    def nightly(self) -> Pace:
        """How hard walks through everything may work."""
        return Pace(per_second=self.settings.expiry_per_second, share=self.settings.expiry_share)


async def lay_ground(settings: Settings, house_dsn: str, vault: Vault) -> Ground:
    """The ground of a process whose vault is open; it opens house and cache. Raises UnsafeSettings."""
    await _refuse_moved_clock(settings, vault)
    clock = Clock(settings.city_zone)
    clock.follow(await vault.now())
    await open_house(house_dsn, pool_max=settings.house_pool)
    cache = Cache(settings.redis_url)
    await cache.ping()
    return Ground(
        settings=settings,
        clock=clock,
        cache=cache,
        counts=WindowCounts(cache),
        vault=vault,
        wechat=WeChat(settings.wechat_appid, settings.wechat_secret, settings.wechat_api_base, cache, clock),
        real_name=HttpRealNameVerifier(settings.realname_base, settings.realname_key),
        envelope=Envelope(Keyring.parse(settings.data_keys)),
        index=BlindIndex(secret_bytes(settings.index_key)),
        token_keys=TokenKeys.of(settings.signing_keys),
        credential_key=secret_bytes(settings.credential_key),
        job_key=secret_bytes(settings.job_key),
    )


async def _refuse_moved_clock(settings: Settings, vault: Vault) -> None:
    """A production start refuses a database whose clock can be moved (D11)."""
    if settings.environment == "production" and not await vault.clock_is_plain():
        raise UnsafeSettings("vault.now() is not the plain clock: this database belongs to a sandbox")
