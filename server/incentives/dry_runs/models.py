"""Tables of dry runs. CHECKs, and the table `dry_run_person`, are in migrations/sql/house/dry_runs.sql."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model


class DryRun(Model):
    """A version of a campaign held against the facts of the city days `first_day` to `last_day`, both included.

    status: running | done. `content`: what the version said when the run was ordered. phase: before (what the campaign
    really gave before the first day uses up its limits) | facts. `position`: facts up to here are done, of those up to
    `last_fact`; `state`: see `meter.Totals`.
    """

    id = fields.BigIntField(primary_key=True)
    campaign_id = fields.BigIntField(db_index=True)
    version_id = fields.BigIntField()
    number = fields.IntField()
    first_day = fields.DateField()
    last_day = fields.DateField()
    content: fields.Field[dict[str, Any]] = fields.JSONField()
    status = fields.CharField(max_length=8, default="running")
    phase = fields.CharField(max_length=8, default="before")
    position = fields.BigIntField(default=0)
    last_fact = fields.BigIntField(default=0)
    span = fields.BigIntField(default=1)
    state: fields.Field[dict[str, Any]] = fields.JSONField()
    ordered_by = fields.BigIntField()
    ordered_at = fields.DatetimeField()
    finished_at = fields.DatetimeField(null=True)

    class Meta:
        table = "dry_run"
