"""What one administrator does to a wallet at once (freeze, unfreeze, refund, void a coupon), and looks at wallets.

The order is in the audit trail before the vault is called, and its outcome afterwards. A call that was cut off between
them shows in the trail as an order without outcome; the client sends it again under the same key, and the outcome
follows. The same line is written once.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from server.kit import audit, audit_trail
from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from server.ledger_office.commands import Clerk, FreezeOrder, Purpose, What, check_text
from wallet import (
    BalanceAt,
    CouponVoided,
    Done,
    Entry,
    FreezeChanged,
    HoldView,
    Refunded,
    Refused,
    Vault,
    WalletView,
    statuses,
)
from wallet.folds import FoldKind, Folds

T = TypeVar("T")
OBJECT, LOOKED = "wallet", "wallet.read"


@dataclass(frozen=True, slots=True)
class Looked:
    """One look of an administrator at a wallet: what of it, and for which purpose."""

    id: int
    at: datetime
    what: What
    purpose: Purpose


class WalletDesk:
    """One process's desk. Ids of orders are the client's UUIDv7 and become the vault's (D21)."""

    def __init__(self, *, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock
        self.accounts = Accounts()

    async def look(self, resident_id: int, what: What, purpose: Purpose, reference: str | None, clerk: Clerk) -> Look:
        """Note down who looks at whose wallet and why (G20), and only then let them."""
        seen: dict[str, Any] = {"what": what, "purpose": purpose, "reference": reference}
        async with transaction() as tx:
            await audit.record(
                tx, actor=clerk.actor, action=LOOKED, object_kind=OBJECT, object_id=str(resident_id),
                before=None, after=seen, at=self._clock.now(), request_id=clerk.request_id,
            )  # fmt: skip
        return Look(self._vault, resident_id)

    async def looks(self, resident_id: int, *, before_id: int | None, limit: int) -> list[Looked]:
        """Who has looked at a wallet, newest first: what the resident is shown of it (G20). `before_id` is the last id
        of the page before."""
        rows = await audit_trail.entries(
            before_id=before_id, limit=limit, action=LOOKED, object_kind=OBJECT, object_id=str(resident_id)
        )
        return [Looked(row.id, row.at, row.after["what"], row.after["purpose"]) for row in rows]

    async def freeze(self, resident_id: int, id: UUID, order: FreezeOrder, clerk: Clerk) -> Done[FreezeChanged]:
        """Freeze by an authority's order; a later order replaces an earlier."""
        order.check(self._clock.now())
        content = {
            "kind": order.kind, "authority": order.authority, "reason": order.reason,
            "until": order.until and order.until.isoformat(),
        }  # fmt: skip
        call = partial(
            self._vault.freeze, resident_id, id, kind=order.kind, authority=order.authority, reason=order.reason,
            until=order.until, actor=clerk.admin_id,
        )  # fmt: skip
        return await self._carry_out("freeze", resident_id, id, content, clerk, call)

    async def unfreeze(
        self, resident_id: int, id: UUID, authority: str, reason: str, clerk: Clerk
    ) -> Done[FreezeChanged]:
        """Lift a freeze. Raises account_not_frozen."""
        check_text("authority", authority, 100)
        check_text("reason", reason, 200)
        call = partial(self._vault.unfreeze, resident_id, id, authority=authority, reason=reason, actor=clerk.admin_id)
        content = {"authority": authority, "reason": reason}
        return await self._carry_out("unfreeze", resident_id, id, content, clerk, call)

    async def refund(
        self, resident_id: int, id: UUID, posting_id: UUID, points: int, reason: str, clerk: Clerk
    ) -> Done[Refunded]:
        """Give back part or all of a spend or capture, never more than was spent."""
        check_text("reason", reason, 200)
        call = partial(
            self._vault.refund, resident_id, id, posting_id=posting_id, points=points, reason=reason,
            actor=clerk.admin_id,
        )  # fmt: skip
        content = {"refunded_posting_id": str(posting_id), "points": points, "reason": reason}
        return await self._carry_out("refund", resident_id, id, content, clerk, call)

    async def void_coupon(
        self, resident_id: int, id: UUID, coupon_id: UUID, reason: str, clerk: Clerk
    ) -> Done[CouponVoided]:
        """End a coupon that was not used; its price goes back to the wallet, its reserve to the budgets."""
        check_text("reason", reason, 200)
        call = partial(
            self._vault.void_coupon, resident_id, id, coupon_id=coupon_id, reason=reason, actor=clerk.admin_id
        )
        content = {"coupon_id": str(coupon_id), "reason": reason}
        return await self._carry_out("coupon_void", resident_id, id, content, clerk, call)

    async def _carry_out(
        self,
        noun: str,
        resident_id: int,
        id: UUID,
        content: dict[str, Any],
        clerk: Clerk,
        call: Callable[[], Awaitable[T]],
    ) -> T:
        note = {"posting_id": str(id), **content}
        await self._note(f"wallet_{noun}.ordered", resident_id, note, clerk)
        try:
            done = await call()
        except Refused as refusal:
            await self._note(f"wallet_{noun}.refused", resident_id, {**note, "answer": refusal.code}, clerk)
            raise
        await self._note(f"wallet_{noun}.posted", resident_id, note, clerk)
        return done

    async def _note(self, action: str, resident_id: int, after: dict[str, Any], clerk: Clerk) -> None:
        async with transaction() as tx:
            known = await fetch(
                "SELECT 1 FROM audit_entry WHERE object_kind = $1 AND object_id = $2 AND action = $3 AND actor_id = $4"
                " AND after = $5::text::jsonb LIMIT 1",
                OBJECT, str(resident_id), action, clerk.actor.id, json.dumps(after), using=tx,
            )  # fmt: skip
            if not known:
                await audit.record(
                    tx, actor=clerk.actor, action=action, object_kind=OBJECT, object_id=str(resident_id), before=None,
                    after=after, at=self._clock.now(), request_id=clerk.request_id,
                )  # fmt: skip


class Look:
    """A wallet that may be looked at now: the look is in the audit trail."""

    def __init__(self, vault: Vault, resident_id: int) -> None:
        self._read, self._resident_id = vault.read, resident_id

    async def wallet(self) -> WalletView:
        """The wallet now. Raises wallet_not_open."""
        return _opened(await self._read.wallet(self._resident_id))

    async def balance_at(self, at: datetime) -> BalanceAt:
        """How it stood. Raises wallet_not_open."""
        return _opened(await self._read.balance_at(self._resident_id, at))

    async def entries(self, **wanted: Any) -> list[Entry]:
        """A page of the statement, as `wallet.Vault.read.entries` takes it. Raises wallet_not_open."""
        return await self._read.entries(self._resident_id, **wanted) or await self._none()

    async def holds(self, *, before: UUID | None, limit: int) -> list[HoldView]:
        """Open holds, newest first. Raises wallet_not_open."""
        return await self._read.holds(self._resident_id, before=before, limit=limit) or await self._none()

    async def _none(self) -> list[Any]:
        """Nothing to show, of a wallet that is there."""
        _opened(await self._read.wallet(self._resident_id))
        return []


class Accounts:
    """Balances of accounts without a limit, exact at the moment of asking (D12)."""

    def __init__(self) -> None:
        self._folds = Folds(fetch)

    async def balance(self, kind: FoldKind, account: int) -> int:
        """Points, or fen for merchant_payable; 0 for an account that nothing ever touched."""
        return await self._folds.account_balance(kind, account)

    async def breakage(self, first: date, last: date) -> int:
        """Points that expired unused on the city's days `first` to `last`, both included."""
        return await self._folds.breakage(first, last)


def _opened(view: T | None) -> T:
    if view is None:
        raise Refused(statuses.WALLET_MISSING)
    return view
