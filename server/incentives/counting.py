"""Limits of a person as the house counts them, for awards that the ledger does not post.

The awards of a person and a campaign are counted one after another, and one above a limit is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.judging import Happened, Offer
from server.kit.db import fetch

LIMIT_REACHED: Final = "limit_reached"
_REFUSE = """
UPDATE award SET status = 'refused', reason = $2, withheld_fen = 0, settled_at = coalesce(settled_at, vault.now())
WHERE id = $1
"""
_USED = """
SELECT count(*) AS count, coalesce(sum(a.points), 0)::bigint AS points FROM award a JOIN fact f ON f.id = a.fact_id
WHERE a.campaign_id = $1 AND a.resident_id = $2 AND a.status <> 'refused' AND a.id <> $3
  AND ($4::timestamptz IS NULL OR f.occurred_at >= $4) AND ($5::timestamptz IS NULL OR f.occurred_at < $5)
"""


async def refuse(tx: BaseDBAsyncClient, award_id: int, reason: str) -> None:
    """Mark an award refused, with the reason's code."""
    await tx.execute_query(_REFUSE, [award_id, reason])


async def is_over(
    tx: BaseDBAsyncClient, award_id: int, fact: Happened, offer: Offer, points: int, zone: ZoneInfo
) -> bool:
    """Whether an award that was just written goes beyond a limit of its person."""
    own = [limit for limit in offer.limits if limit["scope"] == "resident"]
    if not own:
        return False
    await tx.execute_query(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [f"award:{offer.campaign_id}:{fact.resident_id}"]
    )
    day = fact.occurred_at.astimezone(zone).date()
    for limit in own:
        since, until = (midnight(one, zone) for one in period_days(limit["period"], day))
        (used,) = await fetch(_USED, offer.campaign_id, fact.resident_id, award_id, since, until, using=tx)
        if used[limit["measure"]] + (points if limit["measure"] == "points" else 1) > limit["cap"]:
            return True
    return False


def period_days(period: str, day: date) -> tuple[date | None, date | None]:
    """The first day of a limit's period around a day, and the first one behind it; weeks begin on Monday."""
    match period:
        case "day":
            return day, day + timedelta(days=1)
        case "week":
            monday = day - timedelta(days=day.weekday())
            return monday, monday + timedelta(days=7)
        case "month":
            first = day.replace(day=1)
            return first, (first + timedelta(days=31)).replace(day=1)
        case _:
            return None, None


def period_of(limit: Mapping[str, Any], at: datetime, zone: ZoneInfo) -> tuple[datetime | None, datetime | None]:
    """From which instant and before which the period of a limit around an instant lies."""
    first, following = period_days(limit["period"], at.astimezone(zone).date())
    return midnight(first, zone), midnight(following, zone)


def midnight(day: date | None, zone: ZoneInfo) -> datetime | None:
    """The instant at which a city day begins."""
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=zone)
