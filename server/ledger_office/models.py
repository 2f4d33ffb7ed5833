"""Tables of the ledger office. CHECKs, an index and a trigger are in migrations/sql/house/ledger_office.sql."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from tortoise import fields
from tortoise.models import Model


class Adjustment(Model):
    """The intent to correct a balance by hand (D18); its id is the client's UUIDv7 (D21), `vault_id` the posting's.

    status: pending | approved | rejected | posted | refused. Decided by somebody else than who asked (D35). `answer` is
    the vault's: done, or the code of its refusal.
    """

    id = fields.UUIDField(primary_key=True)
    resident_id = fields.BigIntField(db_index=True)
    points = fields.BigIntField()
    reason = fields.CharField(max_length=200)
    document = fields.CharField(max_length=100)
    validity_months = fields.SmallIntField()
    status = fields.CharField(max_length=8, default="pending")
    requested_by = fields.BigIntField()
    requested_at = fields.DatetimeField()
    decided_by: fields.Field[int | None] = fields.BigIntField(null=True)
    decided_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    decision_note = fields.CharField(max_length=200, default="")
    vault_id: fields.Field[UUID | None] = fields.UUIDField(unique=True, null=True)
    attempts = fields.IntField(default=0)
    due_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    answer = fields.CharField(max_length=40, default="")
    points_after: fields.Field[int | None] = fields.BigIntField(null=True)
    expires_on: fields.Field[date | None] = fields.DateField(null=True)
    settled_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    class Meta:
        table = "adjustment"
