"""What residents can earn and claim now."""

from __future__ import annotations

from typing import Final

from miniprogram_api.present import award_text
from miniprogram_api.schemas.campaigns import (
    CampaignListReply,
    ClaimableReply,
    DrawReply,
    ExplanationReply,
    GivenReply,
    LiveCampaignReply,
    MyCampaignPageReply,
    MyCampaignQuery,
    MyCampaignReply,
    RulePartReply,
    ShopItemReply,
    ShopPageReply,
    ShopQuery,
    StepsReply,
)
from server.incentives.errors import CampaignNotFound
from server.incentives.explanations import Given
from server.incentives.rules import Told
from server.incentives.shop import ShopItem
from server.incentives.wording import limits_text
from server.kit.paging import decode_cursor, encode_cursor
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/mp/v1", tag="居民 · 活动")

#: Campaigns that are listed without pages.
LISTED: Final = 100


@router.get(
    "/campaigns",
    summary="当前活动与可领取的优惠券",
    replies={200: CampaignListReply},
    caller=Callers.identity,
)
async def list_campaigns(call: Call) -> Reply:
    """Campaigns that give something now (points, coupons, free minutes, lottery tickets) and coupons that can be
    claimed now, each with its whole rule. At most 100 of each; `/me/campaigns` and `/shop` have all, page by page."""
    campaigns = [
        LiveCampaignReply(
            str(one.id), one.version.title, one.terms_text, one.version.trigger, one.points,
            limits_text(one.version.limits), one.version.starts_at, one.version.ends_at,
        )
        for one in (await call.services.campaigns.live())[:LISTED]
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
    "/me/campaigns",
    summary="我的活动：能否参加、原因与进度",
    query=MyCampaignQuery,
    replies={200: MyCampaignPageReply},
    caller=Callers.resident,
)
async def list_my_campaigns(call: Call, query: MyCampaignQuery) -> Reply:
    """The campaigns that give now, at most 1,000, each with what it is for this resident. Everybody sees the same
    campaigns; without personalisation they also stand in the same order for everybody."""
    position = decode_cursor(query.cursor, int, int, int)
    page, last = await call.services.resident_campaigns.page(call.resident_id, position, query.limit)
    items = [
        MyCampaignReply(
            str(one.campaign.id), one.campaign.version.title, one.campaign.terms_text, one.campaign.version.trigger,
            one.campaign.points, limits_text(one.campaign.version.limits), one.campaign.version.starts_at,
            one.campaign.version.ends_at, one.state, one.reason, [_part(step) for step in one.steps],
        )
        for one in page
    ]  # fmt: skip
    return Reply.ok(MyCampaignPageReply(items, None if last is None else encode_cursor(*last)))


@router.get(
    "/shop",
    summary="领券与积分兑换",
    query=ShopQuery,
    replies={200: ShopPageReply},
    caller=Callers.resident,
)
async def list_shop(call: Call, query: ShopQuery) -> Reply:
    """Every coupon that is offered, also what is claimed later, sold out or drawn, with what is left and what it is
    for this resident now. Claiming decides; this only tells."""
    position = decode_cursor(query.cursor, int, int)
    page, last = await call.services.shop.page(call.resident_id, query.price, position, query.limit)
    return Reply.ok(ShopPageReply([_item(one) for one in page], None if last is None else encode_cursor(*last)))


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
    return GivenReply(
        given.effect, given.points, given.minutes, given.valid_until, given.status,  # type: ignore[arg-type]
        given.reason, award_text(given),
    )  # fmt: skip


def _part(told: Told) -> RulePartReply:
    steps = None if told.progress is None else StepsReply(told.progress.done, told.progress.needed, told.progress.text)
    return RulePartReply(told.code, told.text, told.met, told.seen, steps, [_part(one) for one in told.parts])


def _item(one: ShopItem) -> ShopItemReply:
    version, benefit, drawn = one.offered.version, one.offered.benefit, one.lottery
    return ShopItemReply(
        template_id=str(one.offered.template_id), title=benefit.title, summary=benefit.summary,
        terms_text=benefit.terms_text, kind=benefit.kind, price_points=benefit.price_points,  # type: ignore[arg-type]
        limits=limits_text(version.limits), claim_from=version.starts_at, claim_until=version.ends_at, left=one.left,
        state=one.state, reason=one.reason, opens_at=one.opens_at, mine_left=one.mine_left,
        points_short=one.short_points, usable_at=one.usable_at,
        lottery=None if drawn is None else DrawReply(
            str(drawn.id), drawn.title, drawn.status, drawn.self_entry,  # type: ignore[arg-type]
            drawn.opens_at, drawn.closes_at, drawn.draw_at,
        ),
    )  # fmt: skip
