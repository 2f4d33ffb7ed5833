"""How the vault follows (D18): every move is first written in the house, then the vault is told, then it is marked.

What the vault is told comes from how the row stands now, not from the move: it may be told again at any time, and the
last telling is right. The worker's `redrive` finishes what a crash left, lets time start and end what is due, and sets
right the budgets of the vault where they differ.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Generic, Literal
from uuid import UUID

import structlog
from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.errors import SecondPersonRequired
from server.incentives.models import Budget, BudgetRequest, CampaignSpan
from server.incentives.moves import SETTLES_WITHIN_S, Moves
from server.incentives.rows import RUNNING, L, Rows, V
from server.kit.db import fetch, transaction
from wallet import Vault
from wallet.errors import BudgetRefused, TermsConflict, VaultError

log = structlog.get_logger(__name__)

PutTerms = Callable[[L, V, dict[str, int]], Awaitable[None]]

REDRIVE_LIMIT = 500
ENDED_WATCH_S = 3_600


class Follow(Generic[L, V]):
    """Tells the vault what stands in the house."""

    def __init__(self, *, rows: Rows[L, V], moves: Moves[L, V], vault: Vault, put_terms: PutTerms[L, V]) -> None:
        self._rows = rows
        self._moves = moves
        self._vault = vault
        self._put_terms: PutTerms[L, V] = put_terms

    async def tell_now(self, row: L) -> L:
        """Tell the vault what is pending; when it cannot be reached the worker does so within seconds."""
        try:
            return await self.tell(row)
        except (TermsConflict, BudgetRefused):
            raise
        except VaultError as error:
            log.warning("vault_not_told", noun=self._rows.kind.noun, id=row.id, pending=row.pending, reason=error.code)
            return row

    async def tell(self, row: L) -> L:
        """Tell the vault how the row stands, then mark it told. Every call may be repeated."""
        budgets = await self._rows.budgets(row)
        booked: list[UUID] = []
        version = await self._rows.open_version(row)
        if version is not None and version.status == "approved":
            if row.live_version is None:
                booked = await self._fund(budgets)
            await self._put_terms(row, version, {budget.unit: budget.id for budget in budgets})
        is_open = row.status not in ("paused", "ended", "archived")
        for budget in budgets:
            await (self._vault.open_budget if is_open else self._vault.close_budget)(budget.id)
        async with transaction() as tx:
            return await self.mark_told(tx, row, booked)

    async def _fund(self, budgets: list[Budget]) -> list[UUID]:
        for budget in budgets:
            await self._vault.create_budget(budget.id, budget.unit)  # type: ignore[arg-type]
        first = await BudgetRequest.filter(budget_id__in=[budget.id for budget in budgets], status="approved")
        for entry in first:
            await post_entry(self._vault, entry)
        return [entry.id for entry in first]

    async def mark_told(self, tx: BaseDBAsyncClient, told: L, booked: list[UUID]) -> L:
        """The vault knows how the row stood: the approved version becomes the live one. Nothing happens when the row
        has changed meanwhile; whoever changed it tells the vault again."""
        row = await self._rows.lock(tx, told.id)
        if row.pending is None or row.pending != told.pending or row.revision != told.revision:
            return row
        now = self._rows.clock.now()
        version = await self._rows.open_version(row, tx)
        if version is not None and version.status == "approved":
            before = await self._rows.snapshot(tx, row, version)
            await self._supersede(tx, row, version)
            if row.activated_at is None:
                row.activated_at = now
            await (
                BudgetRequest.filter(id__in=booked, status="approved")
                .using_db(tx)
                .update(status="done", settled_at=now)
            )
        else:
            before, version = {}, await self._rows.shown(row, tx)
        if row.status in ("approved", "scheduled", "active"):
            row.status = "active" if version.starts_at <= now else "scheduled"
            await self._live_from_now(tx, row, version)
        row.pending = None
        await self._rows.save(tx, row)
        if before:
            after = await self._rows.snapshot(tx, row, version)
            await self._rows.record(tx, "activated", row, before, after, None)
        return row

    async def _supersede(self, tx: BaseDBAsyncClient, row: L, version: V) -> None:
        now = self._rows.clock.now()
        if row.live_version is not None:
            old = await self._rows.shown(row, tx)
            old.status, old.superseded_at, old.changed_at = "superseded", now, now
            await old.save(using_db=tx)
        version.status, version.live_at, version.changed_at = "live", now, now
        await version.save(using_db=tx)
        row.live_version = version.id

    async def _live_from_now(self, tx: BaseDBAsyncClient, row: L, version: V) -> None:
        if self._rows.kind.noun != "campaign":
            return
        span = await CampaignSpan.filter(campaign_id=row.id, until_at=None).using_db(tx).first()
        if span is None or span.version_id != version.id:
            now = self._rows.clock.now()
            await self._moves.end_span(tx, row, now)
            await CampaignSpan.create(using_db=tx, campaign_id=row.id, version_id=version.id, from_at=now)

    # The worker

    async def redrive(self) -> int:
        """Finish what a crash left, let time start and end what is due, set budgets right. Returns how much it did."""
        life, now = self._rows.kind.life, self._rows.clock.now()
        done = 0
        since = now - timedelta(seconds=SETTLES_WITHIN_S)
        stuck = life.filter(pending__not_isnull=True, changed_at__lte=since)
        for row in await stuck.order_by("changed_at").limit(REDRIVE_LIMIT):
            try:
                await self.tell(row)
                done += 1
            except Exception:  # one row that cannot be told must not hold up the others
                log.exception("vault_not_told", noun=self._rows.kind.noun, id=row.id, pending=row.pending)
        for row_id in await self._due("r.status = 'scheduled' AND v.starts_at <= $1", "v.starts_at"):
            done += await self._by_time(row_id, "active")
        for row_id in await self._due("r.status IN ('scheduled', 'active', 'paused') AND v.ends_at <= $1", "v.ends_at"):
            done += await self._by_time(row_id, "ended")
        return done + await self._set_right()

    async def _due(self, which: str, order: str) -> list[int]:
        table = self._rows.kind.noun
        found = await fetch(
            f"SELECT r.id FROM {table} r JOIN {table}_version v ON v.id = r.live_version"  # noqa: S608
            f" WHERE r.pending IS NULL AND {which} ORDER BY {order}, r.id LIMIT {REDRIVE_LIMIT}",
            self._rows.clock.now(),
        )
        return [row["id"] for row in found]

    async def _by_time(self, row_id: int, status: Literal["active", "ended"]) -> bool:
        async with transaction() as tx:
            row = await self._rows.lock(tx, row_id)
            if row.live_version is None or row.pending is not None or row.status not in RUNNING:
                return False
            version, now = await self._rows.shown(row, tx), self._rows.clock.now()
            if (version.ends_at if status == "ended" else version.starts_at) > now:
                return False
            if status == "active" and row.status != "scheduled":
                return False
            before = await self._rows.snapshot(tx, row, version)
            row.status = status
            if status == "ended":
                row.ended_at, row.end_reason = now, "time"
                await self._moves.end_span(tx, row, version.ends_at)
            await self._rows.save(tx, row)
            after = await self._rows.snapshot(tx, row, version)
            await self._rows.record(tx, "ended" if status == "ended" else "started", row, before, after, None)
        return True

    async def end_exhausted(self, row_id: int) -> bool:
        """End what has nothing left to give; its budgets stay open for what is still owed, as after its time."""
        async with transaction() as tx:
            row = await self._rows.lock(tx, row_id)
            if row.live_version is None or row.pending is not None or row.status != "active":
                return False
            version, now = await self._rows.shown(row, tx), self._rows.clock.now()
            before = await self._rows.snapshot(tx, row, version)
            row.status, row.ended_at, row.end_reason = "ended", now, "budget_exhausted"
            await self._moves.end_span(tx, row, now)
            await self._rows.save(tx, row)
            await self._rows.record(tx, "ended", row, before, await self._rows.snapshot(tx, row, version), None)
        return True

    async def _set_right(self) -> int:
        """A call that was delayed may arrive after a later one; the status in the house is what counts."""
        life = self._rows.kind.life
        wanted: dict[int, tuple[L, bool]] = {}
        running = life.filter(status__in=RUNNING, pending=None)
        since = self._rows.clock.now() - timedelta(seconds=ENDED_WATCH_S)
        stopped = life.filter(status="ended", end_reason="manual", ended_at__gte=since, pending=None)
        for rows in (running, stopped):
            for row in await rows.order_by("-id").limit(REDRIVE_LIMIT):
                for budget in await self._rows.budgets(row):
                    wanted[budget.id] = (row, row.status not in ("paused", "ended"))
        if not wanted:
            return 0
        done = 0
        for budget_id, level in (await self._vault.budget_levels(list(wanted))).items():
            row, is_open = wanted[budget_id]
            if level.open != is_open and await life.exists(id=row.id, revision=row.revision, pending=None):
                await (self._vault.open_budget if is_open else self._vault.close_budget)(budget_id)
                log.warning("budget_set_right", noun=self._rows.kind.noun, id=row.id, budget_id=budget_id, open=is_open)
                done += 1
        return done


async def post_entry(vault: Vault, entry: BudgetRequest) -> None:
    """Book an approved request in the vault under its own id; a repeated call books nothing more."""
    if entry.approved_by is None:
        raise SecondPersonRequired
    kind: Literal["topup", "cut"] = "topup" if entry.kind == "topup" else "cut"
    await vault.budget_entry(
        entry.budget_id, entry.id, kind, entry.amount, entry.requested_by, entry.approved_by, entry.document
    )
