"""What a campaign changed: how many of both groups did what it wants, and what the hold-out did not cost.

    qualified, first time ──days──> outcome or none            side: by the award, which says whether he was held out

Everybody counts on the side to which the lot put him, whatever he was given then: who met a limit or an empty budget
stays among the treated, as the same would have happened to the others. Who has not had his `days` yet waits. Counted
are the versions whose hold-out says the same, lest groups of different shares are mixed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from server.incentives.errors import CampaignNotFound, VersionNotFound
from server.incentives.experiments.errors import NoHoldOut
from server.incentives.experiments.hold_out import HoldOut
from server.incentives.experiments.uplift import Group, Uplift, uplift
from server.incentives.judging import decoded
from server.kit.clock import Clock
from server.kit.db import fetch

#: Awards looked at in one statement, a fraction of a second.
WINDOW: Final = 20_000

_VERSION = """
SELECT v.number, v.hold_out FROM campaign c JOIN campaign_version v ON v.campaign_id = c.id
WHERE c.id = $1 AND ($2::int IS NULL OR v.number = $2)
ORDER BY v.id = c.live_version DESC NULLS LAST, v.number DESC LIMIT 1
"""
_ALIKE = """
SELECT id, number FROM campaign_version
WHERE campaign_id = $1 AND live_at IS NOT NULL AND hold_out = $2::jsonb ORDER BY number
"""
_WINDOW_END = """
SELECT max(resident_id) AS high FROM (
  SELECT resident_id FROM award WHERE campaign_id = $1 AND resident_id > $2 ORDER BY resident_id LIMIT $3) ahead
"""
_COUNT = """
SELECT first.held_out, count(*) FILTER (WHERE judged.over) AS people,
  count(*) FILTER (WHERE judged.over AND judged.acted) AS acted, count(*) FILTER (WHERE NOT judged.over) AS waiting
FROM (SELECT DISTINCT ON (a.resident_id) a.resident_id, a.held_out, f.occurred_at AS since
      FROM award a JOIN fact f ON f.id = a.fact_id
      WHERE a.campaign_id = $1 AND a.version_id = ANY($2::bigint[]) AND a.resident_id > $3 AND a.resident_id <= $4
      ORDER BY a.resident_id, f.occurred_at, f.id) first,
  LATERAL (SELECT first.since + make_interval(hours => 24 * $5) AS until) its,
  LATERAL (SELECT its.until <= $6 AS over, EXISTS (
    SELECT FROM fact o WHERE o.resident_id = first.resident_id AND o.kind = $7
      AND o.occurred_at > first.since AND o.occurred_at <= its.until) AS acted) judged
GROUP BY first.held_out
"""
_WITHHELD = """
SELECT count(DISTINCT resident_id) AS people, count(*) AS awards, coalesce(sum(points), 0)::bigint AS points,
  coalesce(sum(withheld_fen), 0)::bigint AS fen
FROM award WHERE campaign_id = $1 AND status = 'withheld'
"""


@dataclass(frozen=True, slots=True)
class Withheld:
    """What a campaign's hold-out did not get, within its own limits: awards, points, and the most that the coupons
    would have cost, in fen. None: it is about fewer people than the small cell."""

    awards: int | None
    points: int | None
    fen: int | None


@dataclass(slots=True)
class Side:
    """One group: `people` whose days are over, how many `acted`, and how many are `waiting`. None: fewer than the small
    cell, or they would tell such a cell."""

    people: int | None = 0
    acted: int | None = 0
    waiting: int | None = 0

    def told(self, floor: int) -> Side:
        """As it may leave the house (guard rail 21). Beside a hidden number of people those who wait are hidden too:
        together they are those of whom something is told elsewhere."""
        people, acted, waiting = self.people or 0, self.acted or 0, self.waiting or 0
        return Side(
            people if people >= floor else None, acted if min(acted, people - acted) >= floor else None,
            waiting if waiting >= floor and not 0 < people < floor else None,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """Both groups at an instant. `difference`: in percentage points, None while a cell of it is hidden."""

    at: datetime
    versions: list[int]
    hold_out: HoldOut
    treated: Side
    held_out: Side
    difference: Uplift | None
    withheld: Withheld


@dataclass(slots=True)
class _Counted:
    treated: Side = field(default_factory=Side)
    held_out: Side = field(default_factory=Side)

    def add(self, row: dict[str, Any]) -> None:
        side = self.held_out if row["held_out"] else self.treated
        side.people = (side.people or 0) + row["people"]
        side.acted = (side.acted or 0) + row["acted"]
        side.waiting = (side.waiting or 0) + row["waiting"]


class UpliftReports:
    """Counts both groups of a campaign, a window of residents at a time. `small_cell`: no cell below it is told."""

    def __init__(self, *, clock: Clock, small_cell: int, window: int = WINDOW) -> None:
        self._clock, self._small_cell, self._window = clock, small_cell, window

    async def report(self, campaign_id: int, number: int | None = None) -> Report:
        """The groups of a version's hold-out, by default of the version that stands for the campaign. Raises
        CampaignNotFound, VersionNotFound, NoHoldOut."""
        hold_out = await self._hold_out(campaign_id, number)
        alike = await fetch(_ALIKE, campaign_id, msgspec.json.encode(hold_out).decode())
        at, counted = self._clock.now(), await self._count(campaign_id, [row["id"] for row in alike], hold_out)
        treated, held_out = counted.treated.told(self._small_cell), counted.held_out.told(self._small_cell)
        ours, others = _group(treated), _group(held_out)
        difference = None if ours is None or others is None else uplift(ours, others)
        return Report(
            at, [row["number"] for row in alike], hold_out, treated, held_out, difference,
            await self.withheld(campaign_id),
        )  # fmt: skip

    async def withheld(self, campaign_id: int) -> Withheld:
        """What a campaign's hold-out did not get by now, whatever version; hidden while it is a small cell."""
        (row,) = await fetch(_WITHHELD, campaign_id)
        if row["people"] < self._small_cell:
            return Withheld(None, None, None)
        return Withheld(row["awards"], row["points"], row["fen"])

    async def _hold_out(self, campaign_id: int, number: int | None) -> HoldOut:
        rows = await fetch(_VERSION, campaign_id, number)
        if not rows:
            known = await fetch("SELECT FROM campaign WHERE id = $1", campaign_id)
            raise VersionNotFound if known else CampaignNotFound
        if rows[0]["hold_out"] is None:
            raise NoHoldOut
        return msgspec.convert(decoded(rows[0]["hold_out"]), HoldOut)

    async def _count(self, campaign_id: int, versions: list[int], hold_out: HoldOut) -> _Counted:
        counted, low, at = _Counted(), 0, self._clock.now()
        while (high := (await fetch(_WINDOW_END, campaign_id, low, self._window))[0]["high"]) is not None:
            rows = await fetch(_COUNT, campaign_id, versions, low, high, hold_out.days, at, hold_out.outcome)
            for row in rows:
                counted.add(row)
            low = high
        return counted


def _group(side: Side) -> Group | None:
    return None if side.people is None or side.acted is None else Group(side.people, side.acted)
