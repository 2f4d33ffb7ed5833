"""Tables of the notices room.

    notice (one per resident, kind, subject and lead)     notice_grant (WeChat messages an identity has asked for)

CHECKs, indexes and what a notice may become are in `migrations/sql/house/notices.sql`.
"""

from __future__ import annotations

from datetime import datetime

from tortoise import fields
from tortoise.models import Model


class Notice(Model):
    """Something a resident is told. kind: points_expiring | coupon_expiring; `subject`: the lot's last day or the
    coupon's id; `last_day`: through which it can be used; `lead_days`: how long before this is the notice.

    push: none | due | sending | sent | no_grant | refused | unknown | late, what became of it at WeChat; `push_at`:
    when it is due, or was taken up. `identity_id` belongs to the people room, hence no foreign key.
    """

    id = fields.BigIntField(primary_key=True)
    resident_id = fields.BigIntField()
    kind = fields.CharField(max_length=20)
    subject = fields.CharField(max_length=36)
    last_day = fields.DateField()
    lead_days = fields.SmallIntField()
    points: fields.Field[int | None] = fields.BigIntField(null=True)
    name = fields.CharField(max_length=60, default="")
    title = fields.CharField(max_length=40)
    body = fields.CharField(max_length=200)
    created_at = fields.DatetimeField()
    read_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    push = fields.CharField(max_length=8, default="none")
    push_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    attempts = fields.SmallIntField(default=0)
    identity_id: fields.Field[int | None] = fields.BigIntField(null=True)

    class Meta:
        table = "notice"
        unique_together = (("resident_id", "kind", "subject", "lead_days"),)
        indexes = (("resident_id", "id"), ("created_at",))


class NoticeGrant(Model):
    """How many messages of one WeChat template an identity (an openid) has asked for and not got yet."""

    id = fields.BigIntField(primary_key=True)
    identity_id = fields.BigIntField()
    template_id = fields.CharField(max_length=64)
    balance = fields.IntField()
    changed_at = fields.DatetimeField()

    class Meta:
        table = "notice_grant"
        unique_together = (("identity_id", "template_id"),)
