"""What residents can earn and claim now."""

from __future__ import annotations

from miniprogram_api.schemas.campaigns import CampaignListReply, ClaimableReply, LiveCampaignReply
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
            str(row.id), row.title, call.services.campaigns.text(row), row.points, row.per_person,
            row.per_person_period, row.starts_at, row.ends_at,
        )
        for row in await call.services.campaigns.live()
    ]  # fmt: skip
    coupons = [
        ClaimableReply(
            str(item.row.id), item.benefit.title, item.benefit.summary, item.benefit.terms_text, item.benefit.kind,
            item.benefit.price_points, item.row.per_person, item.row.per_person_period, item.left, item.row.starts_at,
            item.row.ends_at,
        )
        for item in await call.services.templates.claimable()
    ]  # fmt: skip
    return Reply.ok(CampaignListReply(campaigns, coupons))
