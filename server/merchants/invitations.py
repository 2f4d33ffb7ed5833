"""Invitations: a one-use code by which a person becomes staff."""

from __future__ import annotations

from datetime import datetime, timedelta

from tortoise.backends.base.client import BaseDBAsyncClient

from server.kit.crypto import BlindIndex, Envelope
from server.merchants.codes import draw_code, hash_of
from server.merchants.errors import InvitationRejected, InvitationStoreRequired
from server.merchants.models import Invitation
from server.merchants.views import InvitationIssued

NAME_PURPOSE = "staff.display_name"
CODE_PURPOSE = "merchants.invitation"
LIFE = timedelta(days=7)


class Invitations:
    """Draws and takes invitation codes, inside the caller's transaction."""

    def __init__(self, *, index: BlindIndex, envelope: Envelope, life: timedelta = LIFE) -> None:
        self._index = index
        self._envelope = envelope
        self._life = life

    async def draw(
        self,
        tx: BaseDBAsyncClient,
        *,
        merchant_id: int,
        store_id: int | None,
        role: str,
        display_name: str,
        invited_by_staff_id: int | None,
        at: datetime,
    ) -> InvitationIssued:
        """Write an invitation and give its code, which is shown once. Cashiers need a store; owners work everywhere."""
        if role == "cashier" and store_id is None:
            raise InvitationStoreRequired(field="store_id")
        code = draw_code()
        code_hash = hash_of(self._index, code, purpose=CODE_PURPOSE)
        expires_at = at + self._life
        await Invitation.create(
            using_db=tx,
            code_hash=code_hash,
            merchant_id=merchant_id,
            store_id=None if role == "owner" else store_id,
            role=role,
            display_name=self._envelope.seal(display_name, purpose=NAME_PURPOSE),
            invited_by_staff_id=invited_by_staff_id,
            created_at=at,
            expires_at=expires_at,
        )
        return InvitationIssued(code, merchant_id, None if role == "owner" else store_id, role, expires_at)

    async def take(self, tx: BaseDBAsyncClient, typed: str) -> Invitation:
        """The invitation of a typed code, locked; it may be used or expired. InvitationRejected when there is none."""
        code_hash = hash_of(self._index, typed, purpose=CODE_PURPOSE)
        found = (
            None
            if code_hash is None
            else await Invitation.filter(code_hash=code_hash).using_db(tx).select_for_update(no_key=True).first()
        )
        if found is None:
            raise InvitationRejected(field="invitation_code")
        return found
