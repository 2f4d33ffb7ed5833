"""Bodies of the console's routes for one resident's wallet, for corrections, and for accounts without a limit."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from server.ledger_office.commands import Purpose
from wallet.folds import FoldKind

Text100 = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S")]
Text200 = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]
UuidText = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
Cursor = Annotated[str, Meta(max_length=256)]
PageSize = Annotated[int, Meta(ge=1, le=100)]
Instant = Annotated[datetime, Meta(tz=True)]
NumberText = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,17}$")]
# A case's number; never an ID number, which must not stand in an address.
Reference = Annotated[str, Meta(pattern=r"^(?![0-9]{17}[0-9Xx]$)[0-9A-Za-z][0-9A-Za-z._-]{0,39}$")]
OpName = Literal[
    "earn", "claim", "redeem", "void", "expire_coupon", "release_subsidy", "expire_points", "spend", "hold", "capture",
    "release", "refund", "adjust", "lock_coupon", "unlock_coupon", "void_coupon", "freeze", "unfreeze",
]  # fmt: skip
AdjustmentStatus = Literal["pending", "approved", "rejected", "posted", "refused"]


class WalletLookQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Why the wallet is looked at, and the number of the case if there is one; both are kept in the audit trail."""

    purpose: Purpose
    reference: Reference | None = None


class BalanceLookQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`at`: an instant that is over, with its offset."""

    purpose: Purpose
    reference: Reference | None = None
    at: Instant


class EntriesLookQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`first_day` and `last_day` are days of the city, both included. `refused`: only refusals, or only what was
    done."""

    purpose: Purpose
    reference: Reference | None = None
    op: OpName | None = None
    refused: bool | None = None
    first_day: date | None = None
    last_day: date | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class HoldsLookQuery(Struct, frozen=True, forbid_unknown_fields=True):
    purpose: Purpose
    reference: Reference | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class WalletLotReply(Struct, frozen=True):
    """Points that can be spent through `expires_on`, city time."""

    expires_on: date
    points: int


class WalletFreezeReply(Struct, frozen=True):
    """The order that stands now; `until` null: until it is lifted."""

    kind: Literal["debit_frozen", "frozen"]
    authority: str
    reason: str
    since: datetime
    until: datetime | None


class ResidentWalletReply(Struct, frozen=True):
    """A wallet now; `seq` is the number of its last line."""

    resident_id: str
    points: int
    held_points: int
    lots: list[WalletLotReply]
    status: Literal["open", "debit_frozen", "frozen"]
    freeze: WalletFreezeReply | None
    seq: int


class ResidentBalanceReply(Struct, frozen=True):
    """How the wallet stood at `at`, after line `seq`. `points` + `expired_points` is the booked balance of that
    line."""

    resident_id: str
    at: datetime
    seq: int
    points: int
    held_points: int
    expired_points: int
    lots: list[WalletLotReply]


class WalletEntryReply(Struct, frozen=True):
    """A line as it is booked. `answer`: done, or the code of a refusal that was written. `detail` is what the operation
    keeps: prices, days, reasons, who ordered it."""

    id: str
    seq: int
    op: OpName
    answer: str
    points: int
    points_after: int
    held_points: int
    held_points_after: int
    terms_id: str | None
    coupon_id: str | None
    at: datetime
    detail: dict[str, Any]


class WalletEntryPageReply(Struct, frozen=True):
    items: list[WalletEntryReply]
    next_cursor: str | None


class WalletHoldReply(Struct, frozen=True):
    """Points set aside for the account `payee_id` until `until`; `lapsed`: that is over, they are about to come
    back."""

    id: str
    points: int
    payee_id: str
    memo: str
    made_at: datetime | None
    until: datetime
    lapsed: bool


class WalletHoldPageReply(Struct, frozen=True):
    items: list[WalletHoldReply]
    next_cursor: str | None


class FreezeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """debit_frozen: points may come but not go; frozen: neither, and coupons cannot be used. The resident reads
    `authority` and `reason`."""

    kind: Literal["debit_frozen", "frozen"]
    authority: Text100
    reason: Text200
    until: Instant | None = None


class UnfreezeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    authority: Text100
    reason: Text200


class FreezeOrderReply(Struct, frozen=True):
    """How the wallet stands after this order."""

    id: str
    resident_id: str
    status: Literal["open", "debit_frozen", "frozen"]
    authority: str
    reason: str
    until: datetime | None
    at: datetime


class RefundRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`posting_id`: the spend or capture that is taken back, whole or in part."""

    posting_id: UuidText
    points: Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
    reason: Text200


class RefundReply(Struct, frozen=True):
    """`refunded_points`: of this spend so far. `renewed_points`: those of this refund whose own day was over."""

    id: str
    resident_id: str
    posting_id: str
    points: int
    refunded_points: int
    renewed_points: int
    points_after: int
    at: datetime


class VoidCouponRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The resident reads `reason` nowhere; it is kept with the posting."""

    reason: Text200


class CouponVoidReply(Struct, frozen=True):
    """`points`: the price that went back into the wallet."""

    id: str
    resident_id: str
    coupon_id: str
    points: int
    points_after: int
    at: datetime


class AdjustmentRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Points to add or, negative, to take. `document`: the number of the paper. `validity_months`: of points that come
    in."""

    resident_id: NumberText
    points: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]
    reason: Text200
    document: Text100
    validity_months: Annotated[int, Meta(ge=1, le=24)] = 24


class RejectRequest(Struct, frozen=True, forbid_unknown_fields=True):
    reason: Text200


class AdjustmentReply(Struct, frozen=True, kw_only=True):
    """status: pending, approved (being posted), rejected, posted or refused. `answer` is the vault's: done, or the code
    of its refusal; empty before."""

    id: str
    resident_id: str
    points: int
    reason: str
    document: str
    validity_months: int
    status: AdjustmentStatus
    requested_by: str
    requested_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    decision_note: str
    posting_id: str | None
    answer: str
    points_after: int | None
    expires_on: date | None
    settled_at: datetime | None


class AdjustmentPageReply(Struct, frozen=True):
    items: list[AdjustmentReply]
    next_cursor: str | None


class AdjustmentQuery(Struct, frozen=True, forbid_unknown_fields=True):
    status: AdjustmentStatus | None = None
    resident_id: NumberText | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class AccountQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """breakage takes `first_day` and `last_day`, days of the city, both included; adjustment takes nothing more; the
    others take `account_id`: a template, a payee, a merchant."""

    kind: FoldKind
    account_id: NumberText | None = None
    first_day: date | None = None
    last_day: date | None = None


class AccountReply(Struct, frozen=True):
    """What the account has received minus what it gave back, at the moment of asking."""

    kind: FoldKind
    account_id: str | None
    first_day: date | None
    last_day: date | None
    unit: Literal["points", "fen"]
    balance: int
