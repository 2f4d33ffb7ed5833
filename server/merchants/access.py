"""Who may stand at the counter: sessions of staff, tokens of terminals, and the check of every request.

    staff phone       Authorization: staff session                                   terminal = the phone
    PC, gun           Authorization: staff session, X-Terminal-Token: terminal token terminal = the machine
    gate              Authorization: terminal token                                  no staff

Revoked staff and terminals are refused here. A suspended merchant or a closed store is *not*: it may still read and
replay (D24), so the caller carries the fact in `scopes` and the vault refuses what would move value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from server.kit.caller import Caller
from server.kit.clock import Clock
from server.kit.ids import uuid7
from server.merchants.errors import (
    NotStaffHere,
    StaffRevoked,
    StaffSessionRequired,
    StoreClosed,
    TerminalElsewhere,
    TerminalPending,
    TerminalRevoked,
)
from server.merchants.models import StaffMember, StaffStore, Store
from server.merchants.standing import StaffStanding, Standings, TerminalStanding
from server.merchants.terminals import Terminals
from server.merchants.views import StoreView, TerminalView
from server.people.sessions import Owner
from server.people.tokens import TokenKeys, Tokens, sign_access

MERCHANT_SUSPENDED = "merchant_suspended"
STORE_CLOSED = "store_closed"
UNATTENDED = frozenset({"gate"})


class Sessions(Protocol):
    """The part of the people room this room needs."""

    async def identify(self, code: str, /) -> int: ...

    async def issue(self, *, aud: str, subject: str, extra_claims: Mapping[str, object], owner: Owner) -> Tokens: ...

    async def check(self, claims: Mapping[str, Any], /) -> Caller: ...


@dataclass(frozen=True)
class StaffLoggedIn:
    """A staff session at one store, bound to the phone's terminal."""

    tokens: Tokens = field(repr=False)
    staff_id: int
    role: str
    merchant_id: int
    merchant_name: str
    merchant_status: str
    store: StoreView
    terminal: TerminalView


@dataclass(frozen=True)
class TerminalToken:
    """A short token of an enrolled terminal."""

    access_token: str = field(repr=False)
    expires_at: datetime
    terminal: TerminalView


