"""What one person makes, another approves, and a job then does: rows of one kind, found, locked, changed, put to work.

The kind's name is what the audit trail calls it and what its worker's job is called; the job's key is the row's id.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Generic, TypeVar

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.expressions import Q

from server.incentives.commands import Signed
from server.incentives.errors import SecondPersonRequired, WrongStatus
from server.incentives.rows import HOUSE, columns_of
from server.kit import audit
from server.kit.clock import Clock
from server.kit.db import transaction
from server.kit.errors import AppError
from server.kit.jobs import Task, enqueue

R = TypeVar("R", bound=Any)


class Orders(Generic[R]):
    """The rows of one kind, which have `id`, `status`, `created_by`, `approved_by` and `approved_at`.

    `missing` is raised for an id that is not there; columns in `untold` are nothing for the audit trail.
    """

    def __init__(
        self, kind: type[R], name: str, missing: type[AppError], clock: Clock, *, untold: Collection[str] = ()
    ) -> None:
        self._kind, self._name, self._missing, self._clock = kind, name, missing, clock
        self._untold = frozenset(untold)

    async def find(self, row_id: int) -> R:
        """The row as it stands."""
        row: R | None = await self._kind.get_or_none(id=row_id)
        if row is None:
            raise self._missing
        return row

    async def lock(self, tx: BaseDBAsyncClient, row_id: int) -> R:
        """The row, locked until the end of the transaction."""
        row: R | None = await self._kind.filter(id=row_id).using_db(tx).select_for_update(no_key=True).first()
        if row is None:
            raise self._missing
        return row

    async def page(self, before_id: int | None, limit: int, *also: Q, **wanted: object) -> list[R]:
        """Up to `limit` rows with an id below `before_id`, newest first; a filter of None lets everything through."""
        asked = {"id__lt": before_id} | wanted
        chosen = self._kind.filter(*also, **{name: value for name, value in asked.items() if value is not None})
        found: list[R] = await chosen.order_by("-id").limit(limit)
        return found

    async def approve(
        self, tx: BaseDBAsyncClient, row_id: int, signed: Signed, *, stands: str = "requested", becomes: str = "running"
    ) -> R:
        """The row, locked and approved. Raises SecondPersonRequired for who made it, and WrongStatus."""
        row = await self.lock(tx, row_id)
        if row.created_by == signed.admin_id:
            raise SecondPersonRequired
        if row.status != stands:
            raise WrongStatus(row.status, stands)
        now = self._clock.now()
        await self.change(tx, row, "approved", signed, status=becomes, approved_by=signed.admin_id, approved_at=now)
        return row

    async def change(
        self, tx: BaseDBAsyncClient, row: R, action: str, signed: Signed | None, **columns: object
    ) -> None:
        """Set columns of a locked row and write down who did so; without `signed` it was the worker."""
        before = self._told(row)
        for name, value in columns.items():
            setattr(row, name, value)
        await row.save(using_db=tx, update_fields=list(columns))
        await self.record(tx, action, row, signed, before=before)

    async def record(
        self, tx: BaseDBAsyncClient, action: str, row: R, signed: Signed | None, *, before: dict[str, Any] | None = None
    ) -> None:
        """Write the row as it is now into the audit trail."""
        await audit.record(
            tx, actor=signed.actor if signed else HOUSE, action=f"{self._name}.{action}", object_kind=self._name,
            object_id=str(row.id), before=before, after=self._told(row), at=self._clock.now(),
            request_id=signed.request_id if signed else "worker",
        )  # fmt: skip

    async def enqueue(self, tx: BaseDBAsyncClient, row: R) -> bool:
        """Ask for the row's job; False when it has one."""
        return await enqueue(tx, self._name, str(row.id), {})

    async def redrive(self) -> int:
        """See that every running row has a job: one resumed while its old job ended would have none. Returns how many
        had none."""
        begun = 0
        for row in await self._kind.filter(status="running").order_by("id").limit(100):
            async with transaction() as tx:
                begun += await self.enqueue(tx, row)
        return begun

    def _told(self, row: R) -> dict[str, Any]:
        return {name: value for name, value in columns_of(row).items() if name not in self._untold}


def row_of(task: Task) -> int:
    """The id of the row whose job this is."""
    return int(task.key)
