"""What a posting asks of the vault and what it answers, in the shapes that cross the wire to PostgreSQL.

`Item` mirrors `vault.item`; the answer structs mirror what `vault.answer_of` builds from a journal row, so a replay
decodes to the very same value. Points and fen are integers; instants are UTC and aware; days are city days.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from uuid import UUID

import msgspec


class Op(IntEnum):
    """The numbers of the operations, as journal rows carry them."""

    EARN = 1
    CLAIM = 2
    REDEEM = 3
    VOID = 4
    EXPIRE_COUPON = 5
    RELEASE_SUBSIDY = 6
    EXPIRE_POINTS = 7
    CLAIM_CREDENTIAL = 20


class Item(msgspec.Struct, omit_defaults=True):
    """One request to `post_batch` or `post_internal`; `n` is its place in the batch, set when it is sent."""

    op: int
    n: int = -1
    b: int | None = None
    owner: int | None = None
    id: UUID | None = None
    hash: str | None = None
    terms: int | None = None
    earned_on: date | None = None
    coupon: UUID | None = None
    credential: UUID | None = None
    redemption: UUID | None = None
    void: UUID | None = None
    merchant: int | None = None
    store: int | None = None
    terminal: int | None = None
    staff: int | None = None
    own_resident: int | None = None
    order_amount_fen: int | None = None
    ticket_expires_at: datetime | None = None
    handle: int | None = None
    code_ok: bool | None = None
    reason: str | None = None


class Refill(msgspec.Struct, frozen=True):
    """The budget a posting found too low in its slot, and what it needs there."""

    budget: int
    amount: int


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """What every journal row answers. `seq` counts the resident's rows; `points_after` is the balance after this
    one."""

    id: UUID
    owner: int
    seq: int
    at: datetime
    points_after: int
    terms: int | None = None


class Earned(Posted, frozen=True, kw_only=True):
    points: int
    expires_on: date
    earned_on: date


class Claimed(Posted, frozen=True, kw_only=True):
    coupon_id: UUID
    template_id: int
    price_points: int
    expires_on: date


class Redeemed(Posted, frozen=True, kw_only=True):
    coupon_id: UUID
    credential_id: UUID
    merchant_id: int
    store_id: int
    order_amount_fen: int | None
    discount_fen: int
    sponsor_fen: int
    void_until: datetime


class Voided(Posted, frozen=True, kw_only=True):
    coupon_id: UUID
    redemption_id: UUID
    merchant_id: int
    store_id: int
    discount_fen: int
    sponsor_fen: int
    reason: str
    expires_on: date


class CouponExpired(Posted, frozen=True, kw_only=True):
    coupon_id: UUID


class ScannedCredential(msgspec.Struct, frozen=True, kw_only=True):
    """A code that a terminal may now redeem. `owner` is the resident: for the ticket only, never for a merchant's
    eyes."""

    owner: int
    credential_id: UUID
    redemption_id: UUID
    coupon_id: UUID
    terms: int
    expires_on: date


@dataclass(frozen=True, slots=True)
class Acceptor:
    """Who stands at the counter. `staff_id` is None at an unattended gate."""

    merchant_id: int
    store_id: int
    terminal_id: int
    staff_id: int | None


@dataclass(frozen=True, slots=True)
class CouponTerms:
    """An approved template version, immutable once put. `pay_bp`: of a discount, what the customer pays, in basis
    points;
    `sponsor_bp`: the sponsor's share of the discount. `merchants` empty means any. `valid_days` 0 means until
    `valid_until`."""

    id: int
    template_id: int
    version: int
    kind: str
    stock_budget: int
    fen_budget: int | None
    price_points: int
    face_value_fen: int
    pay_bp: int
    cap_fen: int
    threshold_fen: int
    sponsor_bp: int
    per_person: int
    valid_days: int
    valid_until: date | None
    merchants: tuple[int, ...]
    void_window_s: int
    return_stock: bool
    claim_from: datetime | None
    claim_until: datetime | None
    grace_days: int = 0


def bucket_of(resident_id: int) -> int:
    """`b`, the virtual shard that leads every key of a resident."""
    return resident_id & 1023


def intent_hash(actor: str, route: str, *fields: object) -> str:
    """The fingerprint of what a caller meant (D22): actor, route and an explicit list of fields; never slot, lane,
    time or defaults. As the text form of a bytea."""
    text = "\x1f".join(["1", actor, route, *("" if field is None else str(field) for field in fields)])
    return "\\x" + hashlib.sha256(text.encode()).hexdigest()
