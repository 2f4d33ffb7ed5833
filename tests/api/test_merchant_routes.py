"""Merchants over HTTP, from the console to the counter; no answer holds what a merchant must not see."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio

import server.admin_api.merchants
from miniprogram_api.merchant import sessions, staff, terminals
from server.incentives.judging import decoded
from server.kit.counts import WindowCounts
from server.kit.db import fetch
from server.kit.redis import Cache
from server.people.city_lists import CategoryEntry, CityLists, set_lists
from server.people.models import Administrator
from server.people.sessions import Owner
from tests.support.databases import Database
from tests.support.merchant_house import KEYS, House, Opened, built_house, opened_house
from tests.support.serving import application, serving, settings

MP, ADMIN = "/api/mp/v1/merchant", "/api/admin/v1"
ROUTES = [r for part in (sessions, staff, terminals, server.admin_api.merchants) for r in part.router.routes]
FORBIDDEN = ("openid", "resident", "score", "band", "identity")


@pytest_asyncio.fixture(scope="module")
async def opened(database: Database) -> AsyncIterator[Opened]:
    async with opened_house(database) as both:
        yield both


@pytest.fixture
def house(opened: Opened) -> House:
    return built_house(opened)


class Browser:
    """Sends requests and keeps what merchants were shown."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.shown: list[str] = []

    async def __call__(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, terminal: str | None = None
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if terminal:
            headers["X-Terminal-Token"] = terminal
        answer = await self.client.request(method, path, json=body, headers=headers)
        if path.startswith(MP):
            self.shown.append(answer.text)
        return answer.status_code, answer.json() if answer.content else None


@pytest_asyncio.fixture
async def browse(house: House) -> AsyncIterator[Browser]:
    services = SimpleNamespace(
        clock=house.clock,
        cache=Cache(None),
        counts=WindowCounts(Cache(None)),
        sessions=house.sessions,
        merchants=house.merchants,
    )
    keys = f"{KEYS.current}:{base64.b64encode(KEYS.keys[KEYS.current]).decode()}"
    async with serving(application(settings(token_keys=keys), ROUTES, services)) as client:
        browser = Browser(client)
        yield browser
        for text in browser.shown:
            assert not [word for word in FORBIDDEN if word in text.lower()], text


@pytest_asyncio.fixture
async def admin(house: House) -> str:
    return await admin_token(house, ["merchant_manager"])


async def admin_token(house: House, roles: list[str]) -> str:
    account = await Administrator.create(
        username=f"admin-{await Administrator.all().count()}",
        display_name="管理员",
        password_hash="$argon2id$none",
        totp_secret_sealed=b"x" * 64,
        roles=roles,
        created_at=house.clock.now(),
    )
    tokens = await house.sessions.issue(
        aud="admin", subject=str(account.id), extra_claims={}, owner=Owner(administrator_id=account.id)
    )
    return tokens.access_token


async def opened_shop(browse: Browser, admin: str, phone: str) -> tuple[str, str, str]:
    """(merchant id, store id, the owner's token)."""
    status, made = await browse("POST", f"{ADMIN}/merchants", {"name": "诚信超市", "owner_name": "老王"}, token=admin)
    assert status == 201, made
    merchant_id = made["merchant"]["id"]
    status, store = await browse(
        "POST", f"{ADMIN}/merchants/{merchant_id}/stores", {"town": "城关镇", "name": "总店"}, token=admin
    )
    assert status == 201, store
    code = made["owner_invitation"]["invitation_code"]
    status, joined = await browse("POST", f"{MP}/staff/join", {"code": phone, "invitation_code": code})
    assert (status, joined["role"], joined["all_stores"]) == (201, "owner", True)
    assert joined["stores"] == [{"id": store["id"], "town": "城关镇", "name": "总店", "status": "open"}]
    return merchant_id, store["id"], await logged_in(browse, phone, store["id"])


async def logged_in(browse: Browser, phone: str, store_id: str) -> str:
    status, session = await browse("POST", f"{MP}/sessions", {"code": phone, "store_id": store_id})
    assert status == 201, session
    assert session["terminal_id"].isdigit() and session["store"]["id"] == store_id
    token: str = session["access_token"]
    return token


async def test_a_cashier_is_invited_joins_logs_in_and_is_revoked_at_once(browse: Browser, admin: str) -> None:
    _, store_id, owner = await opened_shop(browse, admin, "a-owner")
    status, invited = await browse(
        "POST",
        f"{MP}/staff/invitations",
        {"role": "cashier", "display_name": "小李", "store_id": store_id},
        token=owner,
    )
    assert status == 201, invited
    status, joined = await browse(
        "POST", f"{MP}/staff/join", {"code": "a-li", "invitation_code": invited["invitation_code"]}
    )
    assert (status, joined["store_ids"], joined["display_name"]) == (201, [store_id], "小李")
    cashier = await logged_in(browse, "a-li", store_id)
    status, refused = await browse("GET", f"{MP}/staff", token=cashier)
    assert (status, refused["error"]["code"]) == (403, "forbidden")
    status, page = await browse("GET", f"{MP}/staff?limit=1", token=owner)
    assert (status, len(page["items"])) == (200, 1) and page["next_cursor"]
    status, revoked = await browse("POST", f"{MP}/staff/{joined['id']}/revoke", token=owner)
    assert (status, revoked["status"]) == (200, "revoked")
    status, refused = await browse("DELETE", f"{MP}/sessions/current", token=cashier)
    assert (status, refused["error"]["code"]) == (403, "staff_revoked")


async def test_a_machine_is_enrolled_and_serves_beside_a_session_until_revoked(browse: Browser, admin: str) -> None:
    _, store_id, owner = await opened_shop(browse, admin, "b-owner")
    status, issued = await browse(
        "POST", f"{MP}/terminals", {"store_id": store_id, "kind": "pc", "label": "收银台"}, token=owner
    )
    assert status == 201, issued
    status, enrolled = await browse(
        "POST", f"{MP}/terminals/enrol", {"enrolment_code": issued["enrolment_code"].lower()}
    )
    assert (status, enrolled["terminal"]["status"]) == (201, "active")
    status, again = await browse("POST", f"{MP}/terminals/enrol", {"enrolment_code": issued["enrolment_code"]})
    assert (status, again["error"]["code"]) == (409, "enrolment_rejected")
    secret = {"terminal_secret": enrolled["terminal_secret"]}
    status, session = await browse("POST", f"{MP}/terminals/session", secret)
    assert status == 201, session
    machine = session["access_token"]
    assert (await browse("GET", f"{MP}/terminals", token=owner, terminal=machine))[0] == 200
    status, refused = await browse("GET", f"{MP}/terminals", token=machine)
    assert (status, refused["error"]["code"]) == (403, "forbidden")
    terminal_id = enrolled["terminal"]["id"]
    assert (await browse("POST", f"{MP}/terminals/{terminal_id}/revoke", token=owner))[0] == 200
    status, refused = await browse("GET", f"{MP}/terminals", token=owner, terminal=machine)
    assert (status, refused["error"]["code"]) == (403, "terminal_revoked")
    status, refused = await browse("POST", f"{MP}/terminals/session", secret)
    assert (status, refused["error"]["code"]) == (403, "terminal_revoked")


async def test_a_suspended_merchant_reads_but_invites_nobody(browse: Browser, admin: str) -> None:
    merchant_id, store_id, owner = await opened_shop(browse, admin, "c-owner")
    status, shown = await browse("POST", f"{ADMIN}/merchants/{merchant_id}/suspend", {"reason": "核查"}, token=admin)
    assert (status, shown["status"], shown["stores"][0]["id"]) == (200, "suspended", store_id)
    assert (await browse("GET", f"{MP}/staff", token=owner))[0] == 200
    invitation = {"role": "auditor", "display_name": "小张"}
    status, refused = await browse("POST", f"{MP}/staff/invitations", invitation, token=owner)
    assert (status, refused["error"]["code"]) == (403, "merchant_suspended")
    assert (await browse("POST", f"{ADMIN}/merchants/{merchant_id}/reopen", {"reason": "完毕"}, token=admin))[0] == 200
    assert (await browse("POST", f"{MP}/staff/invitations", invitation, token=owner))[0] == 201


async def test_merchants_are_managed_by_their_scope_only(browse: Browser, house: House, admin: str) -> None:
    _, _, owner = await opened_shop(browse, admin, "d-owner")
    reader = await admin_token(house, ["auditor"])
    assert (await browse("GET", f"{ADMIN}/merchants?limit=1", token=reader))[0] == 200
    for token, expected in ((reader, 403), (owner, 403), (None, 401)):
        status, _ = await browse("POST", f"{ADMIN}/merchants", {"name": "丙", "owner_name": "丁"}, token=token)
        assert status == expected


async def test_bad_input_is_answered_and_never_a_fault(browse: Browser, admin: str) -> None:
    _, store_id, owner = await opened_shop(browse, admin, "e-owner")
    for method, path, body, token, expected in (
        ("POST", f"{MP}/sessions", {"code": "x", "store_id": "9" * 18}, None, "not_staff_here"),
        ("POST", f"{MP}/sessions", {"code": "x", "store_id": "9" * 19}, None, "invalid_field"),
        ("POST", f"{MP}/sessions", {"code": "x", "store_id": 1}, None, "invalid_field"),
        ("POST", f"{MP}/staff/join", {"code": "x", "invitation_code": "一"}, None, "invitation_rejected"),
        ("POST", f"{MP}/terminals/session", {"terminal_secret": "猜"}, None, "terminal_secret_rejected"),
        ("POST", f"{MP}/terminals", {"store_id": store_id, "kind": "phone"}, owner, "invalid_field"),
        ("POST", f"{MP}/staff/{2**70}/revoke", None, owner, "invalid_field"),
        ("POST", f"{MP}/terminals/{2**63}/revoke", None, owner, "invalid_field"),
        ("GET", f"{MP}/staff?cursor=zzz", None, owner, "invalid_field"),
        ("GET", f"{MP}/staff?limit=101", None, owner, "invalid_field"),
        ("GET", f"{ADMIN}/merchants/{2**64}", None, admin, "invalid_field"),
        ("POST", f"{ADMIN}/merchants", {"name": " ", "owner_name": "x"}, admin, "invalid_field"),
        ("POST", f"{ADMIN}/merchants", {"name": "a\x00b", "owner_name": "x"}, admin, "invalid_field"),
    ):
        status, answer = await browse(method, path, body, token=token)
        assert answer["error"]["code"] == expected, (path, body, status, answer)


async def test_a_merchant_is_of_a_category_of_the_city_s_list(browse: Browser, admin: str) -> None:
    wanted = [CategoryEntry("restaurant", "餐饮"), CategoryEntry("book", "书店")]
    await set_lists(CityLists(merchant_categories=wanted))
    status, listed = await browse("GET", f"{ADMIN}/merchant-categories", token=admin)
    assert (status, [one["name"] for one in listed["items"]]) == (200, ["餐饮", "书店"])
    shop = {"name": "老街面馆", "owner_name": "老李", "category": "canteen"}
    status, told = await browse("POST", f"{ADMIN}/merchants", shop, token=admin)
    assert (status, told["error"]["code"], told["error"]["field"]) == (400, "merchant_category_unknown", "category")
    status, made = await browse("POST", f"{ADMIN}/merchants", shop | {"category": "restaurant"}, token=admin)
    assert (status, made["merchant"]["category"]) == (201, "restaurant")
    path = f"{ADMIN}/merchants/{made['merchant']['id']}/category"
    for category in ("book", "book", None):
        status, seen = await browse("PUT", path, {"category": category}, token=admin)
        assert (status, seen["category"]) == (200, category)
    status, told = await browse("PUT", path, {"category": "x"}, token=admin)
    assert (status, told["error"]["code"]) == (400, "merchant_category_unknown")
    changes = await fetch("SELECT before, after FROM audit_entry WHERE action = 'merchant.categorise' ORDER BY id")
    assert [(decoded(row["before"])["category"], decoded(row["after"])["category"]) for row in changes] == [
        ("restaurant", "book"), ("book", None),
    ]  # fmt: skip
    await set_lists(CityLists(merchant_categories=wanted[:1]))
    assert (await browse("PUT", path, {"category": "book"}, token=admin))[0] == 400, "no longer listed"
