"""Administrators: password, one-time code, roles.

log_in ─> lock-out ─> argon2 (also for unknown names) ─> TOTP step, used once ─> session of aud admin
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from server.kit import audit
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex, Envelope
from server.kit.db import transaction
from server.kit.errors import InvalidField, NotFound
from server.people.errors import AdminLoginLocked, AdminLoginRefused, PasswordTooWeak, UsernameTaken
from server.people.lockout import Lockout, Subject
from server.people.models import Administrator
from server.people.roles import check_roles, scopes_of
from server.people.sessions import Owner, SessionService
from server.people.tokens import Tokens

TOTP_PURPOSE = "administrator.totp"
TOTP_STEP_S = 30
TOTP_WINDOW = (-1, 0, 1)
PASSWORD_MIN = 12
PASSWORD_MAX = 128
_USERNAME = re.compile(r"[a-z][a-z0-9._-]{2,31}")
_SYSTEM = audit.Actor(kind="system", id="cli")


@dataclass(frozen=True)
class NewAdministrator:
    """`otpauth_uri` is shown once, to be scanned by an authenticator app."""

    id: int
    username: str
    otpauth_uri: str = field(repr=False)


@dataclass(frozen=True)
class AdminLoggedIn:
    tokens: Tokens = field(repr=False)
    administrator_id: int
    username: str
    display_name: str
    roles: tuple[str, ...]
    scopes: frozenset[str]


@dataclass(frozen=True)
class AdministratorView:
    """An account as its colleagues see it."""

    id: int
    username: str
    display_name: str
    roles: tuple[str, ...]
    created_at: datetime
    disabled_at: datetime | None


class AdministratorService:
    """Accounts of the console."""

    def __init__(
        self,
        *,
        clock: Clock,
        sessions: SessionService,
        envelope: Envelope,
        index: BlindIndex,
        session_ttl_s: int = 12 * 3600,
        issuer: str = "澄信",
        hasher: PasswordHasher | None = None,
        hashing_at_once: int = 2,
    ) -> None:
        self._clock = clock
        self._sessions = sessions
        self._envelope = envelope
        self._session_ttl_s = session_ttl_s
        self._issuer = issuer
        self._hasher = hasher or PasswordHasher()
        self._hashing = asyncio.Semaphore(hashing_at_once)
        self._lockout = Lockout(clock=clock, index=index)
        self._nobodys_hash = hash_of_nothing(self._hasher)
        self._nobodys_secret = envelope.seal(pyotp.random_base32(), purpose=TOTP_PURPOSE)

    @property
    def lockout(self) -> Lockout:
        """For the worker, which purges old counts."""
        return self._lockout

    async def create_admin(
        self,
        username: str,
        password: str,
        *,
        roles: Sequence[str],
        display_name: str = "",
        totp_secret: str | None = None,
        created_by: audit.Actor = _SYSTEM,
        request_id: str = "",
    ) -> NewAdministrator:
        """Make an account and return its otpauth URI. Refuses weak passwords, unknown roles and a name already taken.

        `totp_secret` (base32) is drawn when it is not given; a sandbox gives it to keep its accounts over a restart.
        """
        _check_credentials(username, password)
        check_roles(roles)
        secret = totp_secret or pyotp.random_base32()
        password_hash = await self._hash(password)
        now = self._clock.now()
        async with transaction() as tx:
            rows = await tx.execute_query_dict(
                "INSERT INTO administrator"
                " (username, display_name, password_hash, totp_secret_sealed, roles, created_at)"
                " VALUES ($1, $2, $3, $4, to_jsonb($5::text[]), $6) ON CONFLICT (username) DO NOTHING RETURNING id",
                [
                    username,
                    display_name or username,
                    password_hash,
                    self._envelope.seal(secret, purpose=TOTP_PURPOSE),
                    list(roles),
                    now,
                ],
            )
            if not rows:
                raise UsernameTaken(field="username")
            admin_id = int(rows[0]["id"])
            await audit.record(
                tx,
                actor=created_by,
                action="administrator.create",
                object_kind="administrator",
                object_id=str(admin_id),
                before=None,
                after={"username": username, "roles": list(roles)},
                at=now,
                request_id=request_id,
            )
        uri = pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=self._issuer)
        return NewAdministrator(id=admin_id, username=username, otpauth_uri=uri)

    async def log_in(
        self, username: str, password: str, totp: str, *, remote_ip: str, request_id: str = ""
    ) -> AdminLoggedIn:
        """Check password and one-time code. One answer for everything that may be wrong, in the same time.

        `AdminLoginRefused`; `AdminLoginLocked` with the seconds to wait after too many failures of the name or address.
        """
        username = username.strip().lower()[:64]
        counted = (Subject("account", username), Subject("ip", remote_ip))
        await self._lockout.begin(counted, AdminLoginLocked)
        admin = await Administrator.get_or_none(username=username)
        known = admin is not None and admin.disabled_at is None
        password_right = await self._verify(admin.password_hash if admin else self._nobodys_hash, password)
        sealed = bytes(admin.totp_secret_sealed) if admin else self._nobodys_secret
        secret = self._envelope.open(sealed, purpose=TOTP_PURPOSE)
        step = totp_step(secret, totp, self._clock.unix())
        if admin is None or not known or not password_right or step is None:
            raise AdminLoginRefused
        if not await self._use_step(admin.id, step):
            raise AdminLoginRefused
        await self._lockout.succeeded(counted)
        return await self._begin_session(admin, request_id)

    async def listed(self) -> list[AdministratorView]:
        """Every account, those that were closed too, by id: who a number in the console is."""
        return [
            AdministratorView(row.id, row.username, row.display_name, tuple(row.roles), row.created_at, row.disabled_at)
            for row in await Administrator.all().order_by("id")
        ]

    async def disable(self, admin_id: int, *, by: audit.Actor, request_id: str = "") -> None:
        """Close an account and end its sessions."""
        now = self._clock.now()
        async with transaction() as tx:
            changed = await Administrator.filter(id=admin_id, disabled_at=None).using_db(tx).update(disabled_at=now)
            if changed == 0:
                raise NotFound
            await audit.record(
                tx,
                actor=by,
                action="administrator.disable",
                object_kind="administrator",
                object_id=str(admin_id),
                before={"disabled": False},
                after={"disabled": True},
                at=now,
                request_id=request_id,
            )
        await self._sessions.revoke_owner(Owner(administrator_id=admin_id), why="account_disabled")

    async def _begin_session(self, admin: Administrator, request_id: str) -> AdminLoggedIn:
        async with transaction() as tx:
            tokens = await self._sessions.issue(
                aud="admin",
                subject=str(admin.id),
                extra_claims={},
                owner=Owner(administrator_id=admin.id),
                ttl_s=self._session_ttl_s,
            )
            await audit.record(
                tx,
                actor=audit.Actor(kind="admin", id=str(admin.id)),
                action="administrator.log_in",
                object_kind="session",
                object_id=str(tokens.session_id),
                before=None,
                after=None,
                at=self._clock.now(),
                request_id=request_id,
            )
        return AdminLoggedIn(
            tokens=tokens,
            administrator_id=admin.id,
            username=admin.username,
            display_name=admin.display_name,
            roles=tuple(admin.roles),
            scopes=scopes_of(admin.roles),
        )

    async def _use_step(self, admin_id: int, step: int) -> bool:
        """Burn a one-time step; False when it or a later one was used before, also by somebody at the same moment."""
        async with transaction() as tx:
            rows = await tx.execute_query_dict(
                "UPDATE administrator SET last_totp_step = $1 WHERE id = $2 AND coalesce(last_totp_step < $1, true)"
                " RETURNING id",
                [step, admin_id],
            )
        return bool(rows)

    async def _hash(self, password: str) -> str:
        async with self._hashing:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def _verify(self, password_hash: str, password: str) -> bool:
        if len(password) > PASSWORD_MAX:
            password = ""
        async with self._hashing:
            try:
                return await asyncio.to_thread(self._hasher.verify, password_hash, password)
            except (VerificationError, InvalidHashError):
                return False


def hash_of_nothing(hasher: PasswordHasher) -> str:
    """A hash that no password has and that costs as much to refuse as any other; made without the work of hashing."""
    salt, tag = (
        base64.b64encode(secrets.token_bytes(size)).rstrip(b"=").decode() for size in (hasher.salt_len, hasher.hash_len)
    )
    return f"$argon2id$v=19$m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}${salt}${tag}"


def totp_step(secret: str, code: str, unix_s: float) -> int | None:
    """The 30 s step the code belongs to, one step of clock skew either way, or None. Always looks at every step."""
    if len(code) != 6 or not (code.isascii() and code.isdigit()):
        code = "------"
    otp, now_step = pyotp.TOTP(secret), int(unix_s) // TOTP_STEP_S
    found: int | None = None
    for offset in TOTP_WINDOW:
        step = now_step + offset
        if hmac.compare_digest(otp.generate_otp(step), code):
            found = step
    return found


def _check_credentials(username: str, password: str) -> None:
    if not _USERNAME.fullmatch(username):
        raise InvalidField(field="username")
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX or username in password.lower():
        raise PasswordTooWeak(field="password")
