"""Why a resident got something of a campaign, or not: judged anew for him, told in Chinese part by part."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from server.incentives.errors import CampaignNotFound
from server.incentives.judging import EVERY_FACT, Happened, Judge, Offer, happened, offer_of
from server.incentives.names import names_of
from server.incentives.rules import Told, explain, progress, reasons
from server.kit.clock import Clock
from server.kit.db import fetch

# By the version that was live at an instant; before and after all of them by the one that stands for the campaign.
_OFFER = """
SELECT v.campaign_id, v.id AS version_id, v.rule, v.limits, v.validity_months, v.hold_out, v.starts_at, v.ends_at,
  v.trigger, s.id IS NOT NULL AND v.starts_at <= $2 AND $2 < v.ends_at AS ran,
  (SELECT min(o.starts_at) FROM campaign_version o WHERE o.campaign_id = v.campaign_id AND o.live_at IS NOT NULL) AS
  began_at
FROM campaign_version v JOIN campaign c ON c.id = v.campaign_id
LEFT JOIN campaign_span s ON s.version_id = v.id AND s.from_at <= $2 AND (s.until_at IS NULL OR $2 < s.until_at)
WHERE c.id = $1 AND v.live_at IS NOT NULL AND c.status <> 'archived'
ORDER BY s.id IS NULL, v.id = c.live_version DESC, v.number DESC LIMIT 1
"""
_NEWEST = """
SELECT f.id, f.resident_id, f.kind, f.occurred_at, f.attributes, a.effect, a.points, a.status, a.reason
FROM fact f LEFT JOIN award a ON a.fact_id = f.id AND a.campaign_id = $4
WHERE f.resident_id = $1 AND f.kind = $2 AND f.occurred_at >= $3 AND f.occurred_at < $5
ORDER BY f.occurred_at DESC, f.id DESC LIMIT 1
"""
#: Facts of such an hour are given nothing, whatever the rule says of them.
NOT_RUNNING: Final = Told("running", "发生时活动正在进行", False, "当时活动尚未开放、已暂停或已结束")


@dataclass(frozen=True, slots=True)
class Given:
    """What became of the award for the newest fact. status: pending | posted | withheld, as he is held out | refused,
    with the reason's code."""

    effect: str
    points: int
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """granted: whether the campaign gives for the newest fact; without one (`occurred_at` None) it cannot yet, and the
    conditions alone are told. `missing`: the fewest parts that would have to be otherwise; for a fact of an hour in
    which the campaign did not run, that it had run."""

    granted: bool
    occurred_at: datetime | None
    given: Given | None
    missing: tuple[Told, ...]
    progress: tuple[Told, ...]
    parts: tuple[Told, ...]


class ExplanationService:
    """Explains campaigns to the resident who asks, about himself and nobody else."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock, self._judge = clock, Judge(clock)

    async def explain(self, resident_id: int, campaign_id: int) -> Explanation:
        """By his newest fact that the campaign speaks of, or else as he stands now. Raises CampaignNotFound for what
        was never live or is archived."""
        row = await self._offer(campaign_id, self._clock.now())
        newest = await fetch(
            _NEWEST, resident_id, row["trigger"], row["began_at"], campaign_id, row["ends_at"],
        )  # fmt: skip
        if newest:
            row = await self._offer(campaign_id, newest[0]["occurred_at"])
            fact = happened(newest[0])
        else:
            fact = Happened(EVERY_FACT, resident_id, None, self._clock.now(), {})
        offer: Offer = offer_of(row)
        ((_, decision),) = await self._judge.decide(fact, [offer])
        names = await names_of([decision.rule], self._clock.today())
        given = _given(newest)
        stood = (NOT_RUNNING,) if newest and given is None and not row["ran"] else ()
        return Explanation(
            decision.granted and not stood, fact.occurred_at if newest else None, given,
            stood + reasons(decision, names), progress(decision, names), stood + explain(decision, names),
        )  # fmt: skip

    async def _offer(self, campaign_id: int, at: datetime) -> dict[str, Any]:
        rows = await fetch(_OFFER, campaign_id, at)
        if not rows:
            raise CampaignNotFound
        return rows[0]


def _given(newest: list[dict[str, Any]]) -> Given | None:
    if not newest or newest[0]["status"] is None:
        return None
    return Given(newest[0]["effect"], newest[0]["points"], newest[0]["status"], newest[0]["reason"])
