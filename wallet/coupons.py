"""The operations on coupons: claim, scan, redeem, void, lock, unlock, void a coupon; for the worker grant, expire,
release.

Ids and replays as in `wallet.points`. A redemption's id was drawn when its code was scanned, so a ticket can be
redeemed once only; a void's id likewise (D21).
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import asyncpg

from wallet import statuses
from wallet.cells import Cells
from wallet.directories import Directories
from wallet.errors import Refused
from wallet.items import (
    Acceptor,
    Claimed,
    CouponExpired,
    CouponLocked,
    CouponUnlocked,
    CouponVoided,
    Item,
    Op,
    Redeemed,
    ScannedCredential,
    Voided,
    bucket_of,
    intent_hash,
)
from wallet.posting import Done, Poster
from wallet.sold_out import Emptiness


class Coupons(Poster, Directories):
    """The coupons half of the vault's face; see `wallet.vault.Vault`."""

    def __init__(self, pool: asyncpg.Pool, lanes: Cells, budget_slots: int) -> None:
        super().__init__(pool, lanes, budget_slots)
        self._emptiness = Emptiness(self._rows)

    async def sold_out(self, resident_id: int, id: UUID, *, terms_id: int) -> bool:
        """Whether a claim under this id would find nothing left, as things stand while this is asked; False for an id
        that was posted before, and for what cannot be claimed for another reason. Cheap, and decides nothing."""
        return await self._emptiness.holds(resident_id, id, terms_id)

    async def claim(
        self, resident_id: int, id: UUID, *, template_id: int, terms_id: int, town: str | None = None
    ) -> Done[Claimed]:
        """Claims a coupon, or exchanges points for it. `id` is the client's UUIDv7 and becomes the coupon's id. `town`:
        where the resident lives, as the house knows it now, for limits by town."""
        item = Item(
            Op.CLAIM,
            b=bucket_of(resident_id),
            owner=resident_id,
            id=id,
            terms=terms_id,
            town=town,
            hash=intent_hash(f"resident:{resident_id}", "claim", template_id),
        )
        return await self._post(item, Claimed)

    async def grant(
        self, resident_id: int, id: UUID, *, template_id: int, terms_id: int, source: str, town: str | None = None
    ) -> Done[Claimed]:
        """Worker only: gives a coupon that nobody claimed. `id` is a UUIDv8 and becomes the coupon's id; `source` says
        out of what it is given, 1 to 120 characters without personal data, and is kept in the ledger. It costs no
        points and is bound to no time to claim; stock, the sponsor's budget and all limits hold as for a claim."""
        item = Item(
            Op.CLAIM,
            b=bucket_of(resident_id),
            owner=resident_id,
            id=id,
            terms=terms_id,
            town=town,
            reason=source,
            hash=intent_hash("job", "grant", template_id, source),
        )
        return await self._post(item, Claimed)

    async def scan(
        self,
        handle: int,
        *,
        code_ok: bool,
        acceptor: Acceptor,
        own_resident: int | None,
        redemption_id: UUID,
        void_id: UUID,
    ) -> ScannedCredential:
        """Claims the credential behind a handle for this terminal. `code_ok`: whether the one-time password was right
        (a wrong one is counted). Raises `Refused` not_valid, merchant_suspended, or outside_window
        for a genuine code that cannot be used at this time. The ids are used when this is the
        first claim."""
        shown = await self.shown_under(handle)
        if shown is None:
            raise Refused(statuses.NOT_VALID)
        item = Item(
            Op.CLAIM_CREDENTIAL,
            b=shown.b,
            owner=shown.owner,
            credential=shown.credential_id,
            handle=handle,
            code_ok=code_ok,
            own_resident=own_resident,
            redemption=redemption_id,
            void=void_id,
            merchant=acceptor.merchant_id,
            store=acceptor.store_id,
            terminal=acceptor.terminal_id,
            staff=acceptor.staff_id,
        )
        return (await self._post(item, ScannedCredential)).result

    async def redeem(
        self,
        *,
        owner: int,
        credential_id: UUID,
        redemption_id: UUID,
        acceptor: Acceptor,
        ticket_expires_at: datetime,
        order_amount_fen: int | None,
        order_no: str | None = None,
        counted: bool = False,
    ) -> Done[Redeemed]:
        """Redeems a claimed credential exactly once; the same ticket and order again give the same receipt (D21).
        `counted`: as the scan said; wrong, it costs a second call and nothing else.
        `order_no`: the shop's own, 1 to 64 characters; terms with a stacking group want it."""
        item = _redemption(owner, redemption_id, acceptor, order_no, order_amount_fen)
        item.credential, item.ticket_expires_at, item.counted = credential_id, ticket_expires_at, counted
        return await self._post(item, Redeemed)

    async def redeem_locked(
        self,
        *,
        owner: int,
        id: UUID,
        void_id: UUID,
        coupon_id: UUID,
        lock_id: UUID,
        acceptor: Acceptor,
        order_amount_fen: int | None,
        order_no: str | None = None,
    ) -> Done[Redeemed]:
        """Redeems a coupon that a partner's order has locked, inside the lock's life. Raises `Refused` lock_expired.
        Both ids are UUIDv7s that the house draws, never the partner: they are of no resident's own."""
        item = _redemption(owner, id, acceptor, order_no, order_amount_fen, coupon_id, lock_id)
        item.coupon, item.lock, item.void = coupon_id, lock_id, void_id
        return await self._post(item, Redeemed)

    async def void(self, redemption_id: UUID, *, acceptor: Acceptor, reason: str) -> Done[Voided]:
        """Takes a redemption back inside its window; a second void answers the same. `reason`: 1 to 200 characters. A
        coupon whose last day is over comes back expired, unless its terms give a grace."""
        redeemed = await self.redeemed_under(redemption_id)
        if redeemed is None:
            raise Refused(statuses.REDEMPTION_UNKNOWN)
        item = Item(
            Op.VOID,
            b=redeemed.b,
            owner=redeemed.owner,
            redemption=redemption_id,
            merchant=acceptor.merchant_id,
            store=acceptor.store_id,
            terminal=acceptor.terminal_id,
            staff=acceptor.staff_id,
            reason=reason,
            hash=intent_hash(f"merchant:{acceptor.merchant_id}", "void", redemption_id),
        )
        return await self._post(item, Voided)

    async def lock_coupon(
        self, resident_id: int, id: UUID, *, coupon_id: UUID, life_s: int, request_no: str, actor: int
    ) -> Done[CouponLocked]:
        """Keeps a coupon for one partner's order for `life_s` seconds, at most 15 minutes; `id` names the lock."""
        intent = (coupon_id, life_s, request_no)
        item = _on_coupon(Op.LOCK_COUPON, resident_id, id, coupon_id, f"partner:{actor}", *intent)
        item.life_s, item.request_no, item.actor = life_s, request_no, actor
        return await self._post(item, CouponLocked)

    async def unlock_coupon(
        self, resident_id: int, id: UUID, *, coupon_id: UUID, lock_id: UUID, reason: str
    ) -> Done[CouponUnlocked]:
        """Lifts a lock; the worker lifts only locks whose life is over (else `Refused` not_due)."""
        item = _on_coupon(Op.UNLOCK_COUPON, resident_id, id, coupon_id, f"lock:{lock_id}", coupon_id)
        item.lock, item.reason = lock_id, reason
        return await self._post(item, CouponUnlocked)

    async def void_coupon(
        self, resident_id: int, id: UUID, *, coupon_id: UUID, reason: str, actor: int
    ) -> Done[CouponVoided]:
        """Ends a coupon that was not used; its reserve goes back to the budgets and its price to the wallet."""
        item = _on_coupon(Op.VOID_COUPON, resident_id, id, coupon_id, f"admin:{actor}", coupon_id, reason)
        item.reason, item.actor = reason, actor
        return await self._post(item, CouponVoided)

    async def expire_coupon(self, resident_id: int, id: UUID, *, coupon_id: UUID) -> Done[CouponExpired]:
        """Worker only: books a coupon whose last day is over."""
        item = _on_coupon(Op.EXPIRE_COUPON, resident_id, id, coupon_id, "job", coupon_id)
        return await self._post(item, CouponExpired)

    async def release_subsidy(self, resident_id: int, id: UUID, *, coupon_id: UUID) -> Done[CouponExpired]:
        """Worker only: after the void window, gives what a redemption left in reserve back to the sponsor's budget."""
        item = _on_coupon(Op.RELEASE_SUBSIDY, resident_id, id, coupon_id, "job", coupon_id)
        return await self._post(item, CouponExpired)


def _redemption(
    owner: int,
    redemption_id: UUID,
    acceptor: Acceptor,
    order_no: str | None,
    order_amount_fen: int | None,
    *spent: UUID,
) -> Item:
    return Item(
        Op.REDEEM,
        b=bucket_of(owner),
        owner=owner,
        id=redemption_id,
        merchant=acceptor.merchant_id,
        store=acceptor.store_id,
        terminal=acceptor.terminal_id,
        staff=acceptor.staff_id,
        order_no=order_no,
        order_amount_fen=order_amount_fen,
        hash=intent_hash(
            f"merchant:{acceptor.merchant_id}/terminal:{acceptor.terminal_id}",
            "redeem",
            redemption_id,
            order_no,
            order_amount_fen,
            *spent,
        ),
    )


def _on_coupon(op: Op, resident_id: int, id: UUID, coupon_id: UUID, actor: str, *intent: object) -> Item:
    return Item(
        op,
        b=bucket_of(resident_id),
        owner=resident_id,
        id=id,
        coupon=coupon_id,
        hash=intent_hash(actor, op.name.lower(), *intent),
    )
