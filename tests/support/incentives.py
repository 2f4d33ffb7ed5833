"""The incentives room on one database, with the real vault, and a vault whose wire can be cut."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest_asyncio

from server.incentives import handing
from server.incentives.awards import AwardService
from server.incentives.budgets import BudgetService
from server.incentives.campaigns import CampaignService, CampaignView
from server.incentives.commands import CampaignDraft, Signed, TemplateDraft
from server.incentives.effects import most_points
from server.incentives.experiments.withholding import Withholding
from server.incentives.facts import record_fact
from server.incentives.grants.desk import GrantDesk
from server.incentives.handing import Handing
from server.incentives.limits import Limit
from server.incentives.lottery.entries import EntryService
from server.incentives.models import Campaign
from server.incentives.rules import Rule
from server.incentives.rules.language import FactTrigger, GivePoints
from server.incentives.templates import TemplateService, TemplateView
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex
from server.kit.db import close_house, fetch, open_house, transaction
from tests.support.databases import Database
from wallet import Vault, VaultUnavailable

MAKER, CHECKER, THIRD = Signed(1, "r-1"), Signed(2, "r-2"), Signed(3, "r-3")
KEY = b"k" * 32


def desk_of(vault: Vault, clock: Clock) -> GrantDesk:
    """The desk that gives the coupons of campaigns."""
    return GrantDesk(vault=vault, clock=clock, job_key=KEY, settled={handing.SOURCE: handing.settle})


def awards_of(vault: Vault, clock: Clock) -> AwardService:
    """What gives for facts, with the desk that writes coupons down."""
    desk, entries = desk_of(vault, clock), EntryService(clock=clock, index=BlindIndex(KEY))
    return AwardService(
        vault=vault, clock=clock, job_key=KEY, handing=Handing(clock=clock, owe=desk.owe, enter=entries.enter),
        withholding=Withholding(clock=clock, index=BlindIndex(KEY)),
    )  # fmt: skip


def points_rule(points: int = 100, fact: str = "identity_bound") -> Rule:
    """So many points for a fact."""
    return Rule(trigger=FactTrigger(fact=fact), effect=GivePoints(points=points))


def per_person(cap: int, period: str = "total", action: str = "earn", measure: str = "count") -> tuple[Limit, ...]:
    """What one person may have."""
    return (Limit(cap, action, measure, period),)


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

    def campaign(self, *, points: int | None = None, **changes: object) -> CampaignDraft:
        now = self.clock.now()
        draft = CampaignDraft(
            "实名有礼", "澄信办〔2026〕1号", points_rule(), now - timedelta(days=1), now + timedelta(days=30), 1_000
        )  # fmt: skip
        if points is not None:
            draft = replace(draft, rule=points_rule(points))
        rule = changes.get("rule")
        if isinstance(rule, Rule) and not most_points(rule):
            draft = replace(draft, budget_points=None)
        return replace(draft, **changes)  # type: ignore[arg-type]

    def template(self, **changes: object) -> TemplateDraft:
        now = self.clock.now()
        draft = TemplateDraft(
            "早餐券", "澄信办〔2026〕2号", "amount_off", now - timedelta(days=1), now + timedelta(days=31), 10,
            face_value_fen=2_000, threshold_fen=5_000, price_points=60,
        )  # fmt: skip
        return replace(draft, **changes)  # type: ignore[arg-type]

    async def live_campaign(self, *, points: int | None = None, **changes: object) -> CampaignView:
        made = await self.campaigns.create(self.campaign(points=points, **changes), MAKER)
        await self.campaigns.submit(made.row.id, MAKER)
        return await self.campaigns.approve(made.row.id, CHECKER)

    async def live_template(self, **changes: object) -> TemplateView:
        made = await self.templates.create(self.template(**changes), MAKER)
        await self.templates.submit(made.row.id, MAKER)
        return await self.templates.approve(made.row.id, CHECKER)

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


@asynccontextmanager
async def opened_house(database: Database) -> AsyncIterator[House]:
    """The room on a database, with vaults of both roles; closed afterwards."""
    await open_house(database.worker)
    app = await Vault.connect(database.app, role="app")
    worker = await Vault.connect(database.worker, role="worker")
    clock = Clock()
    clock.follow(await app.now())
    yield House(
        app, worker, clock, CampaignService(vault=app, clock=clock), TemplateService(vault=app, clock=clock),
        BudgetService(vault=app, clock=clock), awards_of(worker, clock),
    )  # fmt: skip
    await worker.close()
    await app.close()
    await close_house()


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


@pytest_asyncio.fixture(scope="module")
async def opened(database: Database) -> AsyncIterator[House]:
    async with opened_house(database) as house:
        yield house


@pytest_asyncio.fixture
async def house(opened: House) -> AsyncIterator[House]:
    """The module's room; no campaign of a test outlives it."""
    yield opened
    await opened.end_all()
