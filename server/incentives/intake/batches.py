"""Batches of facts: written down by one, approved by another, told by a job, page by page.

    a file, a list, a person ──> requested ──approve──> running ──pages, told and `position` moved──> finished
                                     └──────────cancel─────┴──> cancelled

The intake knows a fact by its source, so a file that is imported again, or a page that a kill -9 left half known, tells
nothing twice. A fact of a file is judged by the rule of its own time; what an administrator grants happens when it is
approved.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.expressions import Q

from server.incentives.changes import Effects
from server.incentives.commands import Signed
from server.incentives.errors import WrongStatus
from server.incentives.facts import Told, record_all
from server.incentives.grants.errors import RecipientListNotReady
from server.incentives.grants.lists import RecipientLists, members_after
from server.incentives.intake.columns import is_code
from server.incentives.intake.errors import FactBatchNotFound, FactRecipientUnknown
from server.incentives.intake.models import FactBatch, FactLine
from server.incentives.judging import decoded
from server.incentives.orders import Orders, row_of
from server.incentives.simulation import write
from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from server.kit.errors import InvalidField
from server.kit.jobs import Task, save
from server.kit.pace import Pace, Stopwatch

#: The kind of the worker's job; its key is the batch's id.
KIND: Final = "fact_batch"
GRANT: Final = "administrator_grant"
RECIPIENTS: Final = "recipients_file"
PAGE: Final = 500
#: How long one turn lasts before other jobs have theirs.
TURN_S: Final = 5.0

_LINES = """
SELECT id, resident_id, source_id, occurred_at, attributes FROM fact_line WHERE batch_id = $1 AND id > $2
ORDER BY id LIMIT $3
"""
_CAMPAIGNS = """
SELECT v.trigger, count(*) AS n FROM campaign c JOIN campaign_version v ON v.id = c.live_version
WHERE c.status IN ('active', 'scheduled') AND v.trigger = ANY($1::text[]) GROUP BY v.trigger
"""
_FORGET = """
DELETE FROM fact_line WHERE id IN (SELECT l.id FROM fact_batch b JOIN fact_line l ON l.batch_id = b.id
  WHERE b.status IN ('finished', 'cancelled')
    OR (b.status = 'receiving' AND b.created_at < vault.now() - interval '1 day')
  LIMIT $1) RETURNING id
"""
_BROKEN_OFF = """
DELETE FROM fact_batch b WHERE b.status = 'receiving' AND b.created_at < vault.now() - interval '1 day'
  AND NOT EXISTS (SELECT FROM fact_line l WHERE l.batch_id = b.id)
"""


@dataclass(frozen=True, slots=True)
class FactOrder:
    """Facts for one resident or for everybody on a list. `kind`: GRANT, with its occasion, or RECIPIENTS, a list."""

    kind: str
    document: str
    occasion: str = ""
    resident_id: int | None = None
    list_id: int | None = None

    def check(self) -> None:
        """Raise InvalidField for the first field that cannot be."""
        check_document(self.document)
        if self.kind == RECIPIENTS and self.list_id is None:
            raise InvalidField(field="list_id")
        if (self.resident_id is None) == (self.list_id is None):
            raise InvalidField(field="resident_id")
        if not (is_code(self.occasion) if self.kind == GRANT else self.occasion == ""):
            raise InvalidField(field="occasion")


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch as it stands. `campaigns`: how many run that speak of such facts; `effects`: of a simulated write."""

    row: FactBatch
    campaigns: int
    effects: Effects | None = None


@dataclass(frozen=True, slots=True)
class _Page:
    told: list[Told]
    position: int


