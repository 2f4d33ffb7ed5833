"""Who changed what: an append-only table that every administrative change writes into, in its own transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tortoise import fields
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.models import Model


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acted. `id` is the actor's own id as text, "system" for the house itself."""

    kind: Literal["admin", "staff", "resident", "system"]
    id: str


class AuditEntry(Model):
    """One change with its before and after; append-only by trigger. Holds ids and settings, never personal data."""

    id = fields.BigIntField(primary_key=True)
    at = fields.DatetimeField(db_index=True)
    actor_kind = fields.CharField(max_length=16)
    actor_id = fields.CharField(max_length=64)
    action = fields.CharField(max_length=64)
    object_kind = fields.CharField(max_length=64)
    object_id = fields.CharField(max_length=64)
    before: Any = fields.JSONField(null=True)
    after: Any = fields.JSONField(null=True)
    request_id = fields.CharField(max_length=64)

    class Meta:
        table = "audit_entry"
        indexes = (("object_kind", "object_id", "id"),)


async def record(
    tx: BaseDBAsyncClient,
    *,
    actor: Actor,
    action: str,
    object_kind: str,
    object_id: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    at: datetime,
    request_id: str,
) -> None:
    """Write one entry in the caller's transaction: the change and its trace commit together or not at all."""
    await AuditEntry.create(
        using_db=tx,
        at=at,
        actor_kind=actor.kind,
        actor_id=actor.id,
        action=action,
        object_kind=object_kind,
        object_id=object_id,
        before=before,
        after=after,
        request_id=request_id,
    )
