"""The course of a campaign or a template: who may move it on, and how the vault follows (D18, D35).

    draft ──submit──> in_review ──activate (2nd person)──> activating ──vault──> scheduled ──time──> active
      ^──────edit─────────┘                                                          └── pause/resume ──┘
                                                         scheduled | active | paused ──end or time──> ended

Every move is first written in the house with what the vault still has to be told (`pending`), then told, then marked.
The worker's `redrive()` finishes what a crash left, and sets the vault's budgets right where they differ from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, TypeVar

import structlog
from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.commands import Signed
from server.incentives.errors import (
    AlreadyLive,
    AlreadyOver,
    RevisionChanged,
    SecondPersonRequired,
    StillSettling,
    WrongStatus,
)
from server.incentives.models import Budget, BudgetRequest, Campaign, CampaignSpan, CouponTemplate
from server.kit import audit
from server.kit.audit import Actor
from server.kit.clock import Clock
from server.kit.db import transaction
from server.kit.errors import AppError
from server.kit.ids import uuid7
from wallet import Vault
from wallet.errors import BudgetRefused, TermsConflict, VaultError

log = structlog.get_logger(__name__)

P = TypeVar("P", Campaign, CouponTemplate)
Noun = Literal["campaign", "coupon_template"]
PutTerms = Callable[[P, dict[str, int]], Awaitable[None]]

REDRIVE_AFTER_S = 5
REDRIVE_LIMIT = 500
ENDED_WATCH_S = 3_600
HOUSE = Actor("system", "system")
EDITABLE = ("draft", "in_review")
RUNNING = ("scheduled", "active", "paused")


def owner_of(row: Campaign | CouponTemplate) -> dict[str, int]:
    """The filter that finds the budgets of a campaign or a template."""
    return {"campaign_id" if isinstance(row, Campaign) else "template_id": row.id}


def plain(value: object) -> object:
    """A column's value as it stands in JSON."""
    if value is None or isinstance(value, str | int | list):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def snapshot(row: Campaign | CouponTemplate, planned: dict[str, int]) -> dict[str, Any]:
    """A row and its planned budgets as the audit trail keeps them."""
    columns = {name: plain(getattr(row, name)) for name in sorted(row._meta.fields_db_projection)}
    return columns | {"planned": dict(sorted(planned.items()))}


