"""Tables of coupons that are given. CHECKs and partial indexes are in migrations/sql/house/grants.sql.

recipient_list <── recipient          coupon_template <── coupon_grant ──> grant_job ──> recipient_list | segment
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from tortoise import fields
from tortoise.models import Model

from server.incentives.models import CouponTemplate
from server.incentives.segments.models import Segment


class RecipientList(Model):
    """Residents named one by one in an uploaded file. status: receiving | ready | cleared (who was
    on it is forgotten). What was not taken is counted:
    `unknown` are no residents, `repeated` stood in the file before, `unreadable` are no numbers."""

    id = fields.BigIntField(primary_key=True)
    name = fields.CharField(max_length=60)
    status = fields.CharField(max_length=9, default="receiving")
    taken = fields.BigIntField(default=0)
    unknown = fields.BigIntField(default=0)
    repeated = fields.BigIntField(default=0)
    unreadable = fields.BigIntField(default=0)
    created_by = fields.BigIntField()
    created_at = fields.DatetimeField()

    class Meta:
        table = "recipient_list"


class Recipient(Model):
    """One resident of a list, once."""

    id = fields.BigIntField(primary_key=True)
    list: fields.ForeignKeyRelation[RecipientList] = fields.ForeignKeyField(
        "migrations.RecipientList", related_name="recipients", on_delete=fields.OnDelete.CASCADE
    )
    resident_id = fields.BigIntField()

    class Meta:
        table = "recipient"
        unique_together = (("list", "resident_id"),)


class GrantJob(Model):
    """An order to give each resident of a list, or of a segment, one coupon.

    status: requested | running | paused | finished | cancelled; `why` says why it is not running. Approved by somebody
    else than who ordered it (D35). `position`: the last resident whose grant is written down; `owed` grants were
    written, `posted` became coupons, `refused` never will; the rest is under way. `per_second` bounds its rate.
    `snapshot_id`: the segment's members as they were at the approval, taken by the worker; with it `recipients`.
    """

    id = fields.BigIntField(primary_key=True)
    template: fields.ForeignKeyRelation[CouponTemplate] = fields.ForeignKeyField(
        "migrations.CouponTemplate", related_name="grant_jobs", on_delete=fields.OnDelete.RESTRICT
    )
    list: fields.ForeignKeyNullableRelation[RecipientList] = fields.ForeignKeyField(
        "migrations.RecipientList", related_name="jobs", null=True, on_delete=fields.OnDelete.RESTRICT
    )
    segment: fields.ForeignKeyNullableRelation[Segment] = fields.ForeignKeyField(
        "migrations.Segment", related_name="grant_jobs", null=True, on_delete=fields.OnDelete.RESTRICT
    )
    snapshot_id: fields.Field[int | None] = fields.BigIntField(null=True)
    per_second = fields.IntField()
    document = fields.CharField(max_length=100)
    note = fields.CharField(max_length=200, default="")
    status = fields.CharField(max_length=9, default="requested")
    why = fields.CharField(max_length=60, default="")
    recipients = fields.BigIntField()
    position = fields.BigIntField(default=0)
    owed = fields.BigIntField(default=0)
    posted = fields.BigIntField(default=0)
    refused = fields.BigIntField(default=0)
    created_by = fields.BigIntField()
    created_at = fields.DatetimeField()
    approved_by: fields.Field[int | None] = fields.BigIntField(null=True)
    approved_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    ended_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    template_id: int
    list_id: int | None
    segment_id: int | None

    class Meta:
        table = "grant_job"


class CouponGrant(Model):
    """A coupon that is owed to a resident, posted under `vault_id`, which becomes the coupon's id.

    (`source`, `source_id`) names what it is owed for, once. status: pending | posted | refused. `reason`: why the last
    try gave nothing. `job`: of a grant job.
    """

    id = fields.BigIntField(primary_key=True)
    source = fields.CharField(max_length=16)
    source_id = fields.CharField(max_length=80)
    resident_id = fields.BigIntField()
    template: fields.ForeignKeyRelation[CouponTemplate] = fields.ForeignKeyField(
        "migrations.CouponTemplate", related_name="grants", on_delete=fields.OnDelete.RESTRICT
    )
    job: fields.ForeignKeyNullableRelation[GrantJob] = fields.ForeignKeyField(
        "migrations.GrantJob", related_name="grants", null=True, on_delete=fields.OnDelete.RESTRICT
    )
    vault_id: fields.Field[UUID] = fields.UUIDField(unique=True)
    status = fields.CharField(max_length=8, default="pending")
    reason = fields.CharField(max_length=60, default="")
    attempts = fields.IntField(default=0)
    due_at = fields.DatetimeField()
    created_at = fields.DatetimeField()
    settled_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    template_id: int
    job_id: int | None

    class Meta:
        table = "coupon_grant"
        unique_together = (("source", "source_id"),)
