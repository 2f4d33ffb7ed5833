"""Sessions: who is calling, for how long, and how that ends.

log_in(code) ─ WeChat ─> identity ─> session row ─> access token + refresh token
refresh(token)           generation n ─> n+1; n again within 30 s ─> the same n+1; any older one ─> family revoked
first of a day           the fact `login_day`, if a campaign asks for it: once for a person, whichever account he has
check(claims)            revoked? expired? whose? ─> Caller, remembered for at most one second
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog

from server.kit.caller import Caller, CallerKind
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex, Envelope
from server.kit.db import fetch, transaction
from server.kit.ids import uuid7
from server.people.errors import RefreshTokenInvalid, RefreshTokenReused, SessionRevoked
from server.people.models import Identity, Resident, Session
from server.people.ports import AsksFor, RecordFact, WalletPort, WeChatPort
from server.people.roles import scopes_of
from server.people.status_cache import StatusCache
from server.people.tokens import TokenKeys, Tokens, is_genuine, read_refresh, refresh_token, sign_access
from wallet.directories import Directory

REUSE_GRACE_S = 30
LOGIN_DAY = "login_day"
OPENID_PURPOSE = "identity.openid"
_KINDS: dict[str, CallerKind] = {
    "resident": "resident",
    "merchant": "staff",
    "terminal": "terminal",
    "admin": "admin",
}
_STATUS = (
    "SELECT s.id, s.aud, s.subject, s.expires_at, s.revoked_at, s.identity_id, i.resident_id, s.administrator_id,"
    " a.roles::text AS roles, a.disabled_at FROM session s"
    " LEFT JOIN identity i ON i.id = s.identity_id LEFT JOIN administrator a ON a.id = s.administrator_id"
    " WHERE s.id = ANY($1::uuid[])"
)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Owner:
    """Whose session family it is. A staff member's family names the identity as well."""

    identity_id: int | None = None
    administrator_id: int | None = None
    staff_id: int | None = None
    terminal_id: int | None = None


@dataclass(frozen=True)
class LoggedIn:
    tokens: Tokens = field(repr=False)
    identity_id: int
    resident_id: int | None


@dataclass(frozen=True)
class SessionStatus:
    """What the database said about a session; `scopes` only for administrators."""

    aud: str
    subject: str
    live: bool
    expires_at: datetime
    identity_id: int | None
    resident_id: int | None
    administrator_id: int | None
    roles: tuple[str, ...]


