"""Dry runs in the console: what a campaign would have cost."""

from __future__ import annotations

from server.admin_api.incentive_replies import signed
from server.admin_api.schemas.dry_runs import (
    DryRunAmountsReply,
    DryRunDayReply,
    DryRunReply,
    DryRunRequest,
    DryRunsReply,
)
from server.incentives.dry_runs.errors import DryRunNotFound, NothingToJudge
from server.incentives.dry_runs.meter import Told
from server.incentives.dry_runs.models import DryRun
from server.incentives.dry_runs.reading import Reading, read
from server.incentives.dry_runs.runs import Days
from server.incentives.errors import CampaignNotFound, VersionNotFound
from server.web.routing import Call, Callers, Limit, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 活动评估")


@router.post(
    "/campaigns/<campaign_id:int>/dry-run",
    summary="用往期数据试算活动成本",
    body=DryRunRequest,
    replies={200: DryRunReply, 202: DryRunReply},
    caller=Callers.admin("campaign.read"),
    errors=(CampaignNotFound, VersionNotFound, NothingToJudge),
    limit=Limit("dry_run", per_minute=10),
)
async def dry_run(call: Call, body: DryRunRequest, campaign_id: int) -> Reply:
    """Holds a version, drafts included, against facts of past days: what it would have given, by day, and what its
    limits and its budget would have cut. Nothing is given. 202: there are many facts, ask `/dry-runs/{id}` again. Who
    asked, and for what rule, stays in the audit trail."""
    days = Days(body.first_day, body.last_day)
    run = await call.services.dry_runs.order(campaign_id, body.version, days, signed(call))
    reply = _reply(call, run)
    return Reply.ok(reply) if run.status == "done" else Reply(202, reply)


@router.get(
    "/dry-runs/<run_id:int>",
    summary="试算结果",
    replies={200: DryRunReply},
    caller=Callers.admin("campaign.read"),
    errors=(DryRunNotFound,),
)
async def get_dry_run(call: Call, run_id: int) -> Reply:
    """As far as it has come."""
    return Reply.ok(_reply(call, await call.services.dry_runs.get(run_id)))


@router.get(
    "/campaigns/<campaign_id:int>/dry-runs",
    summary="活动的试算记录",
    replies={200: DryRunsReply},
    caller=Callers.admin("campaign.read"),
    errors=(CampaignNotFound,),
)
async def list_dry_runs(call: Call, campaign_id: int) -> Reply:
    """The newest twenty."""
    runs = await call.services.dry_runs.of_campaign(campaign_id)
    return Reply.ok(DryRunsReply([_reply(call, run) for run in runs]))


def _reply(call: Call, run: DryRun) -> DryRunReply:
    floor = call.services.settings.small_cell
    found = read(run, floor) if run.status == "done" else Reading(None, None, None, None, [])
    return DryRunReply(
        str(run.id), str(run.campaign_id), run.number, run.first_day, run.last_day, run.status,  # type: ignore[arg-type]
        str(run.ordered_by), run.ordered_at, run.finished_at, floor, _told(found.given), _told(found.withheld),
        _told(found.cut_by_limits), _told(found.cut_by_budget),
        [DryRunDayReply(day, _told(told)) for day, told in found.days],
    )  # fmt: skip


def _told(told: Told | None) -> DryRunAmountsReply | None:
    if told is None:
        return None
    amounts = told.amounts
    return DryRunAmountsReply(
        told.residents, amounts.awards, amounts.points, amounts.coupons, amounts.fen, amounts.free_minutes,
        amounts.lottery_tickets,
    )  # fmt: skip
