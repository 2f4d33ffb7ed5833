"""Tables of the incentives room. CHECKs, partial uniques and triggers are in migrations/sql/house/incentives.sql.

    Campaign ──< CampaignVersion ──< Award >── Fact        CouponTemplate ──< CouponTemplateVersion
       │  └──< CampaignSpan >── version ── DateCall              │
       └──< Budget >─────────────────────────────────────────────┘
              └──< BudgetRequest

A campaign or a template is identity and life; what it promises stands in its versions. The id of a campaign's version
is the id of its earn terms in the vault, that of a template's version the id of its coupon terms, that of a budget the
vault's budget. A version that was approved never changes again.
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
    """The life of a campaign or a template; its content is in its versions.

    status: draft | in_review | approved | scheduled | active | paused | ended | archived. `pending` is what the vault
    has not been told yet: terms | open | close. `live_version`: the version that counts now. `revision` counts
    changes of the life and of the open version. end_reason: budget_exhausted | time | manual | discarded (a draft that
    was never approved).
    """

    id = fields.BigIntField(primary_key=True)
    status = fields.CharField(max_length=16, default="draft")
    pending: fields.Field[str | None] = fields.CharField(max_length=10, null=True)
    revision = fields.IntField(default=1)
    live_version: fields.Field[int | None] = fields.BigIntField(null=True)
    created_by = fields.BigIntField()
    created_at = fields.DatetimeField()
    changed_at = fields.DatetimeField()
    activated_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    ended_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    end_reason = fields.CharField(max_length=20, default="")

    class Meta:
        abstract = True


class Version(Model):
    """What a campaign or a template promises, and who answers for it.

    status: draft | in_review | rejected | approved | live | superseded | discarded; the first three can be edited.
    `created_by`: the last editor, who never approves (D35). `comment`: why it was rejected. `limits`: a list of
    {action, measure, period, scope, cap} (D17), of which weeks begin on Monday.
    """

    id = fields.BigIntField(primary_key=True)
    number = fields.IntField()
    title = fields.CharField(max_length=60)
    document = fields.CharField(max_length=100)
    limits: fields.Field[list[dict[str, Any]]] = fields.JSONField(default=list)
    starts_at = fields.DatetimeField()
    ends_at = fields.DatetimeField()
    status = fields.CharField(max_length=12, default="draft")
    comment = fields.CharField(max_length=200, default="")
    created_by = fields.BigIntField()
    created_at = fields.DatetimeField()
    changed_at = fields.DatetimeField()
    submitted_by: fields.Field[int | None] = fields.BigIntField(null=True)
    submitted_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    approved_by: fields.Field[int | None] = fields.BigIntField(null=True)
    approved_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    live_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    superseded_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    class Meta:
        abstract = True


class Campaign(Planned):
    """Something for a fact, by the rule of the version that was live when the fact occurred."""

    class Meta:
        table = "campaign"


class CampaignVersion(Version):
    """`rule`: trigger, condition and effect, in the language of `server.incentives.rules`; `trigger` repeats its kind
    of fact for the search. `validity_months`: of points, from the day of the fact. `hold_out`: null, or what
    `experiments.hold_out.HoldOut` says."""

    campaign: fields.ForeignKeyRelation[Campaign] = fields.ForeignKeyField(
        "migrations.Campaign", related_name="versions", on_delete=fields.OnDelete.RESTRICT
    )
    rule: fields.Field[dict[str, Any]] = fields.JSONField()
    trigger = fields.CharField(max_length=40, db_index=True)
    validity_months = fields.IntField(default=24)
    hold_out: fields.Field[dict[str, Any] | None] = fields.JSONField(null=True)

    campaign_id: int

    class Meta:
        table = "campaign_version"
        unique_together = (("campaign", "number"),)


class CampaignSpan(Model):
    """A time in which a version of a campaign was live; `until_at` is null while it lasts. Late facts are judged by the
    version of the span they fall into (D37)."""

    id = fields.BigIntField(primary_key=True)
    campaign: fields.ForeignKeyRelation[Campaign] = fields.ForeignKeyField(
        "migrations.Campaign", related_name="spans", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    version: fields.ForeignKeyRelation[CampaignVersion] = fields.ForeignKeyField(
        "migrations.CampaignVersion", related_name="spans", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    from_at = fields.DatetimeField()
    until_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    campaign_id: int
    version_id: int

    class Meta:
        table = "campaign_span"


class DateCall(Model):
    """The day that a version waits for has begun, and everybody whom its rule could reach is told. `told`: facts that
    were new."""

    id = fields.BigIntField(primary_key=True)
    version_id = fields.BigIntField(unique=True)
    day = fields.DateField()
    told = fields.BigIntField(default=0)
    begun_at = fields.DatetimeField()
    finished_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    class Meta:
        table = "date_call"


class CouponTemplate(Planned):
    """Coupons of one kind; each keeps the version under which it was claimed."""

    class Meta:
        table = "coupon_template"


class CouponTemplateVersion(Version):
    """What a coupon is worth and for whom. kind: amount_off | discount | exchange.

    `pay_bp`: what the customer pays of the order in basis points (8500 is 8.5折); `platform_bp`, `sponsor_bp`,
    `merchant_bp`: who bears what he saves; `cap_fen`: the most a discount takes off; `merchants`, `stores`: ids, empty:
    any; `starts_after_days`: from the claim, `valid_days` from there; `windows`: see `usable.UsableTime`;
    `stacking_group`: of which one order carries at most `most_per_order`; `goods_name`, `goods_quantity`: what an
    exchange gives, by default one of the title; `notice`: what else one must know; `grace_days`: the least life of a
    coupon that a void gives back; `claimable`: residents may claim it themselves, else it is only given (grants,
    voucher codes, prizes); `by_lottery`: not claimable, residents are told to register for the lottery it is drawn in.
    """

    template: fields.ForeignKeyRelation[CouponTemplate] = fields.ForeignKeyField(
        "migrations.CouponTemplate", related_name="versions", on_delete=fields.OnDelete.RESTRICT
    )
    kind = fields.CharField(max_length=12)
    face_value_fen = fields.BigIntField(default=0)
    pay_bp = fields.IntField(default=0)
    cap_fen = fields.BigIntField(default=0)
    threshold_fen = fields.BigIntField(default=0)
    platform_bp = fields.IntField(default=0)
    sponsor_bp = fields.IntField(default=0)
    merchant_bp = fields.IntField(default=10_000)
    price_points = fields.BigIntField(default=0)
    starts_after_days = fields.IntField(default=0)
    valid_days = fields.IntField()
    valid_from: fields.Field[date | None] = fields.DateField(null=True)
    valid_until: fields.Field[date | None] = fields.DateField(null=True)
    windows: fields.Field[list[dict[str, Any]]] = fields.JSONField(default=list)
    merchants: fields.Field[list[int]] = fields.JSONField(default=list)
    stores: fields.Field[list[int]] = fields.JSONField(default=list)
    stacking_group: fields.Field[str | None] = fields.CharField(max_length=40, null=True)
    most_per_order = fields.IntField(default=1)
    goods_name = fields.CharField(max_length=40, default="")
    goods_quantity = fields.IntField(default=0)
    notice = fields.CharField(max_length=300, default="")
    void_window_s = fields.IntField()
    grace_days = fields.IntField(default=0)
    return_stock = fields.BooleanField(default=False)
    claimable = fields.BooleanField(default=True)
    by_lottery = fields.BooleanField(default=False)

    template_id: int

    class Meta:
        table = "coupon_template_version"
        unique_together = (("template", "number"),)


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

    kind: topup | cut; status: requested | approved | done | refused | rejected | withdrawn. Approved by somebody
    else than who asked (D35), who may take it back until then. `reason`: the ledger's refusal, or why it was rejected.
    """

    id = fields.UUIDField(primary_key=True)
    budget: fields.ForeignKeyRelation[Budget] = fields.ForeignKeyField(
        "migrations.Budget", related_name="requests", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    kind = fields.CharField(max_length=8)
    amount = fields.BigIntField()
    document = fields.CharField(max_length=100)
    status = fields.CharField(max_length=12, default="requested")
    reason = fields.CharField(max_length=200, default="")
    requested_by = fields.BigIntField()
    requested_at = fields.DatetimeField()
    approved_by: fields.Field[int | None] = fields.BigIntField(null=True)
    approved_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    settled_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    budget_id: int

    class Meta:
        table = "budget_request"


class Award(Model):
    """What a campaign owes for a fact by the rule of `version`; one per campaign and fact, whatever versions it had.

    effect: points | coupon | free_minutes | lottery_ticket; `points` are posted under `vault_id`, a coupon by its
    grant, whose end is the award's; the others were handed over when they are `posted`. status: pending | posted |
    refused | withheld. `held_out`: the resident belongs to the campaign's hold-out and gets nothing; `withheld_fen`:
    the most his coupon would have cost.
    """

    id = fields.BigIntField(primary_key=True)
    campaign: fields.ForeignKeyRelation[Campaign] = fields.ForeignKeyField(
        "migrations.Campaign", related_name="awards", on_delete=fields.OnDelete.RESTRICT
    )
    version: fields.ForeignKeyRelation[CampaignVersion] = fields.ForeignKeyField(
        "migrations.CampaignVersion", related_name="awards", on_delete=fields.OnDelete.RESTRICT
    )
    fact: fields.ForeignKeyRelation[Fact] = fields.ForeignKeyField(
        "migrations.Fact", related_name="awards", on_delete=fields.OnDelete.RESTRICT, db_index=True
    )
    resident_id = fields.BigIntField(db_index=True)
    effect = fields.CharField(max_length=16, default="points")
    points = fields.BigIntField(default=0)
    vault_id: fields.Field[UUID] = fields.UUIDField(unique=True)
    status = fields.CharField(max_length=8, default="pending")
    reason = fields.CharField(max_length=60, default="")
    held_out = fields.BooleanField(default=False)
    withheld_fen = fields.BigIntField(default=0)
    attempts = fields.IntField(default=0)
    due_at = fields.DatetimeField()
    created_at = fields.DatetimeField()
    settled_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    campaign_id: int
    version_id: int
    fact_id: int

    class Meta:
        table = "award"
        unique_together = (("campaign", "fact"),)
        indexes = (("campaign_id", "resident_id"),)


class FreeMinutes(Model):
    """Minutes for which a scene asks nothing, from an award. `used` grows to `minutes`; usable through
    `valid_until`."""

    id = fields.BigIntField(primary_key=True)
    award: fields.OneToOneRelation[Award] = fields.OneToOneField(
        "migrations.Award", related_name="free_minutes", on_delete=fields.OnDelete.RESTRICT
    )
    resident_id = fields.BigIntField(db_index=True)
    scene = fields.CharField(max_length=16)
    minutes = fields.IntField()
    used = fields.IntField(default=0)
    valid_until = fields.DateField()
    created_at = fields.DatetimeField()

    award_id: int

    class Meta:
        table = "free_minutes"


class BudgetDay(Model):
    """What was used of a budget, reserved and consumed, when it was last looked at on a city day."""

    id = fields.BigIntField(primary_key=True)
    budget: fields.ForeignKeyRelation[Budget] = fields.ForeignKeyField(
        "migrations.Budget", related_name="days", on_delete=fields.OnDelete.RESTRICT
    )
    day = fields.DateField()
    used = fields.BigIntField()

    class Meta:
        table = "budget_day"
        unique_together = (("budget", "day"),)


class BudgetAlert(Model):
    """So many per cent of a budget are used; 100: the rest does not reach for the next award or coupon.

    One row for each threshold: raised, cleared when a top-up brings the budget below, raised again (`times`).
    """

    id = fields.BigIntField(primary_key=True)
    budget: fields.ForeignKeyRelation[Budget] = fields.ForeignKeyField(
        "migrations.Budget", related_name="alerts", on_delete=fields.OnDelete.RESTRICT
    )
    threshold_percent = fields.IntField()
    total = fields.BigIntField()
    used = fields.BigIntField()
    times = fields.IntField(default=1)
    raised_at = fields.DatetimeField()
    cleared_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    acknowledged_by: fields.Field[int | None] = fields.BigIntField(null=True)
    acknowledged_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    budget_id: int

    class Meta:
        table = "budget_alert"
        unique_together = (("budget", "threshold_percent"),)