class SessionService:
    """Log-in, refresh, log-out and the answer to "who is this?"."""

    def __init__(
        self,
        *,
        clock: Clock,
        wechat: WeChatPort,
        wallet: WalletPort,
        envelope: Envelope,
        index: BlindIndex,
        keys: TokenKeys,
        access_ttl_s: int = 600,
        refresh_ttl_s: int = 30 * 86_400,
        record_fact: RecordFact,
        asks_for: AsksFor,
        status_ttl_s: float = 1.0,
        status_size: int = 20_000,
    ) -> None:
        self._clock = clock
        self._wechat = wechat
        self._wallet = wallet
        self._envelope = envelope
        self._index = index
        self._keys = keys
        self._access_ttl_s = access_ttl_s
        self._refresh_ttl_s = refresh_ttl_s
        self._record_fact = record_fact
        self._asks_for = asks_for
        self._status: StatusCache[UUID, SessionStatus] = StatusCache(ttl_s=status_ttl_s, size=status_size)
        self._stored = Directory[UUID](_read_status)

    async def log_in(self, code: str) -> LoggedIn:
        """Exchange a `wx.login` code for a session of aud resident. WeChat's session_key is not kept (D26)."""
        identity_id, resident_id, told = await self._identify(code)
        await self._tell_day(identity_id, resident_id, told)
        tokens = await self.issue(
            aud="resident", subject=str(identity_id), extra_claims={}, owner=Owner(identity_id=identity_id)
        )
        return LoggedIn(tokens=tokens, identity_id=identity_id, resident_id=resident_id)

    async def identify(self, code: str) -> int:
        """The identity behind a `wx.login` code, created when it is new. For log-ins that are not a resident's."""
        return (await self._identify(code))[0]

    async def issue(
        self, *, aud: str, subject: str, extra_claims: Mapping[str, object], owner: Owner, ttl_s: int | None = None
    ) -> Tokens:
        """Start a session family. `ttl_s` is its whole life; refreshing does not lengthen it. One INSERT."""
        now = self._clock.now()
        session = await Session.create(
            id=uuid7(now),
            aud=aud,
            subject=subject,
            identity_id=owner.identity_id,
            administrator_id=owner.administrator_id,
            staff_id=owner.staff_id,
            terminal_id=owner.terminal_id,
            extra_claims=dict(extra_claims),
            kid=self._keys.current,
            salt=secrets.token_bytes(32),
            created_at=now,
            expires_at=now + timedelta(seconds=self._refresh_ttl_s if ttl_s is None else ttl_s),
        )
        return self._tokens(session, generation=0, now=now)

    async def refresh(self, token: str, *, aud: str | None = None) -> Tokens:
        """Exchange a refresh token for its successor; with `aud`, only one of that audience.

        The token just used may come again within 30 s (a lost answer, two tabs) and gets the same successor. Any other
        used token means that two parties hold the family: it is revoked and `RefreshTokenReused` is raised.
        """
        claim = read_refresh(token)
        if claim is None:
            raise RefreshTokenInvalid
        for _ in range(3):
            session = await Session.get_or_none(id=claim.session_id).select_related("administrator", "identity")
            key = self._keys.get(session.kid) if session else None
            if session is None or key is None or not is_genuine(claim, key=key, salt=bytes(session.salt)):
                raise RefreshTokenInvalid
            if aud is not None and session.aud != aud:
                raise RefreshTokenInvalid
            now = self._clock.now()
            if not _is_live(session, now):
                raise SessionRevoked
            if claim.generation == session.generation:
                moved = await Session.filter(id=session.id, generation=claim.generation, revoked_at=None).update(
                    generation=claim.generation + 1, rotated_at=now
                )
                if moved == 1:
                    if session.aud == "resident" and session.identity is not None:
                        who = session.identity
                        await self._tell_day(who.id, who.resident_id, who.login_day)
                    return self._tokens(session, generation=claim.generation + 1, now=now)
                continue
            if may_repeat(claim.generation, session.generation, session.rotated_at, now):
                return self._tokens(session, generation=session.generation, now=now)
            await self._revoke_reused(session)
            raise RefreshTokenReused
        raise SessionRevoked

    async def log_out(self, session_id: str) -> None:
        """End one session family. Ending it twice is no error."""
        sid = UUID(session_id)
        await Session.filter(id=sid, revoked_at=None).update(revoked_at=self._clock.now(), revoked_why="logged_out")
        self._status.forget(sid)

    async def log_out_everywhere(self, identity_id: int) -> None:
        """End every session of the person behind the identity and kill all codes shown on any phone.

        The sessions end and the intent to kill is written in one transaction; the vault is told after it. Should that
        fail, `redrive_epochs` tells it again (D18).
        """
        now = self._clock.now()
        async with transaction() as tx:
            row = await Identity.filter(id=identity_id).using_db(tx).first()
            resident_id: int | None = getattr(row, "resident_id", None)
            if resident_id is not None:
                await Resident.filter(id=resident_id).using_db(tx).update(epoch_due_at=now)
            ended = await tx.execute_query_dict(
                "UPDATE session SET revoked_at = $1, revoked_why = 'logged_out_everywhere' WHERE revoked_at IS NULL"
                " AND identity_id IN (SELECT id FROM identity WHERE id = $2 OR resident_id = $3) RETURNING id",
                [now, identity_id, resident_id],
            )
        for session in ended:
            self._status.forget(UUID(str(session["id"])))
        if resident_id is not None:
            await self._kill_codes(resident_id, now)

    async def revoke_owner(self, owner: Owner, *, why: str) -> int:
        """End every session of a staff member, terminal, administrator or identity; how many. `why` ≤ 32 characters."""
        named = {name: value for name, value in vars(owner).items() if value is not None}
        if not named:
            raise ValueError("an owner must be named")
        ids = await Session.filter(revoked_at=None, **named).values_list("id", flat=True)
        ended = await Session.filter(id__in=list(ids), revoked_at=None).update(
            revoked_at=self._clock.now(), revoked_why=why
        )
        for sid in ids:
            self._status.forget(UUID(str(sid)))
        return ended

    async def check(self, claims: Mapping[str, Any]) -> Caller:
        """The caller behind verified access-token claims; `SessionRevoked` when the session is over.

        Remembered for at most one second per process. An unbound identity is not remembered, so the first request after
        the real-name binding already sees the resident.
        """
        try:
            sid = UUID(str(claims["sid"]))
        except (KeyError, ValueError) as error:
            raise SessionRevoked from error
        status = await self._status.get(
            sid, lambda: self._load(sid), keep=lambda it: it.aud != "resident" or it.resident_id is not None
        )
        if not status.live or status.expires_at <= self._clock.now():
            raise SessionRevoked
        if status.aud != claims.get("aud") or status.subject != claims.get("sub"):
            raise SessionRevoked
        return _caller(sid, status, claims)

    async def redrive_epochs(self, *, older_than_s: int = 5, limit: int = 100) -> int:
        """Kill the codes of those whose log-out everywhere did not reach the vault; how many. For the worker."""
        before = self._clock.now() - timedelta(seconds=older_than_s)
        due = await Resident.filter(epoch_due_at__lt=before).order_by("epoch_due_at").limit(limit)
        done = 0
        for resident in due:
            if resident.epoch_due_at is not None and await self._kill_codes(resident.id, resident.epoch_due_at):
                done += 1
        return done

    async def purge(self, *, kept_days: int = 7, limit: int = 1000) -> int:
        """Delete families that ended more than `kept_days` ago, at most `limit`; how many. For the worker."""
        before = self._clock.now() - timedelta(days=kept_days)
        oldest = Session.filter(expires_at__lt=before).order_by("expires_at").limit(limit)
        ids = await oldest.values_list("id", flat=True)
        return await Session.filter(id__in=list(ids)).delete()

    async def _tell_day(self, identity_id: int, resident_id: int | None, told: date | None) -> None:
        """Tell that a natural person is here today, if a campaign asks for it and this account has not told it. What
        nobody asks for leaves no trace, so a campaign that begins today is told of who comes after that."""
        now = self._clock.now()
        today = now.astimezone(self._clock.zone).date()
        if resident_id is None or told == today or not await self._asks_for(LOGIN_DAY):
            return
        async with transaction() as tx:
            await Identity.filter(id=identity_id).using_db(tx).update(login_day=today)
            await self._record_fact(
                tx, resident_id, kind=LOGIN_DAY, source_id=f"{resident_id}:{today}", occurred_at=now, attributes={}
            )

    async def _identify(self, code: str) -> tuple[int, int | None, date | None]:
        """(identity, its resident, the last day of which a log-in was told); the identity is made when it is new."""
        login = await self._wechat.code_to_session(code)
        subject = self._index.of(login.openid, purpose=OPENID_PURPOSE)
        sealed = self._envelope.seal(login.openid, purpose=OPENID_PURPOSE)
        async with transaction() as tx:
            rows = await tx.execute_query_dict(
                "INSERT INTO identity (provider, subject_hmac, subject_sealed, created_at, last_login_at)"
                " VALUES ('wechat', $1, $2, $3, $3) ON CONFLICT (provider, subject_hmac)"
                " DO UPDATE SET last_login_at = EXCLUDED.last_login_at RETURNING id, resident_id, login_day",
                [subject, sealed, self._clock.now()],
            )
        return rows[0]["id"], rows[0]["resident_id"], rows[0]["login_day"]

    async def _load(self, sid: UUID) -> SessionStatus:
        found = await self._stored.find(sid)
        if found is None:
            raise SessionRevoked
        row = found[1]
        return SessionStatus(
            aud=row["aud"],
            subject=row["subject"],
            live=row["revoked_at"] is None and row["disabled_at"] is None,
            expires_at=row["expires_at"],
            identity_id=row["identity_id"],
            resident_id=row["resident_id"],
            administrator_id=row["administrator_id"],
            roles=tuple(msgspec.json.decode(row["roles"])) if row["roles"] else (),
        )

    async def _kill_codes(self, resident_id: int, due_at: datetime) -> bool:
        try:
            await self._wallet.bump_epoch(resident_id)
        except Exception as error:
            _log.warning("epoch_bump_failed", resident_id=resident_id, error=type(error).__name__)
            return False
        await Resident.filter(id=resident_id, epoch_due_at=due_at).update(epoch_due_at=None)
        return True

    async def _revoke_reused(self, session: Session) -> None:
        await Session.filter(id=session.id, revoked_at=None).update(
            revoked_at=self._clock.now(), revoked_why="refresh_token_reused"
        )
        self._status.forget(session.id)
        _log.warning("refresh_token_reused", session_id=str(session.id), aud=session.aud)

    def _tokens(self, session: Session, *, generation: int, now: datetime) -> Tokens:
        access, expires_at = sign_access(
            self._keys,
            aud=session.aud,
            subject=session.subject,
            session_id=session.id,
            extra=session.extra_claims,
            now=now,
            ttl_s=self._access_ttl_s,
        )
        refresh = refresh_token(
            self._keys.keys[session.kid], session_id=session.id, generation=generation, salt=bytes(session.salt)
        )
        return Tokens(
            access_token=access,
            refresh_token=refresh,
            expires_at=expires_at,
            refresh_expires_at=session.expires_at,
            session_id=session.id,
        )


