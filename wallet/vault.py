"""The vault's face: everything the house may ask of the ledger.

Value operations (`claim`, `redeem`, `void`, `scan`; for the worker `earn`, `expire_coupon`, `release_subsidy`) go
through lanes, one vault call each (see `wallet.lanes`). Set-up calls (wallets, budgets, terms, acceptors,
credentials) are single calls and safe to repeat. Reads are in `Vault.read`. Every refusal is a
`wallet.errors.VaultError`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, Literal, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from wallet import statuses
from wallet.errors import Refused, VaultUnavailable
from wallet.items import (
    Acceptor,
    Claimed,
    CouponExpired,
    Earned,
    Item,
    Op,
    Redeemed,
    Refill,
    ScannedCredential,
    Voided,
    bucket_of,
    intent_hash,
)
from wallet.lanes import CONNECTION_LOST, Answer, Lanes
from wallet.setup import IssuedHandle, Setup

Result = TypeVar("Result", bound=msgspec.Struct)
R = TypeVar("R")

REFILL_ATTEMPTS = 3
SOLD_OUT_FOR_S = 1.0
LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS = 2_000, 5_000


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """What a posting did. `replayed`: it had been done before under this id, and this is the same answer."""

    result: R
    replayed: bool


class Vault(Setup):
    """One process's connection to the vault. Make it with `Vault.connect`; close it last."""

    def __init__(self, pool: asyncpg.Pool, lanes: Lanes, budget_slots: int) -> None:
        super().__init__(pool, budget_slots)
        self._lanes = lanes

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        role: Literal["app", "worker"],
        first_lane: int = 0,
        lanes: int = 1,
        queue: int = 2048,
        batch: int = 128,
        budget_slots: int = 8,
        pool_max: int = 6,
    ) -> Vault:
        """Opens the pool and the lanes. `first_lane` tells this process's lanes from other processes', so that they
        use other slots of a hot budget. Raises `VaultUnavailable`."""
        settings = {
            "application_name": f"chengxin-{role}",
            "TimeZone": "UTC",
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            "statement_timeout": str(STATEMENT_TIMEOUT_MS),
            "idle_in_transaction_session_timeout": "10000",
        }

        async def connection() -> asyncpg.Connection:
            return await asyncpg.connect(
                dsn, server_settings=settings, command_timeout=STATEMENT_TIMEOUT_MS / 1000 + 5, timeout=5
            )

        function = "post_batch" if role == "app" else "post_internal"
        lane = Lanes(connection, function, first=first_lane, count=lanes, queue=queue, batch=batch)
        pool: asyncpg.Pool | None = None
        try:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=pool_max,
                server_settings=settings,
                command_timeout=STATEMENT_TIMEOUT_MS / 1000 + 5,
                timeout=5,
            )
            await lane.open()
        except (*CONNECTION_LOST, VaultUnavailable) as lost:
            await lane.close()
            if pool is not None:
                await pool.close()
            raise VaultUnavailable from lost
        return cls(pool, lane, budget_slots)

    async def close(self) -> None:
        """Sends what is queued and closes everything."""
        await self._lanes.close()
        await self._pool.close()

    @property
    def lanes(self) -> Lanes:
        """For figures: queue depth, batches and items sent."""
        return self._lanes

    async def claim(self, resident_id: int, id: UUID, *, template_id: int, terms_id: int) -> Done[Claimed]:
        """Claims a coupon, or exchanges points for it. `id` is the client's UUIDv7 and becomes the coupon's id."""
        item = Item(
            Op.CLAIM,
            b=bucket_of(resident_id),
            owner=resident_id,
            id=id,
            terms=terms_id,
            hash=intent_hash(f"resident:{resident_id}", "claim", template_id),
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
        (a wrong one is counted). Raises `Refused` not_valid or merchant_suspended. The ids are used when this is the
        first claim."""
        item = Item(
            Op.CLAIM_CREDENTIAL,
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
    ) -> Done[Redeemed]:
        """Redeems a claimed credential exactly once; the same ticket and amount again give the same receipt (D21)."""
        item = Item(
            Op.REDEEM,
            b=bucket_of(owner),
            owner=owner,
            id=redemption_id,
            credential=credential_id,
            merchant=acceptor.merchant_id,
            store=acceptor.store_id,
            terminal=acceptor.terminal_id,
            staff=acceptor.staff_id,
            ticket_expires_at=ticket_expires_at,
            order_amount_fen=order_amount_fen,
            hash=intent_hash(
                f"merchant:{acceptor.merchant_id}/terminal:{acceptor.terminal_id}",
                "redeem",
                redemption_id,
                order_amount_fen,
            ),
        )
        return await self._post(item, Redeemed)

    async def void(self, redemption_id: UUID, *, acceptor: Acceptor, reason: str) -> Done[Voided]:
        """Takes a redemption back inside its window; a second void answers the same. `reason`: 1 to 200 characters."""
        item = Item(
            Op.VOID,
            redemption=redemption_id,
            merchant=acceptor.merchant_id,
            store=acceptor.store_id,
            terminal=acceptor.terminal_id,
            staff=acceptor.staff_id,
            reason=reason,
            hash=intent_hash(f"merchant:{acceptor.merchant_id}", "void", redemption_id),
        )
        return await self._post(item, Voided)

    async def earn(self, resident_id: int, id: UUID, terms_id: int, earned_on: date) -> Done[Earned]:
        """Worker only: points from a campaign under a job's UUIDv8."""
        item = Item(
            Op.EARN,
            b=bucket_of(resident_id),
            owner=resident_id,
            id=id,
            terms=terms_id,
            earned_on=earned_on,
            hash=intent_hash("job", "earn", terms_id, earned_on),
        )
        return await self._post(item, Earned)

    async def expire_coupon(self, resident_id: int, id: UUID, *, coupon_id: UUID) -> Done[CouponExpired]:
        """Worker only: books a coupon whose last day is over."""
        return await self._post(self._coupon_job(Op.EXPIRE_COUPON, resident_id, id, coupon_id), CouponExpired)

    async def release_subsidy(self, resident_id: int, id: UUID, *, coupon_id: UUID) -> Done[CouponExpired]:
        """Worker only: after the void window, gives what a redemption left in reserve back to the sponsor's budget."""
        return await self._post(self._coupon_job(Op.RELEASE_SUBSIDY, resident_id, id, coupon_id), CouponExpired)

    @staticmethod
    def _coupon_job(op: Op, resident_id: int, id: UUID, coupon_id: UUID) -> Item:
        return Item(
            op,
            b=bucket_of(resident_id),
            owner=resident_id,
            id=id,
            coupon=coupon_id,
            hash=intent_hash("job", op.name, coupon_id),
        )

    async def _post(self, item: Item, kind: type[Result]) -> Done[Result]:
        answer: Answer = await self._lanes.post(item)
        for _ in range(REFILL_ATTEMPTS):
            if answer.status != statuses.REFILL.number:
                break
            await self._refill(msgspec.json.decode(answer.body or "", type=Refill))
            answer = await self._lanes.post(item)
        if answer.status != statuses.DONE.number or answer.body is None:
            raise Refused.of(answer.status, replayed=answer.replayed)
        return Done(msgspec.json.decode(answer.body, type=kind), answer.replayed)

    async def _refill(self, refill: Refill) -> None:
        """Makes room in the slots, or raises sold out. A budget found empty stays so for this process for one second,
        or until it is topped up or something is given back through this process."""
        if self._sold_out_until.get(refill.budget, 0.0) > time.monotonic():
            raise Refused(statuses.SOLD_OUT)
        total = await self._value("SELECT vault.rebalance($1, $2)", refill.budget, refill.amount)
        if total is None or total < refill.amount:
            self._sold_out_until[refill.budget] = time.monotonic() + SOLD_OUT_FOR_S
            raise Refused(statuses.SOLD_OUT)


__all__ = ["Done", "IssuedHandle", "Vault"]
