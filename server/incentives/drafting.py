"""What versions say: written, replaced and copied as drafts, until somebody else approves one.

A campaign that runs is changed by a new version with a review of its own; its budgets belong to the campaign and are
planned once, with the first version.
"""

from __future__ import annotations

from typing import Generic, Protocol

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.commands import Signed
from server.incentives.errors import AlreadyLive, BudgetFixed, DraftOpen, WrongStatus
from server.incentives.models import Budget
from server.incentives.rows import EDITABLE, OVER, RUNNING, L, Rows, V
from server.kit.errors import InvalidField

COPIED = "（副本）"
#: What a version says is what it is not: its number, its course, who answered for it.
_COURSE = frozenset(
    {
        "id", "number", "status", "comment", "created_by", "created_at", "changed_at", "submitted_by", "submitted_at",
        "approved_by", "approved_at", "live_at", "superseded_at", "campaign_id", "template_id",
    }
)  # fmt: skip


class Draft(Protocol):
    """What an editor wants: a checked command of either kind."""

    def check(self) -> None: ...

    def columns(self) -> dict[str, object]: ...

    def units(self) -> dict[str, str]: ...

    def stated(self) -> dict[str, int]: ...

    def planned(self) -> dict[str, int]: ...


def content_of(version: V) -> dict[str, object]:
    """What a version says, by column."""
    return {name: getattr(version, name) for name in sorted(version._meta.fields_db_projection.keys() - _COURSE)}


class Drafting(Generic[L, V]):
    """Writes versions while they are drafts. Every method is given the transaction it works in."""

    def __init__(self, rows: Rows[L, V]) -> None:
        self._rows = rows

    async def create(self, tx: BaseDBAsyncClient, draft: Draft, signed: Signed) -> L:
        """A new row with its first version and its budgets' planned amounts."""
        planned = draft.planned()
        for unit, field in draft.units().items():
            if unit not in planned:
                raise InvalidField(field=field)
        return await self._begin(tx, draft.columns(), planned, signed)

    async def copy(self, tx: BaseDBAsyncClient, row_id: int, number: int | None, signed: Signed) -> L:
        """A new row that says what a version of another says (by default the one that stands for it)."""
        source = await self._rows.find(row_id)
        version = await (self._rows.shown(source, tx) if number is None else self._rows.version(source, number, tx))
        planned = {budget.unit: budget.planned for budget in await self._rows.budgets(source, tx)}
        content = content_of(version)
        return await self._begin(
            tx, content | {"title": f"{version.title[: 60 - len(COPIED)]}{COPIED}"}, planned, signed
        )

    async def revise(self, tx: BaseDBAsyncClient, row_id: int, draft: Draft, signed: Signed) -> L:
        """A new version of a row that was approved; nothing changes for anybody before its own approval."""
        row = await self._rows.lock(tx, row_id)
        if row.live_version is None or row.status in OVER:
            raise WrongStatus(row.status, *RUNNING)
        if await self._rows.open_version(row, tx) is not None:
            raise DraftOpen
        await self._keep_planned(tx, row, draft)
        last = (await self._rows.versions(row, tx))[0]
        before = await self._rows.snapshot(tx, row, await self._rows.shown(row, tx))
        version = await self._write(tx, row, last.number + 1, draft.columns(), signed)
        await self._rows.save(tx, row)
        await self._rows.record(tx, "revised", row, before, await self._rows.snapshot(tx, row, version), signed)
        return row

    async def edit(
        self, tx: BaseDBAsyncClient, row_id: int, draft: Draft, signed: Signed, revision: int | None = None
    ) -> L:
        """Replace what the open version says; under review it goes back to draft. The editor answers for all of it."""
        row = await self._rows.lock(tx, row_id, revision)
        version = await self._rows.open_version(row, tx)
        if row.end_reason == "discarded":
            raise WrongStatus("discarded", "draft")
        if version is None or version.status not in EDITABLE:
            raise AlreadyLive
        before = await self._rows.snapshot(tx, row, version)
        if row.live_version is None:
            await self._plan(tx, row, draft)
            row.status = "draft"
        else:
            await self._keep_planned(tx, row, draft)
        version.update_from_dict({**draft.columns(), "status": "draft", "created_by": signed.admin_id})
        await self._rows.save(tx, row, version)
        await self._rows.record(tx, "edited", row, before, await self._rows.snapshot(tx, row, version), signed)
        return row

    async def _begin(
        self, tx: BaseDBAsyncClient, content: dict[str, object], planned: dict[str, int], signed: Signed
    ) -> L:
        now = self._rows.clock.now()
        row: L = await self._rows.kind.life.create(
            using_db=tx, created_by=signed.admin_id, created_at=now, changed_at=now
        )
        version = await self._write(tx, row, 1, content, signed)
        for unit, amount in planned.items():
            await Budget.create(using_db=tx, **self._rows.kind.of(row), unit=unit, planned=amount, created_at=now)
        await self._rows.record(tx, "created", row, None, await self._rows.snapshot(tx, row, version), signed)
        return row

    async def _write(self, tx: BaseDBAsyncClient, row: L, number: int, content: dict[str, object], signed: Signed) -> V:
        now = self._rows.clock.now()
        version: V = await self._rows.kind.version.create(
            using_db=tx, **self._rows.kind.of(row), **content, number=number, created_by=signed.admin_id,
            created_at=now, changed_at=now,
        )  # fmt: skip
        return version

    async def _plan(self, tx: BaseDBAsyncClient, row: L, draft: Draft) -> None:
        """Before the first approval the editor plans the budgets, too."""
        owner, planned = self._rows.kind.of(row), draft.planned()
        for unit, field in draft.units().items():
            if unit not in planned:
                raise InvalidField(field=field)
        await Budget.filter(**owner).using_db(tx).exclude(unit__in=list(planned)).delete()
        for unit, amount in planned.items():
            if not await Budget.filter(**owner, unit=unit).using_db(tx).update(planned=amount):
                await Budget.create(
                    using_db=tx, **owner, unit=unit, planned=amount, created_at=self._rows.clock.now()
                )  # fmt: skip

    async def _keep_planned(self, tx: BaseDBAsyncClient, row: L, draft: Draft) -> None:
        """Afterwards amounts may be left out or repeated; a version draws on no budget that was not approved."""
        planned = {budget.unit: budget.planned for budget in await self._rows.budgets(row, tx)}
        fields = {"points": "budget_points", "coupons": "stock", "fen": "budget_fen"}
        for unit, amount in draft.stated().items():
            if planned.get(unit) != amount:
                raise BudgetFixed(field=fields[unit])
        for unit, field in draft.units().items():
            if unit not in planned:
                raise BudgetFixed(field=field)
