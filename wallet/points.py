"""The operations on points: earn, spend, hold, capture, release, refund, adjust, expire, freeze.

Ids are the caller's: a UUIDv7 for what a client or an administrator asks for, a UUIDv8 for what a job does (D21, D23).
The same id with the same content gives the same answer again, with other content `Refused` idempotency_mismatch.
Points are whole numbers; which lots they leave and return to is told in docs/ledger.md.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from wallet.items import (
    Adjusted,
    Captured,
    Earned,
    FreezeChanged,
    Held,
    Item,
    Op,
    PointsExpired,
    Refunded,
    Released,
    Spent,
    bucket_of,
    intent_hash,
)
from wallet.posting import Done, Poster


class Points(Poster):
    """The points half of the vault's face; see `wallet.vault.Vault`."""

    async def earn(
        self,
        resident_id: int,
        id: UUID,
        terms_id: int,
        earned_on: date,
        points: int | None = None,
        *,
        town: str | None = None,
    ) -> Done[Earned]:
        """Worker only: points from a campaign under a job's UUIDv8: as many as the terms say, or fewer, when `points`
        says how many. `town`: where the resident lives, as the house knows it now, for limits by town."""
        said = () if points is None else (points,)
        item = _item(
            Op.EARN, resident_id, id, "job", terms_id, earned_on, *said,
            terms=terms_id, earned_on=earned_on, points=points, town=town,
        )  # fmt: skip
        return await self._post(item, Earned)

    async def spend(self, resident_id: int, id: UUID, *, points: int, payee: int, memo: str = "") -> Done[Spent]:
        """Spends points, the soonest to expire first. `payee` is the account of whoever gives something for them."""
        who = f"resident:{resident_id}"
        item = _item(Op.SPEND, resident_id, id, who, points, payee, memo, points=points, payee=payee, memo=memo)
        return await self._post(item, Spent)

    async def hold(
        self, resident_id: int, id: UUID, *, points: int, payee: int, life_s: int, memo: str = ""
    ) -> Done[Held]:
        """Sets points aside for `life_s` seconds (at most 30 days); `id` names the hold."""
        who = f"resident:{resident_id}"
        item = _item(
            Op.HOLD, resident_id, id, who, points, payee, life_s, memo,
            points=points, payee=payee, life_s=life_s, memo=memo,
        )  # fmt: skip
        return await self._post(item, Held)

    async def capture(self, resident_id: int, id: UUID, *, hold_id: UUID, points: int | None = None) -> Done[Captured]:
        """Spends a hold, whole or `points` of it; the rest goes back to its own lots. Raises `Refused` hold_not_found,
        hold_expired or capture_too_large."""
        item = _item(Op.CAPTURE, resident_id, id, f"hold:{hold_id}", points, posting=hold_id, points=points)
        return await self._post(item, Captured)

    async def release(self, resident_id: int, id: UUID, *, hold_id: UUID) -> Done[Released]:
        """Gives a hold back to its own lots; what is past its day by now is expired. The worker releases only holds
        whose life is over (else `Refused` not_due)."""
        return await self._post(_item(Op.RELEASE, resident_id, id, f"hold:{hold_id}", posting=hold_id), Released)

    async def refund(
        self,
        resident_id: int,
        id: UUID,
        *,
        posting_id: UUID,
        points: int,
        reason: str,
        actor: int | None = None,
    ) -> Done[Refunded]:
        """Gives back part or all of a spend or capture, never more than was spent. Raises `Refused` posting_not_found
        or refund_too_large. An expired lot is renewed once per spend (D9). `actor`: the administrator, if it was
        one."""
        item = _item(
            Op.REFUND, resident_id, id, f"posting:{posting_id}", points, reason, actor,
            posting=posting_id, points=points, reason=reason, actor=actor,
        )  # fmt: skip
        return await self._post(item, Refunded)

    async def adjust(
        self,
        resident_id: int,
        id: UUID,
        *,
        points: int,
        actor: int,
        approver: int,
        reason: str,
        document: str,
        validity_months: int = 24,
    ) -> Done[Adjusted]:
        """Worker only: corrects a balance up or, with negative points, down. Two different people, a reason and a
        document number; raises `Refused` two_people_required."""
        item = _item(
            Op.ADJUST, resident_id, id, f"admin:{actor}/{approver}", points, reason, document, validity_months,
            points=points, actor=actor, approver=approver, reason=reason, document=document,
            validity_months=validity_months,
        )  # fmt: skip
        return await self._post(item, Adjusted)

    async def expire_points(self, resident_id: int, id: UUID) -> Done[PointsExpired]:
        """Worker only: books the points that are past their day as breakage; `Refused` not_due when there are none."""
        return await self._post(_item(Op.EXPIRE_POINTS, resident_id, id, "job"), PointsExpired)

    async def freeze(
        self,
        resident_id: int,
        id: UUID,
        *,
        kind: Literal["debit_frozen", "frozen"],
        authority: str,
        reason: str,
        until: datetime | None,
        actor: int,
    ) -> Done[FreezeChanged]:
        """Freezes a wallet by an authority's order, for ever or until an instant; a later order replaces an earlier.
        debit_frozen refuses spending, frozen nearly everything (docs/ledger.md)."""
        item = _item(
            Op.FREEZE, resident_id, id, f"admin:{actor}", kind, authority, reason, until,
            freeze_kind=kind, authority=authority, reason=reason, until=until, actor=actor,
        )  # fmt: skip
        return await self._post(item, FreezeChanged)

    async def unfreeze(
        self, resident_id: int, id: UUID, *, authority: str, reason: str, actor: int
    ) -> Done[FreezeChanged]:
        """Lifts a freeze; raises `Refused` account_not_frozen."""
        item = _item(
            Op.UNFREEZE, resident_id, id, f"admin:{actor}", authority, reason,
            authority=authority, reason=reason, actor=actor,
        )  # fmt: skip
        return await self._post(item, FreezeChanged)


def _item(op: Op, resident_id: int, id: UUID, by: str, /, *intent: object, **fields: object) -> Item:
    return Item(
        op,
        b=bucket_of(resident_id),
        owner=resident_id,
        id=id,
        hash=intent_hash(by, op.name.lower(), *intent),
        **fields,  # type: ignore[arg-type]
    )
