"""What operators rely on, over real HTTP: health, figures, documentation, a killed process, a graceful stop."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest_asyncio

from server.sandbox.phone import CounterPhone
from tests.support.fragile import Fragile
from tests.support.patience import PATIENCE_S, until
from tests.support.play import GYM_STORE, books_balance, owner, rows, show, somebody_waits_for, ticket
from tests.support.town import Town

COUNTED = re.compile(r"^chengxin_request_seconds_count\{(.*)\} (\S+)$", re.MULTILINE)


async def figures(base_url: str) -> dict[tuple[str, str, str], float]:
    """Answered requests by (method, route, status), read on a fresh connection."""
    async with httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=30) as http:
        text = (await http.get("/metrics")).text
    found = {}
    for labels, value in COUNTED.findall(text):
        named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        found[named["method"], named["route"], named["status"]] = float(value)
    return found


@pytest_asyncio.fixture
async def running(fragile: Fragile) -> AsyncIterator[Fragile]:
    """The house, running before and after the test."""
    yield fragile
    house = fragile.town.house
    if house.processes["serve"].poll() is not None:
        house.start_process("serve")
    await house.wait_ready()
    await fragile.until_status("ready")


async def test_health_and_readiness_say_what_they_looked_at(town: Town) -> None:
    alive = await town.http.get("/healthz")
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    checks = dict.fromkeys(("database", "migrations", "grants", "vault_grants", "partitions", "cache"), "ok")

    async def all_well() -> bool:  # a cache that answers slowly counts as unreachable for a second
        ready = await town.http.get("/readyz")
        assert (ready.status_code, ready.json()["checks"].keys()) == (200, checks.keys())
        return bool(ready.json() == {"status": "ready", "checks": checks})

    await until("readiness", all_well)


async def test_the_figures_of_both_processes_add_up(running: Fragile) -> None:
    base_url, asked = running.town.base_url, 40
    key = ("GET", "/api/mp/v1/me", "401")
    before = (await figures(base_url)).get(key, 0)

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=30) as http:
            assert (await http.get("/api/mp/v1/me")).status_code == 401

    async def all_counted() -> bool:  # a request is counted when it is over, which is after its answer
        return (await figures(base_url)).get(key, 0) - before >= asked

    await asyncio.gather(*(ask() for _ in range(asked)))
    await until("the count of all requests", all_counted)
    for _ in range(6):
        assert (await figures(base_url))[key] - before == asked, "whoever is asked adds up all"
    await two_processes_take_requests(running.town)


async def two_processes_take_requests(town: Town) -> None:
    async def ready() -> bool:
        async with httpx.AsyncClient(base_url=town.base_url, trust_env=False, timeout=30) as http:
            return b"chengxin_ready_workers 2.0" in (await http.get("/metrics")).content

    await until("two processes taking requests", ready)


async def test_no_figure_has_a_person_or_an_id_in_it(town: Town) -> None:
    counter = await town.counter(GYM_STORE)
    shown = await show(town)
    receipt = await counter.redeem(await ticket(counter, shown))
    await counter.void(receipt["id"], "退")
    text = (await town.http.get("/metrics")).text
    assert '/api/mp/v1/merchant/redemptions/<redemption_id:uuid>/void"' in text
    for secret in (receipt["id"], shown.coupon_id, *town.shown.secrets):
        assert secret not in text


async def test_the_documentation_page_loads_nothing_from_elsewhere(town: Town) -> None:
    page = await town.http.get("/docs")
    assert "<title>澄信 API</title>" in page.text
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "http" not in policy
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert linked
    assert all(link.startswith("/docs/") for link in linked), linked
    for link in linked:
        answer = await town.http.get(link)
        assert (answer.status_code, bool(answer.content)) == (200, True), link
    start = (await town.http.get("/docs/assets/start.js")).text
    assert re.findall(r'url: "([^"]+)"', start) == ["/docs/contract.json"]
    assert (await town.http.get("/docs/contract.json")).json()["paths"].keys() == (
        await town.http.get("/openapi.json")
    ).json()["paths"].keys()
    for name in ("..%2f..%2fpyproject.toml", "start.js%00", "nothing.js"):
        assert (await town.http.get(f"/docs/assets/{name}")).status_code in (400, 404), name


async def test_a_process_killed_with_9_is_replaced_and_requests_keep_being_served(running: Fragile) -> None:
    town = running.town
    counter, shown = await town.counter(GYM_STORE), await show(town)
    before = running.http_processes()
    assert len(before) == 2
    text = await ticket(counter, shown)
    os.kill(before[0], signal.SIGKILL)
    receipts = []
    for _ in range(20):  # a client whose connection broke tries again: nothing is lost, nothing is done twice
        async with httpx.AsyncClient(base_url=town.base_url, trust_env=False, timeout=60) as http:
            phone = CounterPhone(http)
            phone.headers = counter.headers
            try:
                receipts.append(await phone.redeem(text))
            except httpx.TransportError:
                continue
    assert len(receipts) >= 10
    assert all(receipt == receipts[0] for receipt in receipts)

    async def replaced() -> bool:
        return len(set(running.http_processes()) - {before[0]}) >= 2

    await until("the replacement", replaced)
    assert before[1] in running.http_processes(), "the other one went on"
    await two_processes_take_requests(town)
    assert len(await rows(town, "SELECT 1 FROM vault.redemption WHERE coupon_id = $1::uuid", shown.coupon_id)) == 1
    await books_balance(town)


async def test_on_sigterm_readiness_flips_and_requests_in_flight_are_answered(running: Fragile) -> None:
    town = running.town
    counter, shown = await town.counter(GYM_STORE), await show(town)
    owner_id = int((await shown.resident.call("GET", "/me"))["resident_id"])
    text = await ticket(counter, shown)
    serve = town.house.processes["serve"]
    async with httpx.AsyncClient(base_url=town.base_url, trust_env=False, timeout=60) as http:
        phone = CounterPhone(http)
        phone.headers = counter.headers
        async with owner(town) as connection, connection.transaction():
            await connection.execute("SELECT FROM vault.wallet WHERE owner = $1 FOR UPDATE", owner_id)
            redeeming = asyncio.create_task(phone.redeem(text))
            await somebody_waits_for(connection)
            serve.send_signal(signal.SIGTERM)
            await until("the end of readiness", partial(no_longer_ready, town))
            assert not redeeming.done()
            assert serve.poll() is None, "it waits for what is under way"
        receipt = await asyncio.wait_for(redeeming, PATIENCE_S)
    assert receipt["discount_fen"] == 300
    assert await asyncio.to_thread(serve.wait, PATIENCE_S) == 0
    assert len(await rows(town, "SELECT 1 FROM vault.redemption WHERE id = $1::uuid", receipt["id"])) == 1


async def no_longer_ready(town: Town) -> bool:
    """Whether who asks now is told not to come, or not let in at all."""
    try:
        async with httpx.AsyncClient(base_url=town.base_url, trust_env=False, timeout=30) as http:
            answer = await http.get("/readyz")
    except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
        return True
    return (answer.status_code, answer.json()["status"]) == (503, "not_ready")


async def test_the_lanes_tell_what_they_sent_over_all_processes(fragile: Fragile) -> None:
    counter, shown = await fragile.town.counter(GYM_STORE), await show(fragile.town)

    async def sent() -> tuple[float, float]:
        async with httpx.AsyncClient(base_url=fragile.town.base_url, trust_env=False, timeout=30) as http:
            text = (await http.get("/metrics")).text
        read = {name: float(value) for name, value in re.findall(r"^chengxin_vault_(\w+) (\S+)$", text, re.MULTILINE)}
        return read["calls_total"], read["items_total"]

    calls, items = await sent()
    for _ in range(5):  # a code whose handle exists: a made-up one is answered from the directory, without a lane
        await ticket(counter, shown)

    async def reported() -> bool:  # every process reports once a second
        return (await sent())[1] >= items + 5

    await until("the report of what was sent", reported)
    calls_after, items_after = await sent()
    assert items_after >= items + 5 and calls < calls_after <= items_after