async def _read_status(sids: list[UUID]) -> list[tuple[UUID, dict[str, Any]]]:
    """Sessions by their ids: a crowd of strangers asks once."""
    return [(row["id"], row) for row in await fetch(_STATUS, sids)]


def may_repeat(generation: int, current: int, rotated_at: datetime | None, now: datetime) -> bool:
    """Whether a used refresh token is an honest repetition: the last one used, at most 30 s ago."""
    if generation != current - 1 or rotated_at is None:
        return False
    return now - rotated_at <= timedelta(seconds=REUSE_GRACE_S)


def _is_live(session: Session, now: datetime) -> bool:
    disabled = session.administrator is not None and session.administrator.disabled_at is not None
    return session.revoked_at is None and session.expires_at > now and not disabled


def _caller(sid: UUID, status: SessionStatus, claims: Mapping[str, Any]) -> Caller:
    role = claims.get("role")
    return Caller(
        kind=_KINDS[status.aud],
        session_id=str(sid),
        identity_id=status.identity_id,
        resident_id=status.resident_id,
        merchant_id=_number(claims.get("mid")),
        store_id=_number(claims.get("store")),
        terminal_id=_number(claims.get("term")),
        staff_id=_number(claims.get("staff")),
        roles=frozenset(status.roles) if status.aud == "admin" else frozenset({str(role)} if role else ()),
        scopes=scopes_of(status.roles),
        admin_id=status.administrator_id,
    )


def _number(value: object) -> int | None:
    return None if value is None else int(str(value))
