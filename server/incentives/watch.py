"""The worker's eye on budgets: how fast each is used, alerts at thresholds, and the end of what is empty.

A day's last look is kept per budget (`BudgetDay`): what was used between two looks is the burn. An alert is raised once
when so many per cent are used, cleared when a top-up brings the budget below, and may be raised again then. Empty means
that the rest does not reach for the next award or coupon; what has been empty for `ends_after` ends, unless somebody
has asked for a top-up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import msgspec
import structlog
from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.changes import Effects
from server.incentives.commands import Signed
from server.incentives.effects import least_points, paid_fen
from server.incentives.errors import AlertNotFound
from server.incentives.judging import decoded
from server.incentives.models import BudgetAlert
from server.incentives.rows import columns_of
from server.incentives.rules import Rule
from server.incentives.simulation import write
from server.kit import audit
from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from wallet import Vault

log = structlog.get_logger(__name__)

#: The threshold of an empty budget, whatever its rest is.
EMPTY: Final = 100
PAGE: Final = 500
WEEK: Final = timedelta(days=7)
_BUDGETS = """
SELECT b.id, b.unit, b.campaign_id, b.template_id, coalesce(c.status, t.status) AS status,
  v.rule, u.kind, u.face_value_fen, u.cap_fen, u.platform_bp, u.sponsor_bp
FROM budget b
LEFT JOIN campaign c ON c.id = b.campaign_id LEFT JOIN campaign_version v ON v.id = c.live_version
LEFT JOIN coupon_template t ON t.id = b.template_id LEFT JOIN coupon_template_version u ON u.id = t.live_version
WHERE b.id > $1 AND coalesce(c.status, t.status) IN ('scheduled', 'active', 'paused') ORDER BY b.id LIMIT $2
"""
_OWNERS = """
SELECT b.id, b.unit, b.campaign_id, b.template_id, coalesce(v.title, u.title) AS title
FROM budget b
LEFT JOIN LATERAL (SELECT title FROM campaign_version WHERE campaign_id = b.campaign_id ORDER BY number DESC LIMIT 1) v
  ON true
LEFT JOIN LATERAL (SELECT title FROM coupon_template_version WHERE template_id = b.template_id
                   ORDER BY number DESC LIMIT 1) u ON true
WHERE b.id = ANY($1::bigint[])
"""
_DAY = """
INSERT INTO budget_day (budget_id, day, used) SELECT u.id, $1, u.used FROM unnest($2::bigint[], $3::bigint[]) u (id,
used) ON CONFLICT (budget_id, day) DO UPDATE SET used = EXCLUDED.used WHERE budget_day.used <> EXCLUDED.used
"""
_RAISE = """
INSERT INTO budget_alert (budget_id, threshold_percent, total, used, times, raised_at)
SELECT u.id, u.threshold, u.total, u.used, 1, $1
FROM unnest($2::bigint[], $3::int[], $4::bigint[], $5::bigint[]) u (id, threshold, total, used)
ON CONFLICT (budget_id, threshold_percent) DO UPDATE SET total = EXCLUDED.total, used = EXCLUDED.used, raised_at = $1,
  times = budget_alert.times + 1, cleared_at = NULL, acknowledged_by = NULL, acknowledged_at = NULL
WHERE budget_alert.cleared_at IS NOT NULL RETURNING budget_id, threshold_percent
"""
_CLEAR = """
UPDATE budget_alert a SET cleared_at = $1 FROM unnest($2::bigint[], $3::int[]) u (id, threshold)
WHERE a.budget_id = u.id AND a.threshold_percent = u.threshold AND a.cleared_at IS NULL
"""
_EXHAUSTED = """
SELECT DISTINCT b.campaign_id, b.template_id FROM budget_alert a JOIN budget b ON b.id = a.budget_id
LEFT JOIN campaign c ON c.id = b.campaign_id LEFT JOIN coupon_template t ON t.id = b.template_id
WHERE a.threshold_percent = 100 AND a.cleared_at IS NULL AND a.raised_at <= $1 AND coalesce(c.status, t.status) =
'active'
  AND NOT EXISTS (SELECT FROM budget_request q JOIN budget o ON o.id = q.budget_id
    WHERE q.status IN ('requested', 'approved') AND (o.campaign_id = b.campaign_id OR o.template_id = b.template_id))
