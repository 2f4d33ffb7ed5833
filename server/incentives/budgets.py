"""Budgets as people see them, and the requests by which their totals change. The amounts live in the vault."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.changes import Effects
from server.incentives.commands import MAX_PLANNED, Signed
from server.incentives.errors import BudgetNotFound, SecondPersonRequired, TopUpNotFound, WrongStatus
from server.incentives.follow import post_entry
from server.incentives.models import Budget, BudgetRequest
from server.incentives.moves import LONGEST_COMMENT
from server.incentives.rows import RUNNING, columns_of
from server.incentives.simulation import write
from server.incentives.watch import Burn, burn_of
from server.kit import audit
from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from server.kit.errors import InvalidField
from wallet import Vault, statuses
from wallet.errors import BudgetRefused, Refused, VaultError

log = structlog.get_logger(__name__)

STOCK_CACHE_S = 1.0
OLDEST_KEY = timedelta(hours=48)
NEWEST_KEY = timedelta(minutes=5)
REDRIVE_AFTER_S = 5
#: Nothing was ever booked for these.
DROPPED = ("rejected", "withdrawn")


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget and what became of it, in its own unit. `total` is top-ups minus cuts; all 0 before the activation."""

    id: int
    unit: str
    campaign_id: int | None
    template_id: int | None
    planned: int
    total: int
    left: int
    reserved: int
    consumed: int
    open: bool


