"""The calendar: when campaigns, templates and lotteries run, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from server.kit.db import fetch
from server.kit.errors import InvalidField

SPAN_MAX: Final = timedelta(days=400)
ENTRIES_MAX: Final = 1_000

_CALENDAR = """
SELECT x.* FROM (
  SELECT 'campaign' AS kind, r.id, r.status, v.title, v.starts_at, v.ends_at, r.ended_at
  FROM campaign r JOIN campaign_version v ON v.id = coalesce(r.live_version,
    (SELECT o.id FROM campaign_version o WHERE o.campaign_id = r.id ORDER BY o.number DESC LIMIT 1))
  UNION ALL
  SELECT 'coupon_template', r.id, r.status, v.title, v.starts_at, v.ends_at, r.ended_at
  FROM coupon_template r JOIN coupon_template_version v ON v.id = coalesce(r.live_version,
    (SELECT o.id FROM coupon_template_version o WHERE o.template_id = r.id ORDER BY o.number DESC LIMIT 1))
  UNION ALL
  SELECT 'lottery', l.id, l.status, l.title, l.opens_at, l.draw_at, coalesce(l.cancelled_at, l.drawn_at)
  FROM lottery l
) x WHERE x.starts_at < $2 AND least(x.ends_at, coalesce(x.ended_at, x.ends_at)) > $1
  AND x.status NOT IN ('archived', 'discarded')
ORDER BY x.starts_at, x.kind, x.id LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class CalendarEntry:
    """When something runs, by the version that stands for it; `ended_at` when that was before its time. A lottery runs
    from its opening to its draw, and `ended_at` is when it was drawn or cancelled."""

    kind: Literal["campaign", "coupon_template", "lottery"]
    id: int
    status: str
    title: str
    starts_at: datetime
    ends_at: datetime
    ended_at: datetime | None


async def calendar(since: datetime, until: datetime) -> tuple[list[CalendarEntry], bool]:
    """What runs in a time of at most 400 days, by its beginning; (entries, whether there are more than 1,000)."""
    if not timedelta(0) < until - since <= SPAN_MAX:
        raise InvalidField(field="until")
    rows = await fetch(_CALENDAR, since, until, ENTRIES_MAX + 1)
    return [CalendarEntry(**row) for row in rows[:ENTRIES_MAX]], len(rows) > ENTRIES_MAX
