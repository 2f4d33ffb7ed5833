"""Bodies of the console's campaign, template and budget routes. Ids are strings, amounts integers, unit last."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

Title = Annotated[str, Meta(min_length=1, max_length=60)]
Document = Annotated[str, Meta(min_length=1, max_length=100)]
Instant = Annotated[datetime, Meta(tz=True)]
Positive = Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
NotNegative = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]
BasisPoints = Annotated[int, Meta(ge=0, le=10_000)]
MerchantId = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,17}$")]
Period = Literal["total", "day", "week", "month"]
Course = Literal["draft", "in_review", "approved", "activating", "scheduled", "active", "paused", "ended"]


class CampaignRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`budget_points` bounds all awards together; `document` is the number of the paper that allows the spending.
    `per_person`: awards of one person in each `per_person_period`, of which weeks begin on Monday."""

    title: Title
    document: Document
    trigger: Literal["identity_bound"]
    points: Positive
    budget_points: Positive
    starts_at: Instant
    ends_at: Instant
    per_person: Positive = 1
    per_person_period: Period = "total"
    validity_months: Annotated[int, Meta(ge=1, le=24)] = 24


class CouponTemplateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`pay_bp`: what the customer pays, 8500 is 8.5折; `budget_fen`: by default enough for the whole stock.
    `per_person`: coupons of one person in each `per_person_period`, of which weeks begin on Monday; `grace_days`: a
    coupon that a void gives back lives at least so long; `claimable`: residents may claim it themselves, else it is
    only given: by a grant job, for a voucher code, as a prize."""

    title: Title
    document: Document
    kind: Literal["amount_off", "discount", "exchange"]
    stock: Positive
    starts_at: Instant
    ends_at: Instant
    face_value_fen: NotNegative = 0
    pay_bp: BasisPoints = 0
    cap_fen: NotNegative = 0
    threshold_fen: NotNegative = 0
    sponsor_bp: BasisPoints = 10_000
    price_points: NotNegative = 0
    per_person: Positive = 1
    per_person_period: Period = "total"
    valid_days: Annotated[int, Meta(ge=0, le=3660)] = 30
    valid_until: date | None = None
    merchants: Annotated[list[MerchantId], Meta(max_length=2_000)] = []
    void_window_s: Annotated[int, Meta(ge=0, le=604_800)] = 1_800
    grace_days: Annotated[int, Meta(ge=0, le=365)] = 0
    return_stock: bool = False
    budget_fen: Positive | None = None
    claimable: bool = True


class BudgetReply(Struct, frozen=True):
    """A budget in its unit: total = left + reserved + consumed; all 0 before the activation."""

    id: str
    unit: Literal["points", "coupons", "fen"]
    planned: int
    total: int
    left: int
    reserved: int
    consumed: int
    open: bool


class CourseReply(Struct, frozen=True, kw_only=True):
    """Where a campaign or template stands. `created_by` is its last editor; `revision` grows with every change."""

    id: str
    title: str
    document: str
    status: Course
    revision: int
    starts_at: datetime
    ends_at: datetime
    per_person: int
    per_person_period: Period
    terms_text: str
    created_by: str
    created_at: datetime
    changed_at: datetime
    activated_by: str | None
    activated_at: datetime | None
    ended_at: datetime | None
    end_reason: str
    budgets: list[BudgetReply]


class CampaignReply(CourseReply, frozen=True, kw_only=True):
    trigger: str
    points: int
    validity_months: int


class CouponTemplateReply(CourseReply, frozen=True, kw_only=True):
    version: int
    kind: Literal["amount_off", "discount", "exchange"]
    face_value_fen: int
    pay_bp: int
    cap_fen: int
    threshold_fen: int
    sponsor_bp: int
    price_points: int
    valid_days: int
    valid_until: date | None
    merchants: list[str]
    void_window_s: int
    grace_days: int
    return_stock: bool
    claimable: bool


class CampaignPageReply(Struct, frozen=True):
    items: list[CampaignReply]
    next_cursor: str | None


class CouponTemplatePageReply(Struct, frozen=True):
    items: list[CouponTemplateReply]
    next_cursor: str | None


class CoursePageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`cursor` is the `next_cursor` of the page before."""

    status: Course | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class RevisionQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`revision`: the one that was looked at; when another stands by now, the call is refused."""

    revision: Annotated[int, Meta(ge=1)] | None = None


class TopUpRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`amount` in the budget's unit; `document` is the number of the paper that allows it."""

    amount: Positive
    document: Document


class TopUpReply(Struct, frozen=True):
    """status: requested, approved (being booked), done or refused."""

    id: str
    budget_id: str
    amount: int
    document: str
    status: Literal["requested", "approved", "done", "refused"]
    reason: str
    requested_by: str
    requested_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    settled_at: datetime | None


class BudgetDetailReply(Struct, frozen=True):
    """A budget, whose it is, and its newest requests, the initial one included."""

    budget: BudgetReply
    campaign_id: str | None
    template_id: str | None
    requests: list[TopUpReply]
