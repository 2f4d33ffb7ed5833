"""Limits as the house counts them, for awards that the ledger does not post; one above a limit is refused.

a person        his awards of the campaign, counted one after another
all, a town     a counter for each limit, place and period (`award_counter`), which an award takes from; when it is
                refused after all, the database gives back
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.judging import Happened, Offer
from server.kit.db import fetch
from server.people.attributes import profiles_of

LIMIT_REACHED: Final = "limit_reached"
#: What all together, or his town, may have in this period is given away.
CAMPAIGN_FULL: Final = "campaign_full"
_REFUSE = """
UPDATE award SET status = 'refused', reason = $2, withheld_fen = 0, settled_at = coalesce(settled_at, vault.now())
WHERE id = $1
"""
_USED = """
SELECT count(*) AS count, coalesce(sum(a.points), 0)::bigint AS points FROM award a JOIN fact f ON f.id = a.fact_id
WHERE a.campaign_id = $1 AND a.resident_id = $2 AND a.status <> 'refused' AND a.id <> $3
  AND ($4::timestamptz IS NULL OR f.occurred_at >= $4) AND ($5::timestamptz IS NULL OR f.occurred_at < $5)
"""
_TAKE = """
WITH taken AS (
  INSERT INTO award_counter AS c (campaign_id, scope, place, period, period_start, used, most)
  VALUES ($2, $3, $4, $5, coalesce($6::date, '-infinity'), 1, $7)
  ON CONFLICT (campaign_id, scope, period, period_start, place)
  DO UPDATE SET used = c.used + 1, most = excluded.most WHERE c.used < excluded.most RETURNING c.id)
INSERT INTO award_take (award_id, counter_id) SELECT $1, id FROM taken RETURNING counter_id
"""
_COUNTED = """
SELECT n.k, c.used FROM unnest($1::int[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::date[])
  n (k, campaign_id, scope, place, period, since)
JOIN award_counter c ON c.campaign_id = n.campaign_id AND c.scope = n.scope AND c.place = n.place
  AND c.period = n.period AND c.period_start = coalesce(n.since, '-infinity')
"""
_TOWNS = """
SELECT place, used FROM award_counter WHERE campaign_id = $1 AND scope = 'town' AND period = $2
  AND period_start = coalesce($3::date, '-infinity') ORDER BY place
"""


@dataclass(frozen=True, slots=True)
class Counted:
    """How much of a limit is used at a place in the period that runs. `place`: the town, "" when it is not known, and
    of all together."""

    limit: dict[str, Any]
    place: str
    used: int


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


async def take_places(tx: BaseDBAsyncClient, award_id: int, fact: Happened, offer: Offer, zone: ZoneInfo) -> bool:
    """Count an award at every place that its campaign limits, in the period of its fact; False when one is full, and
    then the award must be refused, which gives back what it took elsewhere."""
    limits = [limit for limit in offer.limits if limit["scope"] != "resident"]
    if not limits:
        return True
    town = await _town(fact.resident_id, fact.occurred_at) if any(one["scope"] == "town" for one in limits) else ""
    day = fact.occurred_at.astimezone(zone).date()
    for limit in sorted(limits, key=lambda one: (one["scope"], one["period"])):
        place, (since, _) = town if limit["scope"] == "town" else "", period_days(limit["period"], day)
        taken = await fetch(
            _TAKE, award_id, offer.campaign_id, limit["scope"], place, limit["period"], since, limit["cap"], using=tx
        )
        if not taken:
            return False
    return True


async def full_places(limits: Sequence[tuple[int, dict[str, Any]]], town: str, day: date) -> dict[int, dict[str, Any]]:
    """By campaign a limit that is used up on a city day for somebody of this town."""
    places = [town if limit["scope"] == "town" else "" for _, limit in limits]
    rows = await fetch(
        _COUNTED, list(range(len(limits))), [id for id, _ in limits], [limit["scope"] for _, limit in limits], places,
        [limit["period"] for _, limit in limits], [period_days(limit["period"], day)[0] for _, limit in limits],
    ) if limits else []  # fmt: skip
    used = {row["k"]: row["used"] for row in rows}
    return {id: limit for k, (id, limit) in enumerate(limits) if used.get(k, 0) >= limit["cap"]}


async def counted_at_places(campaign_id: int, limits: Sequence[dict[str, Any]], day: date) -> list[Counted]:
    """What is used of each limit of places in its period around a city day; of towns, those that have had something."""
    found = []
    for limit in limits:
        since, _ = period_days(limit["period"], day)
        if limit["scope"] == "town":
            rows = await fetch(_TOWNS, campaign_id, limit["period"], since)
            found += [Counted(limit, row["place"], row["used"]) for row in rows]
        elif limit["scope"] == "campaign":
            rows = await fetch(_COUNTED, [0], [campaign_id], ["campaign"], [""], [limit["period"]], [since])
            found.append(Counted(limit, "", rows[0]["used"] if rows else 0))
    return found


async def _town(resident_id: int, at: datetime) -> str:
    profile = (await profiles_of([resident_id], at)).get(resident_id)
    return (profile.town if profile is not None else None) or ""


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
