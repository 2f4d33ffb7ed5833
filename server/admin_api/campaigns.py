"""Campaigns in the console: draft, review, a second person, and their course."""

from __future__ import annotations

from server.admin_api.incentive_replies import campaign_reply, signed
from server.admin_api.schemas.incentives import (
    CampaignPageReply,
    CampaignReply,
    CampaignRequest,
    CoursePageQuery,
    RevisionQuery,
)
from server.incentives.commands import CampaignDraft
from server.incentives.errors import (
    AlreadyLive,
    AlreadyOver,
    CampaignNotFound,
    RevisionChanged,
    SecondPersonRequired,
    StillSettling,
    WrongStatus,
)
from server.kit.paging import decode_cursor, encode_cursor
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 活动")


@router.post(
    "/campaigns",
    summary="新建活动草稿",
    body=CampaignRequest,
    replies={201: CampaignReply},
    caller=Callers.admin("campaign.edit"),
)
async def create_campaign(call: Call, body: CampaignRequest) -> Reply:
    """A draft; it costs nothing until somebody else activates it."""
    return Reply.created(campaign_reply(await call.services.campaigns.create(_draft(body), signed(call))))


@router.get(
    "/campaigns",
    summary="活动列表",
    query=CoursePageQuery,
    replies={200: CampaignPageReply},
    caller=Callers.admin("campaign.read"),
)
async def list_campaigns(call: Call, query: CoursePageQuery) -> Reply:
    """Newest first."""
    position = decode_cursor(query.cursor, int)
    before_id = int(position[0]) if position else None
    views = await call.services.campaigns.page(before_id, query.limit, query.status)
    following = encode_cursor(views[-1].row.id) if len(views) == query.limit else None
    return Reply.ok(CampaignPageReply([campaign_reply(view) for view in views], following))


@router.get(
    "/campaigns/<campaign_id:int>",
    summary="活动详情",
    replies={200: CampaignReply},
    caller=Callers.admin("campaign.read"),
    errors=(CampaignNotFound,),
)
async def get_campaign(call: Call, campaign_id: int) -> Reply:
    """With its budgets as the ledger has them now."""
    return Reply.ok(campaign_reply(await call.services.campaigns.get(campaign_id)))


@router.put(
    "/campaigns/<campaign_id:int>",
    summary="修改活动草稿",
    body=CampaignRequest,
    query=RevisionQuery,
    replies={200: CampaignReply},
    caller=Callers.admin("campaign.edit"),
    errors=(CampaignNotFound, AlreadyLive, RevisionChanged),
)
async def edit_campaign(call: Call, body: CampaignRequest, query: RevisionQuery, campaign_id: int) -> Reply:
    """Replaces the draft; one under review goes back to draft, and whoever edits may not approve."""
    view = await call.services.campaigns.edit(campaign_id, _draft(body), signed(call), query.revision)
    return Reply.ok(campaign_reply(view))


@router.post(
    "/campaigns/<campaign_id:int>/submit",
    summary="提交审核",
    replies={200: CampaignReply},
    caller=Callers.admin("campaign.edit"),
    errors=(CampaignNotFound, WrongStatus),
)
async def submit_campaign(call: Call, campaign_id: int) -> Reply:
    """From draft to review."""
    return Reply.ok(campaign_reply(await call.services.campaigns.submit(campaign_id, signed(call))))


@router.post(
    "/campaigns/<campaign_id:int>/activate",
    summary="批准并启用",
    query=RevisionQuery,
    replies={200: CampaignReply},
    caller=Callers.admin("campaign.activate"),
    errors=(CampaignNotFound, WrongStatus, SecondPersonRequired, RevisionChanged, AlreadyOver),
)
async def activate_campaign(call: Call, query: RevisionQuery, campaign_id: int) -> Reply:
    """By somebody else than the last editor. Status `activating` means that the ledger follows within seconds."""
    return Reply.ok(campaign_reply(await call.services.campaigns.activate(campaign_id, signed(call), query.revision)))


@router.post(
    "/campaigns/<campaign_id:int>/pause",
    summary="暂停",
    replies={200: CampaignReply},
    caller=Callers.admin("campaign.activate"),
    errors=(CampaignNotFound, WrongStatus, StillSettling),
)
async def pause_campaign(call: Call, campaign_id: int) -> Reply:
    """At once; points already given stay."""
    return Reply.ok(campaign_reply(await call.services.campaigns.pause(campaign_id, signed(call))))


@router.post(
    "/campaigns/<campaign_id:int>/resume",
    summary="恢复",
    replies={200: CampaignReply},
    caller=Callers.admin("campaign.activate"),
    errors=(CampaignNotFound, WrongStatus, StillSettling, AlreadyOver),
)
async def resume_campaign(call: Call, campaign_id: int) -> Reply:
    """After a pause."""
    return Reply.ok(campaign_reply(await call.services.campaigns.resume(campaign_id, signed(call))))


@router.post(
    "/campaigns/<campaign_id:int>/end",
    summary="结束",
    replies={200: CampaignReply},
    caller=Callers.admin("campaign.activate"),
    errors=(CampaignNotFound, WrongStatus, StillSettling),
)
async def end_campaign(call: Call, campaign_id: int) -> Reply:
    """For good, before its time."""
    return Reply.ok(campaign_reply(await call.services.campaigns.end(campaign_id, signed(call))))


def _draft(body: CampaignRequest) -> CampaignDraft:
    return CampaignDraft(
        title=body.title.strip(), document=body.document.strip(), trigger=body.trigger, points=body.points,
        budget_points=body.budget_points, starts_at=body.starts_at, ends_at=body.ends_at, per_person=body.per_person,
        per_person_period=body.per_person_period, validity_months=body.validity_months,
    )  # fmt: skip
