"""Grant jobs: one coupon to each resident of a list or a segment, ordered by one and approved by another (D35).

    requested ──approve──> running <──resume / pause──> paused        requested | running | paused ──cancel──> cancelled
                              └── a page: written down and `position` moved in one transaction, then posted ──> finished

A page that a kill -9 left between the two is posted by the desk's redrive under the same ids, and the next process goes
on after it: each resident is owed once, as (`job`, resident) is unique, and the vault books an id once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import structlog
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.expressions import Q

from server.incentives.budgets import BudgetService
from server.incentives.commands import Signed
from server.incentives.effects import coupons_left, most_fen
from server.incentives.errors import TemplateNotFound, WrongStatus
from server.incentives.grants.desk import GrantDesk, Owed
from server.incentives.grants.errors import (
    GrantJobNotFound,
    RecipientListNotReady,
    SegmentGiftNotOpen,
    SegmentTooSmall,
    TemplateNotLive,
)
from server.incentives.grants.lists import RecipientLists, members_after
from server.incentives.grants.models import GrantJob
from server.incentives.models import Budget, CouponTemplate, CouponTemplateVersion
from server.incentives.orders import Orders, row_of
from server.incentives.promises import Promises
from server.incentives.rows import OVER, RUNNING
from server.incentives.segments.errors import SnapshotNotFound
from server.incentives.segments.service import SegmentService
from server.incentives.segments.snapshots import SegmentSnapshots
from server.incentives.segments.suppression import told_recipients
from server.incentives.simulation import change
from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from server.kit.errors import InvalidField
from server.kit.jobs import Task, save
from server.kit.pace import Pace, Stopwatch

log = structlog.get_logger(__name__)

#: The kind of the worker's job; its key is the grant job's id.
KIND: Final = "grant_job"
#: Most residents of one transaction; with a slow rate a page is a second's worth.
PAGE: Final = 1_000
#: How long one turn lasts before other jobs have theirs.
TURN_S: Final = 5.0
PER_SECOND_MAX: Final = 10_000
#: Why a job stopped by itself.
TEMPLATE_PAUSED: Final = "template_paused"
TEMPLATE_ENDED: Final = "template_ended"
SEGMENT_TOO_SMALL: Final = "segment_too_small"
MEMBERS_FORGOTTEN: Final = "members_forgotten"

_REASONS = "SELECT reason, count(*) AS n FROM coupon_grant WHERE job_id = $1 AND status = 'refused' GROUP BY reason"


@dataclass(frozen=True, slots=True)
class Order:
    """A grant job as somebody wants it. `document`: the number of the paper that allows it."""

    template_id: int
    list_id: int | None
    per_second: int
    document: str
    note: str = ""
    segment_id: int | None = None

    def check(self) -> None:
        """Raise InvalidField for the first field that cannot be."""
        if (self.list_id is None) == (self.segment_id is None):
            raise InvalidField(field="list_id")
        if not 1 <= self.per_second <= PER_SECOND_MAX:
            raise InvalidField(field="per_second")
        if not self.document.strip() or len(self.document) > 100 or not self.document.isprintable():
            raise InvalidField(field="document")
        if len(self.note) > 200 or not self.note.isprintable():
            raise InvalidField(field="note")


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as it stands. `reasons`: how many grants were refused for good, by the vault's code."""

    row: GrantJob
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """What an order would take if it were approved now. `fen`: the most the sponsor can owe for all of it; `left` are
    the budgets as they stand, None without a sponsor. `promised`: coupons of the template that somebody else will have.
    `enough`: for every recipient beside those, if nobody else comes meanwhile."""

    recipients: int
    coupons_left: int
    promised: int
    fen: int
    fen_left: int | None
    enough: bool


@dataclass(frozen=True, slots=True)
class _Page:
    owed: list[Owed]
    per_second: int