class BudgetBoard:
    """What is left of budgets, at most a second old: for lists that many residents read at once."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._seen: dict[int, tuple[float, int]] = {}
        self._one_reader = asyncio.Lock()

    async def left(self, budget_ids: list[int]) -> dict[int, int]:
        """Left per budget; budgets that the vault does not know are missing."""
        async with self._one_reader:
            now = time.monotonic()
            stale = [key for key in budget_ids if key not in self._seen or now - self._seen[key][0] > STOCK_CACHE_S]
            if stale:
                for key, level in (await self._vault.budget_levels(stale)).items():
                    self._seen[key] = (now, level.left)
            return {key: self._seen[key][1] for key in budget_ids if key in self._seen}


class BudgetService:
    """Reads budgets and changes their totals by two people (D5, D35)."""

    def __init__(self, *, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock

    async def states(self, budgets: list[Budget]) -> list[BudgetState]:
        """The budgets with their amounts in the vault."""
        views = await self._vault.budgets([budget.id for budget in budgets]) if budgets else {}
        states = []
        for budget in budgets:
            view = views.get(budget.id)
            amounts = (view.total, view.left, view.reserved, view.consumed, view.open) if view else (0, 0, 0, 0, False)
            states.append(
                BudgetState(budget.id, budget.unit, budget.campaign_id, budget.template_id, budget.planned, *amounts)
            )
        return states

    async def burn(self, state: BudgetState) -> Burn:
        """How fast a budget is used, and when it will be empty at that speed."""
        return (await burn_of([state.id], {state.id: state.left}, self._clock))[state.id]

    async def state(self, budget_id: int) -> BudgetState:
        """One budget with its amounts. Raises BudgetNotFound."""
        budget = await Budget.get_or_none(id=budget_id)
        if budget is None:
            raise BudgetNotFound
        return (await self.states([budget]))[0]

    async def requests(self, budget_id: int, limit: int = 100) -> list[BudgetRequest]:
        """The newest requests of a budget."""
        return await BudgetRequest.filter(budget_id=budget_id).order_by("-requested_at", "-id").limit(limit)

    async def request_top_up(
        self, budget_id: int, request_id: UUID, amount: int, document: str, signed: Signed
    ) -> tuple[BudgetRequest, bool, Effects | None]:
        """Ask for `amount` more under a client-made UUIDv7; (request, replayed, effects when simulated). Somebody else
        approves it.

        The same id with other content is refused as a mismatch, an id older than 48 h or ahead by 5 min as expired.
        """
        if not 0 < amount <= MAX_PLANNED:
            raise InvalidField(field="amount")
        if not document.strip() or len(document) > 100:
            raise InvalidField(field="document")
        values = (budget_id, "topup", amount, document, signed.admin_id)
        known = await BudgetRequest.get_or_none(id=request_id)
        if known is not None:
            return _same(known, values), True, Effects([], []) if signed.simulate else None
        stamped_ms = request_id.int >> 80
        now = self._clock.now()
        if not _unix_ms(now - OLDEST_KEY) <= stamped_ms <= _unix_ms(now + NEWEST_KEY):
            raise Refused(statuses.ID_EXPIRED)

        async def ask(tx: BaseDBAsyncClient) -> tuple[BudgetRequest, bool]:
            await self._require_running(tx, budget_id)
            rows = await fetch(
                "INSERT INTO budget_request"
                " (id, budget_id, kind, amount, document, requested_by, requested_at, status, reason)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, 'requested', '') ON CONFLICT (id) DO NOTHING RETURNING id",
                request_id, *values, now, using=tx,
            )  # fmt: skip
            request = await BudgetRequest.get(id=request_id, using_db=tx)
            if rows:
                await self._record(tx, "requested", request, None, signed)
            return request, not rows

        (request, replayed), effects = await write(signed, ask)
        return _same(request, values), replayed, effects

    async def approve(self, request_id: UUID, signed: Signed) -> tuple[BudgetRequest, Effects | None]:
        """Approve a top-up and book it in the vault; refused to whoever asked for it. Twice answers the same."""
        return await write(signed, lambda tx: self._approve(tx, request_id, signed), follow=self._book)

    async def _approve(self, tx: BaseDBAsyncClient, request_id: UUID, signed: Signed) -> BudgetRequest:
        request = await self._lock(tx, request_id)
        if request.status in DROPPED:
            raise WrongStatus(request.status, "requested")
        if request.requested_by == signed.admin_id:
            raise SecondPersonRequired
        if request.approved_by is not None and request.approved_by != signed.admin_id:
            raise WrongStatus(request.status, "requested")
        if request.status == "requested":
            await self._require_running(tx, request.budget_id)
            before = columns_of(request)
            request.status, request.approved_by, request.approved_at = "approved", signed.admin_id, self._clock.now()
            await request.save(using_db=tx)
            await self._record(tx, "approved", request, before, signed)
        return request

    async def reject(self, request_id: UUID, comment: str, signed: Signed) -> tuple[BudgetRequest, Effects | None]:
        """Say no to a top-up that waits, and why. Twice answers the same."""
        if not comment.strip() or len(comment) > LONGEST_COMMENT:
            raise InvalidField(field="comment")
        return await write(signed, lambda tx: self._drop(tx, request_id, "rejected", comment.strip(), signed))

    async def withdraw(self, request_id: UUID, signed: Signed) -> tuple[BudgetRequest, Effects | None]:
        """Take back a top-up that waits; only who asked for it. Twice answers the same."""
        return await write(signed, lambda tx: self._drop(tx, request_id, "withdrawn", "", signed))

    async def _drop(
        self, tx: BaseDBAsyncClient, request_id: UUID, status: str, reason: str, signed: Signed
    ) -> BudgetRequest:
        request = await self._lock(tx, request_id)
        if status == "withdrawn" and request.requested_by != signed.admin_id:
            raise WrongStatus(request.status, hint="只有申请人可以撤回")
        if request.status == status:
            return request
        if request.status != "requested":
            raise WrongStatus(request.status, "requested")
        before = columns_of(request)
        request.status, request.reason, request.settled_at = status, reason, self._clock.now()
        await request.save(using_db=tx)
        await self._record(tx, status, request, before, signed)
        return request

    async def _lock(self, tx: BaseDBAsyncClient, request_id: UUID) -> BudgetRequest:
        request = await BudgetRequest.filter(id=request_id).using_db(tx).select_for_update(no_key=True).first()
        if request is None:
            raise TopUpNotFound
        return request

    async def _book(self, request: BudgetRequest) -> BudgetRequest:
        if request.status == "approved":
            try:
                return await self._post(request)
            except VaultError as error:
                log.warning("budget_entry_not_posted", id=str(request.id), reason=error.code)
        return request

    async def redrive(self, limit: int = 200) -> int:
        """Book approved requests that a crash left behind; returns how many were booked or refused."""
        since = self._clock.now() - timedelta(seconds=REDRIVE_AFTER_S)
        done = 0
        left = BudgetRequest.filter(status="approved", approved_at__lte=since).order_by("approved_at").limit(limit)
        for request in await left.prefetch_related("budget__campaign", "budget__template"):
            owner = request.budget.campaign or request.budget.template
            if owner is None or owner.live_version is None:
                continue
            try:
                await self._post(request)
                done += 1
            except Exception:  # one entry that cannot be booked must not hold up the others
                log.exception("budget_entry_not_posted", id=str(request.id))
        return done

    async def _post(self, request: BudgetRequest) -> BudgetRequest:
        status, reason = "done", ""
        try:
            await post_entry(self._vault, request)
        except BudgetRefused as refusal:
            status, reason = "refused", refusal.code
        async with transaction() as tx:
            current = await BudgetRequest.filter(id=request.id).using_db(tx).select_for_update(no_key=True).get()
            if current.status == "approved":
                before = columns_of(current)
                current.status, current.reason, current.settled_at = status, reason, self._clock.now()
                await current.save(using_db=tx)
                await self._record(tx, status, current, before, None)
        return current

    async def _require_running(self, tx: BaseDBAsyncClient, budget_id: int) -> None:
        rows = await fetch(
            "SELECT coalesce(c.status, t.status) AS status FROM budget b"
            " LEFT JOIN campaign c ON c.id = b.campaign_id LEFT JOIN coupon_template t ON t.id = b.template_id"
            " WHERE b.id = $1", budget_id, using=tx,
        )  # fmt: skip
        if not rows:
            raise BudgetNotFound
        if rows[0]["status"] not in RUNNING:
            raise WrongStatus(rows[0]["status"], *RUNNING)

    async def _record(
        self,
        tx: BaseDBAsyncClient,
        action: str,
        request: BudgetRequest,
        before: dict[str, Any] | None,
        signed: Signed | None,
    ) -> None:
        await audit.record(
            tx, actor=signed.actor if signed else audit.Actor("system", "system"), action=f"top_up.{action}",
            object_kind="top_up", object_id=str(request.id), before=before, after=columns_of(request),
            at=self._clock.now(), request_id=signed.request_id if signed else "",
        )  # fmt: skip


def _unix_ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _same(request: BudgetRequest, values: tuple[int, str, int, str, int]) -> BudgetRequest:
    stands = (request.budget_id, request.kind, request.amount, request.document, request.requested_by)
    if stands != values:
        raise Refused(statuses.MISMATCH)
    return request
