"""From a bearer token to a caller who may call this route.

    Authorization ──HS256, cached by hash──▶ claims ──services, ≤ 1 s old──▶ Caller ──rule──▶ handler

A signature is checked once per token and process: decoded claims are remembered until they expire (D26). What may
change before that (session, staff, terminal, roles) is asked of the rooms on every request.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import jwt

from server.kit.caller import ANONYMOUS, Caller
from server.kit.clock import Clock
from server.kit.errors import Forbidden
from server.web.errors import BindingRequired, TokenExpired, TokenInvalid, TokenMissing
from server.web.routing import Rule

ISSUER: Final = "chengxin"
TERMINAL_HEADER: Final = "X-Terminal-Token"
TOKEN_MAX: Final = 2048
CACHED_MAX: Final = 50_000
_REQUIRED: Final = ("iss", "aud", "sub", "sid", "iat", "exp")

Claims = dict[str, Any]


class TokenReader:
    """Verified claims of access tokens; anything else is TokenInvalid or TokenExpired."""

    def __init__(self, keys: Mapping[str, bytes], clock: Clock) -> None:
        self._keys = dict(keys)
        self._clock = clock
        self._seen: OrderedDict[bytes, Claims] = OrderedDict()

    def read(self, token: str) -> Claims:
        """The claims of a token that holds now."""
        if len(token) > TOKEN_MAX or not token.isascii():
            raise TokenInvalid
        name = blake2b(token.encode(), digest_size=16).digest()
        claims = self._seen.get(name)
        if claims is None:
            claims = self._verify(token)
            self._seen[name] = claims
            if len(self._seen) > CACHED_MAX:
                self._seen.popitem(last=False)
        if claims["exp"] <= self._clock.unix():
            self._seen.pop(name, None)
            raise TokenExpired
        return claims

    def _verify(self, token: str) -> Claims:
        try:
            key = self._keys[jwt.get_unverified_header(token).get("kid", "")]
            claims: Claims = jwt.decode(
                token,
                key,
                algorithms=["HS256"],
                issuer=ISSUER,
                options={"require": list(_REQUIRED), "verify_exp": False, "verify_iat": False, "verify_aud": False},
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError):
            raise TokenInvalid from None
        if not isinstance(claims["exp"], int) or not isinstance(claims["aud"], str):
            raise TokenInvalid
        return claims


class Gate:
    """Lets a request through to a route, as whom."""

    def __init__(self, reader: TokenReader, services: Any) -> None:
        self._reader = reader
        self._services = services

    async def admit(self, rule: Rule, headers: Any) -> Caller:
        """The caller, when the rule allows it; otherwise TokenMissing, TokenInvalid, Forbidden, BindingRequired …"""
        if not rule.audiences:
            return ANONYMOUS
        authorization = headers.get("authorization")
        if not authorization:
            raise TokenMissing
        if authorization[:7].lower() != "bearer ":
            raise TokenInvalid
        claims = self._reader.read(authorization[7:])
        audience = claims["aud"]
        if audience not in rule.audiences:
            raise Forbidden
        if audience in ("merchant", "terminal"):
            caller = await self._at_the_counter(claims, headers)
        else:
            caller = await self._services.sessions.check(claims)
        _judge(rule, caller)
        return caller

    async def _at_the_counter(self, claims: Claims, headers: Any) -> Caller:
        sent = headers.get(TERMINAL_HEADER) if claims["aud"] == "merchant" else None
        machine = self._reader.read(sent) if sent else None
        caller: Caller = await self._services.merchants.check_counter(claims, machine)
        return caller


def _judge(rule: Rule, caller: Caller) -> None:
    if rule.bound and caller.resident_id is None:
        raise BindingRequired
    if rule.roles and caller.kind == "staff" and not rule.roles & caller.roles:
        raise Forbidden
    if rule.scope is not None and rule.scope not in caller.scopes:
        raise Forbidden
