"""What the models cannot say: checks, partial uniques, append-only triggers and grants of the house."""

from __future__ import annotations

from tortoise import migrations
from tortoise.migrations.operations import RunSQL

from migrations import backward_sql, forward_sql


class Migration(migrations.Migration):
    dependencies = [("migrations", "0001_house")]
    operations = [RunSQL(forward_sql("house"), backward_sql("house"))]
