"""What concerns campaigns and templates together: the calendar, the kill switch, alerts of budgets,
jobs under way."""

from __future__ import annotations

from server.admin_api.incentive_replies import effects_reply, signed
from server.admin_api.schemas.incentive_overview import (
    BudgetAlertPageReply,
    BudgetAlertQuery,
    BudgetAlertReply,
    CalendarEntryReply,
    CalendarQuery,
    CalendarReply,
    KillSwitchReply,
    KillSwitchRequest,
    RunningJobsReply,
)
from server.admin_api.schemas.incentives import WriteQuery
from server.incentives import watch
from server.incentives.calendar import calendar
from server.incentives.changes import Effects
from server.incentives.errors import AlertNotFound
from server.incentives.models import BudgetAlert
from server.incentives.running_jobs import running_jobs
from server.kit.paging import cursor_after, cursor_number
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 活动总览")


@router.get(
    "/campaigns/calendar",
    summary="活动日历",
    query=CalendarQuery,
    replies={200: CalendarReply},
    caller=Callers.admin("campaign.read"),
)
async def show_calendar(call: Call, query: CalendarQuery) -> Reply:
    """Campaigns, coupon templates and lotteries whose time reaches into the one asked for, by their beginning."""
    entries, truncated = await calendar(query.since, query.until)
    items = [
        CalendarEntryReply(one.kind, str(one.id), one.title, one.status, one.starts_at, one.ends_at, one.ended_at)  # type: ignore[arg-type]
        for one in entries
    ]
    return Reply.ok(CalendarReply(items, truncated))


@router.post(
    "/incentives/kill-switch",
    summary="紧急停止",
    body=KillSwitchRequest,
    query=WriteQuery,
    replies={200: KillSwitchReply},
    caller=Callers.admin("incentive.stop"),
)
async def pull_kill_switch(call: Call, body: KillSwitchRequest, query: WriteQuery) -> Reply:
    """Pauses everything that runs and closes its budgets at once; one person is enough. What was given stays. Going
    on is one by one, with /resume."""
    done = await call.services.kill_switch.pull(body.kind, body.reason, signed(call, query.simulate))
    return Reply.ok(
        KillSwitchReply(
            [str(one) for one in done.campaigns], [str(one) for one in done.templates], done.settling,
            done.effects is not None, effects_reply(done.effects),
        )
    )  # fmt: skip


@router.get(
    "/incentives/jobs",
    summary="进行中的批量任务",
    replies={200: RunningJobsReply},
    caller=Callers.admin("grant.read"),
)
async def list_running(call: Call) -> Reply:
    """Grant jobs and batches of voucher codes under way: how far, how fast, how much longer; what `chengxin jobs`
    shows."""
    return Reply.ok(RunningJobsReply(await running_jobs(call.services.settings.small_cell)))


@router.get(
    "/budget-alerts",
    summary="预算提醒",
    query=BudgetAlertQuery,
    replies={200: BudgetAlertPageReply},
    caller=Callers.admin("budget.read"),
)
async def list_alerts(call: Call, query: BudgetAlertQuery) -> Reply:
    """Newest first."""
    rows = await watch.alerts(cursor_number(query.cursor), query.limit, query.state)
    following = cursor_after(rows, query.limit, lambda row: row.id)
    owners = await watch.owners([row.budget_id for row in rows])
    return Reply.ok(BudgetAlertPageReply([_alert(row, owners[row.budget_id]) for row in rows], following))


@router.post(
    "/budget-alerts/<alert_id:int>/acknowledge",
    summary="确认预算提醒",
    query=WriteQuery,
    replies={200: BudgetAlertReply},
    caller=Callers.admin("budget.topup"),
    errors=(AlertNotFound,),
)
async def acknowledge_alert(call: Call, query: WriteQuery, alert_id: int) -> Reply:
    """Says that somebody has seen it; the first who says so stays."""
    row, effects = await watch.acknowledge(alert_id, signed(call, query.simulate), call.services.clock)
    owners = await watch.owners([row.budget_id])
    return Reply.ok(_alert(row, owners[row.budget_id], effects))


def _alert(row: BudgetAlert, owner: watch.Owner, effects: Effects | None = None) -> BudgetAlertReply:
    campaign, template = (None if one is None else str(one) for one in (owner.campaign_id, owner.template_id))
    return BudgetAlertReply(
        str(row.id), str(row.budget_id), owner.unit, campaign, template, owner.title,  # type: ignore[arg-type]
        row.threshold_percent, row.total, row.used, row.times, row.raised_at,
        row.cleared_at, None if row.acknowledged_by is None else str(row.acknowledged_by), row.acknowledged_at,
        effects is not None, effects_reply(effects),
    )  # fmt: skip
