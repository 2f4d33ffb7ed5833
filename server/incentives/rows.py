"""Campaigns and templates as rows: found, locked, saved, and every change written into the audit trail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.commands import Signed
from server.incentives.errors import RevisionChanged, VersionNotFound
from server.incentives.models import Budget, Planned, Version
from server.kit import audit
from server.kit.audit import Actor
from server.kit.clock import Clock
from server.kit.errors import AppError

L = TypeVar("L", bound=Planned)
V = TypeVar("V", bound=Version)
Noun = Literal["campaign", "coupon_template"]

HOUSE = Actor("system", "system")
EDITABLE = ("draft", "in_review", "rejected")
OPEN = (*EDITABLE, "approved")
RUNNING = ("scheduled", "active", "paused")
OVER = ("ended", "archived")


@dataclass(frozen=True, slots=True)
class Kind(Generic[L, V]):
    """Campaigns or templates. `owner`: the column by which versions and budgets name theirs."""

    noun: Noun
    owner: Literal["campaign_id", "template_id"]
    life: type[L]
    version: type[V]
    missing: type[AppError]

    def of(self, row: L) -> dict[str, int]:
        """The filter that finds the versions and budgets of a row."""
        return {self.owner: row.id}


def plain(value: object) -> object:
    """A column's value as it stands in JSON."""
    if value is None or isinstance(value, str | int | list | dict):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def columns_of(row: Any) -> dict[str, Any]:
    """A row's columns as the audit trail keeps them."""
    return {name: plain(getattr(row, name)) for name in sorted(row._meta.fields_db_projection)}


class Rows(Generic[L, V]):
    """Reads and writes the rows of one kind; holds no state of its own."""

    def __init__(self, kind: Kind[L, V], clock: Clock) -> None:
        self.kind = kind
        self.clock = clock

    async def find(self, row_id: int) -> L:
        """The row, or the kind's own not-found error."""
        row: L | None = await self.kind.life.get_or_none(id=row_id)
        if row is None:
            raise self.kind.missing
        return row

    async def lock(self, tx: BaseDBAsyncClient, row_id: int, revision: int | None = None) -> L:
        """The row, locked until the end of the transaction. Raises RevisionChanged when another revision stands."""
        row: L | None = await self.kind.life.filter(id=row_id).using_db(tx).select_for_update(no_key=True).first()
        if row is None:
            raise self.kind.missing
        if revision is not None and row.revision != revision:
            raise RevisionChanged
        return row

    async def versions(self, row: L, tx: BaseDBAsyncClient | None = None) -> list[V]:
        """All versions of a row, newest first."""
        return await self.kind.version.filter(**self.kind.of(row)).using_db(tx).order_by("-number")

    async def version(self, row: L, number: int, tx: BaseDBAsyncClient | None = None) -> V:
        """One version by its number. Raises VersionNotFound."""
        version: V | None = await self.kind.version.get_or_none(**self.kind.of(row), number=number, using_db=tx)
        if version is None:
            raise VersionNotFound
        return version

    async def earliest_start(self, row: L, now: datetime, tx: BaseDBAsyncClient) -> datetime:
        """Since when a version that is approved now may say that it runs: from now on, to the second, or as long as the
        row has run by other versions."""
        whole = now.replace(microsecond=0)
        ran = self.kind.version.filter(**self.kind.of(row), live_at__not_isnull=True).using_db(tx)
        first: V | None = await ran.order_by("starts_at").first()
        return whole if first is None else min(whole, first.starts_at)

    async def open_version(self, row: L, tx: BaseDBAsyncClient | None = None) -> V | None:
        """The version that is worked on or waits for the vault; at most one."""
        found: V | None = await self.kind.version.filter(**self.kind.of(row), status__in=OPEN).using_db(tx).first()
        return found

    async def shown(self, row: L, tx: BaseDBAsyncClient | None = None) -> V:
        """The version that stands for the row: the live one, before there is one the newest."""
        chosen = self.kind.version.filter(**self.kind.of(row)).using_db(tx)
        if row.live_version is not None:
            chosen = chosen.filter(id=row.live_version)
        found: V = await chosen.order_by("-number").limit(1).get()
        return found

    async def budgets(self, row: L, tx: BaseDBAsyncClient | None = None) -> list[Budget]:
        """The row's budgets in the order they were made."""
        return await Budget.filter(**self.kind.of(row)).using_db(tx).order_by("id")

    async def save(self, tx: BaseDBAsyncClient, row: L, version: V | None = None) -> None:
        """Write the row, and the version with it, under a new revision."""
        now = self.clock.now()
        if version is not None:
            version.changed_at = now
            await version.save(using_db=tx)
        row.revision += 1
        row.changed_at = now
        await row.save(using_db=tx)

    async def snapshot(self, tx: BaseDBAsyncClient, row: L, version: V | None) -> dict[str, Any]:
        """The row, a version of it and its planned budgets, as the audit trail keeps them."""
        planned = {budget.unit: budget.planned for budget in await self.budgets(row, tx)}
        content = None if version is None else columns_of(version)
        return columns_of(row) | {"version": content, "planned": dict(sorted(planned.items()))}

    async def record(
        self, tx: BaseDBAsyncClient, action: str, row: L,
        before: dict[str, Any] | None, after: dict[str, Any], signed: Signed | None,
    ) -> None:  # fmt: skip
        """Write the change into the audit trail."""
        await audit.record(
            tx, actor=signed.actor if signed else HOUSE, action=f"{self.kind.noun}.{action}",
            object_kind=self.kind.noun, object_id=str(row.id), before=before, after=after, at=self.clock.now(),
            request_id=signed.request_id if signed else "",
        )  # fmt: skip
