"""What a campaign changes, in the console."""

from __future__ import annotations

import msgspec

from server.admin_api.incentive_replies import withheld_reply
from server.admin_api.schemas.experiments import (
    DifferenceInSharesReply,
    HoldOutBody,
    SideReply,
    UpliftQuery,
    UpliftReply,
)
from server.incentives.errors import CampaignNotFound, VersionNotFound
from server.incentives.experiments.errors import NoHoldOut
from server.incentives.experiments.report import Side
from server.web.routing import Call, Callers, Limit, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 活动评估")


@router.get(
    "/campaigns/<campaign_id:int>/uplift",
    summary="活动效果（对照组比较）",
    query=UpliftQuery,
    replies={200: UpliftReply},
    caller=Callers.admin("campaign.read"),
    errors=(CampaignNotFound, VersionNotFound, NoHoldOut),
    limit=Limit("uplift", per_minute=30),
)
async def show_uplift(call: Call, query: UpliftQuery, campaign_id: int) -> Reply:
    """Who got the award against who was held out by lot: how many did what the campaign wants, the difference with its
    interval, and what was withheld. Small cells are hidden."""
    found = await call.services.uplift.report(campaign_id, query.version)
    difference = None
    if found.difference is not None:
        difference = DifferenceInSharesReply(
            found.difference.points, found.difference.low, found.difference.high, found.difference.known
        )
    return Reply.ok(
        UpliftReply(
            found.at, found.versions, msgspec.convert(found.hold_out, HoldOutBody, from_attributes=True),
            call.services.settings.small_cell, _side(found.treated), _side(found.held_out), difference,
            withheld_reply(found.withheld),
        )
    )  # fmt: skip


def _side(side: Side) -> SideReply:
    rate = None if not side.people or side.acted is None else 100 * side.acted / side.people
    return SideReply(side.people, side.acted, rate, side.waiting)
