"""Tables of segments. CHECKs and triggers, and the table `segment_member`, are in migrations/sql/house/segments.sql."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model


class Segment(Model):
    """A named definition. It costs nothing and gives nothing, so one person may change it; what uses it takes a
    snapshot. `revision` counts changes."""

    id = fields.BigIntField(primary_key=True)
    name = fields.CharField(max_length=60, unique=True)
    definition: fields.Field[dict[str, Any]] = fields.JSONField()
    revision = fields.IntField(default=1)
    created_by = fields.BigIntField()
    created_at = fields.DatetimeField()
    changed_by = fields.BigIntField()
    changed_at = fields.DatetimeField()

    class Meta:
        table = "segment"


class SegmentSnapshot(Model):
    """The members of a segment at `at`, for one use (`used_for`). `position`: the residents up to here are looked at;
    `size` and `digest` are final once it is sealed. The members are deleted after `keep_until`, the row stays."""

    id = fields.BigIntField(primary_key=True)
    segment: fields.ForeignKeyRelation[Segment] = fields.ForeignKeyField(
        "migrations.Segment", related_name="snapshots", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    used_for = fields.CharField(max_length=80, unique=True)
    revision = fields.IntField()
    definition: fields.Field[dict[str, Any]] = fields.JSONField()
    at = fields.DatetimeField()
    begun_at = fields.DatetimeField()
    position = fields.BigIntField(default=0)
    size = fields.BigIntField(default=0)
    digest = fields.CharField(max_length=64, default="")
    sealed_at = fields.DatetimeField(null=True)
    keep_until = fields.DatetimeField()
    purged_at = fields.DatetimeField(null=True)

    segment_id: int

    class Meta:
        table = "segment_snapshot"
