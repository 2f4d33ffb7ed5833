"""Bodies of the console's campaign, template and budget routes. Ids are strings, amounts integers, unit last."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from server.admin_api.schemas.experiments import HoldOutBody, WithheldReply
from server.admin_api.schemas.limit_use import LimitUseReply
from server.incentives.rules import Rule
from server.incentives.usable import UsableTime

Title = Annotated[str, Meta(min_length=1, max_length=60)]
Document = Annotated[str, Meta(min_length=1, max_length=100)]
Instant = Annotated[datetime, Meta(tz=True)]
Positive = Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
NotNegative = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]
Days = Annotated[int, Meta(ge=0, le=3660)]
BasisPoints = Annotated[int, Meta(ge=0, le=10_000)]
MerchantId = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,17}$")]
Period = Literal["total", "day", "week", "month"]
Status = Literal["draft", "in_review", "approved", "scheduled", "active", "paused", "ended", "archived"]
VersionStatus = Literal["draft", "in_review", "rejected", "approved", "live", "superseded", "discarded"]
VersionNumber = Annotated[int, Meta(ge=1, le=1_000_000)]


class LimitBody(Struct, frozen=True, forbid_unknown_fields=True):
    """At most `cap` of `measure` in each `period`; weeks begin on Monday. A campaign limits `earn`, a template `issue`
    and `redeem`. `scope`: for one person, for all together, for each merchant or store where coupons are redeemed, or
    for each town: where residents live, for redemptions where the store is. `fen`: what it costs the budget, counted
    for all scopes but `resident`. Campaigns that do not give points limit how often they give (`count`)."""

    action: Literal["issue", "redeem", "earn"]
    cap: Positive
    measure: Literal["count", "points", "face_value_fen", "fen"] = "count"
    period: Period = "total"
    scope: Literal["campaign", "merchant", "store", "town", "resident"] = "resident"


#: As the replies have it; read by hand, so that what no rule may say is refused with its part and the reason.
RuleDocument = Annotated[dict[str, Any], Meta(extra_json_schema={"$ref": "#/components/schemas/Rule"})]


class CampaignRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`rule`: trigger, condition and effect, see docs/rules.md. `budget_points` bounds all awards together and is
    planned once: a later version leaves it out. `document`: the number of the paper that allows the spending.
    `limits`: by default once per person. `hold_out`: see docs/experiments.md."""

    title: Title
    document: Document
    rule: RuleDocument
    starts_at: Instant
    ends_at: Instant
    budget_points: Positive | None = None
    limits: Annotated[list[LimitBody], Meta(max_length=8)] | None = None
    validity_months: Annotated[int, Meta(ge=1, le=24)] = 24
    hold_out: HoldOutBody | None = None


class CouponTemplateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`pay_bp`: what the customer pays, 8500 is 8.5折; `platform_bp`, `sponsor_bp`, `merchant_bp`: who bears what he
    saves, together 10000, by default the sponsor the rest, and the merchant what a stated sponsor leaves; `stores`:
    beside `merchants`, empty: any; `starts_after_days`: usable from so many days after the claim, and for `valid_days`
    days from there; `windows`: the times at which it can be used, none: always; `stacking_group`: one order carries at
    most `most_per_order` of it; `goods_name`, `goods_quantity`: what an exchange gives; `notice`: what else one must
    know. `stock` and `budget_fen` (by default enough for the whole stock) are planned once: a later version leaves
    them out. `limits`: by default one per person; `grace_days`: a coupon that a void gives back lives at least so long;
    `claimable`: residents may claim it themselves, else it is only given: by a grant job, for a voucher code, as a
    prize. `by_lottery`: never the first who come, but winners who are drawn among those who register; it is not
    claimable then."""

    title: Title
    document: Document
    kind: Literal["amount_off", "discount", "exchange"]
    starts_at: Instant
    ends_at: Instant
    stock: Positive | None = None
    face_value_fen: NotNegative = 0
    pay_bp: BasisPoints = 0
    cap_fen: NotNegative = 0
    threshold_fen: NotNegative = 0
    platform_bp: BasisPoints = 0
    sponsor_bp: BasisPoints | None = None
    merchant_bp: BasisPoints | None = None
    price_points: NotNegative = 0
    limits: Annotated[list[LimitBody], Meta(max_length=8)] | None = None
    starts_after_days: Days = 0
    valid_days: Days = 30
    valid_from: date | None = None
    valid_until: date | None = None
    windows: Annotated[list[UsableTime], Meta(max_length=16)] = []
    merchants: Annotated[list[MerchantId], Meta(max_length=2_000)] = []
    stores: Annotated[list[MerchantId], Meta(max_length=2_000)] = []
    stacking_group: Annotated[str, Meta(min_length=1, max_length=40)] | None = None
    most_per_order: Annotated[int, Meta(ge=1, le=100)] = 1
    goods_name: Annotated[str, Meta(max_length=40)] = ""
    goods_quantity: Annotated[int, Meta(ge=0, le=1_000)] = 0
    notice: Annotated[str, Meta(max_length=300)] = ""
    void_window_s: Annotated[int, Meta(ge=0, le=604_800)] = 1_800
    grace_days: Annotated[int, Meta(ge=0, le=365)] = 0
    return_stock: bool = False
    budget_fen: Positive | None = None
    claimable: bool = True
    by_lottery: bool = False


class RejectRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`comment`: what the editor should change."""

    comment: Annotated[str, Meta(min_length=1, max_length=200)]


