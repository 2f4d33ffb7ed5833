"""Tables of voucher codes. CHECKs, triggers and partial indexes are in migrations/sql/house/codes.sql.

    coupon_template <── voucher_batch <── voucher_code          voucher_batch <── voucher_export

No code stands in a table: of every code there is a keyed hash, by which it is found. A batch of ours keeps a sealed
secret from which its codes are made again for the export; a third party's codes are sealed one by one, to be shown.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.models import Model

from server.incentives.models import CouponTemplate


class VoucherBatch(Model):
    """Codes of one template. mode: platform | uploaded | external; status: making | made | ready | stopped.

    `wanted` codes are to be made (platform) or stood in the file; `made` are there. `created_by`: who ordered or
    uploaded them; somebody else approves (D35), and only then do they work. `upload`: the newest upload under way.
    `beyond_stock`: there may be more codes than coupons.
    """

    id = fields.BigIntField(primary_key=True)
    template: fields.ForeignKeyRelation[CouponTemplate] = fields.ForeignKeyField(
        "migrations.CouponTemplate", related_name="voucher_batches", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    mode = fields.CharField(max_length=8)
    document = fields.CharField(max_length=100)
    prefix = fields.CharField(max_length=6, default="")
    secret_sealed: fields.Field[Any] = fields.BinaryField(null=True)
    wanted = fields.IntField()
    made = fields.IntField(default=0)
    next_ordinal = fields.IntField(default=1)
    beyond_stock = fields.BooleanField(default=False)
    upload: fields.Field[UUID | None] = fields.UUIDField(null=True)
    status = fields.CharField(max_length=8, default="making")
    created_by = fields.BigIntField()
    created_at = fields.DatetimeField()
    approved_by: fields.Field[int | None] = fields.BigIntField(null=True)
    approved_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    template_id: int

    class Meta:
        table = "voucher_batch"


class VoucherCode(Model):
    """One code. `resident_id`: who has used it (or, of a third party's, whom it is shown to); `tries` counts how often
    somebody was about to. `coupon_id`: beside which coupon a third party's code is shown. `ordinal`: its place."""

    id = fields.BigIntField(primary_key=True)
    batch: fields.ForeignKeyRelation[VoucherBatch] = fields.ForeignKeyField(
        "migrations.VoucherBatch", related_name="codes", on_delete=fields.OnDelete.RESTRICT
    )
    ordinal = fields.IntField()
    code_hash = fields.BinaryField()
    code_sealed: fields.Field[Any] = fields.BinaryField(null=True)
    resident_id: fields.Field[int | None] = fields.BigIntField(null=True)
    coupon_id: fields.Field[UUID | None] = fields.UUIDField(null=True)
    tries = fields.IntField(default=0)
    claimed_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    class Meta:
        table = "voucher_code"
        unique_together = (("batch", "ordinal"),)


class VoucherExport(Model):
    """Somebody wants the codes of a batch in a file: approved by somebody else, opened once, by who asked (G31)."""

    id = fields.BigIntField(primary_key=True)
    batch: fields.ForeignKeyRelation[VoucherBatch] = fields.ForeignKeyField(
        "migrations.VoucherBatch", related_name="exports", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    reason = fields.CharField(max_length=200)
    requested_by = fields.BigIntField()
    requested_at = fields.DatetimeField()
    approved_by: fields.Field[int | None] = fields.BigIntField(null=True)
    approved_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    opened_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    batch_id: int

    class Meta:
        table = "voucher_export"
