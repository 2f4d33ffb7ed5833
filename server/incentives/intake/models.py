"""Tables of the intake. CHECKs and triggers are in migrations/sql/house/intake.sql.

FactBatch ──< FactLine        FactBatch ── RecipientList (instead of lines)
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tortoise import fields
from tortoise.models import Model


class FactBatch(Model):
    """Facts of one kind that somebody wrote down and somebody else approves (D35).

    status: receiving | requested | running | finished | cancelled. `source`: the outside system of a file, else empty;
    `occasion`: of a grant. Residents stand in `fact_line`, or on the list. `taken`: facts to tell; unknown, repeated,
    unreadable, mistimed: lines that were not taken; `told`: facts that were new. `position`: the last line or resident
    told.
    """

    id = fields.BigIntField(primary_key=True)
    kind = fields.CharField(max_length=40)
    source = fields.CharField(max_length=24, default="")
    occasion = fields.CharField(max_length=40, default="")
    document = fields.CharField(max_length=100)
    list_id: fields.Field[int | None] = fields.BigIntField(null=True)
    status = fields.CharField(max_length=12, default="receiving")
    taken = fields.BigIntField(default=0)
    unknown = fields.BigIntField(default=0)
    repeated = fields.BigIntField(default=0)
    unreadable = fields.BigIntField(default=0)
    mistimed = fields.BigIntField(default=0)
    told = fields.BigIntField(default=0)
    position = fields.BigIntField(default=0)
    created_by = fields.BigIntField()
    created_at = fields.DatetimeField()
    approved_by: fields.Field[int | None] = fields.BigIntField(null=True)
    approved_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    ended_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    class Meta:
        table = "fact_batch"


class FactLine(Model):
    """A fact that waits for its approval; deleted when its batch has ended. `source_id`: as the intake will know it;
    `occurred_at`: null for the moment of the approval."""

    id = fields.BigIntField(primary_key=True)
    batch: fields.ForeignKeyRelation[FactBatch] = fields.ForeignKeyField(
        "migrations.FactBatch", related_name="lines", on_delete=fields.OnDelete.CASCADE
    )
    resident_id = fields.BigIntField()
    source_id = fields.CharField(max_length=80)
    occurred_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    attributes: fields.Field[dict[str, Any]] = fields.JSONField(default=dict)

    batch_id: int

    class Meta:
        table = "fact_line"
        unique_together = (("batch", "source_id"),)