class BudgetReply(Struct, frozen=True):
    """A budget in its unit: total = left + reserved + consumed; all 0 before the first version is live."""

    id: str
    unit: Literal["points", "coupons", "fen"]
    planned: int
    total: int
    left: int
    reserved: int
    consumed: int
    open: bool


class ChangeReply(Struct, frozen=True):
    """A field of something, as it is and as it would be."""

    object_kind: str
    object_id: str
    field: str
    before: Any
    after: Any


class FundingReply(Struct, frozen=True):
    """An amount that would be added to a budget, in its unit; less than 0: taken from it."""

    budget_id: str
    unit: Literal["points", "coupons", "fen"]
    amount: int


class EffectsReply(Struct, frozen=True):
    """What a simulated write would change. Ids of what does not exist yet are of no use."""

    changes: list[ChangeReply]
    budgets: list[FundingReply]


class VersionReply(Struct, frozen=True, kw_only=True):
    """A version: what it promises, and who answers for it. `created_by`: its last editor; `comment`: why it was
    rejected."""

    version_id: str
    number: int
    version_status: VersionStatus
    title: str
    document: str
    starts_at: datetime
    ends_at: datetime
    limits: list[LimitBody]
    terms_text: str
    comment: str
    created_by: str
    submitted_by: str | None
    submitted_at: datetime | None
    approved_by: str | None
    approved_at: datetime | None
    live_at: datetime | None
    superseded_at: datetime | None


class LifeReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a campaign or a template stands; the rest of the answer is the version that stands for it, the live one or
    before that the newest. `revision` grows with every change. `settling`: the ledger follows within seconds.
    `simulated` and `effects` come with a simulated write only."""

    id: str
    status: Status
    revision: int
    settling: bool
    first_created_by: str
    created_at: datetime
    changed_at: datetime
    activated_at: datetime | None
    ended_at: datetime | None
    end_reason: str
    budgets: list[BudgetReply]
    simulated: bool = False
    effects: EffectsReply | None = None


class CampaignVersionReply(VersionReply, frozen=True, kw_only=True):
    rule: Rule
    trigger: str
    validity_months: int
    hold_out: HoldOutBody | None


class CouponTemplateVersionReply(VersionReply, frozen=True, kw_only=True):
    kind: Literal["amount_off", "discount", "exchange"]
    face_value_fen: int
    pay_bp: int
    cap_fen: int
    threshold_fen: int
    platform_bp: int
    sponsor_bp: int
    merchant_bp: int
    price_points: int
    starts_after_days: int
    valid_days: int
    valid_from: date | None
    valid_until: date | None
    windows: list[UsableTime]
    merchants: list[str]
    stores: list[str]
    stacking_group: str | None
    most_per_order: int
    goods_name: str
    goods_quantity: int
    notice: str
    void_window_s: int
    grace_days: int
    return_stock: bool
    claimable: bool
    by_lottery: bool


class CampaignReply(LifeReply, frozen=True, kw_only=True, omit_defaults=True):
    """`version`: what counts now, or before that what is being prepared; `draft`: a change that waits beside it.
    `withheld`: of a single campaign with a hold-out only. `limit_use`: of a single campaign whose awards are counted
    for all together or for towns."""

    version: CampaignVersionReply
    draft: CampaignVersionReply | None
    withheld: WithheldReply | None = None
    limit_use: list[LimitUseReply] | None = None


class CouponTemplateReply(LifeReply, frozen=True, kw_only=True, omit_defaults=True):
    """`version`: what counts now, or before that what is being prepared; `draft`: a change that waits beside it."""

    version: CouponTemplateVersionReply
    draft: CouponTemplateVersionReply | None


class CampaignPageReply(Struct, frozen=True):
    items: list[CampaignReply]
    next_cursor: str | None


class CouponTemplatePageReply(Struct, frozen=True):
    items: list[CouponTemplateReply]
    next_cursor: str | None


class CampaignVersionsReply(Struct, frozen=True):
    """Newest first."""

    items: list[CampaignVersionReply]


class CouponTemplateVersionsReply(Struct, frozen=True):
    """Newest first."""

    items: list[CouponTemplateVersionReply]


class FieldDifference(Struct, frozen=True):
    """A field of a version; parts of the rule by their path."""

    field: str
    before: Any
    after: Any


class DifferenceReply(Struct, frozen=True):
    """What differs between two versions, and what each says in Chinese."""

    before: int
    after: int
    fields: list[FieldDifference]
    before_text: str
    after_text: str


class DifferenceQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Two versions by number."""

    before: VersionNumber
    after: VersionNumber


