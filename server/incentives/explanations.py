"""Why a resident got something of a campaign, or not: judged anew for him, told in Chinese part by part."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from server.incentives.errors import CampaignNotFound
from server.incentives.judging import EVERY_FACT, Happened, Judge, Offer, happened, offer_of
from server.incentives.names import names_of
from server.incentives.rules import Told, explain, progress, reasons
from server.kit.clock import Clock
from server.kit.db import fetch

# By the version that was live at an instant; before and after all of them by the one that stands for the campaign.
_OFFER_AT = """
SELECT v.campaign_id, v.id AS version_id, v.rule, v.limits, v.validity_months, v.hold_out, v.starts_at, v.ends_at,
  v.trigger, s.id IS NOT NULL AND v.starts_at <= {at} AND {at} < v.ends_at AS ran,
  (SELECT min(o.starts_at) FROM campaign_version o WHERE o.campaign_id = v.campaign_id AND o.live_at IS NOT NULL) AS
  began_at
FROM campaign_version v JOIN campaign c ON c.id = v.campaign_id
LEFT JOIN campaign_span s ON s.version_id = v.id AND s.from_at <= {at} AND (s.until_at IS NULL OR {at} < s.until_at)
WHERE c.id = $1 AND v.live_at IS NOT NULL AND c.status <> 'archived'
ORDER BY s.id IS NULL, v.id = c.live_version DESC, v.number DESC LIMIT 1
"""
_OFFER: Final = _OFFER_AT.format(at="$2")
# The newest facts of a kind, each with its award and the version that was live when it happened.
_NEWEST_WITH = """
SELECT f.*, a.effect, a.points, a.status, a.reason, m.minutes, m.valid_until, o.*
FROM (SELECT f.id, f.resident_id, f.kind, f.occurred_at, f.attributes FROM fact f
      WHERE f.resident_id = $2 AND f.kind = $3 AND f.occurred_at >= $4 AND f.occurred_at < $5 AND (NOT $6
        OR EXISTS (SELECT FROM award a WHERE a.fact_id = f.id AND a.campaign_id = $1))
      ORDER BY f.occurred_at DESC, f.id DESC LIMIT $7) f
LEFT JOIN award a ON a.fact_id = f.id AND a.campaign_id = $1 LEFT JOIN free_minutes m ON m.award_id = a.id
CROSS JOIN LATERAL ({offer}) o
ORDER BY f.occurred_at DESC, f.id DESC
"""
_NEWEST: Final = _NEWEST_WITH.format(offer=_OFFER_AT.format(at="f.occurred_at"))
#: So many facts are looked through for one of which a narrowed trigger speaks.
LOOKED_THROUGH: Final = 200
#: Facts of such an hour are given nothing, whatever the rule says of them.
NOT_RUNNING: Final = Told("running", "发生时活动正在进行", False, "当时活动尚未开放、已暂停或已结束")


@dataclass(frozen=True, slots=True)
class Given:
    """What became of the award for the fact. status: pending | posted | withheld, as he is held out | refused, with the
    reason's code. `minutes`, usable through `valid_until`: of free minutes that were handed over."""

    effect: str
    points: int
    status: str
    reason: str
    minutes: int = 0
    valid_until: date | None = None


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
        """By his newest fact that the campaign speaks of; when none is as its trigger narrows them, by the newest of
        that kind, which tells what it lacks; or else as he stands now. Raises CampaignNotFound for what was never live
        or is archived."""
        row = await self._offer(campaign_id, self._clock.now())
        newest = await self._newest(resident_id, row)
        if newest is not None:
            row, fact = newest, happened(newest)
        else:
            fact = Happened(EVERY_FACT, resident_id, None, self._clock.now(), {})
        offer: Offer = offer_of(row)
        ((_, decision),) = await self._judge.decide(fact, [offer])
        names = await names_of([decision.rule], self._clock.today())
        given = _given(newest)
        stood = (NOT_RUNNING,) if newest is not None and given is None and not row["ran"] else ()
        return Explanation(
            decision.granted and not stood, fact.occurred_at if newest is not None else None, given,
            stood + reasons(decision, names), progress(decision, names), stood + explain(decision, names),
        )  # fmt: skip

    async def _newest(self, resident_id: int, stands: dict[str, Any]) -> dict[str, Any] | None:
        """The fact to explain, with its award and the version it is judged by; the first of those that were given
        something when newer ones say nothing."""
        wanted = (
            stands["campaign_id"], resident_id, stands["trigger"], stands["began_at"], stands["ends_at"],
        )  # fmt: skip
        newest: dict[str, Any] | None = None
        for awarded, most in ((False, 1), (False, LOOKED_THROUGH), (True, 1)):
            rows = await fetch(_NEWEST, *wanted, awarded, most)
            newest = newest or (rows[0] if rows else None)
            for row in rows:
                if row["status"] is not None or self._judge.speaks_of(happened(row), offer_of(row)):
                    return row
            if len(rows) < most:
                break
        return newest

    async def _offer(self, campaign_id: int, at: datetime) -> dict[str, Any]:
        rows = await fetch(_OFFER, campaign_id, at)
        if not rows:
            raise CampaignNotFound
        return rows[0]


def _given(newest: dict[str, Any] | None) -> Given | None:
    if newest is None or newest["status"] is None:
        return None
    return Given(
        newest["effect"], newest["points"], newest["status"], newest["reason"], newest["minutes"] or 0,
        newest["valid_until"],
    )  # fmt: skip
