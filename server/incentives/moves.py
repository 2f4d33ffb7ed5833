"""The moves that people make; what the vault must be told of them is left in `pending` (see `follow`).

    draft ──submit──> in_review ──approve (2nd person)──> approved ──vault──> scheduled ──time──> active
      ^──edit, withdraw, reject──┘                                                 └── pause/resume ──┘
                                            scheduled | active | paused ──end, time, empty──> ended ──> archived
    draft ──discard──> archived

A change of what runs goes through the same review as a version of its own, while the row's own status stays.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Generic

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.commands import Signed
from server.incentives.errors import AlreadyOver, SecondPersonRequired, StillSettling, WrongStatus
from server.incentives.models import BudgetRequest, CampaignSpan, Planned, Version
from server.incentives.rows import OVER, RUNNING, L, Rows, V
from server.kit.errors import InvalidField
from server.kit.ids import uuid7

SETTLES_WITHIN_S = 5
LONGEST_COMMENT = 200
DISCARDABLE = ("draft", "rejected")


class Moves(Generic[L, V]):
    """Moves rows from draft to archive. Every method is given the transaction it works in."""

    def __init__(self, rows: Rows[L, V]) -> None:
        self._rows = rows

    # The review of a version

    async def submit(self, tx: BaseDBAsyncClient, row_id: int, signed: Signed) -> L:
        """Hand the draft over for review."""

        def step(version: V, now: datetime) -> None:
            version.status, version.submitted_by, version.submitted_at = "in_review", signed.admin_id, now

        return await self._review(tx, row_id, "submitted", ("draft",), step, signed)

    async def withdraw(self, tx: BaseDBAsyncClient, row_id: int, signed: Signed) -> L:
        """Take the version back from review, to go on with it."""

        def step(version: V, _now: datetime) -> None:
            version.status = "draft"

        return await self._review(tx, row_id, "withdrawn", ("in_review",), step, signed)

    async def reject(self, tx: BaseDBAsyncClient, row_id: int, comment: str, signed: Signed) -> L:
        """Send the version back to its editor, saying why."""
        if not comment.strip() or len(comment) > LONGEST_COMMENT:
            raise InvalidField(field="comment")

        def step(version: V, _now: datetime) -> None:
            version.status, version.comment = "rejected", comment.strip()

        return await self._review(tx, row_id, "rejected", ("in_review",), step, signed)

    async def approve(self, tx: BaseDBAsyncClient, row_id: int, signed: Signed, revision: int | None = None) -> L:
        """Approve what was reviewed; refused to its last editor (D35). The vault follows within seconds. A campaign's
        start that lies before is lifted, as the text promises nothing for a time that is over.

        `revision` is the one that was looked at; when it is given and another stands, nothing happens. Who approved may
        ask again.
        """
        row = await self._rows.lock(tx, row_id, revision)
        version = await self._rows.open_version(row, tx)
        if version is None or version.status == "approved":
            done = version or (await self._rows.shown(row, tx) if row.live_version else None)
            if done is not None and done.approved_by == signed.admin_id and row.status not in OVER:
                return row
            raise _unfit(row, version, "in_review")
        if version.status != "in_review" or row.status in OVER:
            raise _unfit(row, version, "in_review")
        if version.created_by == signed.admin_id:
            raise SecondPersonRequired
        now = self._rows.clock.now()
        if version.ends_at <= now:
            raise AlreadyOver
        before = await self._rows.snapshot(tx, row, version)
        version.status, version.approved_by, version.approved_at = "approved", signed.admin_id, now
        if self._rows.kind.noun == "campaign":
            version.starts_at = max(version.starts_at, await self._rows.earliest_start(row, now, tx))
        if row.live_version is None:
            row.status = "approved"
            for budget in await self._rows.budgets(row, tx):
                await BudgetRequest.create(
                    using_db=tx, id=uuid7(now), budget_id=budget.id, kind="topup", amount=budget.planned,
                    document=version.document, status="approved", requested_by=version.created_by, requested_at=now,
                    approved_by=signed.admin_id, approved_at=now,
                )  # fmt: skip
        row.pending = "terms"
        await self._rows.save(tx, row, version)
        await self._rows.record(tx, "approved", row, before, await self._rows.snapshot(tx, row, version), signed)
        return row

    async def discard(self, tx: BaseDBAsyncClient, row_id: int, signed: Signed) -> L:
        """Put a draft away that nobody wants any more, and the row with it when it never had another version."""
        row = await self._rows.lock(tx, row_id)
        version = await self._rows.open_version(row, tx)
        if version is None or version.status not in DISCARDABLE:
            raise _unfit(row, version, *DISCARDABLE)
        before, now = await self._rows.snapshot(tx, row, version), self._rows.clock.now()
        version.status = "discarded"
        if row.live_version is None:
            row.status, row.ended_at, row.end_reason = "archived", now, "discarded"
        await self._rows.save(tx, row, version)
        await self._rows.record(tx, "discarded", row, before, await self._rows.snapshot(tx, row, version), signed)
        return row

    async def _review(
        self, tx: BaseDBAsyncClient, row_id: int, action: str, stands: tuple[str, ...],
        step: Callable[[V, datetime], None], signed: Signed,
    ) -> L:  # fmt: skip
        row = await self._rows.lock(tx, row_id)
        version = await self._rows.open_version(row, tx)
        if version is None or version.status not in stands or row.status in OVER:
            raise _unfit(row, version, *stands)
        before = await self._rows.snapshot(tx, row, version)
        step(version, self._rows.clock.now())
        if row.live_version is None:
            row.status = "in_review" if version.status == "in_review" else "draft"
        await self._rows.save(tx, row, version)
        await self._rows.record(tx, action, row, before, await self._rows.snapshot(tx, row, version), signed)
        return row

    # The life of a row

    async def pause(self, tx: BaseDBAsyncClient, row_id: int, signed: Signed) -> L:
        """Stop at once: budgets close in the vault, what was given stays."""

        def step(row: L, _version: V, _now: datetime) -> None:
            if row.status not in ("scheduled", "active"):
                raise WrongStatus(row.status, "scheduled", "active")
            row.status, row.pending = "paused", "close"

        return await self._move(tx, row_id, "paused", step, signed)

    async def kill(self, tx: BaseDBAsyncClient, row_id: int, signed: Signed) -> L | None:
        """Pause whatever stands or is about to, also what the vault has not been told yet; None: there was nothing."""
        row = await self._rows.lock(tx, row_id)
        if row.status not in ("approved", "scheduled", "active"):
            return None
        shown = await self._rows.shown(row, tx)
        before, now = await self._rows.snapshot(tx, row, shown), self._rows.clock.now()
        row.status, row.pending = "paused", "close"
        await self._rows.save(tx, row)
        await self.end_span(tx, row, now)
        await self._rows.record(tx, "killed", row, before, await self._rows.snapshot(tx, row, shown), signed)
        return row

    async def resume(self, tx: BaseDBAsyncClient, row_id: int, signed: Signed) -> L:
        """Go on after a pause."""

        def step(row: L, version: V, now: datetime) -> None:
            if row.status != "paused":
                raise WrongStatus(row.status, "paused")
            if version.ends_at <= now:
                raise AlreadyOver
            row.status, row.pending = ("active" if version.starts_at <= now else "scheduled"), "open"

        return await self._move(tx, row_id, "resumed", step, signed)

    async def end(self, tx: BaseDBAsyncClient, row_id: int, signed: Signed) -> L:
        """End for good, before its time; budgets close in the vault."""

        def step(row: L, _version: V, now: datetime) -> None:
            if row.status not in RUNNING:
                raise WrongStatus(row.status, *RUNNING)
            row.status, row.pending, row.ended_at, row.end_reason = "ended", "close", now, "manual"

        return await self._move(tx, row_id, "ended", step, signed)

    async def archive(self, tx: BaseDBAsyncClient, row_id: int, signed: Signed) -> L:
        """Put away what has ended."""

        def step(row: L, _version: V, _now: datetime) -> None:
            if row.status != "ended":
                raise WrongStatus(row.status, "ended", hint="草稿可以放弃" if row.status == "draft" else "")
            row.status = "archived"

        return await self._move(tx, row_id, "archived", step, signed)

    async def _move(
        self, tx: BaseDBAsyncClient, row_id: int, action: str, step: Callable[[L, V, datetime], None], signed: Signed
    ) -> L:
        row = await self._rows.lock(tx, row_id)
        if row.pending is not None:
            raise StillSettling(retry_after_s=SETTLES_WITHIN_S)
        shown = await self._rows.shown(row, tx)
        before, now = await self._rows.snapshot(tx, row, shown), self._rows.clock.now()
        step(row, shown, now)
        await self._rows.save(tx, row)
        if row.pending == "close":
            await self.end_span(tx, row, now)
        await self._rows.record(tx, action, row, before, await self._rows.snapshot(tx, row, shown), signed)
        return row

    async def end_span(self, tx: BaseDBAsyncClient, row: L, until: datetime) -> None:
        """A campaign's time as live ends here; facts after it are judged by what is live then."""
        if self._rows.kind.noun == "campaign":
            span = await CampaignSpan.filter(campaign_id=row.id, until_at=None).using_db(tx).first()
            if span is not None:
                span.until_at = max(span.from_at, until)
                await span.save(using_db=tx, update_fields=["until_at"])


def _unfit(row: Planned, version: Version | None, *needed: str) -> WrongStatus:
    """What stands instead of a version that is `needed`."""
    if version is None or row.status in OVER:
        return WrongStatus(row.status, *needed, hint="" if row.status in OVER else "没有待处理的版本")
    return WrongStatus(version.status, *needed, hint="请先修改再提交" if version.status == "rejected" else "")