class CounterAccess:
    """Opens counter sessions and says who is calling."""

    def __init__(
        self,
        *,
        clock: Clock,
        sessions: Sessions,
        terminals: Terminals,
        standings: Standings,
        keys: TokenKeys,
        access_ttl_s: int = 600,
    ) -> None:
        self._clock = clock
        self._sessions = sessions
        self._terminals = terminals
        self._standings = standings
        self._keys = keys
        self._access_ttl_s = access_ttl_s

    async def log_in(self, code: str, store_id: int, *, request_id: str) -> StaffLoggedIn:
        """A WeChat login becomes a session at one store. NotStaffHere for everybody else, also for unknown stores."""
        identity_id = await self._sessions.identify(code)
        store = await Store.get_or_none(id=store_id).select_related("merchant")
        if store is None:
            raise NotStaffHere
        staff = await StaffMember.get_or_none(merchant_id=store.merchant_id, identity_id=identity_id, status="active")
        if staff is None or not (staff.all_stores or await StaffStore.exists(staff_id=staff.id, store_id=store.id)):
            raise NotStaffHere
        if store.status != "open":
            raise StoreClosed
        phone = await self._terminals.phone_of(staff, store.id, request_id=request_id)
        tokens = await self._sessions.issue(
            aud="merchant",
            subject=str(identity_id),
            extra_claims={
                "mid": str(store.merchant_id),
                "store": str(store.id),
                "term": str(phone.id),
                "staff": str(staff.id),
                "role": staff.role,
            },
            owner=Owner(identity_id=identity_id, staff_id=staff.id, terminal_id=phone.id),
        )
        return StaffLoggedIn(
            tokens=tokens,
            staff_id=staff.id,
            role=staff.role,
            merchant_id=store.merchant_id,
            merchant_name=store.merchant.name,
            merchant_status=store.merchant.status,
            store=StoreView(store.id, store.merchant_id, store.town, store.name, store.status),
            terminal=phone,
        )

    async def open_terminal(self, secret: str) -> TerminalToken:
        """Exchange a terminal's secret for a short token. It has no session row: `check` asks the terminal's status."""
        terminal = await self._terminals.by_secret(secret)
        now = self._clock.now()
        token, expires_at = sign_access(
            self._keys,
            aud="terminal",
            subject=str(terminal.id),
            session_id=uuid7(now),
            extra={
                "mid": str(terminal.merchant_id),
                "store": str(terminal.store_id),
                "term": str(terminal.id),
                "kind": terminal.kind,
            },
            now=now,
            ttl_s=self._access_ttl_s,
        )
        return TerminalToken(token, expires_at, terminal)

    async def check(self, claims: Mapping[str, Any], terminal_claims: Mapping[str, Any] | None = None) -> Caller:
        """The caller behind verified claims of aud merchant or terminal, at most one second old.

        `terminal_claims` are those of X-Terminal-Token, verified, of aud terminal.
        """
        if claims.get("aud") == "terminal":
            return await self._unattended(claims)
        caller = await self._sessions.check(claims)
        phone, staff = await self._standing(caller.terminal_id or 0, caller.staff_id or 0)
        if staff is None or staff.identity_id != caller.identity_id:
            raise StaffRevoked
        terminal = phone
        if terminal_claims is not None:
            if terminal_claims.get("aud") != "terminal":
                raise TerminalRevoked
            terminal, _ = await self._standing(int(str(terminal_claims["sub"])), staff.id)
            if terminal.store_id != phone.store_id:
                raise TerminalElsewhere
        return Caller(
            kind="staff",
            session_id=caller.session_id,
            identity_id=caller.identity_id,
            resident_id=caller.resident_id,
            merchant_id=terminal.merchant_id,
            store_id=terminal.store_id,
            terminal_id=terminal.id,
            staff_id=staff.id,
            roles=frozenset({staff.role}),
            scopes=_limits(terminal),
            admin_id=None,
        )

    async def _unattended(self, claims: Mapping[str, Any]) -> Caller:
        terminal, _ = await self._standing(int(str(claims["sub"])), None)
        if terminal.kind not in UNATTENDED:
            raise StaffSessionRequired
        return Caller(
            kind="terminal",
            # Counters of wrong codes follow the machine, not its token of ten minutes.
            session_id=f"terminal-{terminal.id}",
            identity_id=None,
            resident_id=None,
            merchant_id=terminal.merchant_id,
            store_id=terminal.store_id,
            terminal_id=terminal.id,
            staff_id=None,
            roles=frozenset({terminal.kind}),
            scopes=_limits(terminal),
            admin_id=None,
        )

    async def _standing(self, terminal_id: int, staff_id: int | None) -> tuple[TerminalStanding, StaffStanding | None]:
        standing = await self._standings.of(terminal_id, staff_id)
        terminal, staff = standing.terminal, standing.staff
        if terminal is None:
            raise TerminalRevoked
        if staff_id is not None and (staff is None or staff.status != "active"):
            raise StaffRevoked
        if terminal.status == "revoked":
            raise TerminalRevoked
        if terminal.status == "pending":
            raise TerminalPending
        if staff is not None and staff.merchant_id != terminal.merchant_id:
            raise TerminalElsewhere
        if staff is not None and not staff.works_here:
            raise NotStaffHere
        return terminal, staff


def _limits(terminal: TerminalStanding) -> frozenset[str]:
    limits = set()
    if not terminal.merchant_active:
        limits.add(MERCHANT_SUSPENDED)
    if not terminal.store_open:
        limits.add(STORE_CLOSED)
    return frozenset(limits)
