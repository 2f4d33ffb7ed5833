"""The console on the whole application with three administrators and a resident, and bodies that it takes."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pyotp
import pytest_asyncio

from server.app import create_app
from server.people.tokens import TokenKeys
from server.services import Services
from tests.support.databases import Database
from tests.support.people import Outside, sessions_of
from tests.support.serving import serving, settings

ADMIN = "/api/admin/v1"
PASSWORD = "correct horse battery"
SECRET = pyotp.random_base32()
_numbers = itertools.count(1)


@dataclass
class Console:
    """A client, and the bearer headers of three administrators and a resident."""

    client: httpx.AsyncClient
    editor: dict[str, str]
    approver: dict[str, str]
    director: dict[str, str]
    resident: dict[str, str]

    async def post(self, path: str, who: dict[str, str], body: Any = None, **headers: str) -> httpx.Response:
        return await self.client.post(ADMIN + path, json=body, headers=who | headers)

    async def get(self, path: str, **query: Any) -> Any:
        """What the director reads there."""
        reply = await self.client.get(ADMIN + path, params=query, headers=self.director)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def live(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        made = (await self.post(path, self.editor, body)).json()
        await self.post(f"{path}/{made['id']}/submit", self.editor)
        reply = await self.post(f"{path}/{made['id']}/approve", self.approver)
        assert reply.status_code == 200, reply.text
        active: dict[str, Any] = reply.json()
        return active


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def window() -> dict[str, str]:
    now = datetime.now(UTC)
    return {"starts_at": (now - timedelta(days=1)).isoformat(), "ends_at": (now + timedelta(days=30)).isoformat()}


def campaign(**changes: Any) -> dict[str, Any]:
    body = {
        "title": f"实名有礼{next(_numbers)}", "document": "澄信办〔2026〕1号", "rule": rule(),
        "budget_points": 1_000, **window(),
    }  # fmt: skip
    return body | changes


def rule(points: Any = 100, fact: str = "identity_bound", **changes: Any) -> dict[str, Any]:
    document = {"trigger": {"kind": "fact", "fact": fact}, "effect": {"kind": "points", "points": points}}
    return document | changes


def template(**changes: Any) -> dict[str, Any]:
    body = {
        "title": "早餐券", "document": "澄信办〔2026〕2号", "kind": "discount", "stock": 10, "pay_bp": 8_500,
        "cap_fen": 3_000, "price_points": 60, **window(),
    }  # fmt: skip
    return body | changes


async def administrators(services: Services, *roles: str) -> dict[str, dict[str, str]]:
    """An administrator of each role, logged in: the headers by role, which is the name, too."""
    bearers = {}
    for role in roles:
        await services.administrators.create_admin(role, PASSWORD, roles=[role], totp_secret=SECRET)
        code = pyotp.TOTP(SECRET).at(services.clock.now())
        done = await services.administrators.log_in(role, PASSWORD, code, remote_ip="127.0.0.1", request_id="r")
        bearers[role] = _headers(done.tokens.access_token)
    return bearers


@pytest_asyncio.fixture(scope="module")
async def console(database: Database) -> AsyncIterator[Console]:
    chosen = settings(database_url=database.app, login_per_minute=1_000, admin_per_minute=10_000)
    app = create_app(chosen, name=f"incentives_{uuid4().hex[:8]}")
    async with serving(app) as client:
        services: Services = app.ctx.office.services
        bearers = await administrators(services, "editor", "approver", "director")
        sessions = sessions_of(services.clock, Outside(), keys=TokenKeys.of(chosen.signing_keys))
        login = await sessions.log_in("somebody")
        yield Console(client, *bearers.values(), _headers(login.tokens.access_token))
