"""The vault's face: everything the house may ask of the ledger.

Value operations (`claim`, `redeem`, `void`, `scan`; for the worker `earn`, `expire_coupon`, `release_subsidy`) go through lanes, one
vault call each (see `wallet.lanes`). Set-up calls (wallets, budgets, terms, acceptors, credentials) are single calls and safe to
repeat. Reads are in `Vault.read`. Every refusal is a `wallet.errors.VaultError`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, Literal, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from wallet import statuses
from wallet.errors import BudgetRefused, InFlight, Refused, TermsConflict, VaultUnavailable
from wallet.items import (
    Acceptor,
    Claimed,
    CouponExpired,
    CouponTerms,
    Earned,
    Item,
    Op,
    Posted,
    Redeemed,
    Refill,
    ScannedCredential,
    Voided,
    bucket_of,
    intent_hash,
)
from wallet.lanes import CONNECTION_LOST, TOOK_TOO_LONG, Answer, Lanes
from wallet.queries import BudgetView, Queries

Result = TypeVar("Result", bound=msgspec.Struct)
R = TypeVar("R")
Unit = Literal["points", "coupons", "fen"]
Party = Literal["merchant", "store", "terminal", "staff"]

REFILL_ATTEMPTS = 3
SOLD_OUT_FOR_S = 1.0
LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS = 2_000, 5_000


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """What a posting did. `replayed`: it had been done before under this id, and this is the same answer."""

    result: R
    replayed: bool


@dataclass(frozen=True, slots=True)
class IssuedHandle:
    """One showing of a coupon: the handle a phone turns into codes until `expires_at`."""

    credential_id: UUID
    handle: int
    expires_at: datetime


class Vault:
    """One process's connection to the vault. Make it with `Vault.connect`; close it last."""

    def __init__(self, pool: asyncpg.Pool, lanes: Lanes, budget_slots: int) -> None:
        self._pool, self._lanes, self._budget_slots = pool, lanes, budget_slots
        self._sold_out_until: dict[int, float] = {}
        self.read = Queries(pool)

    @classmethod
    async def connect(
        cls, dsn: str, *, role: Literal["app", "worker"], first_lane: int = 0, lanes: int = 1, queue: int = 2048,
        batch: int = 128, budget_slots: int = 8, pool_max: int = 6,
    ) -> Vault:
        """Opens the pool and the lanes. `first_lane` tells this process's lanes from other processes', so that they use other
        slots of a hot budget. Raises `VaultUnavailable`."""
        settings = {
            "application_name": f"chengxin-{role}", "TimeZone": "UTC", "lock_timeout": str(LOCK_TIMEOUT_MS),
            "statement_timeout": str(STATEMENT_TIMEOUT_MS), "idle_in_transaction_session_timeout": "10000",
        }

        async def connection() -> asyncpg.Connection:
            return await asyncpg.connect(dsn, server_settings=settings, command_timeout=STATEMENT_TIMEOUT_MS / 1000 + 5, timeout=5)

        function = "post_batch" if role == "app" else "post_internal"
        lane = Lanes(connection, function, first=first_lane, count=lanes, queue=queue, batch=batch)
        try:
            pool = await asyncpg.create_pool(
                dsn, min_size=1, max_size=pool_max, server_settings=settings, command_timeout=STATEMENT_TIMEOUT_MS / 1000 + 5, timeout=5)
            await lane.open()
        except CONNECTION_LOST as lost:
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

    async def now(self) -> datetime:
        """The vault's clock, which the whole house follows (D11)."""
        return await self._value("SELECT vault.now()")

    # -- value -------------------------------------------------------------------------------------------------------------

    async def claim(self, resident_id: int, id: UUID, *, template_id: int, terms_id: int) -> Done[Claimed]:
        """Claims a coupon, or exchanges points for it. `id` is the client's UUIDv7 and becomes the coupon's id."""
        item = Item(Op.CLAIM, b=bucket_of(resident_id), owner=resident_id, id=id, terms=terms_id,
                    hash=intent_hash(f"resident:{resident_id}", "claim", template_id))
        return await self._post(item, Claimed)

    async def scan(
        self, handle: int, *, code_ok: bool, acceptor: Acceptor, own_resident: int | None, redemption_id: UUID, void_id: UUID
    ) -> ScannedCredential:
        """Claims the credential behind a handle for this terminal. `code_ok`: whether the one-time password was right (a wrong one
        is counted). Raises `Refused` not_valid or merchant_suspended. The ids are used when this is the first claim."""
        item = Item(Op.CLAIM_CREDENTIAL, handle=handle, code_ok=code_ok, own_resident=own_resident, redemption=redemption_id,
                    void=void_id, merchant=acceptor.merchant_id, store=acceptor.store_id, terminal=acceptor.terminal_id,
                    staff=acceptor.staff_id)
        return (await self._post(item, ScannedCredential)).result

    async def redeem(
        self, *, owner: int, credential_id: UUID, redemption_id: UUID, acceptor: Acceptor, ticket_expires_at: datetime,
        order_amount_fen: int | None,
    ) -> Done[Redeemed]:
        """Redeems a claimed credential exactly once; the same ticket and amount again give the same receipt (D21)."""
        item = Item(Op.REDEEM, b=bucket_of(owner), owner=owner, id=redemption_id, credential=credential_id,
                    merchant=acceptor.merchant_id, store=acceptor.store_id, terminal=acceptor.terminal_id, staff=acceptor.staff_id,
                    ticket_expires_at=ticket_expires_at, order_amount_fen=order_amount_fen,
                    hash=intent_hash(f"merchant:{acceptor.merchant_id}/terminal:{acceptor.terminal_id}", "redeem",
                                     redemption_id, order_amount_fen))
        return await self._post(item, Redeemed)

    async def void(self, redemption_id: UUID, *, acceptor: Acceptor, reason: str) -> Done[Voided]:
        """Takes a redemption back inside its window; a second void answers the same. `reason`: 1 to 200 characters."""
        item = Item(Op.VOID, redemption=redemption_id, merchant=acceptor.merchant_id, store=acceptor.store_id,
                    terminal=acceptor.terminal_id, staff=acceptor.staff_id, reason=reason,
                    hash=intent_hash(f"merchant:{acceptor.merchant_id}", "void", redemption_id))
        return await self._post(item, Voided)

    async def earn(self, resident_id: int, id: UUID, terms_id: int, earned_on: date) -> Done[Earned]:
        """Worker only: points from a campaign under a job's UUIDv8."""
        item = Item(Op.EARN, b=bucket_of(resident_id), owner=resident_id, id=id, terms=terms_id, earned_on=earned_on,
                    hash=intent_hash("job", "earn", terms_id, earned_on))
        return await self._post(item, Earned)

    async def expire_coupon(self, resident_id: int, id: UUID, *, coupon_id: UUID) -> Done[CouponExpired]:
        """Worker only: books a coupon whose last day is over."""
        return await self._post(self._coupon_job(Op.EXPIRE_COUPON, resident_id, id, coupon_id), CouponExpired)

    async def release_subsidy(self, resident_id: int, id: UUID, *, coupon_id: UUID) -> Done[CouponExpired]:
        """Worker only: after the void window, gives what a redemption left in reserve back to the sponsor's budget."""
        return await self._post(self._coupon_job(Op.RELEASE_SUBSIDY, resident_id, id, coupon_id), CouponExpired)

    @staticmethod
    def _coupon_job(op: Op, resident_id: int, id: UUID, coupon_id: UUID) -> Item:
        return Item(op, b=bucket_of(resident_id), owner=resident_id, id=id, coupon=coupon_id,
                    hash=intent_hash("job", op.name, coupon_id))

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
        """Makes room in the slots, or raises sold out. A budget found empty stays so for this process for one second, or until it
        is topped up or something is given back through this process."""
        if self._sold_out_until.get(refill.budget, 0.0) > time.monotonic():
            raise Refused(statuses.SOLD_OUT)
        total = await self._value("SELECT vault.rebalance($1, $2)", refill.budget, refill.amount)
        if total is None or total < refill.amount:
            self._sold_out_until[refill.budget] = time.monotonic() + SOLD_OUT_FOR_S
            raise Refused(statuses.SOLD_OUT)

    # -- set-up ------------------------------------------------------------------------------------------------------------

    async def open_wallet(self, resident_id: int) -> None:
        """Opens a resident's wallet; again is a no-op."""
        await self._value("SELECT vault.open_wallet($1)", resident_id)

    async def bump_epoch(self, resident_id: int) -> None:
        """Kills every credential issued to the resident so far (log-out everywhere)."""
        await self._value("SELECT vault.bump_epoch($1)", resident_id)

    async def create_budget(self, budget_id: int, unit: Unit) -> None:
        """Creates an empty, closed budget; again is a no-op, with another unit it raises `BudgetRefused`."""
        if not await self._value("SELECT vault.create_budget($1, $2, $3::smallint)", budget_id, unit, self._budget_slots):
            raise BudgetRefused

    async def budget_entry(
        self, budget_id: int, entry_id: UUID, kind: Literal["topup", "cut"], amount: int, actor: int, approver: int, document: str
    ) -> None:
        """Changes a budget's total, the only way there is (D5); the same entry again is a no-op. Raises `BudgetRefused`."""
        answer = await self._value("SELECT vault.put_budget_entry($1, $2, $3, $4, $5, $6, $7)",
                                   budget_id, entry_id, kind, amount, actor, approver, document)
        self._sold_out_until.pop(budget_id, None)
        if answer not in ("done", "replayed"):
            raise BudgetRefused

    async def open_budget(self, budget_id: int) -> None:
        """Lets a budget be taken from."""
        await self._value("SELECT vault.set_budget_open($1, true)", budget_id)

    async def close_budget(self, budget_id: int) -> None:
        """Refuses debits from a budget at once (pause, kill switch); returns still fit."""
        await self._value("SELECT vault.set_budget_open($1, false)", budget_id)

    async def budgets(self, ids: Sequence[int]) -> dict[int, BudgetView]:
        """The exact state of budgets, from the ledger."""
        return await self.read.budgets(ids)

    async def put_earn_terms(
        self, terms_id: int, points_budget: int, points: int, validity_months: int, per_person: int, limit_id: str | None = None
    ) -> None:
        """Writes a campaign's earning terms, immutable; raises `TermsConflict` when other terms stand under this id."""
        same = await self._value("SELECT vault.put_earn_terms(ROW($1::bigint, $2::bigint, $3::bigint, $4::smallint, $5::text, $6::integer))",
                                 terms_id, points_budget, points, validity_months, limit_id or f"campaign:{terms_id}", per_person)
        if not same:
            raise TermsConflict

    async def put_coupon_terms(self, terms: CouponTerms) -> None:
        """Writes an approved template version, immutable; raises `TermsConflict` when other terms stand under this id."""
        same = await self._value(
            """SELECT vault.put_coupon_terms(ROW($1::bigint, $2::bigint, $3::integer, $4::text, $5::bigint, $6::bigint, $7::bigint,
            $8::bigint, $9::integer, $10::bigint, $11::bigint, $12::integer, $13::text, $14::integer, $15::integer, $16::date,
            $17::bigint[], $18::integer, $19::integer, $20::boolean, $21::timestamptz, $22::timestamptz))""",
            terms.id, terms.template_id, terms.version, terms.kind, terms.stock_budget, terms.fen_budget, terms.price_points,
            terms.face_value_fen, terms.pay_bp, terms.cap_fen, terms.threshold_fen, terms.sponsor_bp,
            f"template:{terms.template_id}", terms.per_person, terms.valid_days, terms.valid_until, list(terms.merchants),
            terms.void_window_s, terms.grace_days, terms.return_stock, terms.claim_from, terms.claim_until)
        if not same:
            raise TermsConflict

    async def set_acceptor(self, kind: Party, id: int, merchant_id: int, store_id: int | None, open: bool) -> None:
        """Says whether a merchant, store, terminal or staff member may accept coupons; the next scan and redemption obey it."""
        await self._value("SELECT vault.set_acceptor($1, $2, $3, $4, $5)", kind, id, merchant_id, store_id, open)

    async def issue_credentials(
        self, resident_id: int, coupon_id: UUID, ids: Sequence[UUID], handles: Sequence[int], ttls_s: Sequence[int]
    ) -> list[IssuedHandle]:
        """Issues showings of a coupon. A handle that is taken is left out; the caller draws again. Raises `Refused`."""
        rows = await self._rows("SELECT * FROM vault.issue_credentials($1, $2, $3::uuid[], $4::bigint[], $5::integer[])",
                                resident_id, coupon_id, list(ids), list(handles), list(ttls_s))
        if rows and rows[0]["status"] != statuses.DONE.number:
            raise Refused.of(rows[0]["status"])
        return [IssuedHandle(row["credential_id"], row["handle"], row["expires_at"]) for row in rows]

    async def burn_credential(self, resident_id: int, credential_id: UUID) -> bool:
        """Kills an open showing (screenshot seen, page left); returns whether one died."""
        return bool(await self._value("SELECT vault.burn_credential($1, $2)", resident_id, credential_id))

    async def ensure_partitions(self, months_ahead: int) -> int:
        """Worker only: makes the journal's coming months; returns how many were made."""
        return int(await self._value("SELECT vault.ensure_partitions($1)", months_ahead))

    async def purge(self, limit: int) -> int:
        """Worker only: deletes directory rows and scans past their keeping time, at most `limit` of each."""
        return int(await self._value("SELECT vault.purge($1)", limit))

    async def _value(self, sql: str, *args: object) -> object:
        rows = await self._rows(sql, *args)
        return rows[0][0] if rows else None

    async def _rows(self, sql: str, *args: object) -> list[asyncpg.Record]:
        try:
            rows: list[asyncpg.Record] = await self._pool.fetch(sql, *args)
            return rows
        except TOOK_TOO_LONG as slow:
            raise InFlight from slow
        except CONNECTION_LOST as lost:
            raise VaultUnavailable from lost


__all__ = ["Done", "IssuedHandle", "Posted", "Vault"]
