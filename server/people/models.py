"""Tables of the people room.

    resident (a natural person) <── identity (one openid) <── session (one family of refresh tokens)
    administrator <── session          login_lock (growing delays for passwords)
    resident <── resident_attribute (band, town, by day) ──> attribute_batch      resident <── resident_choice
    band_scale, town, interest, merchant_category: the city's own lists

Personal data lies in sealed columns (`kit.crypto.Envelope`, which carries the key version) and is found again through
keyed hashes (`kit.crypto.BlindIndex`). Checks and unique indexes are in
`migrations/sql/house/people.sql` and `people_attributes.sql`.
"""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model


class Resident(Model):
    """A natural person (D25): exactly one row for one ID number, whatever number of openids the person logs in with."""

    id = fields.BigIntField(primary_key=True, generated=True)
    id_number_hmac = fields.BinaryField()
    id_number_sealed = fields.BinaryField()
    name_sealed = fields.BinaryField()
    bound_at = fields.DatetimeField()
    # Set in the transaction of a log-out everywhere, cleared after the vault has killed the handles; the worker
    # repeats what stays set (D18).
    epoch_due_at = fields.DatetimeField(null=True)

    class Meta:
        table = "resident"


class Identity(Model):
    """One account at a login provider. It has a session before it has a resident. `login_day`: the last city day on
    which its log-in was told as a fact."""

    id = fields.BigIntField(primary_key=True, generated=True)
    provider = fields.CharField(max_length=16)
    subject_hmac = fields.BinaryField()
    subject_sealed = fields.BinaryField()
    resident: fields.ForeignKeyNullableRelation[Resident] = fields.ForeignKeyField(
        "migrations.Resident", related_name="identities", null=True, db_index=True, on_delete=fields.RESTRICT
    )
    phone_sealed = fields.BinaryField(null=True)
    phone_hmac = fields.BinaryField(null=True)
    created_at = fields.DatetimeField()
    last_login_at = fields.DatetimeField()
    login_day = fields.DateField(null=True)
    bound_at = fields.DatetimeField(null=True)

    resident_id: int | None

    class Meta:
        table = "identity"


class Administrator(Model):
    """An account of the console. `last_totp_step` is the newest step used; no older or equal one works (D35)."""

    id = fields.BigIntField(primary_key=True, generated=True)
    username = fields.CharField(max_length=32, unique=True)
    display_name = fields.CharField(max_length=64)
    password_hash = fields.CharField(max_length=255)
    totp_secret_sealed = fields.BinaryField()
    last_totp_step = fields.BigIntField(null=True)
    roles = fields.JSONField[list[str]]()
    created_at = fields.DatetimeField()
    disabled_at = fields.DatetimeField(null=True)

    class Meta:
        table = "administrator"


class Session(Model):
    """A family of refresh tokens; its id is the `sid` of every token in it.

    The token of generation n is made from `salt`, n and a key that is not in the database, so neither the table nor the
    key alone is enough to forge one. `staff_id` and `terminal_id` belong to the merchants' room, hence no foreign key.
    """

    id = fields.UUIDField(primary_key=True)
    aud = fields.CharField(max_length=16)
    subject = fields.CharField(max_length=32)
    identity: fields.ForeignKeyNullableRelation[Identity] = fields.ForeignKeyField(
        "migrations.Identity", related_name="sessions", null=True, db_index=True, on_delete=fields.RESTRICT
    )
    administrator: fields.ForeignKeyNullableRelation[Administrator] = fields.ForeignKeyField(
        "migrations.Administrator", related_name="sessions", null=True, db_index=True, on_delete=fields.RESTRICT
    )
    staff_id = fields.BigIntField(null=True, db_index=True)
    terminal_id = fields.BigIntField(null=True, db_index=True)
    extra_claims = fields.JSONField[dict[str, object]]()
    kid = fields.CharField(max_length=16)
    salt = fields.BinaryField()
    generation = fields.IntField(default=0)
    rotated_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField()
    expires_at = fields.DatetimeField(db_index=True)
    revoked_at = fields.DatetimeField(null=True)
    revoked_why = fields.CharField(max_length=32, null=True)

    class Meta:
        table = "session"


