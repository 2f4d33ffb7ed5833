"""The console of a house whose clock can be moved, for lotteries over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest_asyncio

from server.app import create_app
from server.kit.ids import uuid7
from server.kit.jobs import run_due
from server.services import Services
from tests.support.console import ADMIN, administrators
from tests.support.databases import Database
from tests.support.ledger import Ledger, open_ledger
from tests.support.serving import serving, settings

PUBLIC = "/api/public/v1"


def client_key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid7(datetime.now(UTC)))}


@dataclass
class Desk:
    """The console of a house whose clock can be moved, and what its worker does for lotteries."""

    client: httpx.AsyncClient
    services: Services
    ledger: Ledger
    people: dict[str, dict[str, str]]
    template_id: str = ""

    async def call(self, who: str, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        return await self.client.request(method, ADMIN + path, json=body, headers=self.people[who], params=query)

    def body(self, **changes: Any) -> dict[str, Any]:
        now = self.ledger.now()
        after = {name: (now + timedelta(minutes=minutes)).isoformat() for name, minutes in
                 (("opens_at", -1), ("closes_at", 5), ("draw_at", 10))}  # fmt: skip
        prizes = [{"rank": 1, "name": "大奖", "template_id": self.template_id, "count": 2}]
        return {"title": "新年抽奖", "document": "澄信办〔2026〕9号", **after, "prizes": prizes, **changes}

    async def published(self, **changes: Any) -> dict[str, Any]:
        made = (await self.call("editor", "POST", "/lotteries", self.body(**changes))).json()
        await self.call("editor", "POST", f"/lotteries/{made['id']}/submit")
        reply = await self.call("approver", "POST", f"/lotteries/{made['id']}/publish")
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    async def pass_time(self, minutes: float) -> None:
        await self.ledger.move_clock(minutes=minutes)
        self.services.clock.follow(await self.services.vault.now())
        while await self.services.lottery_draws.redrive() + await run_due(self.services.job_handlers):
            pass

    async def crowd(self, lottery_id: str, people: int) -> None:
        for resident in range(1, people + 1):
            await self.services.lottery_entries.enter_myself(
                int(lottery_id), resident, uuid7(self.services.clock.now())
            )

    async def public(self, path: str, **query: Any) -> httpx.Response:
        return await self.client.get(PUBLIC + path, params=query)


@pytest_asyncio.fixture(scope="module")
async def desk(database: Database) -> AsyncIterator[Desk]:
    chosen = settings(
        database_url=database.app, login_per_minute=1_000, admin_per_minute=10_000, address_per_minute=100_000,
        access_ttl_s=3_600,
    )  # fmt: skip
    app = create_app(chosen, name=f"lotteries_{uuid4().hex[:8]}")
    async with open_ledger(database) as ledger, serving(app) as client:
        services: Services = app.ctx.office.services
        people = await administrators(services, "editor", "approver", "director", "auditor", "merchant_manager")
        made = Desk(client, services, ledger, people)
        now = ledger.now()
        template = {
            "title": "电影票兑换券", "document": "澄信办〔2026〕8号", "kind": "exchange", "stock": 100, "sponsor_bp": 0,
            "claimable": False,
            "starts_at": (now - timedelta(days=1)).isoformat(), "ends_at": (now + timedelta(days=30)).isoformat(),
        }  # fmt: skip
        made.template_id = (await made.call("editor", "POST", "/coupon-templates", template)).json()["id"]
        await made.call("editor", "POST", f"/coupon-templates/{made.template_id}/submit")
        assert (await made.call("approver", "POST", f"/coupon-templates/{made.template_id}/approve")).is_success
        yield made
