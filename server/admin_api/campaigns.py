"""Campaigns in the console: draft, review, a second person, and their course."""

from __future__ import annotations

from msgspec import to_builtins

from server.admin_api.course_routes import Desk, add_course
from server.admin_api.incentive_replies import campaign_reply, campaign_version_reply, limits_of, signed
from server.admin_api.schemas.incentives import (
    CampaignPageQuery,
    CampaignPageReply,
    CampaignReply,
    CampaignRequest,
    CampaignSearchQuery,
    CampaignVersionsReply,
    RevisionQuery,
    WriteQuery,
)
from server.admin_api.tables import PER_BUDGET, Export, Table, add_exports, cursor_of, position_of
from server.incentives.commands import ONCE_EACH, CampaignDraft, rule_of
from server.incentives.errors import (
    AlreadyLive,
    BudgetFixed,
    CampaignNotFound,
    DraftOpen,
    LimitNeverGives,
    LimitNotCounted,
    RevisionChanged,
    WrongStatus,
)
from server.incentives.experiments.errors import HoldOutNotAllowed
from server.incentives.experiments.hold_out import HoldOut
from server.incentives.listing import table
from server.incentives.rules import RuleRefused
from server.incentives.search import Search
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 活动")
REFUSED = (RuleRefused, LimitNotCounted, LimitNeverGives, HoldOutNotAllowed)


@router.post(
    "/campaigns",
    summary="新建活动草稿",
    body=CampaignRequest,
    query=WriteQuery,
    replies={200: CampaignReply, 201: CampaignReply},
    caller=Callers.admin("campaign.edit"),
    errors=REFUSED,
)
async def create_campaign(call: Call, body: CampaignRequest, query: WriteQuery) -> Reply:
    """A draft; it costs nothing until somebody else approves it. Simulated, the answer is 200."""
    reply = campaign_reply(await call.services.campaigns.create(_draft(body), signed(call, query.simulate)))
    return Reply.ok(reply) if query.simulate else Reply.created(reply)


@router.get(
    "/campaigns",
    summary="活动列表",
    query=CampaignPageQuery,
    replies={200: CampaignPageReply},
    caller=Callers.admin("campaign.read"),
)
async def list_campaigns(call: Call, query: CampaignPageQuery) -> Reply:
    """By filters, newest first unless another order is asked for."""
    views, following = await call.services.campaigns.search(_search(query), position_of(query.cursor), query.limit)
    return Reply.ok(CampaignPageReply([campaign_reply(view) for view in views], cursor_of(following)))


async def campaigns(call: Call, query: CampaignSearchQuery) -> Table:
    """A row for each budget of each that was found."""
    return await table(call.services.campaigns, _search(query))


add_exports(
    router,
    Export("/campaigns", "活动", "campaign.read", CampaignSearchQuery, campaigns, PER_BUDGET),
)


@router.get(
    "/campaigns/<campaign_id:int>",
    summary="活动详情",
    replies={200: CampaignReply},
    caller=Callers.admin("campaign.read"),
    errors=(CampaignNotFound,),
)
async def get_campaign(call: Call, campaign_id: int) -> Reply:
    """With its budgets as the ledger has them now, what its hold-out did not get, and how much of its limits is used
    where the house counts them."""
    view, withheld = await call.services.campaigns.get(campaign_id), await call.services.uplift.withheld(campaign_id)
    used = await call.services.campaigns.limit_use(view, call.services.settings.small_cell)
    return Reply.ok(campaign_reply(view, withheld if withheld.awards or view.version.hold_out else None, used))


@router.put(
    "/campaigns/<campaign_id:int>",
    summary="修改活动草稿",
    body=CampaignRequest,
    query=RevisionQuery,
    replies={200: CampaignReply},
    caller=Callers.admin("campaign.edit"),
    errors=(CampaignNotFound, AlreadyLive, WrongStatus, RevisionChanged, BudgetFixed, *REFUSED),
)
async def edit_campaign(call: Call, body: CampaignRequest, query: RevisionQuery, campaign_id: int) -> Reply:
    """Replaces the version that is worked on; one under review goes back to draft, and whoever edits may not
    approve."""
    view = await call.services.campaigns.edit(campaign_id, _draft(body), signed(call, query.simulate), query.revision)
    return Reply.ok(campaign_reply(view))


@router.post(
    "/campaigns/<campaign_id:int>/versions",
    summary="新建活动版本",
    body=CampaignRequest,
    query=WriteQuery,
    replies={200: CampaignReply, 201: CampaignReply},
    caller=Callers.admin("campaign.edit"),
    errors=(CampaignNotFound, WrongStatus, DraftOpen, BudgetFixed, *REFUSED),
)
async def revise_campaign(call: Call, body: CampaignRequest, query: WriteQuery, campaign_id: int) -> Reply:
    """A change of what runs: a draft beside it that goes through the same review. Its budgets are left out; only
    top-ups change them. Simulated, the answer is 200."""
    view = await call.services.campaigns.revise(campaign_id, _draft(body), signed(call, query.simulate))
    return Reply.ok(campaign_reply(view)) if query.simulate else Reply.created(campaign_reply(view))


def _search(query: CampaignSearchQuery) -> Search:
    return Search(
        status=query.status, what=query.trigger, text=query.text, since=query.since, until=query.until,
        created_by=None if query.created_by is None else int(query.created_by), sort=query.sort,
    )  # fmt: skip


def _draft(body: CampaignRequest) -> CampaignDraft:
    return CampaignDraft(
        title=body.title.strip(), document=body.document.strip(), rule=rule_of(body.rule),
        budget_points=body.budget_points, starts_at=body.starts_at, ends_at=body.ends_at,
        limits=ONCE_EACH if body.limits is None else limits_of(body.limits), validity_months=body.validity_months,
        hold_out=None if body.hold_out is None else HoldOut(**to_builtins(body.hold_out)),
    )  # fmt: skip


add_course(
    Desk(
        router,
        "/campaigns",
        "campaign_id",
        "campaign",
        "活动",
        CampaignNotFound,
        CampaignReply,
        CampaignVersionsReply,
        lambda call: call.services.campaigns,
        campaign_reply,
        campaign_version_reply,
        (RuleRefused,),
    )
)