class _SearchQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Filters, all optional; without a `status` what is archived is left out. `text`: in title or document; `since`,
    `until`: the window reaches into this time; `created_by`: who made it or edited it last."""

    status: Status | None = None
    text: Annotated[str, Meta(min_length=1, max_length=60)] | None = None
    since: Instant | None = None
    until: Instant | None = None
    created_by: MerchantId | None = None
    sort: Literal["newest", "oldest", "starts", "ends"] = "newest"


class CampaignSearchQuery(_SearchQuery, frozen=True, forbid_unknown_fields=True):
    """Filters; `trigger`: a kind of fact."""

    trigger: Annotated[str, Meta(min_length=1, max_length=40)] | None = None


class TemplateSearchQuery(_SearchQuery, frozen=True, forbid_unknown_fields=True):
    """Filters; `kind`: of the benefit."""

    kind: Literal["amount_off", "discount", "exchange"] | None = None


class CampaignPageQuery(CampaignSearchQuery, frozen=True, forbid_unknown_fields=True):
    """Filters of a list; `cursor` is the `next_cursor` of the page before, by the same filters and order."""

    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class TemplatePageQuery(TemplateSearchQuery, frozen=True, forbid_unknown_fields=True):
    """Filters of a list; `cursor` is the `next_cursor` of the page before, by the same filters and order."""

    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class WriteQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`simulate`: check everything, change nothing, and tell what would change."""

    simulate: bool = False


class RevisionQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`revision`: the one that was looked at; when another stands by now, the call is refused. `simulate`: check
    everything, change nothing, and tell what would change."""

    revision: Annotated[int, Meta(ge=1)] | None = None
    simulate: bool = False


class CopyQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`version`: which one, by default the one that stands for it. `simulate`: change nothing, tell what would
    change."""

    version: VersionNumber | None = None
    simulate: bool = False


class TopUpRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`amount` in the budget's unit; `document` is the number of the paper that allows it."""

    amount: Positive
    document: Document


class TopUpReply(Struct, frozen=True, omit_defaults=True):
    """status: requested, approved (being booked), done, refused, rejected or withdrawn. `reason`: why the ledger
    refused it or somebody rejected it. `simulated` and `effects` come with a simulated write only."""

    id: str
    budget_id: str
    amount: int
    document: str
    status: Literal["requested", "approved", "done", "refused", "rejected", "withdrawn"]
    reason: str
    requested_by: str
    requested_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    settled_at: datetime | None
    simulated: bool = False
    effects: EffectsReply | None = None


class BudgetDetailReply(Struct, frozen=True):
    """A budget, whose it is, how fast it is used, and its newest requests, the initial one included."""

    budget: BudgetReply
    burn: BurnReply
    campaign_id: str | None
    template_id: str | None
    requests: list[TopUpReply]


class BurnReply(Struct, frozen=True):
    """How fast the budget is used, in its unit: a day in the last 7 days, and since it began; what comes back counts
    against it, so it may be negative. `empty_at`: when it will be used up at the speed of the last 7 days, null when it
    is not being used."""

    per_day_7: float
    per_day: float
    empty_at: datetime | None