class LoginLock(Model):
    """How often a password was got wrong for an account name or from an address, and until when it rests."""

    id = fields.BigIntField(primary_key=True, generated=True)
    scope = fields.CharField(max_length=8)
    subject_hmac = fields.BinaryField()
    failures = fields.IntField(default=0)
    last_at = fields.DatetimeField(db_index=True)
    locked_until = fields.DatetimeField(null=True)

    class Meta:
        table = "login_lock"


class BandScale(Model):
    """One band of one version of the scale. A version is written whole and never changed; it holds from `valid_from`
    until the next one's. `rank` grows with the band."""

    id = fields.BigIntField(primary_key=True, generated=True)
    version = fields.IntField()
    code = fields.CharField(max_length=16)
    name = fields.CharField(max_length=20)
    rank = fields.IntField()
    valid_from = fields.DateField()

    class Meta:
        table = "band_scale"
        unique_together = (("version", "code"), ("version", "rank"))


class Town(Model):
    """A town of the city by its official name. One that is no longer `listed` stays where it was told before."""

    name = fields.CharField(max_length=40, primary_key=True)
    position = fields.IntField()
    listed = fields.BooleanField(default=True)

    class Meta:
        table = "town"


class Interest(Model):
    """What residents may say they care about. One that is no longer `listed` is not offered any more."""

    code = fields.CharField(max_length=32, primary_key=True)
    name = fields.CharField(max_length=20)
    position = fields.IntField()
    listed = fields.BooleanField(default=True)

    class Meta:
        table = "interest"


class MerchantCategory(Model):
    """What kind of business a merchant may be, by the city's list. One that is no longer `listed` stays with the
    merchants that have it."""

    code = fields.CharField(max_length=32, primary_key=True)
    name = fields.CharField(max_length=20)
    position = fields.IntField()
    listed = fields.BooleanField(default=True)

    class Meta:
        table = "merchant_category"


class AttributeBatch(Model):
    """One import of bands and towns: where it came from, the day it speaks of, and what it did. Counts only."""

    id = fields.UUIDField(primary_key=True)
    source = fields.CharField(max_length=60)
    as_of = fields.DateField()
    tells_bands = fields.BooleanField()
    tells_towns = fields.BooleanField()
    lines = fields.BigIntField()
    started_at = fields.DatetimeField()
    finished_at = fields.DatetimeField(null=True)
    unknown = fields.BigIntField(default=0)
    bands_changed = fields.BigIntField(default=0)
    towns_changed = fields.BigIntField(default=0)
    risen = fields.BigIntField(default=0)

    class Meta:
        table = "attribute_batch"


class ResidentAttribute(Model):
    """A value that a resident had from `as_of` on and before `until_day`, null while it lasts. kind: band | town.

    Only changes are written; the spans of one resident and kind never overlap, and nothing is taken back.
    """

    id = fields.BigIntField(primary_key=True, generated=True)
    resident_id = fields.BigIntField()
    kind = fields.CharField(max_length=4)
    value = fields.CharField(max_length=40)
    as_of = fields.DateField()
    until_day = fields.DateField(null=True)
    batch_id = fields.UUIDField()
    recorded_at = fields.DatetimeField()

    class Meta:
        table = "resident_attribute"
        indexes = (("kind", "resident_id", "as_of"),)


class ResidentChoice(Model):
    """What a resident chose for himself; the newest version has no `until_at`. No row: nothing was chosen."""

    id = fields.BigIntField(primary_key=True, generated=True)
    resident_id = fields.BigIntField()
    version = fields.IntField()
    personalised = fields.BooleanField()
    interests: fields.Field[list[str]] = fields.JSONField()
    chosen_at = fields.DatetimeField()
    until_at = fields.DatetimeField(null=True)

    class Meta:
        table = "resident_choice"
        unique_together = (("resident_id", "version"),)
