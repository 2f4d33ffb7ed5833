"""Terminals: enrolled by a manager's one-time code, revoked at once.

manager:   create(store, kind) ─> terminal (pending) + enrolment code, 15 minutes, one use
machine:   enrol(code)         ─> terminal (active) + secret
machine:   open_session(secret) ─> token of aud terminal, 10 minutes, again and again
manager:   revoke              ─> secret, tokens and vault flag are dead at once
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from tortoise.backends.base.client import BaseDBAsyncClient

from server.kit.audit import Actor, record
from server.kit.caller import Caller
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex
from server.kit.db import transaction
from server.kit.paging import PAGE_MAX, Page, cursor_number, encode_cursor
from server.merchants.acceptors import Acceptors
from server.merchants.authority import OVERSEERS, READERS, authority_of
from server.merchants.codes import draw_code, hash_of
from server.merchants.errors import (
    EnrolmentRejected,
    MerchantSuspended,
    RoleTooLow,
    StaffRevoked,
    StoreClosed,
    StoreNotFound,
    TerminalNotFound,
    TerminalRevoked,
    TerminalSecretRejected,
)
from server.merchants.models import EnrolmentCode, Merchant, StaffMember, Store, Terminal
from server.merchants.standing import Standings
from server.merchants.views import EnrolmentIssued, TerminalEnrolled, TerminalView

CODE_PURPOSE = "merchants.enrolment"
SECRET_PURPOSE = "merchants.terminal_secret"  # noqa: S105  (a label, not a secret)
CODE_LIFE = timedelta(minutes=15)
SECRET_MAX_CHARS = 100


class Terminals:
    """Creates, enrols, lists and revokes terminals; knows a staff member's phone."""

    def __init__(self, *, clock: Clock, index: BlindIndex, acceptors: Acceptors, standings: Standings) -> None:
        self._clock = clock
        self._index = index
        self._acceptors = acceptors
        self._standings = standings

    async def create(self, caller: Caller, *, store_id: int, kind: str, label: str, request_id: str) -> EnrolmentIssued:
        """A pending terminal of a store and its enrolment code. `kind`: pc, gate or gun; phones need none."""
        at = self._clock.now()
        code = draw_code()
        async with transaction() as tx:
            authority = await authority_of(caller, OVERSEERS, tx=tx, active_merchant=True)
            store = await Store.get_or_none(id=store_id, merchant_id=authority.merchant_id, using_db=tx)
            if store is None:
                raise StoreNotFound(field="store_id")
            if not authority.covers(store_id):
                raise RoleTooLow(field="store_id")
            if store.status != "open":
                raise StoreClosed(field="store_id")
            terminal = await Terminal.create(
                using_db=tx,
                merchant_id=authority.merchant_id,
                store_id=store_id,
                kind=kind,
                label=label,
                status="pending",
                created_at=at,
            )
            await EnrolmentCode.create(
                using_db=tx,
                code_hash=hash_of(self._index, code, purpose=CODE_PURPOSE),
                terminal_id=terminal.id,
                created_at=at,
                expires_at=at + CODE_LIFE,
            )
            actor = Actor("staff", str(authority.staff_id))
            await self._changed(tx, terminal, "terminal.create", actor, None, request_id)
        await self._acceptors.settle_soon("terminal", terminal.id)
        return EnrolmentIssued(terminal_view(terminal), code, at + CODE_LIFE)

    async def enrol(self, enrolment_code: str, *, request_id: str) -> TerminalEnrolled:
        """The machine with this code is the terminal from now on. The secret is shown once."""
        at = self._clock.now()
        code_hash = hash_of(self._index, enrolment_code, purpose=CODE_PURPOSE)
        if code_hash is None:
            raise EnrolmentRejected(field="enrolment_code")
        secret = secrets.token_urlsafe(32)
        async with transaction() as tx:
            code = await EnrolmentCode.filter(code_hash=code_hash).using_db(tx).select_for_update(no_key=True).first()
            if code is None or code.used_at is not None or code.expires_at <= at:
                raise EnrolmentRejected(field="enrolment_code")
            terminal = await Terminal.filter(id=code.terminal_id).using_db(tx).select_for_update(no_key=True).get()
            if terminal.status != "pending":
                raise EnrolmentRejected(field="enrolment_code")
            await _check_open(tx, terminal)
            before = _facts(terminal)
            terminal.status, terminal.enrolled_at = "active", at
            terminal.secret_hash = self._index.of(secret, purpose=SECRET_PURPOSE)
            terminal.version += 1
            await terminal.save(using_db=tx, update_fields=["status", "enrolled_at", "secret_hash", "version"])
            code.used_at = at
            await code.save(using_db=tx, update_fields=["used_at"])
            actor = Actor("system", f"terminal:{terminal.id}")
            await self._changed(tx, terminal, "terminal.enrol", actor, before, request_id)
        self._standings.forget()
        await self._acceptors.settle_soon("terminal", terminal.id)
        return TerminalEnrolled(terminal_view(terminal), secret)

    async def page(self, caller: Caller, *, cursor: str | None = None, limit: int = 50) -> Page[TerminalView]:
        """The terminals of the stores the caller may see, a page at a time."""
        authority = await authority_of(caller, READERS)
        after = cursor_number(cursor) or 0
        limit = min(limit, PAGE_MAX)
        query = Terminal.filter(merchant_id=authority.merchant_id, id__gt=after)
        if not authority.all_stores:
            query = query.filter(store_id__in=list(authority.store_ids))
        rows = await query.order_by("id").limit(limit + 1)
        shown = rows[:limit]
        return Page(
            items=[terminal_view(terminal) for terminal in shown],
            next_cursor=encode_cursor(shown[-1].id) if len(rows) > limit else None,
        )

    async def revoke(self, caller: Caller, terminal_id: int, *, request_id: str) -> TerminalView:
        """The terminal accepts nothing from now on. Idempotent. A revoked phone's owner logs in again for a new one."""
        at = self._clock.now()
        async with transaction() as tx:
            authority = await authority_of(caller, OVERSEERS, tx=tx)
            terminal = await Terminal.filter(id=terminal_id).using_db(tx).select_for_update(no_key=True).first()
            if terminal is None or terminal.merchant_id != authority.merchant_id:
                raise TerminalNotFound
            if not authority.covers(terminal.store_id):
                raise RoleTooLow
            if terminal.status != "revoked":
                before = _facts(terminal)
                terminal.status, terminal.revoked_at = "revoked", at
                terminal.version += 1
                await terminal.save(using_db=tx, update_fields=["status", "revoked_at", "version"])
                actor = Actor("staff", str(authority.staff_id))
                await self._changed(tx, terminal, "terminal.revoke", actor, before, request_id)
        self._standings.forget()
        await self._acceptors.settle("terminal", terminal.id)
        return terminal_view(terminal)

    async def by_secret(self, secret: str) -> TerminalView:
        """The active terminal that holds this secret. TerminalSecretRejected, or TerminalRevoked when it is known."""
        if not secret or len(secret) > SECRET_MAX_CHARS:
            raise TerminalSecretRejected
        terminal = await Terminal.get_or_none(secret_hash=self._index.of(secret, purpose=SECRET_PURPOSE))
        if terminal is None:
            raise TerminalSecretRejected
        if terminal.status != "active":
            raise TerminalRevoked
        return terminal_view(terminal)

    async def phone_of(self, staff: StaffMember, store_id: int, *, request_id: str) -> TerminalView:
        """The terminal that a staff member's phone is at this store; made at the first login there (D31)."""
        known = await Terminal.get_or_none(staff_id=staff.id, store_id=store_id, kind="phone", status="active")
        if known is None:
            known = await self._new_phone(staff, store_id, request_id)
        # Told at every log-in: whatever the vault missed before, this person and phone can work now.
        await self._acceptors.settle_soon("staff", staff.id)
        await self._acceptors.settle_soon("terminal", known.id)
        return terminal_view(known)

    async def _new_phone(self, staff: StaffMember, store_id: int, request_id: str) -> Terminal:
        at = self._clock.now()
        async with transaction() as tx:
            # The staff row orders two first logins at once, and a login against a revocation.
            locked = await StaffMember.filter(id=staff.id).using_db(tx).select_for_update(no_key=True).get()
            if locked.status != "active":
                raise StaffRevoked
            phones = Terminal.filter(staff_id=staff.id, store_id=store_id, kind="phone", status="active")
            phone = await phones.using_db(tx).first()
            if phone is None:
                phone = await Terminal.create(
                    using_db=tx,
                    merchant_id=locked.merchant_id,
                    store_id=store_id,
                    staff_id=locked.id,
                    kind="phone",
                    status="active",
                    created_at=at,
                )
                await self._changed(tx, phone, "terminal.create", Actor("staff", str(staff.id)), None, request_id)
        return phone

    async def _changed(
        self,
        tx: BaseDBAsyncClient,
        terminal: Terminal,
        action: str,
        actor: Actor,
        before: dict[str, object] | None,
        request_id: str,
    ) -> None:
        at = self._clock.now()
        await record(
            tx,
            actor=actor,
            action=action,
            object_kind="terminal",
            object_id=str(terminal.id),
            before=before,
            after=_facts(terminal),
            at=at,
            request_id=request_id,
        )
        await self._acceptors.announce(tx, "terminal", terminal.id, at)


async def _check_open(tx: BaseDBAsyncClient, terminal: Terminal) -> None:
    merchant = await Merchant.get(id=terminal.merchant_id, using_db=tx)
    if merchant.status != "active":
        raise MerchantSuspended
    store = await Store.get(id=terminal.store_id, using_db=tx)
    if store.status != "open":
        raise StoreClosed


def terminal_view(terminal: Terminal) -> TerminalView:
    """A terminal as it may be shown: without its secret's hash."""
    return TerminalView(
        id=terminal.id,
        merchant_id=terminal.merchant_id,
        store_id=terminal.store_id,
        kind=terminal.kind,
        label=terminal.label,
        staff_id=terminal.staff_id,
        status=terminal.status,
        created_at=terminal.created_at,
        enrolled_at=terminal.enrolled_at,
    )


def _facts(terminal: Terminal) -> dict[str, object]:
    return {
        "merchant_id": str(terminal.merchant_id),
        "store_id": str(terminal.store_id),
        "kind": terminal.kind,
        "label": terminal.label,
        "staff_id": None if terminal.staff_id is None else str(terminal.staff_id),
        "status": terminal.status,
    }