class FactBatches:
    """What administrators do with batches, and the worker's walk through one."""

    def __init__(self, *, lists: RecipientLists, clock: Clock, pace: Pace) -> None:
        self._lists, self._clock, self._pace = lists, clock, pace
        self._orders = Orders(FactBatch, KIND, FactBatchNotFound, clock)

    async def order(self, order: FactOrder, signed: Signed) -> BatchView:
        """Write facts down; nothing is told before somebody else approves. Raises InvalidField, FactRecipientUnknown,
        RecipientListNotFound, RecipientListNotReady."""
        order.check()
        taken = 1
        if order.list_id is not None:
            chosen = await self._lists.get(order.list_id)
            if chosen.status != "ready":
                raise RecipientListNotReady(field="list_id")
            taken = chosen.taken
        elif not await fetch("SELECT FROM resident WHERE id = $1", order.resident_id):
            raise FactRecipientUnknown(field="resident_id")

        async def act(tx: BaseDBAsyncClient) -> FactBatch:
            row = await FactBatch.create(
                using_db=tx, kind=order.kind, occasion=order.occasion, document=order.document, list_id=order.list_id,
                taken=taken, created_by=signed.admin_id, created_at=self._clock.now(),
            )  # fmt: skip
            if order.resident_id is not None:
                await FactLine.create(
                    using_db=tx, batch_id=row.id, resident_id=order.resident_id, attributes=_granted(row),
                    source_id=f"{row.id}:{order.resident_id}",
                )  # fmt: skip
            return await self.finish_writing(tx, row, signed)

        return await self._view(*await write(signed, act))

    async def finish_writing(self, tx: BaseDBAsyncClient, row: FactBatch, signed: Signed) -> FactBatch:
        """All of a batch is written down: from now on it stays as it is."""
        row.status = "requested"
        await row.save(using_db=tx)
        await self._orders.record(tx, "requested", row, signed)
        return row

    async def unwritten(self, row: FactBatch) -> BatchView:
        """What would have been written down."""
        row.status = "requested"
        return await self._view(row, Effects([], []))

    async def approve(self, batch_id: int, signed: Signed) -> BatchView:
        """Have a batch told; refused to whoever wrote it down."""

        async def act(tx: BaseDBAsyncClient) -> FactBatch:
            row = await self._orders.approve(tx, batch_id, signed)
            await self._orders.enqueue(tx, row)
            return row

        return await self._view(*await write(signed, act))

    async def cancel(self, batch_id: int, signed: Signed) -> BatchView:
        """Stop for good after the page under way; what was told stays told."""

        async def act(tx: BaseDBAsyncClient) -> FactBatch:
            row = await self._orders.lock(tx, batch_id)
            if row.status not in ("requested", "running"):
                raise WrongStatus(row.status, "requested", "running")
            await self._end(tx, row, "cancelled", signed)
            return row

        return await self._view(*await write(signed, act))

    async def get(self, batch_id: int) -> BatchView:
        """One batch as it stands. Raises FactBatchNotFound."""
        return await self._view(await self._orders.find(batch_id))

    async def page(
        self, before_id: int | None, limit: int, status: str | None = None, kind: str | None = None,
        text: str | None = None,
    ) -> list[BatchView]:  # fmt: skip
        """Up to `limit` batches with an id below `before_id`, newest first; `text`: a part of document, occasion or
        source."""
        said = [~Q(status="receiving")]
        if text is not None:
            said.append(Q(document__icontains=text) | Q(occasion__icontains=text) | Q(source__icontains=text))
        rows = await self._orders.page(before_id, limit, *said, status=status, kind=kind)
        running = await _campaigns([row.kind for row in rows])
        return [BatchView(row, running.get(row.kind, 0)) for row in rows]

    async def redrive(self) -> int:
        """See that every running batch has a job."""
        return await self._orders.redrive()

    async def walk(self, task: Task) -> bool:
        """The worker's turn at one batch: pages until the turn is over. True: nothing is left to do."""
        until = time.monotonic() + TURN_S
        while time.monotonic() < until:
            watch = Stopwatch()
            async with transaction() as tx:
                row = await self._orders.lock(tx, row_of(task))
                if row.status != "running":
                    return True
                page = await _next(tx, row)
                if not page.told:
                    await self._end(tx, row, "finished", None)
                    return True
                row.told += await record_all(tx, page.told)
                row.position = page.position
                await row.save(using_db=tx, update_fields=["told", "position"])
                await save(tx, task, {})
            await self._pace.rest(len(page.told), watch.s)
        return False

    async def purge(self, limit: int) -> int:
        """Lines of what has ended are forgotten, and so is what an upload left that was broken off a day ago. Returns
        how many lines, at most `limit`."""
        gone = len(await fetch(_FORGET, limit))
        await fetch(_BROKEN_OFF)
        return gone

    async def _end(self, tx: BaseDBAsyncClient, row: FactBatch, status: str, signed: Signed | None) -> None:
        await self._orders.change(tx, row, status, signed, status=status, ended_at=self._clock.now())

    async def _view(self, row: FactBatch, effects: Effects | None = None) -> BatchView:
        return BatchView(row, (await _campaigns([row.kind])).get(row.kind, 0), effects)


def check_document(document: str) -> None:
    """Raise InvalidField for what is no number of a paper."""
    if not document.strip() or len(document) > 100 or not document.isprintable():
        raise InvalidField(field="document")


async def _campaigns(kinds: Sequence[str]) -> dict[str, int]:
    return {row["trigger"]: row["n"] for row in await fetch(_CAMPAIGNS, sorted(set(kinds)))}


async def _next(tx: BaseDBAsyncClient, row: FactBatch) -> _Page:
    """The next facts of a batch; none: it has come to its end."""
    assert row.approved_at is not None, "only what was approved is told"
    approved_at: datetime = row.approved_at
    if row.list_id is not None:
        residents = await members_after(tx, row.list_id, row.position, PAGE)
        if row.kind == RECIPIENTS:  # a list is told once, however often it is ordered
            attributes, source = {"file_id": str(row.list_id)}, row.list_id
        else:
            attributes, source = _granted(row), row.id
        told = [Told(one, row.kind, f"{source}:{one}", approved_at, attributes) for one in residents]
        return _Page(told, residents[-1] if residents else row.position)
    lines = await fetch(_LINES, row.id, row.position, PAGE, using=tx)
    told = [
        Told(line["resident_id"], row.kind, line["source_id"], line["occurred_at"] or approved_at,
             decoded(line["attributes"]))
        for line in lines
    ]  # fmt: skip
    return _Page(told, lines[-1]["id"] if lines else row.position)


def _granted(row: FactBatch) -> dict[str, str]:
    return {"occasion": row.occasion}