class GrantJobs:
    """What administrators do with grant jobs, and the worker's walk through one."""

    def __init__(
        self,
        *,
        desk: GrantDesk,
        lists: RecipientLists,
        segments: SegmentService,
        snapshots: SegmentSnapshots,
        small_cell: int,
        budgets: BudgetService,
        promises: Promises,
        clock: Clock,
    ) -> None:
        self._desk, self._lists, self._segments, self._snapshots = desk, lists, segments, snapshots
        self._small_cell, self._budgets, self._promises, self._clock = small_cell, budgets, promises, clock
        # A segment's size is told rounded, the audit trail included.
        self._orders = Orders(GrantJob, KIND, GrantJobNotFound, clock, untold=("recipients",))

    async def plan(self, order: Order, signed: Signed) -> Plan:
        """What an order would take; nothing is written but the look at a segment's size, which is rounded down. Raises
        what `order` raises, and SegmentTooSmall."""
        template, recipients = await self._fitting(order)
        if order.segment_id is not None:
            size = (await self._segments.preview(order.segment_id, signed)).size
            if size is None:
                raise SegmentTooSmall(field="segment_id")
            recipients = size
        others = (await self._promises.open([template.id]))[template.id]
        states = await self._budgets.states(await Budget.filter(template_id=template.id))
        left = {state.unit: state.left for state in states}
        each = most_fen(await CouponTemplateVersion.get(id=template.live_version))
        enough = recipients + others <= coupons_left(left["coupons"], left.get("fen", 0), each)
        return Plan(recipients, left["coupons"], others, recipients * each, left.get("fen"), enough)

    async def order(self, order: Order, signed: Signed) -> JobView:
        """Write an order down. Nothing is given before somebody else approves it."""
        _, recipients = await self._fitting(order)
        async with change(signed) as tx:
            row = await GrantJob.create(
                using_db=tx, template_id=order.template_id, list_id=order.list_id, segment_id=order.segment_id,
                per_second=order.per_second, document=order.document, note=order.note, recipients=recipients,
                created_by=signed.admin_id, created_at=self._clock.now(),
            )  # fmt: skip
            await self._orders.record(tx, "ordered", row, signed)
        return JobView(row, {})

    async def approve(self, job_id: int, signed: Signed) -> JobView:
        """Approve an order and start it; refused to whoever ordered it, and with SegmentGiftNotOpen when its segment
        was changed meanwhile."""
        asked = await GrantJob.get_or_none(id=job_id)
        if asked is not None and asked.segment_id is not None:
            await self._check_gift(await CouponTemplate.get(id=asked.template_id), asked.segment_id)
        async with change(signed) as tx:
            row = await self._orders.approve(tx, job_id, signed)
            await self._orders.enqueue(tx, row)
        return await self._view(row)

    async def pause(self, job_id: int, signed: Signed) -> JobView:
        """Stop after the page under way; what is written down by then is still given."""
        return await self._change(job_id, ("running",), "paused", signed)

    async def resume(self, job_id: int, signed: Signed) -> JobView:
        """Go on where it stopped."""
        return await self._change(job_id, ("paused",), "running", signed)

    async def cancel(self, job_id: int, signed: Signed) -> JobView:
        """Stop for good after the page under way; coupons already given stay."""
        return await self._change(job_id, ("requested", "running", "paused"), "cancelled", signed)

    async def get(self, job_id: int) -> JobView:
        """One job as it stands. Raises GrantJobNotFound."""
        return await self._view(await self._orders.find(job_id))

    def told_recipients(self, row: GrantJob) -> int:
        """For how many a job is, as it may be told."""
        members: int = row.recipients
        return members if row.segment_id is None else told_recipients(members, row.owed, self._small_cell)

    async def page(
        self, before_id: int | None, limit: int, status: str | None = None, template_id: int | None = None,
        text: str | None = None,
    ) -> list[GrantJob]:  # fmt: skip
        """Up to `limit` jobs with an id below `before_id`, newest first; `text`: a part of document or note."""
        said = () if text is None else (Q(document__icontains=text) | Q(note__icontains=text),)
        return await self._orders.page(before_id, limit, *said, status=status, template_id=template_id)

    async def redrive(self) -> int:
        """See that every running job has a task: one that was resumed while its old task ended would have none."""
        return await self._orders.redrive()

    async def walk(self, task: Task) -> bool:
        """The worker's turn at one job: pages until the turn is over. True: nothing is left to do."""
        await self._gather(row_of(task))
        until = time.monotonic() + TURN_S
        while time.monotonic() < until:
            watch = Stopwatch()
            async with transaction() as tx:
                page = await self._write_page(tx, task)
            if page is None:
                return True
            await self._desk.post(page.owed)
            await Pace(per_second=page.per_second).rest(len(page.owed), watch.s)
        return False

    async def _gather(self, job_id: int) -> None:
        """Who a segment's job is for: the members at its approval, written down once. Too few of them are nobody: what
        they got would tell who they are (guard rail 21)."""
        row = await GrantJob.get_or_none(id=job_id)
        if row is None or row.segment_id is None or row.snapshot_id is not None or row.approved_at is None:
            return
        snapshot_id = await self._snapshots.take(row.segment_id, row.approved_at, f"grant_job:{job_id}")
        size = (await self._snapshots.get(snapshot_id)).size
        async with transaction() as tx:
            row = await self._orders.lock(tx, job_id)
            if row.snapshot_id is not None or row.status != "running":
                return
            if size < self._small_cell:
                await self._move(tx, row, "stopped", None, "cancelled", SEGMENT_TOO_SMALL)
                return
            row.snapshot_id, row.recipients = snapshot_id, size
            await row.save(using_db=tx, update_fields=["snapshot_id", "recipients"])

    async def _next(self, tx: BaseDBAsyncClient, row: GrantJob) -> list[int]:
        most = min(PAGE, row.per_second)
        if row.list_id is not None:
            return await members_after(tx, row.list_id, row.position, most)
        assert row.snapshot_id is not None, "a segment's job has its snapshot before its first page"
        return await self._snapshots.members(row.snapshot_id, row.position, most)

    async def _fitting(self, order: Order) -> tuple[CouponTemplate, int]:
        """The template, and how many the order is for; 0 for a segment, whose members are not known yet."""
        order.check()
        template = await CouponTemplate.get_or_none(id=order.template_id)
        if template is None:
            raise TemplateNotFound(field="template_id")
        if template.status not in RUNNING or template.live_version is None:
            raise TemplateNotLive(field="template_id")
        if order.segment_id is not None:
            await self._check_gift(template, order.segment_id)
            return template, 0
        assert order.list_id is not None
        chosen = await self._lists.get(order.list_id)
        if chosen.status != "ready":
            raise RecipientListNotReady(field="list_id")
        return template, chosen.taken

    async def _check_gift(self, template: CouponTemplate, segment_id: int) -> None:
        """What some are picked for by their profile, others must be able to claim. Raises SegmentGiftNotOpen."""
        segment, terms = await self._segments.get(segment_id), await CouponTemplateVersion.get(id=template.live_version)
        if segment.definition.personal and not terms.claimable:
            raise SegmentGiftNotOpen(field="template_id")

    async def _write_page(self, tx: BaseDBAsyncClient, task: Task) -> _Page | None:
        """The next page, written down; None when the job is not running any more or has come to its end."""
        row = await self._orders.lock(tx, row_of(task))
        if row.status != "running":
            return None
        template = await CouponTemplate.get(id=row.template_id, using_db=tx)
        if template.status not in RUNNING or template.status == "paused":
            over = template.status in OVER
            why = TEMPLATE_ENDED if over else TEMPLATE_PAUSED
            await self._move(tx, row, "stopped", None, "cancelled" if over else "paused", why)
            return None
        try:
            residents = await self._next(tx, row)
        except SnapshotNotFound:  # it was paused for longer than its members are kept
            await self._move(tx, row, "stopped", None, "cancelled", MEMBERS_FORGOTTEN)
            return None
        if not residents:
            await self._move(tx, row, "finished", None, "finished")
            return None
        owed = await self._desk.owe_page(tx, row.template_id, row.id, residents)
        row.position, row.owed = residents[-1], row.owed + len(owed)
        await row.save(using_db=tx, update_fields=["position", "owed"])
        await save(tx, task, {})
        return _Page(owed, row.per_second)

    async def _change(self, job_id: int, fits: tuple[str, ...], status: str, signed: Signed) -> JobView:
        async with change(signed) as tx:
            row = await self._orders.lock(tx, job_id)
            if row.status not in fits:
                raise WrongStatus(row.status, *fits)
            await self._move(tx, row, _DONE[status], signed, status)
            if status == "running":
                await self._orders.enqueue(tx, row)
        return await self._view(row)

    async def _move(
        self, tx: BaseDBAsyncClient, row: GrantJob, action: str, signed: Signed | None, status: str, why: str = ""
    ) -> None:
        ended_at = self._clock.now() if status in ("finished", "cancelled") else None
        await self._orders.change(tx, row, action, signed, status=status, why=why, ended_at=ended_at)

    async def _view(self, row: GrantJob) -> JobView:
        return JobView(row, {one["reason"]: one["n"] for one in await fetch(_REASONS, row.id)})


_DONE: Final = {"paused": "paused", "running": "resumed", "cancelled": "cancelled"}
