"""Campaigns: something for facts, by rules. The course they share with templates is in `course`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from server.incentives.budgets import STOCK_CACHE_S
from server.incentives.commands import CampaignDraft, Signed, check_comes, check_happens
from server.incentives.counting import Counted, counted_at_places
from server.incentives.course import Course, View
from server.incentives.drafting import Draft
from server.incentives.effects import most_points
from server.incentives.errors import CampaignNotFound
from server.incentives.gifts import check_gift
from server.incentives.limits import person_limits, scoped_limits
from server.incentives.models import Campaign, CampaignVersion
from server.incentives.names import check_known, names_of
from server.incentives.rows import Kind
from server.incentives.rules import Names, Rule
from server.incentives.wording import campaign_text
from server.kit.clock import Clock
from server.kit.db import fetch
from wallet import EarnTerms, Vault

#: Shown at most; a city has dozens that give at the same time.
LISTED_MOST = 1_000
_LIVE = """
SELECT v.id, b.id AS budget_id,
  (SELECT min(o.starts_at) FROM campaign_version o WHERE o.campaign_id = c.id AND o.live_at IS NOT NULL) AS began_at
FROM campaign c JOIN campaign_version v ON v.id = c.live_version
LEFT JOIN budget b ON b.campaign_id = c.id AND b.unit = 'points'
WHERE c.status IN ('active', 'scheduled') AND v.starts_at <= $1 AND v.ends_at > $1
ORDER BY v.ends_at, c.id LIMIT $2
"""
CAMPAIGNS = Kind("campaign", "campaign_id", Campaign, CampaignVersion, CampaignNotFound)

CampaignView = View[Campaign, CampaignVersion]


@dataclass(frozen=True, slots=True)
class LiveCampaign:
    """A campaign that gives now, by its live version. `names`: what its rule mentions is called; `began_at`: whatever
    version; `budget_id`: of its points, None where it gives none."""

    id: int
    version: CampaignVersion
    terms_text: str
    points: int
    names: Names
    began_at: datetime
    budget_id: int | None


class CampaignService(Course[Campaign, CampaignVersion]):
    """What administrators do with campaigns, and what residents see of them."""

    def __init__(self, *, vault: Vault, clock: Clock) -> None:
        super().__init__(kind=CAMPAIGNS, vault=vault, clock=clock)
        self._listed: tuple[float, list[LiveCampaign]] | None = None
        self._one_reader = asyncio.Lock()

    async def texts(self, versions: Sequence[CampaignVersion]) -> list[str]:
        """What each version promises, in Chinese."""
        rules = [msgspec.convert(version.rule, Rule) for version in versions]
        names = await names_of(rules, self._clock.today())
        return [campaign_text(version, self._clock.zone, names) for version in versions]

    def _forget(self) -> None:
        self._listed = None

    async def _check(self, draft: Draft) -> None:
        await super()._check(draft)
        if isinstance(draft, CampaignDraft):
            draft.check_days(self._clock.zone, self._clock.now())
            await check_known(draft.rule, self._clock.today())
            await check_gift(draft.rule, draft.starts_at, draft.ends_at, self._clock, approval=False)

    async def approve(self, row_id: int, signed: Signed, revision: int | None = None) -> CampaignView:
        """As for every row. What lies before the approval is nobody's: the start is lifted, and refused is a rule that
        can happen on no day that is left, names what the city has no longer, or promises what cannot come."""
        version = await self._rows.open_version(await self._rows.find(row_id))
        if version is not None and version.status == "in_review":
            rule, now, zone = msgspec.convert(version.rule, Rule), self._clock.now(), self._clock.zone
            check_comes(rule, zone, now)
            if version.ends_at > now:
                check_happens(rule, max(version.starts_at, now), version.ends_at, zone)
                await check_known(rule, self._clock.today())
                await check_gift(rule, version.starts_at, version.ends_at, self._clock, approval=True)
        return await super().approve(row_id, signed, revision)

    async def limit_use(self, view: CampaignView, small_cell: int) -> list[Counted]:
        """What is used now of the limits of all together, and of towns that are no small cell; nothing of what gives
        points, which the vault counts."""
        if most_points(msgspec.convert(view.version.rule, Rule)):
            return []
        counted = await counted_at_places(view.row.id, view.version.limits, self._clock.today())
        return [one for one in counted if one.limit["scope"] != "town" or one.used >= small_cell]

    async def live(self) -> list[LiveCampaign]:
        """The campaigns that give now, soonest to end first; at most 1,000, at most a second old."""
        async with self._one_reader:
            known = self._listed
            if known is None or time.monotonic() - known[0] > STOCK_CACHE_S:
                self._listed = known = (time.monotonic(), await self._read_live())
            listed = known[1]
        now = self._clock.now()
        return [one for one in listed if one.version.starts_at <= now < one.version.ends_at]

    async def _read_live(self) -> list[LiveCampaign]:
        rows = await fetch(_LIVE, self._clock.now(), LISTED_MOST)
        kept = {} if self._listed is None else {one.version.id: one for one in self._listed[1]}
        versions = {id: one.version for id, one in kept.items()}  # a live version says the same for ever
        fresh = [row["id"] for row in rows if row["id"] not in kept]
        versions |= {one.id: one for one in await CampaignVersion.filter(id__in=fresh)} if fresh else {}
        rules = {row["id"]: msgspec.convert(versions[row["id"]].rule, Rule) for row in rows}
        names = await names_of(rules.values(), self._clock.today())
        texts = {id: one.terms_text for id, one in kept.items() if one.names == names}
        return [
            LiveCampaign(
                id=version.campaign_id, version=version, points=most_points(rules[version.id]), names=names,
                terms_text=texts.get(version.id) or campaign_text(version, self._clock.zone, names),
                began_at=row["began_at"], budget_id=row["budget_id"],
            )
            for row in rows
            for version in [versions[row["id"]]]
        ]  # fmt: skip

    async def _put_terms(self, row: Campaign, version: CampaignVersion, budgets: dict[str, int]) -> None:
        points = most_points(msgspec.convert(version.rule, Rule))
        if not points:
            return
        await self._vault.put_earn_terms(
            EarnTerms(
                id=version.id,
                points_budget=budgets["points"],
                points=points,
                validity_months=version.validity_months,
                person_limits=person_limits(f"campaign:{row.id}", "earn", version.limits),
                scoped_limits=scoped_limits(f"campaign:{row.id}", version.limits),
            )
        )
