"""Tables of the incentives room. CHECKs, partial uniques and triggers are in migrations/sql/house/incentives.sql.

The id of a campaign is the id of its earn terms in the vault, that of a template the id of its coupon terms, that of a
budget the vault's budget. An activated row never changes except for its status.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.models import Model


class Fact(Model):
    """Something that happened to a resident, told once (D37). `source_id` names it within its kind."""

    id = fields.BigIntField(primary_key=True)
    resident_id = fields.BigIntField(db_index=True)
    kind = fields.CharField(max_length=40)
    source_id = fields.CharField(max_length=80)
    occurred_at = fields.DatetimeField()
    attributes: fields.Field[dict[str, Any]] = fields.JSONField(default=dict)
    recorded_at = fields.DatetimeField()

    class Meta:
        table = "fact"
        unique_together = (("kind", "source_id"),)
        indexes = (("kind", "occurred_at"), ("recorded_at",))


class Planned(Model):
    """What a campaign and a template have in common: who made it, who approved it, when it runs, how far it has come.

    status: draft | in_review | approved | activating | scheduled | active | paused | ended. `pending` is what the vault
    has not been told yet: activate | open | close. `created_by`: the last editor (D35). `revision` counts changes.
    `per_person`: how often one person in each `per_person_period` (total | day | week | month); weeks begin on Monday.
    """

    id = fields.BigIntField(primary_key=True)
    title = fields.CharField(max_length=60)
    document = fields.CharField(max_length=100)
    status = fields.CharField(max_length=16, default="draft")
    pending: fields.Field[str | None] = fields.CharField(max_length=10, null=True)
    revision = fields.IntField(default=1)
    per_person = fields.IntField(default=1)
    per_person_period = fields.CharField(max_length=5, default="total")
    starts_at = fields.DatetimeField()
    ends_at = fields.DatetimeField()
    created_by = fields.BigIntField()
    created_at = fields.DatetimeField()
    changed_at = fields.DatetimeField()
    activated_by: fields.Field[int | None] = fields.BigIntField(null=True)
    activated_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    ended_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    end_reason = fields.CharField(max_length=20, default="")

    class Meta:
        abstract = True


class Campaign(Planned):
    """Points for a fact. trigger: the kind of fact; `points` for each; validity in months from the day of the fact."""

    trigger = fields.CharField(max_length=40)
    points = fields.BigIntField()
    validity_months = fields.IntField(default=24)

    class Meta:
        table = "campaign"


class CampaignSpan(Model):
    """A time in which a campaign was live; `until_at` is null while it lasts. Late facts are judged by these (D37)."""

    id = fields.BigIntField(primary_key=True)
    campaign: fields.ForeignKeyRelation[Campaign] = fields.ForeignKeyField(
        "migrations.Campaign", related_name="spans", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    from_at = fields.DatetimeField()
    until_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    campaign_id: int

    class Meta:
        table = "campaign_span"


class CouponTemplate(Planned):
    """What a coupon is worth and for whom. kind: amount_off | discount | exchange.

    `pay_bp`: what the customer pays of the order in basis points (8500 is 8.5折); `sponsor_bp`: the sponsor's part of
    the benefit; `cap_fen`: the most a discount takes off; `merchants`: ids, empty: any; `valid_days`: from the claim;
    `grace_days`: the least life of a coupon that a void gives back; `claimable`: residents may claim it themselves,
    else it is only given (grants, voucher codes, prizes).
    """

    version = fields.IntField(default=1)
    kind = fields.CharField(max_length=12)
    face_value_fen = fields.BigIntField(default=0)
    pay_bp = fields.IntField(default=0)
    cap_fen = fields.BigIntField(default=0)
    threshold_fen = fields.BigIntField(default=0)
    sponsor_bp = fields.IntField(default=0)
    price_points = fields.BigIntField(default=0)
    valid_days = fields.IntField()
    valid_until: fields.Field[date | None] = fields.DateField(null=True)
    merchants: fields.Field[list[int]] = fields.JSONField(default=list)
    void_window_s = fields.IntField()
    grace_days = fields.IntField(default=0)
    return_stock = fields.BooleanField(default=False)
    claimable = fields.BooleanField(default=True)

    class Meta:
        table = "coupon_template"


class Budget(Model):
    """A limit in one unit (points | coupons | fen) of one campaign or one template; the amounts live in the vault."""

    id = fields.BigIntField(primary_key=True)
    unit = fields.CharField(max_length=8)
    campaign: fields.ForeignKeyNullableRelation[Campaign] = fields.ForeignKeyField(
        "migrations.Campaign", related_name="budgets", null=True, on_delete=fields.OnDelete.RESTRICT
    )
    template: fields.ForeignKeyNullableRelation[CouponTemplate] = fields.ForeignKeyField(
        "migrations.CouponTemplate", related_name="budgets", null=True, on_delete=fields.OnDelete.RESTRICT
    )
    planned = fields.BigIntField()
    created_at = fields.DatetimeField()

    campaign_id: int | None
    template_id: int | None

    class Meta:
        table = "budget"
        unique_together = (("campaign", "unit"), ("template", "unit"))


class BudgetRequest(Model):
    """The intent to change a budget's total; its id is the vault's entry id (D18, D21).

    kind: topup | cut; status: requested | approved | done | refused. Approved by somebody else than who asked (D35).
    """

    id = fields.UUIDField(primary_key=True)
    budget: fields.ForeignKeyRelation[Budget] = fields.ForeignKeyField(
        "migrations.Budget", related_name="requests", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    kind = fields.CharField(max_length=8)
    amount = fields.BigIntField()
    document = fields.CharField(max_length=100)
    status = fields.CharField(max_length=12, default="requested")
    reason = fields.CharField(max_length=60, default="")
    requested_by = fields.BigIntField()
    requested_at = fields.DatetimeField()
    approved_by: fields.Field[int | None] = fields.BigIntField(null=True)
    approved_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    settled_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    budget_id: int

    class Meta:
        table = "budget_request"


class Award(Model):
    """Points that a campaign owes for a fact, posted under `vault_id`. status: pending | posted | refused."""

    id = fields.BigIntField(primary_key=True)
    campaign: fields.ForeignKeyRelation[Campaign] = fields.ForeignKeyField(
        "migrations.Campaign", related_name="awards", on_delete=fields.OnDelete.RESTRICT
    )
    fact: fields.ForeignKeyRelation[Fact] = fields.ForeignKeyField(
        "migrations.Fact", related_name="awards", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    resident_id = fields.BigIntField(db_index=True)
    vault_id: fields.Field[UUID] = fields.UUIDField(unique=True)
    status = fields.CharField(max_length=8, default="pending")
    reason = fields.CharField(max_length=60, default="")
    attempts = fields.IntField(default=0)
    due_at = fields.DatetimeField()
    created_at = fields.DatetimeField()
    settled_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    campaign_id: int
    fact_id: int

    class Meta:
        table = "award"
        unique_together = (("campaign", "fact"),)
