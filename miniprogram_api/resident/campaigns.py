"""What residents can earn and claim now."""

from __future__ import annotations

from miniprogram_api.schemas.campaigns import CampaignListReply, ClaimableReply, LiveCampaignReply
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
            str(one.id), one.version.title, one.terms_text, one.points, limits_text(one.version.limits),
            one.version.starts_at, one.version.ends_at,
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
