"""The vault: schema, tables, functions, roles' rights."""

from __future__ import annotations

from tortoise import migrations
from tortoise.migrations.operations import RunSQL

from migrations import backward_sql, forward_sql


class Migration(migrations.Migration):
    dependencies = [("migrations", "0002_house_rules")]
    operations = [RunSQL(forward_sql("vault"), backward_sql("vault"))]
