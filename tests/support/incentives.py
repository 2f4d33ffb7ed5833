"""The incentives room on one database, with the real vault, and a vault whose wire can be cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from server.incentives.awards import AwardService
from server.incentives.budgets import BudgetService
from server.incentives.campaigns import CampaignService, CampaignView
from server.incentives.commands import CampaignDraft, Signed, TemplateDraft
from server.incentives.facts import record_fact
from server.incentives.models import Campaign
from server.incentives.templates import TemplateService, TemplateView
from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from wallet import Vault, VaultUnavailable

MAKER, CHECKER, THIRD = Signed(1, "r-1"), Signed(2, "r-2"), Signed(3, "r-3")
KEY = b"k" * 32


@dataclass
class House:
    """The room's services on one database."""

    app: Vault
    worker: Vault
    clock: Clock
    campaigns: CampaignService
    templates: TemplateService
    budgets: BudgetService
    awards: AwardService

    def campaign(self, **changes: object) -> CampaignDraft:
        now = self.clock.now()
        draft = CampaignDraft(
            "实名有礼",
            "澄信办〔2026〕1号",
            "identity_bound",
            100,
            1_000,
            now - timedelta(days=1),
            now + timedelta(days=30),
        )
        return replace(draft, **changes)  # type: ignore[arg-type]

    def template(self, **changes: object) -> TemplateDraft:
        now = self.clock.now()
        draft = TemplateDraft(
            "早餐券", "澄信办〔2026〕2号", "amount_off", 10, now - timedelta(days=1), now + timedelta(days=30),
            face_value_fen=2_000, threshold_fen=5_000, price_points=60,
        )  # fmt: skip
        return replace(draft, **changes)  # type: ignore[arg-type]

    async def live_campaign(self, **changes: object) -> CampaignView:
        made = await self.campaigns.create(self.campaign(**changes), MAKER)
        await self.campaigns.submit(made.row.id, MAKER)
        return await self.campaigns.activate(made.row.id, CHECKER)

    async def live_template(self, **changes: object) -> TemplateView:
        made = await self.templates.create(self.template(**changes), MAKER)
        await self.templates.submit(made.row.id, MAKER)
        return await self.templates.activate(made.row.id, CHECKER)

    async def tell(self, resident_id: int, occurred_at: datetime | None = None) -> bool:
        at = occurred_at or self.clock.now()
        async with transaction() as tx:
            return await record_fact(tx, resident_id, "identity_bound", f"resident:{resident_id}", at, {"way": "name"})

    async def points(self, resident_id: int) -> int:
        rows = await fetch("SELECT points_avail FROM vault.wallet WHERE owner = $1", resident_id)
        return int(rows[0]["points_avail"]) if rows else 0

    async def end_all(self) -> None:
        for row in await Campaign.filter(status__in=("active", "scheduled", "paused"), pending=None):
            await self.campaigns.end(row.id, CHECKER)


class Unreachable:
    """The vault behind a wire that is cut after `calls` calls."""

    def __init__(self, vault: Vault, calls: int) -> None:
        self._vault, self._left = vault, calls

    def __getattr__(self, name: str) -> object:
        async def call(*args: object, **named: object) -> object:
            if self._left == 0:
                raise VaultUnavailable
            self._left -= 1
            return await getattr(self._vault, name)(*args, **named)

        return call
