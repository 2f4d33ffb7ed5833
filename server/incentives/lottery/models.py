"""Tables of the lottery room. CHECKs and triggers are in migrations/sql/house/lottery.sql.

lottery <── lottery_entry (one per person)      published -> closed (nobody enters any more)
    ^──── lottery_score (while it is drawn)               -> list published (digest)
    ^──── lottery_winner (one per place)                  -> drawn (secret published) -> prizes owed
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from tortoise import fields
from tortoise.models import Model

#: What the public knows nothing of.
UNPUBLISHED: Final = ("draft", "in_review", "discarded")


class Lottery(Model):
    """status: draft | in_review | published | closed | drawn | cancelled | discarded (a draft nobody wanted).

    `created_by`: the last editor (D35). `announcement` is the first line of the published file, byte for byte; it and
    every rule stand from the publication on. `secret` is null until the draw; `secret_sealed` holds it before.
    `listed_at`: when digest and list became public; `owed_at`: when the last prize was written down. `second_of`: the
    lottery whose undelivered prizes are drawn once more, among those who won nothing in it; `carried_at`: when all of
    them were entered.
    """

    id = fields.BigIntField(primary_key=True)
    title = fields.CharField(max_length=60)
    document = fields.CharField(max_length=100)
    status = fields.CharField(max_length=10, default="draft")
    revision = fields.IntField(default=1)
    opens_at = fields.DatetimeField()
    closes_at = fields.DatetimeField(db_index=True)
    draw_at = fields.DatetimeField()
    max_tickets = fields.IntField(default=1)
    self_entry = fields.BooleanField(default=True)
    beacon_source = fields.CharField(max_length=200, default="")
    prizes: fields.Field[list[dict[str, Any]]] = fields.JSONField()
    created_by = fields.BigIntField()
    created_at = fields.DatetimeField()
    changed_at = fields.DatetimeField()

    published_by: fields.Field[int | None] = fields.BigIntField(null=True)
    published_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    announcement = fields.TextField(default="")
    second_of: fields.Field[int | None] = fields.BigIntField(null=True)
    carried_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    commitment = fields.BinaryField(null=True)
    secret_sealed = fields.BinaryField(null=True)

    cancelled_by: fields.Field[int | None] = fields.BigIntField(null=True)
    cancelled_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    cancel_reason = fields.CharField(max_length=200, default="")

    closed_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    listed_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    digest = fields.BinaryField(null=True)
    entries: fields.Field[int | None] = fields.BigIntField(null=True)
    tickets: fields.Field[int | None] = fields.BigIntField(null=True)

    beacon: fields.Field[str | None] = fields.CharField(max_length=100, null=True)
    beacon_by: fields.Field[int | None] = fields.BigIntField(null=True)
    beacon_confirmed_by: fields.Field[int | None] = fields.BigIntField(null=True)

    drawn_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)
    secret = fields.BinaryField(null=True)
    winners: fields.Field[int | None] = fields.BigIntField(null=True)
    owed_at: fields.Field[datetime | None] = fields.DatetimeField(null=True)

    class Meta:
        table = "lottery"


class LotteryEntry(Model):
    """A person's tickets in one lottery. `code` is all that anybody else sees; `sources`: where the tickets came from,
    each once; `request_id`: the Idempotency-Key under which the resident entered, null when campaigns alone gave."""

    id = fields.BigIntField(primary_key=True)
    lottery: fields.ForeignKeyRelation[Lottery] = fields.ForeignKeyField(
        "migrations.Lottery", related_name="entered", on_delete=fields.OnDelete.RESTRICT
    )
    resident_id = fields.BigIntField()
    code = fields.CharField(max_length=20)
    tickets = fields.IntField()
    sources: fields.Field[list[str]] = fields.JSONField()
    request_id: fields.Field[UUID | None] = fields.UUIDField(null=True)
    entered_at = fields.DatetimeField()

    lottery_id: int

    class Meta:
        table = "lottery_entry"
        unique_together = (("lottery", "resident_id"), ("resident_id", "request_id"))


class LotteryScore(Model):
    """Who may still win while a draw is under way; deleted when its prizes are owed."""

    id = fields.BigIntField(primary_key=True)
    lottery: fields.ForeignKeyRelation[Lottery] = fields.ForeignKeyField(
        "migrations.Lottery", related_name="scored", on_delete=fields.OnDelete.RESTRICT
    )
    score = fields.BinaryField()
    code = fields.CharField(max_length=20)
    ticket = fields.IntField()

    lottery_id: int

    class Meta:
        table = "lottery_score"
        unique_together = (("lottery", "score", "code"),)


class LotteryWinner(Model):
    """One place of one rank. Written while the lottery is closed, public when it is drawn, never changed."""

    id = fields.BigIntField(primary_key=True)
    lottery: fields.ForeignKeyRelation[Lottery] = fields.ForeignKeyField(
        "migrations.Lottery", related_name="won", on_delete=fields.OnDelete.RESTRICT
    )
    rank = fields.IntField()
    place = fields.IntField()
    code = fields.CharField(max_length=20)
    ticket = fields.IntField()
    resident_id = fields.BigIntField()

    lottery_id: int

    class Meta:
        table = "lottery_winner"
        unique_together = (("lottery", "rank", "place"), ("lottery", "resident_id"))
