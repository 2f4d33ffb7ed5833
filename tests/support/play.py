"""Scenes that many tests over HTTP begin with: somebody shows a coupon, somebody scans it, a template is made live."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pyotp

from server.sandbox.environment import ADMIN_PASSWORD, ADMINISTRATORS
from server.sandbox.phone import CounterPhone, Handle, ResidentPhone
from tests.support.patience import until
from tests.support.town import Town
from wallet.audit import prove

NOODLES, NOODLE_STORE, OTHER_NOODLE_STORE = "老街面馆十元券", "老街面馆（示例）北大街店", "老街面馆（示例）华士店"
BOOKS, BOOK_STORE = "澄江书苑八折券", "澄江书苑（示例）人民路店"
EVERYWHERE, GYM_STORE, OTHER_GYM_STORE = "诚信商户通用三元券", "滨江健身（示例）滨江店", "滨江健身（示例）新桥店"
SCARCE = "影城首映兑换券（限量十张）"


@dataclass
class Shown:
    """A resident who shows a coupon: the phone computes the digits from `handle`."""

    resident: ResidentPhone
    coupon_id: str
    handle: Handle

    def code(self, shift_s: float = 0) -> str:
        """The 20 digits by a phone whose clock is `shift_s` ahead."""
        return self.handle.code_at(time.time() + shift_s)


@dataclass
class Console:
    """Administrators over HTTP, each logged in once (a one-time code works once)."""

    town: Town
    tokens: dict[str, str] = field(default_factory=dict)

    async def call(self, username: str, method: str, path: str, body: object = None) -> Any:
        """The decoded answer of an administrator's request, which must succeed."""
        answer = await self.town.http.request(
            method, f"/api/admin/v1{path}", json=body, headers={"Authorization": f"Bearer {await self.token(username)}"}
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def token(self, username: str) -> str:
        """The access token of one of the sandbox's accounts."""
        if username not in self.tokens:
            account = next(one for one in ADMINISTRATORS if one.username == username)
            for ahead_s in (0, 30):  # somebody may have logged in with this half minute's code, which works once
                code = pyotp.TOTP(account.totp_secret).at(datetime.now(UTC) + timedelta(seconds=ahead_s))
                body = {"username": username, "password": ADMIN_PASSWORD, "totp": code}
                answer = await self.town.http.post("/api/admin/v1/sessions", json=body)
                if answer.status_code == httpx.codes.CREATED:
                    break
            assert answer.status_code == httpx.codes.CREATED, answer.text
            self.tokens[username] = answer.json()["access_token"]
        return self.tokens[username]

    async def campaign(self, title: str, rule: dict[str, Any], **changes: Any) -> str:
        """A live campaign of a thousand points that begins an hour ago, without limits per person; its id."""
        now = datetime.now(UTC)
        body = {
            "title": title, "document": "澄信办〔2026〕98号", "rule": rule, "limits": [],
            "starts_at": (now - timedelta(hours=1)).isoformat(), "ends_at": (now + timedelta(days=30)).isoformat(),
            **({"budget_points": 1_000} if rule["effect"]["kind"].startswith("points") else {}), **changes,
        }  # fmt: skip
        made = await self.call("editor", "POST", "/campaigns", body)
        await self.call("editor", "POST", f"/campaigns/{made['id']}/submit")
        await self.call("approver", "POST", f"/campaigns/{made['id']}/approve")

        async def active() -> bool:
            return bool((await self.call("approver", "GET", f"/campaigns/{made['id']}"))["status"] == "active")

        await until("the campaign becoming active", active)
        return str(made["id"])

    async def template(self, title: str, **changes: Any) -> str:
        """A live coupon template for any merchant; its id. Free and worth 3 yuan unless told otherwise."""
        now = datetime.now(UTC)
        body = {
            "title": title, "document": "澄信办〔2026〕99号", "kind": "amount_off", "stock": 100, "face_value_fen": 300,
            "starts_at": (now - timedelta(days=1)).isoformat(), "ends_at": (now + timedelta(days=31)).isoformat(),
            **changes,
        }  # fmt: skip
        made = await self.call("editor", "POST", "/coupon-templates", body)
        await self.call("editor", "POST", f"/coupon-templates/{made['id']}/submit")
        await self.call("approver", "POST", f"/coupon-templates/{made['id']}/approve")

        async def active() -> bool:
            seen = await self.call("approver", "GET", f"/coupon-templates/{made['id']}")
            return bool(seen["status"] == "active")

        await until("the template becoming active", active)
        return str(made["id"])


def chengxin(town: Town, *arguments: str) -> tuple[int, str, str]:
    """A command in the house's environment: status, what it printed, what it complained about."""
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", *arguments], env=town.house.environment, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


async def show(town: Town, title: str = EVERYWHERE, *, resident: ResidentPhone | None = None) -> Shown:
    """A (new) resident claims a coupon by its title and opens it on the phone."""
    who = resident or await town.resident()
    coupon = await who.claim(town.templates[title])
    (handle,) = await who.show(coupon["id"])
    return Shown(who, coupon["id"], handle)


async def ticket(counter: CounterPhone, shown: Shown) -> str:
    """Verifies what is shown, which must be usable."""
    found = await counter.verify(shown.code())
    assert found["result"] == "usable", found
    return str(found["ticket"])


async def send(phone: Any, method: str, path: str, **options: Any) -> httpx.Response:
    """An answer as it came, whatever its status. `headers` are added to the session's."""
    headers = {**phone.headers, **options.pop("headers", {})}
    answer: httpx.Response = await phone.http.request(method, f"/api/mp/v1{path}", headers=headers, **options)
    return answer


def refused(answer: httpx.Response, status: int, code: str, field: str | None = None) -> None:
    """Asserts a refusal: its status, its code, a Chinese message, the request id, and the field it names."""
    seen = answer.json()["error"]
    assert (answer.status_code, seen["code"]) == (status, code), answer.text
    assert any("\u4e00" <= char <= "\u9fff" for char in seen["message"]), seen
    assert seen["request_id"] == answer.headers["X-Request-ID"]
    if field is not None:
        assert seen.get("field") == field, seen


async def until_state(shown: ResidentPhone, coupon_id: str, state: str) -> None:
    """Returns once the resident sees the coupon in a state."""

    async def seen() -> bool:
        answer = await send(shown, "GET", f"/coupons/{coupon_id}")
        return bool(answer.json().get("state") == state)

    await until(f"the coupon's state {state!r}", seen)


async def books_balance(town: Town) -> None:
    """Asserts that check-ledger finds nothing broken."""
    assert [finding for finding in await prove(town.database.worker) if finding.broken] == []


async def rows(town: Town, sql: str, *arguments: object) -> list[dict[str, Any]]:
    """What the database holds."""
    async with owner(town) as connection:
        return [dict(row) for row in await connection.fetch(sql, *arguments)]


@asynccontextmanager
async def owner(town: Town) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the role that owns the tables."""
    connection = await asyncpg.connect(town.database.owner)
    try:
        yield connection
    finally:
        await connection.close()


async def somebody_waits_for(connection: asyncpg.Connection) -> None:
    """Returns once another session wants a row that this connection's transaction has locked."""

    async def waiting() -> int:
        sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"
        return int(await connection.fetchval(sql))

    await until("somebody waiting for the lock", waiting, every_s=0.02)


def key_at(at: datetime, rest: int = 0) -> UUID:
    """A UUIDv7 stamped with `at`."""
    value = (int(at.timestamp() * 1000) << 80) | (rest & ((1 << 62) - 1))
    return UUID(int=(value & ~(0xF << 76) & ~(0x3 << 62)) | (7 << 76) | (0x2 << 62))
