"""What residents can earn and claim now."""

from __future__ import annotations

from miniprogram_api.present import award_text
from miniprogram_api.schemas.campaigns import (
    CampaignListReply,
    ClaimableReply,
    ExplanationReply,
    GivenReply,
    LiveCampaignReply,
    RulePartReply,
    StepsReply,
)
from server.incentives.errors import CampaignNotFound
from server.incentives.explanations import Given
from server.incentives.rules import Told
from server.incentives.wording import limits_text
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/mp/v1", tag="居民 · 活动")


@router.get(
    "/campaigns",
    summary="当前活动与可领取的优惠券",
    replies={200: CampaignListReply},
    caller=Callers.identity,
)
async def list_campaigns(call: Call) -> Reply:
    """Campaigns that give points now and coupons that can be claimed now, each with its whole rule."""
    campaigns = [
        LiveCampaignReply(
            str(one.id), one.version.title, one.terms_text, one.version.trigger, one.points,
            limits_text(one.version.limits), one.version.starts_at, one.version.ends_at,
        )
        for one in await call.services.campaigns.live()
    ]  # fmt: skip
    coupons = [
        ClaimableReply(
            str(item.benefit.template_id), item.benefit.title, item.benefit.summary, item.benefit.terms_text,
            item.benefit.kind, item.benefit.price_points, limits_text(item.version.limits), item.left,
            item.version.starts_at, item.version.ends_at,
        )
        for item in await call.services.templates.claimable()
    ]  # fmt: skip
    return Reply.ok(CampaignListReply(campaigns, coupons))


@router.get(
    "/campaigns/<campaign_id:int>/explanation",
    summary="为什么我得到或没有得到",
    replies={200: ExplanationReply},
    caller=Callers.resident,
    errors=(CampaignNotFound,),
)
async def explain_campaign(call: Call, campaign_id: int) -> Reply:
    """The rule held against the resident's newest fact that it speaks of, part by part, with what is missing and how
    far he has come."""
    found = await call.services.explanations.explain(call.resident_id, campaign_id)
    return Reply.ok(
        ExplanationReply(
            str(campaign_id), found.granted, found.occurred_at, None if found.given is None else _given(found.given),
            [_part(one) for one in found.missing], [_part(one) for one in found.progress],
            [_part(one) for one in found.parts],
        )
    )  # fmt: skip


def _given(given: Given) -> GivenReply:
    return GivenReply(given.effect, given.points, given.status, given.reason, award_text(given))  # type: ignore[arg-type]


def _part(told: Told) -> RulePartReply:
    steps = None if told.progress is None else StepsReply(told.progress.done, told.progress.needed, told.progress.text)
    return RulePartReply(told.code, told.text, told.met, told.seen, steps, [_part(one) for one in told.parts])
