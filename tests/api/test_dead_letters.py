"""Dead letters in the console, at a shell and among the figures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import httpx
import msgspec
import pyotp
import pytest_asyncio

from server.app import create_app
from server.kit.db import fetch
from server.services import Services
from tests.support.databases import Database
from tests.support.patience import until
from tests.support.serving import serving, settings

LETTERS = "/api/admin/v1/dead-letters"
PASSWORD = "correct horse battery"
SECRET = pyotp.random_base32()


@dataclass
class Console:
    client: httpx.AsyncClient
    database: Database
    director: dict[str, str]
    auditor: dict[str, str]
    manager: dict[str, str]

    async def post(self, path: str, who: dict[str, str], body: object = None) -> httpx.Response:
        return await self.client.post(LETTERS + path, json=body, headers=who)


@pytest_asyncio.fixture
async def console(fresh_database: Database) -> AsyncIterator[Console]:
    chosen = settings(database_url=fresh_database.app, login_per_minute=1_000, admin_per_minute=10_000)
    app = create_app(chosen, name=f"letters_{uuid4().hex[:8]}")
    async with serving(app) as client:
        services: Services = app.ctx.office.services
        bearers = []
        for role in ("director", "auditor", "merchant_manager"):
            name = role.replace("_", ".")
            await services.administrators.create_admin(name, PASSWORD, roles=[role], totp_secret=SECRET)
            code = pyotp.TOTP(SECRET).at(services.clock.now())
            done = await services.administrators.log_in(name, PASSWORD, code, remote_ip="127.0.0.1", request_id="r")
            bearers.append({"Authorization": f"Bearer {done.tokens.access_token}"})
        yield Console(client, fresh_database, *bearers)


async def letter(kind: str, key: str, status: str = "dead") -> str:
    rows = await fetch(
        "INSERT INTO job (kind, key, stream, payload, state, status, attempts, error, first_failed_at, last_failed_at,"
        " created_at) VALUES ($1, $2, 'house', '{\"at\": [7]}', '{}', $3, 10, 'ValueError', now(), now(), now())"
        " RETURNING id",
        kind,
        key,
        status,
    )
    return str(rows[0]["id"])


async def test_letters_are_listed_replayed_and_given_up_by_who_may(console: Console) -> None:
    first, waiting, second = await letter("awards", "a"), await letter("awards", "a", "waiting"), await letter("w", "b")
    page = (await console.client.get(LETTERS, headers=console.auditor)).json()
    assert [item["id"] for item in page["items"]] == [second, first]
    assert page["items"][1] | {"first_failed_at": "", "last_failed_at": ""} == {
        "id": first, "consumer": "awards", "stream": "house", "key": "a", "payload": {"at": [7]}, "error": "ValueError",
        "attempts": 10, "waiting": 1, "first_failed_at": "", "last_failed_at": "",
    }  # fmt: skip
    one = await console.client.get(LETTERS, params={"consumer": "w", "limit": "1"}, headers=console.auditor)
    rest = {"consumer": "w", "cursor": one.json()["next_cursor"]}
    assert [item["id"] for item in one.json()["items"]] == [second]
    assert (await console.client.get(LETTERS, params=rest, headers=console.auditor)).json()["items"] == []
    assert (await console.client.get(LETTERS, headers=console.manager)).status_code == 403
    assert (await console.post(f"/{first}/replay", console.auditor)).status_code == 403
    assert (await console.post(f"/{first}/replay", console.director)).json()["id"] == first
    again = await console.post(f"/{first}/replay", console.director)
    assert (again.status_code, again.json()["error"]["code"]) == (404, "dead_letter_not_found")
    unsaid = await console.post(f"/{second}/discard", console.director, {"reason": "  "})
    assert (unsaid.status_code, unsaid.json()["error"]["field"]) == (400, "reason")
    assert (await console.post(f"/{second}/discard", console.director, {"reason": "测试"})).status_code == 200
    left = {str(row["id"]): row["status"] for row in await fetch("SELECT id, status FROM job")}
    assert left == {first: "due", waiting: "waiting"}
    entries = await console.client.get("/api/admin/v1/audit-entries?object_kind=dead_letter", headers=console.auditor)
    actions = [(item["action"], item["object_id"], item["after"]) for item in entries.json()["items"]]
    assert actions == [("dead_letter.discard", second, {"reason": "测试"}), ("dead_letter.replay", first, None)]


async def test_the_figures_tell_of_dead_letters_and_of_consumers_that_lag(console: Console) -> None:
    await letter("figures", "a")
    await fetch("INSERT INTO event_cursor (consumer, stream, position) VALUES ('figures', 'house', '[]')")

    async def told() -> str:
        text = (await console.client.get("/metrics")).text
        lines = ('chengxin_dead_letters{consumer="figures"} 1.0', 'chengxin_relay_behind{consumer="figures"} 1.0')
        return text if all(line in text for line in lines) else ""

    assert "chengxin_oldest_transaction_seconds " in await until("the figures", told)


async def test_an_operator_sees_letters_and_has_them_tried_again(console: Console) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "server.cli", "dead-letters", *arguments, "--url", console.database.worker]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout

    assert run("list") == (0, "0 dead letters\n")
    number = await letter("awards", "a")
    status, said = run("list", "--json")
    assert (status, msgspec.json.decode(said)[0]["id"]) == (1, int(number))
    assert run("list", "--consumer", "nobody")[0] == 0
    assert run("replay", number) == (0, "1 will be tried again\n")
    assert run("replay", number)[0] == 1
    assert run("replay", "9" * 20, "0") == (1, "0 will be tried again\n"), "an id with more digits than ids have"
    assert run("discard", number, "--reason", "x")[0] == 1, "it is under way again"
    lost = await letter("awards", "b")
    assert run("discard", lost, "--reason", " ")[0] == 1
    assert run("discard", lost, "--reason", "nothing to mend") == (0, f"{lost} is given up\n")
    assert run("discard", lost, "--reason", "x")[0] == 1
    (given_up,) = await fetch(
        "SELECT actor_id, object_id, after ->> 'reason' AS reason FROM audit_entry"
        " WHERE action = 'dead_letter.discard' AND actor_kind = 'system'"
    )
    assert tuple(given_up.values()) == ("dead-letters", lost, "nothing to mend")
    (entry,) = await fetch("SELECT actor_kind, actor_id FROM audit_entry WHERE action = 'dead_letter.replay'")
    assert (entry["actor_kind"], entry["actor_id"]) == ("system", "dead-letters")