class Course(Generic[P]):
    """Moves campaigns, or templates, from draft to end. One instance per kind; holds no state of its own."""

    def __init__(
        self, *, model: type[P], noun: Noun, missing: type[AppError], vault: Vault, clock: Clock, put_terms: PutTerms[P]
    ) -> None:
        self._model: type[P] = model
        self._noun: Noun = noun
        self._missing = missing
        self._vault = vault
        self._clock = clock
        self._put_terms: PutTerms[P] = put_terms

    # Drafts

    async def create(self, columns: dict[str, object], planned: dict[str, int], signed: Signed) -> P:
        """Write a new draft with its budgets' planned amounts."""
        now = self._clock.now()
        async with transaction() as tx:
            row: P = await self._model.create(
                using_db=tx, **columns, status="draft", created_by=signed.admin_id, created_at=now, changed_at=now
            )
            await self._plan(tx, row, planned)
            await self._record(tx, "created", row, None, snapshot(row, planned), signed)
        return row

    async def edit(
        self, row_id: int, columns: dict[str, object], planned: dict[str, int], signed: Signed, revision: int | None
    ) -> P:
        """Replace a draft's content; a draft under review goes back to draft. The editor becomes its `created_by`."""
        async with transaction() as tx:
            row = await self._lock(tx, row_id, revision)
            if row.status not in EDITABLE:
                raise AlreadyLive
            before = snapshot(row, await self.planned(row, tx))
            row.update_from_dict({**columns, "status": "draft", "created_by": signed.admin_id})
            await self._save(tx, row)
            await self._plan(tx, row, planned)
            await self._record(tx, "edited", row, before, snapshot(row, planned), signed)
        return row

    async def find(self, row_id: int) -> P:
        """The row, or the kind's own not-found error."""
        row: P | None = await self._model.get_or_none(id=row_id)
        if row is None:
            raise self._missing
        return row

    async def planned(self, row: P, tx: BaseDBAsyncClient | None = None) -> dict[str, int]:
        """The planned amount of each of the row's budgets, by unit."""
        return {budget.unit: budget.planned for budget in await Budget.filter(**owner_of(row)).using_db(tx)}

    # Moves by people

    async def submit(self, row_id: int, signed: Signed) -> P:
        """Hand a draft over for review."""

        def move(row: P, _now: datetime) -> None:
            if row.status != "draft":
                raise WrongStatus
            row.status = "in_review"

        return await self._move(row_id, "submitted", move, signed)

    async def activate(self, row_id: int, signed: Signed, revision: int | None = None) -> P:
        """Approve what was reviewed and start it; refused to its last editor (D35).

        `revision` is the one that was looked at; when it is given and another stands, nothing happens. Returns with
        status active or scheduled, or activating while the vault cannot be reached: the worker then finishes it. Who
        activated it may ask again.
        """
        async with transaction() as tx:
            row = await self._lock(tx, row_id, revision)
            if row.status in ("activating", "scheduled", "active") and row.activated_by == signed.admin_id:
                return row
            if row.status != "in_review":
                raise WrongStatus
            if row.created_by == signed.admin_id:
                raise SecondPersonRequired
            now = self._clock.now()
            if row.ends_at <= now:
                raise AlreadyOver
            planned = await self.planned(row, tx)
            before = snapshot(row, planned)
            row.status, row.pending, row.activated_by = "activating", "activate", signed.admin_id
            await self._save(tx, row)
            for budget in await Budget.filter(**owner_of(row)).using_db(tx).order_by("id"):
                await BudgetRequest.create(
                    using_db=tx, id=uuid7(now), budget_id=budget.id, kind="topup", amount=budget.planned,
                    document=row.document, status="approved", requested_by=row.created_by, requested_at=now,
                    approved_by=signed.admin_id, approved_at=now,
                )  # fmt: skip
            await self._record(tx, "approved", row, before, snapshot(row, planned), signed)
        return await self._tell_now(row)

    async def pause(self, row_id: int, signed: Signed) -> P:
        """Stop at once: budgets close in the vault, what was given stays."""

        def move(row: P, _now: datetime) -> None:
            if row.status not in ("scheduled", "active"):
                raise WrongStatus
            row.status, row.pending = "paused", "close"

        return await self._tell_now(await self._move(row_id, "paused", move, signed))

    async def resume(self, row_id: int, signed: Signed) -> P:
        """Go on after a pause."""

        def move(row: P, now: datetime) -> None:
            if row.status != "paused":
                raise WrongStatus
            if row.ends_at <= now:
                raise AlreadyOver
            row.status, row.pending = ("active" if row.starts_at <= now else "scheduled"), "open"

        return await self._tell_now(await self._move(row_id, "resumed", move, signed))

    async def end(self, row_id: int, signed: Signed) -> P:
        """End for good, before its time; budgets close in the vault."""

        def move(row: P, now: datetime) -> None:
            if row.status not in RUNNING:
                raise WrongStatus
            row.status, row.pending, row.ended_at, row.end_reason = "ended", "close", now, "manual"

        return await self._tell_now(await self._move(row_id, "ended", move, signed))

    async def _move(self, row_id: int, action: str, move: Callable[[P, datetime], None], signed: Signed) -> P:
        async with transaction() as tx:
            row = await self._lock(tx, row_id)
            if row.pending is not None:
                raise StillSettling(retry_after_s=REDRIVE_AFTER_S)
            planned = await self.planned(row, tx)
            before, now = snapshot(row, planned), self._clock.now()
            move(row, now)
            await self._save(tx, row)
            if row.pending == "close":
                await self._end_span(tx, row, now)
            await self._record(tx, action, row, before, snapshot(row, planned), signed)
        return row

    # The vault follows

    async def _tell_now(self, row: P) -> P:
        try:
            return await self._tell(row)
        except (TermsConflict, BudgetRefused):
            raise
        except VaultError as error:
            log.warning("vault_not_told", noun=self._noun, id=row.id, pending=row.pending, reason=error.code)
            return row

    async def _tell(self, row: P) -> P:
        """Tell the vault what is pending, then mark it told. Every call may be repeated."""
        budgets = await Budget.filter(**owner_of(row)).order_by("id")
        if row.pending == "activate":
            for budget in budgets:
                await self._vault.create_budget(budget.id, budget.unit)  # type: ignore[arg-type]
            first = await BudgetRequest.filter(budget_id__in=[budget.id for budget in budgets], status="approved")
            for entry in first:
                await post_entry(self._vault, entry)
            await self._put_terms(row, {budget.unit: budget.id for budget in budgets})
        for budget in budgets:
            await (self._vault.close_budget if row.pending == "close" else self._vault.open_budget)(budget.id)
        return await self._mark_told(row)

    async def _mark_told(self, told: P) -> P:
        async with transaction() as tx:
            row = await self._lock(tx, told.id)
            if row.pending is None or row.pending != told.pending or row.revision != told.revision:
                return row
            planned, now = await self.planned(row, tx), self._clock.now()
            before = snapshot(row, planned)
            if row.pending == "activate":
                row.status = "active" if row.starts_at <= now else "scheduled"
                row.activated_at = now
                budget_ids = await Budget.filter(**owner_of(row)).using_db(tx).values_list("id", flat=True)
                await (
                    BudgetRequest.filter(budget_id__in=list(budget_ids), status="approved")
                    .using_db(tx)
                    .update(status="done", settled_at=now)
                )
            if row.pending in ("activate", "open") and isinstance(row, Campaign):
                await CampaignSpan.create(using_db=tx, campaign_id=row.id, from_at=now)
            action = "activated" if row.pending == "activate" else None
            row.pending = None
            await self._save(tx, row)
            if action:
                await self._record(tx, action, row, before, snapshot(row, planned), None)
        return row

    async def redrive(self) -> int:
        """Finish what a crash left, let time start and end what is due, set budgets right. Returns how much it did."""
        now = self._clock.now()
        done = 0
        stuck = self._model.filter(pending__not_isnull=True, changed_at__lte=now - timedelta(seconds=REDRIVE_AFTER_S))
        for row in await stuck.order_by("changed_at").limit(REDRIVE_LIMIT):
            try:
                await self._tell(row)
                done += 1
            except Exception:  # one row that cannot be told must not hold up the others
                log.exception("vault_not_told", noun=self._noun, id=row.id, pending=row.pending)
        due = self._model.filter(status="scheduled", starts_at__lte=now, pending=None).order_by("starts_at")
        for row in await due.limit(REDRIVE_LIMIT):
            done += await self._by_time(row.id, "active")
        over = self._model.filter(status__in=RUNNING, ends_at__lte=now, pending=None).order_by("ends_at")
        for row in await over.limit(REDRIVE_LIMIT):
            done += await self._by_time(row.id, "ended")
        return done + await self._set_right()

    async def _by_time(self, row_id: int, status: str) -> bool:
        async with transaction() as tx:
            row = await self._lock(tx, row_id)
            now = self._clock.now()
            starts = status == "active" and row.status == "scheduled" and row.starts_at <= now
            ends = status == "ended" and row.status in RUNNING and row.ends_at <= now
            if row.pending is not None or not (starts or ends):
                return False
            planned = await self.planned(row, tx)
            before = snapshot(row, planned)
            row.status = status
            if ends:
                row.ended_at, row.end_reason = now, "time"
                await self._end_span(tx, row, row.ends_at)
            await self._save(tx, row)
            await self._record(tx, "ended" if ends else "started", row, before, snapshot(row, planned), None)
        return True

    async def _set_right(self) -> int:
        """A call that was delayed may arrive after a later one; the status in the house is what counts."""
        wanted: dict[int, tuple[P, bool]] = {}
        running = self._model.filter(status__in=RUNNING, pending=None)
        since = self._clock.now() - timedelta(seconds=ENDED_WATCH_S)
        stopped = self._model.filter(status="ended", end_reason="manual", ended_at__gte=since, pending=None)
        for rows in (running, stopped):
            for row in await rows.order_by("-id").limit(REDRIVE_LIMIT):
                for budget in await Budget.filter(**owner_of(row)):
                    wanted[budget.id] = (row, row.status not in ("paused", "ended"))
        if not wanted:
            return 0
        done = 0
        for budget_id, view in (await self._vault.budgets(list(wanted))).items():
            row, is_open = wanted[budget_id]
            if view.open != is_open and await self._model.exists(id=row.id, revision=row.revision, pending=None):
                await (self._vault.open_budget if is_open else self._vault.close_budget)(budget_id)
                log.warning("budget_set_right", noun=self._noun, id=row.id, budget_id=budget_id, open=is_open)
                done += 1
        return done

    # Rows

    async def _lock(self, tx: BaseDBAsyncClient, row_id: int, revision: int | None = None) -> P:
        row: P | None = await self._model.filter(id=row_id).using_db(tx).select_for_update(no_key=True).first()
        if row is None:
            raise self._missing
        if revision is not None and row.revision != revision:
            raise RevisionChanged
        return row

    async def _save(self, tx: BaseDBAsyncClient, row: P) -> None:
        row.revision += 1
        row.changed_at = self._clock.now()
        await row.save(using_db=tx)

    async def _plan(self, tx: BaseDBAsyncClient, row: P, planned: dict[str, int]) -> None:
        await Budget.filter(**owner_of(row)).using_db(tx).exclude(unit__in=list(planned)).delete()
        for unit, amount in planned.items():
            changed = await Budget.filter(**owner_of(row), unit=unit).using_db(tx).update(planned=amount)
            if not changed:
                await Budget.create(
                    using_db=tx, **owner_of(row), unit=unit, planned=amount, created_at=self._clock.now()
                )  # fmt: skip

    async def _end_span(self, tx: BaseDBAsyncClient, row: P, until: datetime) -> None:
        if isinstance(row, Campaign):
            span = await CampaignSpan.filter(campaign_id=row.id, until_at=None).using_db(tx).first()
            if span is not None:
                span.until_at = max(span.from_at, until)
                await span.save(using_db=tx, update_fields=["until_at"])

    async def _record(
        self, tx: BaseDBAsyncClient, action: str, row: P,
        before: dict[str, Any] | None, after: dict[str, Any], signed: Signed | None,
    ) -> None:  # fmt: skip
        await audit.record(
            tx, actor=signed.actor if signed else HOUSE, action=f"{self._noun}.{action}", object_kind=self._noun,
            object_id=str(row.id), before=before, after=after, at=self._clock.now(),
            request_id=signed.request_id if signed else "",
        )  # fmt: skip


async def post_entry(vault: Vault, entry: BudgetRequest) -> None:
    """Book an approved request in the vault under its own id; a repeated call books nothing more."""
    if entry.approved_by is None:
        raise SecondPersonRequired
    kind: Literal["topup", "cut"] = "topup" if entry.kind == "topup" else "cut"
    await vault.budget_entry(
        entry.budget_id, entry.id, kind, entry.amount, entry.requested_by, entry.approved_by, entry.document
    )
