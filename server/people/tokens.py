"""The two tokens of a session: a signed access token and an opaque refresh token.

    access   JWT, HS256 with `kid`, 10 minutes (D26)
    refresh  base64url( 1 | sid 16 B | generation 4 B | HMAC-SHA256(key, label | sid | generation | salt) 32 B )

The refresh token of a generation follows from the session row and a key outside the database. So each process can name
the successor of a used token again without anybody having stored it, and a token of any past generation is told from a
forged one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

ISSUER = "chengxin"
_LABEL = b"chengxin refresh 1\0"
_FORM = b"\x01"
_LENGTH = 1 + 16 + 4 + 32


@dataclass(frozen=True)
class TokenKeys:
    """HS256 keys by kid. New tokens are signed with `current`; the others only check what was signed before."""

    keys: Mapping[str, bytes] = field(repr=False)
    current: str

    def __post_init__(self) -> None:
        if self.current not in self.keys:
            raise ValueError("the current kid has no key")
        if any(len(key) < 32 for key in self.keys.values()):
            raise ValueError("a token key needs at least 32 bytes")

    @classmethod
    def of(cls, keys: Mapping[str, bytes]) -> TokenKeys:
        """Keys as the settings list them: the first one signs."""
        return cls(keys=dict(keys), current=next(iter(keys), ""))

    def get(self, kid: str) -> bytes | None:
        return self.keys.get(kid)


@dataclass(frozen=True)
class Tokens:
    """What a log-in or a refresh hands out. `expires_at` ends the access token, `refresh_expires_at` the session."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: datetime
    refresh_expires_at: datetime
    session_id: UUID


@dataclass(frozen=True)
class RefreshClaim:
    """What a refresh token says about itself before it is checked."""

    session_id: UUID
    generation: int
    mac: bytes = field(repr=False)


def sign_access(
    keys: TokenKeys, *, aud: str, subject: str, session_id: UUID, extra: Mapping[str, object], now: datetime, ttl_s: int
) -> tuple[str, datetime]:
    """An access token and the instant at which it ends. Claims of the house win over `extra`."""
    issued_at = int(now.timestamp())
    claims: dict[str, Any] = {
        **extra,
        "iss": ISSUER,
        "aud": aud,
        "sub": subject,
        "sid": str(session_id),
        "iat": issued_at,
        "exp": issued_at + ttl_s,
    }
    token = jwt.encode(claims, keys.keys[keys.current], algorithm="HS256", headers={"kid": keys.current})
    return token, now.replace(microsecond=0) + timedelta(seconds=ttl_s)


def refresh_token(key: bytes, *, session_id: UUID, generation: int, salt: bytes) -> str:
    """The refresh token of `generation`: always the same for the same session."""
    body = session_id.bytes + generation.to_bytes(4, "big")
    mac = _mac(key, body, salt)
    return base64.urlsafe_b64encode(_FORM + body + mac).rstrip(b"=").decode()


def read_refresh(token: str) -> RefreshClaim | None:
    """The parts of a refresh token, or None when it has not the form of one."""
    if len(token) > 2 * _LENGTH or not token.isascii():
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != _LENGTH or raw[:1] != _FORM:
        return None
    return RefreshClaim(session_id=UUID(bytes=raw[1:17]), generation=int.from_bytes(raw[17:21], "big"), mac=raw[21:])


def is_genuine(claim: RefreshClaim, *, key: bytes, salt: bytes) -> bool:
    """Whether the house made this token, whatever its age."""
    body = claim.session_id.bytes + claim.generation.to_bytes(4, "big")
    return hmac.compare_digest(claim.mac, _mac(key, body, salt))


def _mac(key: bytes, body: bytes, salt: bytes) -> bytes:
    return hmac.new(key, _LABEL + body + salt, hashlib.sha256).digest()
