"""Bodies of what concerns campaigns, templates and lotteries together: calendar, kill switch, alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from server.admin_api.schemas.incentives import EffectsReply, Instant, Status
from server.admin_api.schemas.lotteries import LotteryStatus
from server.incentives.running_jobs import RunningJob


class CalendarQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A time of at most 400 days; `until` is not included."""

    since: Instant
    until: Instant


class CalendarEntryReply(Struct, frozen=True):
    """When something runs; `ended_at` when it has ended already. A lottery runs from its opening to its draw, and ends
    when it is drawn or cancelled."""

    kind: Literal["campaign", "coupon_template", "lottery"]
    id: str
    title: str
    status: Status | LotteryStatus
    starts_at: datetime
    ends_at: datetime
    ended_at: datetime | None


class CalendarReply(Struct, frozen=True):
    """By beginning; `truncated`: there are more than 1,000."""

    items: list[CalendarEntryReply]
    truncated: bool


class KillSwitchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What is stopped, and why."""

    kind: Literal["all", "campaigns", "templates"]
    reason: Annotated[str, Meta(min_length=1, max_length=200)]


class KillSwitchReply(Struct, frozen=True, omit_defaults=True):
    """What was paused. `settling`: of how many the ledger does not know yet; it will within seconds."""

    campaigns: list[str]
    templates: list[str]
    settling: int
    simulated: bool = False
    effects: EffectsReply | None = None


class BudgetAlertReply(Struct, frozen=True, omit_defaults=True):
    """So many per cent of a budget were used when it was raised; 100: the rest does not reach for the next award or
    coupon. `times`: how often it was raised; `cleared_at`: a top-up brought the budget below. Exactly one of
    `campaign_id` and `template_id` says whose budget it is, `title` what that is called."""

    id: str
    budget_id: str
    unit: Literal["points", "coupons", "fen"]
    campaign_id: str | None
    template_id: str | None
    title: str
    threshold_percent: int
    total: int
    used: int
    times: int
    raised_at: datetime
    cleared_at: datetime | None
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    simulated: bool = False
    effects: EffectsReply | None = None


class BudgetAlertPageReply(Struct, frozen=True):
    items: list[BudgetAlertReply]
    next_cursor: str | None


class BudgetAlertQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """state: open (nobody has seen it), acknowledged, cleared."""

    state: Literal["open", "acknowledged", "cleared"] | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class RunningJobsReply(Struct, frozen=True):
    """At most a hundred, newest first within a kind."""

    items: list[RunningJob]
