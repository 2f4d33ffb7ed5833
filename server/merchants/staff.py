"""Staff: invited by a manager, joined with a WeChat login, revoked at once."""

from __future__ import annotations

from datetime import datetime

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.exceptions import IntegrityError

from server.kit.audit import Actor, record
from server.kit.caller import Caller
from server.kit.clock import Clock
from server.kit.crypto import Envelope
from server.kit.db import transaction
from server.kit.paging import PAGE_MAX, Page, cursor_number, encode_cursor
from server.merchants.acceptors import Acceptors
from server.merchants.authority import OVERSEERS, READERS, Authority, authority_of
from server.merchants.errors import (
    AlreadyStaff,
    InvitationRejected,
    LastOwner,
    MerchantSuspended,
    RoleTooLow,
    StaffNotFound,
    StoreClosed,
    StoreNotFound,
)
from server.merchants.invitations import NAME_PURPOSE, Invitations
from server.merchants.models import Invitation, Merchant, StaffMember, StaffStore, Store, Terminal
from server.merchants.standing import Standings
from server.merchants.views import InvitationIssued, StaffView, StoreView


class Staff:
    """Invites, joins, lists and revokes the people of a merchant."""

    def __init__(
        self,
        *,
        clock: Clock,
        envelope: Envelope,
        acceptors: Acceptors,
        invitations: Invitations,
        standings: Standings,
    ) -> None:
        self._clock = clock
        self._envelope = envelope
        self._acceptors = acceptors
        self._invitations = invitations
        self._standings = standings

    async def invite(
        self, caller: Caller, *, role: str, display_name: str, store_id: int | None, request_id: str
    ) -> InvitationIssued:
        """A one-use invitation. Managers invite cashiers and auditors into their own stores, owners anyone."""
        at = self._clock.now()
        async with transaction() as tx:
            authority = await authority_of(caller, OVERSEERS, tx=tx, active_merchant=True)
            if not authority.outranks(role):
                raise RoleTooLow(field="role")
            if store_id is not None and not await Store.exists(id=store_id, merchant_id=authority.merchant_id):
                raise StoreNotFound(field="store_id")
            if not authority.covers(store_id):
                raise RoleTooLow(field="store_id")
            issued = await self._invitations.draw(
                tx,
                merchant_id=authority.merchant_id,
                store_id=store_id,
                role=role,
                display_name=display_name,
                invited_by_staff_id=authority.staff_id,
                at=at,
            )
            await record(
                tx,
                actor=Actor("staff", str(authority.staff_id)),
                action="staff.invite",
                object_kind="merchant",
                object_id=str(authority.merchant_id),
                before=None,
                after={"role": role, "store_id": None if store_id is None else str(store_id)},
                at=at,
                request_id=request_id,
            )
        return issued

    async def join(self, identity_id: int, invitation_code: str, *, request_id: str) -> StaffView:
        """Become staff by an invitation. The same person with the same code again gets the same answer."""
        at = self._clock.now()
        try:
            async with transaction() as tx:
                staff = await self._join(tx, identity_id, invitation_code, at, request_id)
        except IntegrityError as clash:
            # Two invitations taken by one person at once: the partial unique index lets one pass.
            if await StaffMember.exists(identity_id=identity_id, status="active"):
                raise AlreadyStaff from clash
            raise
        self._standings.forget()
        await self._acceptors.settle_soon("staff", staff.id)
        return await self._view(staff)

    async def workplaces(self, staff: StaffView) -> list[StoreView]:
        """The open stores a member may log in to, by id; at most a page of them."""
        query = Store.filter(merchant_id=staff.merchant_id, status="open")
        if not staff.all_stores:
            query = query.filter(id__in=staff.store_ids)
        rows = await query.order_by("id").limit(PAGE_MAX)
        return [StoreView(row.id, row.merchant_id, row.town, row.name, row.status) for row in rows]

    async def _join(
        self, tx: BaseDBAsyncClient, identity_id: int, invitation_code: str, at: datetime, request_id: str
    ) -> StaffMember:
        invitation = await self._invitations.take(tx, invitation_code)
        if invitation.used_at is not None:
            staff = await StaffMember.get(id=invitation.used_by_staff_id, using_db=tx)
            if staff.identity_id != identity_id or staff.status != "active":
                raise InvitationRejected(field="invitation_code")
            return staff
        await self._check_invitation(tx, invitation, identity_id, at)
        staff = await StaffMember.create(
            using_db=tx,
            merchant_id=invitation.merchant_id,
            identity_id=identity_id,
            display_name=self._envelope.seal(
                self._envelope.open(invitation.display_name, purpose=NAME_PURPOSE), purpose=NAME_PURPOSE
            ),
            role=invitation.role,
            all_stores=invitation.store_id is None,
            created_at=at,
        )
        if invitation.store_id is not None:
            await StaffStore.create(using_db=tx, staff_id=staff.id, store_id=invitation.store_id)
        invitation.used_at, invitation.used_by_staff_id = at, staff.id
        await invitation.save(using_db=tx, update_fields=["used_at", "used_by_staff_id"])
        await record(
            tx,
            actor=Actor("staff", str(staff.id)),
            action="staff.join",
            object_kind="staff",
            object_id=str(staff.id),
            before=None,
            after={
                **_facts(staff),
                "store_id": None if invitation.store_id is None else str(invitation.store_id),
                "invited_by": None if invitation.invited_by_staff_id is None else str(invitation.invited_by_staff_id),
            },
            at=at,
            request_id=request_id,
        )
        await self._acceptors.announce(tx, "staff", staff.id, at)
        return staff

    async def _check_invitation(
        self, tx: BaseDBAsyncClient, invitation: Invitation, identity_id: int, at: datetime
    ) -> None:
        if invitation.expires_at <= at:
            raise InvitationRejected(field="invitation_code")
        merchant = await Merchant.get(id=invitation.merchant_id, using_db=tx)
        if merchant.status != "active":
            raise MerchantSuspended
        if invitation.store_id is not None:
            store = await Store.get(id=invitation.store_id, using_db=tx)
            if store.status != "open":
                raise StoreClosed
        if invitation.invited_by_staff_id is not None:
            inviter = await StaffMember.get(id=invitation.invited_by_staff_id, using_db=tx)
            # What a revoked manager invited before leaving is void.
            if inviter.status != "active":
                raise InvitationRejected(field="invitation_code")
        if (
            await StaffMember.filter(merchant_id=invitation.merchant_id, identity_id=identity_id, status="active")
            .using_db(tx)
            .exists()
        ):
            raise AlreadyStaff

    async def page(self, caller: Caller, *, cursor: str | None = None, limit: int = 50) -> Page[StaffView]:
        """The merchant's staff, a page at a time; a manager of some stores sees those who work there."""
        authority = await authority_of(caller, READERS)
        after = cursor_number(cursor) or 0
        limit = min(limit, PAGE_MAX)
        query = StaffMember.filter(merchant_id=authority.merchant_id, id__gt=after)
        if not authority.all_stores:
            workers = await StaffStore.filter(store_id__in=authority.store_ids).values_list("staff_id", flat=True)
            query = query.filter(id__in=[int(str(w)) for w in workers])
        rows = await query.order_by("id").limit(limit + 1)
        shown = rows[:limit]
        places = await StaffStore.filter(staff_id__in=[s.id for s in shown]).order_by("store_id")
        items = [self._shown(s, [p.store_id for p in places if p.staff_id == s.id]) for s in shown]
        return Page(items=items, next_cursor=encode_cursor(shown[-1].id) if len(rows) > limit else None)

    async def revoke(self, caller: Caller, staff_id: int, *, request_id: str) -> StaffView:
        """The person works here no longer, with any of their phones. Idempotent; LastOwner keeps one owner."""
        at = self._clock.now()
        async with transaction() as tx:
            authority = await authority_of(caller, OVERSEERS, tx=tx)
            # The merchant's row orders revocations, so that two owners cannot revoke each other at once.
            await Merchant.filter(id=authority.merchant_id).using_db(tx).select_for_update(no_key=True).first()
            authority = await authority_of(caller, OVERSEERS, tx=tx)
            staff = await StaffMember.filter(id=staff_id).using_db(tx).select_for_update(no_key=True).first()
            if staff is None or staff.merchant_id != authority.merchant_id:
                raise StaffNotFound
            await _check_revocable(tx, authority, staff)
            phones = await Terminal.filter(staff_id=staff.id).using_db(tx).order_by("id").select_for_update(no_key=True)
            if staff.status == "active":
                await self._revoke(tx, staff, phones, authority, at, request_id)
        self._standings.forget()
        await self._acceptors.settle("staff", staff.id)
        for phone in phones:
            await self._acceptors.settle("terminal", phone.id)
        return await self._view(staff)

    async def _revoke(
        self,
        tx: BaseDBAsyncClient,
        staff: StaffMember,
        phones: list[Terminal],
        authority: Authority,
        at: datetime,
        request_id: str,
    ) -> None:
        before = _facts(staff)
        staff.status, staff.revoked_at = "revoked", at
        staff.version += 1
        await staff.save(using_db=tx, update_fields=["status", "revoked_at", "version"])
        await self._acceptors.announce(tx, "staff", staff.id, at)
        for phone in phones:
            if phone.status != "revoked":
                phone.status, phone.revoked_at = "revoked", at
                phone.version += 1
                await phone.save(using_db=tx, update_fields=["status", "revoked_at", "version"])
                await self._acceptors.announce(tx, "terminal", phone.id, at)
        await record(
            tx,
            actor=Actor("staff", str(authority.staff_id)),
            action="staff.revoke",
            object_kind="staff",
            object_id=str(staff.id),
            before=before,
            after=_facts(staff),
            at=at,
            request_id=request_id,
        )

    async def _view(self, staff: StaffMember) -> StaffView:
        places = await StaffStore.filter(staff_id=staff.id).order_by("store_id")
        return self._shown(staff, [place.store_id for place in places])

    def _shown(self, staff: StaffMember, store_ids: list[int]) -> StaffView:
        return StaffView(
            id=staff.id,
            merchant_id=staff.merchant_id,
            display_name=self._envelope.open(staff.display_name, purpose=NAME_PURPOSE),
            role=staff.role,
            all_stores=staff.all_stores,
            store_ids=tuple(store_ids),
            status=staff.status,
            created_at=staff.created_at,
        )


async def _check_revocable(tx: BaseDBAsyncClient, authority: Authority, staff: StaffMember) -> None:
    """RoleTooLow outside the caller's rank or stores; LastOwner for the only active owner."""
    if not authority.outranks(staff.role):
        raise RoleTooLow
    if not authority.all_stores:
        places = await StaffStore.filter(staff_id=staff.id).using_db(tx)
        if staff.all_stores or not all(authority.covers(place.store_id) for place in places):
            raise RoleTooLow
    if staff.role == "owner" and staff.status == "active":
        owners = await StaffMember.filter(merchant_id=staff.merchant_id, role="owner", status="active").using_db(tx)
        if len(owners) == 1:
            raise LastOwner


def _facts(staff: StaffMember) -> dict[str, object]:
    return {
        "merchant_id": str(staff.merchant_id),
        "role": staff.role,
        "all_stores": staff.all_stores,
        "status": staff.status,
    }
