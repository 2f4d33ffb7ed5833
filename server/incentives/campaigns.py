"""Campaigns: points for facts, from draft to end. The course they share with templates is in `course`."""

from __future__ import annotations

from dataclasses import dataclass

from server.incentives.budgets import BudgetService, BudgetState
from server.incentives.commands import CampaignDraft, Signed
from server.incentives.course import Course, owner_of
from server.incentives.errors import CampaignNotFound
from server.incentives.models import Budget, Campaign
from server.incentives.wording import campaign_text
from server.kit.clock import Clock
from wallet import EarnTerms, PersonLimit, Vault

SHOWN_TO_RESIDENTS = 100


@dataclass(frozen=True, slots=True)
class CampaignView:
    """A campaign with its budgets as they stand and its rule in Chinese."""

    row: Campaign
    budgets: list[BudgetState]
    terms_text: str


class CampaignService:
    """What administrators do with campaigns, and what residents see of them."""

    def __init__(self, *, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock
        self._budgets = BudgetService(vault=vault, clock=clock)
        self._course: Course[Campaign] = Course(
            model=Campaign,
            noun="campaign",
            missing=CampaignNotFound,
            vault=vault,
            clock=clock,
            put_terms=self._put_terms,
        )

    async def create(self, draft: CampaignDraft, signed: Signed) -> CampaignView:
        """Write a draft. Raises InvalidField for what cannot be."""
        draft.check()
        return await self._view(await self._course.create(draft.columns(), draft.planned(), signed))

    async def edit(
        self, campaign_id: int, draft: CampaignDraft, signed: Signed, revision: int | None = None
    ) -> CampaignView:
        """Replace a draft's content. Raises AlreadyLive once approved, RevisionChanged on an old `revision`."""
        draft.check()
        row = await self._course.edit(campaign_id, draft.columns(), draft.planned(), signed, revision)
        return await self._view(row)

    async def submit(self, campaign_id: int, signed: Signed) -> CampaignView:
        """Hand a draft over for review."""
        return await self._view(await self._course.submit(campaign_id, signed))

    async def activate(self, campaign_id: int, signed: Signed, revision: int | None = None) -> CampaignView:
        """Approve and start; refused to the last editor with SecondPersonRequired."""
        return await self._view(await self._course.activate(campaign_id, signed, revision))

    async def pause(self, campaign_id: int, signed: Signed) -> CampaignView:
        """Stop giving points at once."""
        return await self._view(await self._course.pause(campaign_id, signed))

    async def resume(self, campaign_id: int, signed: Signed) -> CampaignView:
        """Go on after a pause."""
        return await self._view(await self._course.resume(campaign_id, signed))

    async def end(self, campaign_id: int, signed: Signed) -> CampaignView:
        """End for good."""
        return await self._view(await self._course.end(campaign_id, signed))

    async def get(self, campaign_id: int) -> CampaignView:
        """One campaign. Raises CampaignNotFound."""
        return await self._view(await self._course.find(campaign_id))

    async def page(self, before_id: int | None, limit: int, status: str | None = None) -> list[CampaignView]:
        """Up to `limit` campaigns with an id below `before_id`, newest first."""
        chosen = Campaign.all() if status is None else Campaign.filter(status=status)
        if before_id is not None:
            chosen = chosen.filter(id__lt=before_id)
        rows = await chosen.order_by("-id").limit(limit)
        budgets = await Budget.filter(campaign_id__in=[row.id for row in rows]).order_by("id")
        states = await self._budgets.states(budgets)
        return [
            CampaignView(row, [state for state in states if state.campaign_id == row.id], self.text(row))
            for row in rows
        ]

    async def live(self) -> list[Campaign]:
        """The campaigns that give points now, soonest to end first; at most 100."""
        now = self._clock.now()
        running = Campaign.filter(status__in=("active", "scheduled"), pending=None, starts_at__lte=now, ends_at__gt=now)
        return await running.order_by("ends_at", "id").limit(SHOWN_TO_RESIDENTS)

    def text(self, campaign: Campaign) -> str:
        """The rule in Chinese."""
        return campaign_text(campaign, self._clock.zone)

    async def redrive(self) -> int:
        """For the worker, every few seconds: finish, start and end what is due; returns how much it did."""
        return await self._course.redrive()

    async def _view(self, row: Campaign) -> CampaignView:
        budgets = await Budget.filter(**owner_of(row)).order_by("id")
        return CampaignView(row, await self._budgets.states(budgets), self.text(row))

    async def _put_terms(self, row: Campaign, budgets: dict[str, int]) -> None:
        limit = PersonLimit(
            limit_id=f"campaign:{row.id}", cap=row.per_person, action="earn", period=row.per_person_period  # type: ignore[arg-type]
        )  # fmt: skip
        await self._vault.put_earn_terms(
            EarnTerms(
                id=row.id,
                points_budget=budgets["points"],
                points=row.points,
                validity_months=row.validity_months,
                person_limits=(limit,),
            )
        )
