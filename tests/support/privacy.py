"""What merchants were shown: every body of a merchant's route, searched for what a merchant must not see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from server.sandbox.city import City

PATH = "/api/mp/v1/merchant/"
KEPT_MAX = 5_000
#: No key of a merchant's answer may have one of these in it. Names of stores and colleagues are theirs to see.
WORDS = (
    "openid",
    "unionid",
    "resident",
    "identity",
    "owner",
    "score",
    "band",
    "name",
    "phone",
    "id_number",
    "wallet",
    "coupon_id",
    "credential",
)
OWN_NAMES = {"display_name", "merchant_name", "name"}


@dataclass
class MerchantBodies:
    """Collects bodies by an httpx hook. `secrets`: openids, ID numbers and phones that exist; `names`: residents'."""

    secrets: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    bodies: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, city: City) -> MerchantBodies:
        """Knows everybody in the city; a resident who is called like a colleague behind a counter is not told apart."""
        staff = [one for merchant in city.merchants for one in merchant.staff]
        secrets = {text for one in city.residents for text in (one.id_number, one.phone, one.openid)}
        names = {one.name for one in city.residents} - {one.name for one in staff}
        return cls(secrets | {one.openid for one in staff}, names)

    async def keep(self, answer: httpx.Response) -> None:
        """The hook."""
        if answer.request.url.path.startswith(PATH) and len(self.bodies) < KEPT_MAX:
            await answer.aread()
            self.bodies.append((f"{answer.request.method} {answer.request.url.path} {answer.status_code}", answer.text))

    def leaks(self) -> list[str]:
        """What no merchant should have been shown, with where it stood; nothing when all is well."""
        found: list[str] = []
        for where, text in self.bodies:
            found += [f"{where}: a person's data: {secret}" for secret in self.secrets if secret in text]
            if not text.startswith("{"):
                continue
            for key, value in walk(json.loads(text)):
                if forbidden_key(key):
                    found.append(f"{where}: the key {key}")
                if isinstance(value, str) and value in self.names:
                    found.append(f"{where}: a resident's name under {key}")
        return found


def forbidden_key(key: str) -> bool:
    """Whether a key speaks of a person or of how good somebody is."""
    return key not in OWN_NAMES and any(word in key.lower() for word in WORDS)


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of a JSON value with what stands under it, at any depth."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield key, part
            yield from walk(part)
    elif isinstance(value, list):
        for part in value:
            yield from walk(part)