"""

#: Ends what is empty: an id, and whether it did.
End = Callable[[int], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Burn:
    """How fast a budget is used, in its unit: a day in the last 7 days, and since it began. What comes back (expired,
    voided) counts against it, so both may be negative. `empty_at`: when it will be used up at the speed of the last 7
    days, None when it is not being used."""

    per_day_7: float
    per_day: float
    empty_at: datetime | None


class BudgetWatch:
    """Looks at every running budget; every step may be repeated."""

    def __init__(
        self, *, vault: Vault, clock: Clock, thresholds: Sequence[int], ends_after: timedelta, end_campaign: End,
        end_template: End,
    ) -> None:  # fmt: skip
        self._vault, self._clock, self._thresholds, self._ends_after = vault, clock, tuple(thresholds), ends_after
        self._end_campaign, self._end_template = end_campaign, end_template

    async def step(self) -> int:
        """One look at all of them; returns how many alerts were raised and how much was ended."""
        done, after = 0, 0
        while rows := await fetch(_BUDGETS, after, PAGE):
            done += await self._look(rows)
            after = rows[-1]["id"]
        return done + await self._end_exhausted()

    async def _look(self, rows: list[dict[str, Any]]) -> int:
        levels = await self._vault.budget_levels([row["id"] for row in rows])
        reached: list[tuple[int, int, int, int]] = []
        below: list[tuple[int, int]] = []
        used: list[tuple[int, int]] = []
        for row in rows:
            level = levels.get(row["id"])
            if level is None or level.total <= 0:
                continue
            spent = level.total - level.left
            used.append((row["id"], spent))
            for threshold in self._thresholds:
                if spent * 100 >= level.total * threshold:
                    reached.append((row["id"], threshold, level.total, spent))
                else:
                    below.append((row["id"], threshold))
            if level.left < _least(row):
                reached.append((row["id"], EMPTY, level.total, spent))
            else:
                below.append((row["id"], EMPTY))
        now = self._clock.now()
        async with transaction() as tx:
            await tx.execute_query(_DAY, [self._clock.today(), [one for one, _ in used], [two for _, two in used]])
            raised = await fetch(_RAISE, now, *([one[place] for one in reached] for place in range(4)), using=tx)
            await tx.execute_query(_CLEAR, [now, [one for one, _ in below], [two for _, two in below]])
        for row in raised:
            log.warning("budget_alert", budget_id=row["budget_id"], threshold_percent=row["threshold_percent"])
        return len(raised)

    async def _end_exhausted(self) -> int:
        done = 0
        for row in await fetch(_EXHAUSTED, self._clock.now() - self._ends_after):
            if row["campaign_id"] is not None:
                done += await self._end_campaign(row["campaign_id"])
            else:
                done += await self._end_template(row["template_id"])
        return done


async def burn_of(budget_ids: Sequence[int], left: dict[int, int], clock: Clock) -> dict[int, Burn]:
    """How fast budgets are used, from the days that were kept; `left` by budget."""
    today = clock.today()
    rows = await fetch(
        "SELECT budget_id, day, used FROM budget_day WHERE budget_id = ANY($1::bigint[]) ORDER BY budget_id, day",
        list(budget_ids),
    )
    kept: dict[int, list[tuple[date, int]]] = {}
    for row in rows:
        kept.setdefault(row["budget_id"], []).append((row["day"], row["used"]))
    return {one: speed(kept.get(one, []), left.get(one, 0), today, clock.now()) for one in budget_ids}


def speed(kept: Sequence[tuple[date, int]], left: int, today: date, now: datetime) -> Burn:
    """How fast a budget is used that had used so much at the last look of each day, in the order of the days."""
    if not kept:
        return Burn(0.0, 0.0, None)
    first, (_, used) = kept[0][0], kept[-1]
    age = (today - first).days + 1
    # The last look of a week ago, not the highest: use falls when coupons come back.
    since, week_ago = next((look for look in reversed(kept) if look[0] <= today - WEEK), (None, 0))
    per_day_7 = (used - week_ago) / (age if since is None else (today - since).days)
    days_left = left / per_day_7 if per_day_7 > 0 else None
    soon = days_left is not None and days_left < 36_500
    return Burn(per_day_7, used / age, now + timedelta(days=days_left or 0) if soon else None)


def _least(row: dict[str, Any]) -> int:
    """What the next award or coupon needs of the budget at least."""
    if row["unit"] == "points":
        return least_points(msgspec.convert(decoded(row["rule"]), Rule)) if row["rule"] is not None else 0
    if row["unit"] == "coupons":
        return 1
    worth = row["cap_fen"] if row["kind"] == "discount" else row["face_value_fen"]
    return paid_fen(worth or 0, row["platform_bp"] or 0, row["sponsor_bp"] or 0)


async def acknowledge(alert_id: int, signed: Signed, clock: Clock) -> tuple[BudgetAlert, Effects | None]:
    """Say that somebody has seen an alert; the first who says so stays. Raises AlertNotFound."""

    async def act(tx: BaseDBAsyncClient) -> BudgetAlert:
        alert = await BudgetAlert.filter(id=alert_id).using_db(tx).select_for_update(no_key=True).first()
        if alert is None:
            raise AlertNotFound
        if alert.acknowledged_at is None:
            before = columns_of(alert)
            alert.acknowledged_by, alert.acknowledged_at = signed.admin_id, clock.now()
            await alert.save(using_db=tx)
            await audit.record(
                tx, actor=signed.actor, action="budget_alert.acknowledged", object_kind="budget_alert",
                object_id=str(alert.id), before=before, after=columns_of(alert), at=clock.now(),
                request_id=signed.request_id,
            )  # fmt: skip
        return alert

    return await write(signed, act)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a budget is: a campaign's or a coupon template's, by the title of its newest version."""

    unit: str
    campaign_id: int | None
    template_id: int | None
    title: str


async def owners(budget_ids: Sequence[int]) -> dict[int, Owner]:
    """Whose these budgets are."""
    return {
        row["id"]: Owner(row["unit"], row["campaign_id"], row["template_id"], row["title"])
        for row in await fetch(_OWNERS, list(budget_ids))
    }


async def alerts(before_id: int | None, limit: int, state: str | None) -> list[BudgetAlert]:
    """Alerts, newest first. state: open | acknowledged | cleared."""
    chosen = BudgetAlert.all() if before_id is None else BudgetAlert.filter(id__lt=before_id)
    wanted: dict[str, dict[str, bool]] = {
        "open": {"cleared_at__isnull": True, "acknowledged_at__isnull": True},
        "acknowledged": {"cleared_at__isnull": True, "acknowledged_at__isnull": False},
        "cleared": {"cleared_at__isnull": False},
    }
    if state is not None:
        chosen = chosen.filter(**wanted[state])
    return await chosen.order_by("-id").limit(limit)
