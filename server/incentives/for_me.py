"""The campaigns of a resident: which he may get something from, which not and why, and how far he has come.

Everybody sees the same campaigns. Who wants to be addressed by his profile sees those first that he may get something
from; for everybody else the order is one and the same (guard rail 12). All of it is judged in a fixed number of
statements, however many campaigns there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from server.incentives.budgets import BudgetBoard
from server.incentives.campaigns import CampaignService, LiveCampaign
from server.incentives.counting import full_places, period_of
from server.incentives.effects import least_points
from server.incentives.gifts import GiftBoard, Stop
from server.incentives.judging import EVERY_FACT, Happened, Judge, Offer
from server.incentives.rules import Decision, Told, barred_by, deed_text, progress
from server.incentives.wording import limits_text
from server.kit.clock import Clock
from server.kit.db import fetch
from server.people.attributes import profiles_of
from wallet import Vault

State = Literal["open", "received", "held_out", "not_eligible", "exhausted", "paused"]
#: (place, end in µs, id): what a page goes on from.
Position = tuple[int, int, int]

_GOT: Final = """
SELECT l.k, count(*) AS times, coalesce(sum(a.points), 0)::bigint AS points, bool_or(a.held_out) AS held_out
FROM unnest($2::int[], $3::bigint[], $4::timestamptz[], $5::timestamptz[]) l (k, campaign_id, since, until)
JOIN award a ON a.resident_id = $1 AND a.campaign_id = l.campaign_id AND a.status <> 'refused'
JOIN fact f ON f.id = a.fact_id
  AND (l.since IS NULL OR f.occurred_at >= l.since) AND (l.until IS NULL OR f.occurred_at < l.until)
GROUP BY l.k
"""


@dataclass(frozen=True, slots=True)
class CampaignForMe:
    """A campaign as one resident sees it. `reason`: one sentence; `steps`: what is reached step by step."""

    campaign: LiveCampaign
    state: State
    reason: str
    steps: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Full:
    """A limit that a person has reached; `held_out`: by what he was not given."""

    limit: dict[str, Any]
    held_out: bool


class ResidentCampaigns:
    """Tells a resident of campaigns; about himself and nobody else."""

    def __init__(self, *, campaigns: CampaignService, vault: Vault, clock: Clock) -> None:
        self._campaigns, self._clock = campaigns, clock
        self._judge, self._board = Judge(clock), BudgetBoard(vault)
        self._gifts = GiftBoard(board=self._board, clock=clock)

    async def page(
        self, resident_id: int, after: Position | None, limit: int
    ) -> tuple[list[CampaignForMe], Position | None]:
        """Up to `limit` campaigns after a position, and the position of the last when there are more."""
        listed, now = await self._campaigns.live(), self._clock.now()
        if not listed:
            return [], None
        fact = Happened(EVERY_FACT, resident_id, None, now, {})
        offers = [_offer(one) for one in listed]
        decided = await self._judge.decide(fact, offers)
        full = await self._full(resident_id, listed, now)
        left = await self._board.left([one.budget_id for one in listed if one.budget_id])
        stops = await self._gifts.stops(decision.rule for _, decision in decided)
        profile = (await profiles_of([resident_id], now)).get(resident_id)
        town = (profile.town if profile is not None else None) or ""
        used_up = await full_places(_at_places(listed), town, self._clock.today())
        seen = [
            self._told(one, decision, full.get(one.id), left, _used_up(used_up.get(one.id)) or stop)
            for one, (_, decision), stop in zip(listed, decided, stops, strict=True)
        ]
        by_profile = profile is not None and profile.personalised
        placed = sorted(((_place(one, by_profile), one) for one in seen), key=lambda pair: pair[0])
        rest = [pair for pair in placed if after is None or pair[0] > after]
        page = rest[:limit]
        return [one for _, one in page], page[-1][0] if len(rest) > limit else None

    def _told(
        self, one: LiveCampaign, decision: Decision, full: Full | None, left: dict[int, int], stop: Stop | None
    ) -> CampaignForMe:
        steps = progress(decision, one.names)
        state: State = "open"
        barred = barred_by(decision, one.names)
        if full is not None and full.held_out:
            state, reason = "held_out", "您在本活动的对照组（由抽签确定），本期未发放"
        elif full is not None:
            state, reason = "received", f"您已领满：{limits_text([full.limit])[0]}"
        elif barred:
            state, reason = "not_eligible", f"须{'，且'.join(told.text for told in barred)}"
        elif one.budget_id and left.get(one.budget_id, 0) < least_points(decision.rule):
            state, reason = "exhausted", "预算已用完"
        elif stop is not None:
            state, reason = stop.state, stop.reason
        else:
            unmet = [told.progress.text for told in steps if told.progress is not None and not told.met]
            reason = "；".join(unmet) or f"您可以参加：{deed_text(decision.rule, one.names)}"
        return CampaignForMe(one, state, reason, steps)

    async def _full(self, resident_id: int, listed: Sequence[LiveCampaign], now: datetime) -> dict[int, Full]:
        """By campaign a limit of a person that is reached in the period of now."""
        limits = [(one.id, limit) for one in listed for limit in one.version.limits if limit["scope"] == "resident"]
        bounds = [period_of(limit, now, self._clock.zone) for _, limit in limits]
        rows = await fetch(
            _GOT, resident_id, list(range(len(limits))), [id for id, _ in limits], [since for since, _ in bounds],
            [until for _, until in bounds],
        )  # fmt: skip
        got = {row["k"]: row for row in rows}
        return {
            id: Full(limit, got[k]["held_out"])
            for k, (id, limit) in enumerate(limits)
            if k in got and got[k]["points" if limit["measure"] == "points" else "times"] >= limit["cap"]
        }


def _at_places(listed: Sequence[LiveCampaign]) -> list[tuple[int, dict[str, Any]]]:
    """The limits of places that the house counts: of campaigns that give no points."""
    return [
        (one.id, limit) for one in listed if not one.points for limit in one.version.limits
        if limit["scope"] != "resident"
    ]  # fmt: skip


def _used_up(limit: dict[str, Any] | None) -> Stop | None:
    return None if limit is None else Stop("exhausted", f"名额已发完：{limits_text([limit])[0]}")


def _place(one: CampaignForMe, by_profile: bool) -> Position:
    version = one.campaign.version
    return (int(by_profile and one.state != "open"), int(version.ends_at.timestamp() * 1_000_000), version.campaign_id)


def _offer(one: LiveCampaign) -> Offer:
    version = one.version
    return Offer(one.id, version.id, version.rule, version.limits, version.validity_months, one.began_at)
