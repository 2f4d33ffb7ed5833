"""What a posting asks of the vault and what it answers, in the shapes that cross the wire to PostgreSQL.

`Item` mirrors `vault.item`; the answer structs mirror what `vault.answer_of` builds from a journal row, so a replay
decodes to the very same value. Points and fen are integers; instants are UTC and aware; days are city days.
"""

from __future__ import annotations

import hashlib
import json
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
    SPEND = 8
    HOLD = 9
    CAPTURE = 10
    RELEASE = 11
    REFUND = 12
    ADJUST = 13
    LOCK_COUPON = 14
    UNLOCK_COUPON = 15
    VOID_COUPON = 16
    FREEZE = 17
    UNFREEZE = 18
    CLAIM_CREDENTIAL = 20


class Item(msgspec.Struct, omit_defaults=True):
    """One request to `post_batch` or `post_internal`; `n` is its place in the batch, set when it is sent. `b` is the
    bucket of `owner`: by it the item finds its lanes and its node."""

    op: int
    b: int
    owner: int
    n: int = -1
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
    points: int | None = None
    payee: int | None = None
    posting: UUID | None = None
    lock: UUID | None = None
    life_s: int | None = None
    validity_months: int | None = None
    freeze_kind: str | None = None
    until: datetime | None = None
    authority: str | None = None
    actor: int | None = None
    approver: int | None = None
    reason: str | None = None
    document: str | None = None
    request_no: str | None = None
    memo: str | None = None
    order_no: str | None = None
    town: str | None = None
    counted: bool = False


class PlaceLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit at one place in one period. `place`: a merchant's or store's id, a town, or nothing for the whole
    campaign; a town that is not known is nothing, too."""

    limit_id: str
    place: str
    period_start: date


class Refill(msgspec.Struct, frozen=True, kw_only=True):
    """What a posting needs before it is sent again: room in a budget's slot, of this limit if it is a counter's;
    counters that are not open yet; or, with neither, that its counters be looked for."""

    budget: int | None = None
    amount: int = 0
    limit: PlaceLimit | None = None
    missing: tuple[PlaceLimit, ...] = ()


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
    """`granted`: what the house gave the coupon for; None when the resident claimed it. It can be used from one day
    through the other."""

    coupon_id: UUID
    template_id: int
    price_points: int
    usable_from: date
    expires_on: date
    granted: str | None = None


class Redeemed(Posted, frozen=True, kw_only=True):
    """What the customer saved, `discount_fen`, was borne by the three in their shares; the platform's and the sponsor's
    are paid to the merchant. `order_no` is the shop's own number of the order, when it told one."""

    coupon_id: UUID
    credential_id: UUID
    merchant_id: int
    store_id: int
    order_no: str | None
    order_amount_fen: int | None
    discount_fen: int
    platform_fen: int
    sponsor_fen: int
    merchant_fen: int
    void_until: datetime


class Voided(Posted, frozen=True, kw_only=True):
    coupon_id: UUID
    redemption_id: UUID
    merchant_id: int
    store_id: int
    order_no: str | None
    discount_fen: int
    platform_fen: int
    sponsor_fen: int
    merchant_fen: int
    reason: str
    expires_on: date
    state: str


class CouponExpired(Posted, frozen=True, kw_only=True):
    coupon_id: UUID


class CouponLocked(Posted, frozen=True, kw_only=True):
    coupon_id: UUID
    locked_until: datetime
    request_no: str


class CouponUnlocked(Posted, frozen=True, kw_only=True):
    coupon_id: UUID
    lock_id: UUID


class CouponVoided(Posted, frozen=True, kw_only=True):
    """`points`: the price that went back into the wallet."""

    coupon_id: UUID
    points: int
    reason: str


class Spent(Posted, frozen=True, kw_only=True):
    points: int
    payee: int


class Held(Posted, frozen=True, kw_only=True):
    points: int
    payee: int
    until: datetime


class Captured(Posted, frozen=True, kw_only=True):
    """`points` went to the payee, `given_back` back to the wallet."""

    hold_id: UUID
    payee: int
    points: int
    given_back: int


class Released(Posted, frozen=True, kw_only=True):
    hold_id: UUID
    payee: int
    points: int
    lapsed: bool


class Refunded(Posted, frozen=True, kw_only=True):
    """`refunded_points`: of this spend so far. `renewed_points`: of this refund, from lots past their day."""

    posting_id: UUID
    points: int
    payee: int
    refunded_points: int
    renewed_points: int
    reason: str
    actor: int | None = None


class Adjusted(Posted, frozen=True, kw_only=True):
    points: int
    expires_on: date | None
    reason: str
    document: str
    actor: int
    approver: int


class PointsExpired(Posted, frozen=True, kw_only=True):
    points: int


class FreezeChanged(Posted, frozen=True, kw_only=True):
    """How a wallet stands after an authority's order: `freeze` is open, debit_frozen or frozen."""

    freeze: str
    authority: str
    reason: str
    until: datetime | None
    actor: int


class ScannedCredential(msgspec.Struct, frozen=True, kw_only=True):
    """A code that a terminal may now redeem. `counted`: whether its terms have limits at places. `owner` is the
    resident: for the ticket only, never for a merchant's eyes."""

    owner: int
    credential_id: UUID
    redemption_id: UUID
    coupon_id: UUID
    terms: int
    expires_on: date
    counted: bool


@dataclass(frozen=True, slots=True)
class Acceptor:
    """Who stands at the counter. `staff_id` is None at an unattended gate."""

    merchant_id: int
    store_id: int
    terminal_id: int
    staff_id: int | None


def bucket_of(resident_id: int) -> int:
    """`b`, the virtual shard that leads every key of a resident."""
    return resident_id & 1023


def intent_hash(actor: str, route: str, *fields: object) -> str:
    """The fingerprint of what a caller meant (D22): actor, route and an explicit list of fields; never slot, lane,
    time or defaults. As the text form of a bytea."""
    intent = [1, actor, route, *(None if field is None else str(field) for field in fields)]
    return "\\x" + hashlib.sha256(json.dumps(intent).encode()).hexdigest()


def fits(item: Item) -> bool:
    """Whether PostgreSQL can read every field: what it cannot would fail the whole call, not this item alone."""
    for name, limit in _NUMBERS:
        number = getattr(item, name)
        if number is not None and not -limit <= number < limit:
            return False
    for name in _TEXTS:
        text = getattr(item, name)
        if text and ("\0" in text or any("\ud800" <= one <= "\udfff" for one in text)):
            return False
    return True


#: Fields of an item and the first number beyond their column's width.
_NUMBERS = (
    ("owner", 2**63), ("terms", 2**63), ("merchant", 2**63), ("store", 2**63), ("terminal", 2**63), ("staff", 2**63),
    ("own_resident", 2**63), ("order_amount_fen", 2**63), ("handle", 2**63), ("points", 2**63), ("payee", 2**63),
    ("actor", 2**63), ("approver", 2**63), ("life_s", 2**31), ("validity_months", 2**15),
)  # fmt: skip
_TEXTS = ("freeze_kind", "authority", "reason", "document", "request_no", "memo", "order_no", "town")
