"""Tables of the merchants' room. CHECKs and partial uniques are in migrations/sql/house/merchants.sql.

`version` of an acceptor (merchant, store, staff, terminal) counts its changes of status, so that whoever tells the
vault can see whether it told the latest (`acceptors`).
"""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model


class Merchant(Model):
    """A business that accepts the programme's benefits. status: active | suspended.

    `licence_number` is the 统一社会信用代码, `category` a code of the city's list (`people.city_lists`).
    """

    id = fields.BigIntField(primary_key=True)
    name = fields.CharField(max_length=120)
    licence_number: fields.Field[str | None] = fields.CharField(max_length=18, null=True, unique=True)
    category: fields.Field[str | None] = fields.CharField(max_length=32, null=True)
    status = fields.CharField(max_length=16, default="active")
    status_reason = fields.CharField(max_length=200, default="")
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField()

    class Meta:
        table = "merchant"


class Store(Model):
    """One place of business. status: open | closed."""

    id = fields.BigIntField(primary_key=True)
    merchant: fields.ForeignKeyRelation[Merchant] = fields.ForeignKeyField(
        "migrations.Merchant", related_name="stores", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    town = fields.CharField(max_length=40)
    name = fields.CharField(max_length=120)
    status = fields.CharField(max_length=16, default="open")
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField()

    merchant_id: int

    class Meta:
        table = "store"
        unique_together = (("merchant", "name"),)


class StaffMember(Model):
    """One login identity working for one merchant. role: owner | manager | cashier | auditor; status: active | revoked.

    `display_name` is sealed (purpose "staff.display_name"). `all_stores` or the rows of `staff_store` say where they
    may work.
    """

    id = fields.BigIntField(primary_key=True)
    merchant: fields.ForeignKeyRelation[Merchant] = fields.ForeignKeyField(
        "migrations.Merchant", related_name="staff", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    identity_id = fields.BigIntField(db_index=True)
    display_name = fields.BinaryField()
    role = fields.CharField(max_length=16)
    all_stores = fields.BooleanField(default=False)
    status = fields.CharField(max_length=16, default="active")
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField()
    revoked_at: fields.Field[Any] = fields.DatetimeField(null=True)

    merchant_id: int

    class Meta:
        table = "staff_member"


class StaffStore(Model):
    """A store a staff member may work in."""

    id = fields.BigIntField(primary_key=True)
    staff: fields.ForeignKeyRelation[StaffMember] = fields.ForeignKeyField(
        "migrations.StaffMember", related_name="workplaces", on_delete=fields.OnDelete.RESTRICT
    )
    store: fields.ForeignKeyRelation[Store] = fields.ForeignKeyField(
        "migrations.Store", related_name="workers", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )

    staff_id: int
    store_id: int

    class Meta:
        table = "staff_store"
        unique_together = (("staff", "store"),)


class Terminal(Model):
    """What a credential is accepted with. kind: phone | pc | gate | gun; status: pending | active | revoked.

    A phone belongs to one staff member at one store and needs no secret; the others are enrolled and hold one (D31).
    """

    id = fields.BigIntField(primary_key=True)
    merchant: fields.ForeignKeyRelation[Merchant] = fields.ForeignKeyField(
        "migrations.Merchant", related_name="terminals", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    store: fields.ForeignKeyRelation[Store] = fields.ForeignKeyField(
        "migrations.Store", related_name="terminals", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    staff: fields.ForeignKeyNullableRelation[StaffMember] = fields.ForeignKeyField(
        "migrations.StaffMember", related_name="phones", null=True, on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    kind = fields.CharField(max_length=8)
    label = fields.CharField(max_length=60, default="")
    secret_hash: fields.Field[bytes | None] = fields.BinaryField(null=True)
    status = fields.CharField(max_length=16)
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField()
    enrolled_at: fields.Field[Any] = fields.DatetimeField(null=True)
    revoked_at: fields.Field[Any] = fields.DatetimeField(null=True)

    merchant_id: int
    store_id: int
    staff_id: int | None

    class Meta:
        table = "terminal"


class Invitation(Model):
    """A one-use code by which a person joins a merchant. `store` null means all stores of the merchant."""

    id = fields.BigIntField(primary_key=True)
    code_hash = fields.BinaryField()  # unique by merchants.sql
    merchant: fields.ForeignKeyRelation[Merchant] = fields.ForeignKeyField(
        "migrations.Merchant", related_name="invitations", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    store: fields.ForeignKeyNullableRelation[Store] = fields.ForeignKeyField(
        "migrations.Store", related_name="invitations", null=True, on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    role = fields.CharField(max_length=16)
    display_name = fields.BinaryField()
    invited_by_staff_id: fields.Field[int | None] = fields.BigIntField(null=True)
    created_at = fields.DatetimeField()
    expires_at = fields.DatetimeField()
    used_at: fields.Field[Any] = fields.DatetimeField(null=True)
    used_by_staff_id: fields.Field[int | None] = fields.BigIntField(null=True)

    merchant_id: int
    store_id: int | None

    class Meta:
        table = "invitation"


class EnrolmentCode(Model):
    """A one-use code by which a machine becomes a terminal of its store."""

    id = fields.BigIntField(primary_key=True)
    code_hash = fields.BinaryField()  # unique by merchants.sql
    terminal: fields.ForeignKeyRelation[Terminal] = fields.ForeignKeyField(
        "migrations.Terminal", related_name="enrolment_codes", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    created_at = fields.DatetimeField()
    expires_at = fields.DatetimeField()
    used_at: fields.Field[Any] = fields.DatetimeField(null=True)

    terminal_id: int

    class Meta:
        table = "enrolment_code"
