"""What every route gets from the web layer, on routes of the test's own, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from server.kit.clock import Clock
from server.kit.counts import WindowCounts
from server.kit.redis import Cache
from server.supervisor import bind
from server.web.routing import Call, Callers, Limit, Reply, Router
from server.web.running import running
from tests.support.patience import until
from tests.support.serving import application, serving, settings


class Order(msgspec.Struct, forbid_unknown_fields=True):
    amount_fen: int
    note: str = ""


class Echo(msgspec.Struct):
    amount_fen: int
    note: str


class Search(msgspec.Struct, forbid_unknown_fields=True):
    limit: int = 20


@dataclass
class Services:
    clock: Clock = field(default_factory=Clock)
    cache: Cache = field(default_factory=lambda: Cache(None))
    # Counts go by whole minutes: here none ends between two calls.
    counts: WindowCounts = field(default_factory=lambda: WindowCounts(Cache(None), unix=lambda: 30.0))
    finished: list[str] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)


router = Router(prefix="/t", tag="test")


@router.post("/orders", summary="order", body=Order, replies={201: Echo}, caller=Callers.anonymous)
async def order(call: Call, body: Order) -> Reply:
    return Reply.created(Echo(body.amount_fen, body.note))


@router.get("/search", summary="search", query=Search, replies={200: Search}, caller=Callers.anonymous)
async def search(call: Call, query: Search) -> Reply:
    return Reply.ok(query)


@router.post("/keyed", summary="keyed", replies={200: Search}, caller=Callers.anonymous, idempotent=True)
async def keyed(call: Call) -> Reply:
    assert call.idempotency_key is not None
    return Reply.ok(Search(call.idempotency_key.int >> 76 & 0xF))


@router.get("/private", summary="private", replies={200: Search}, caller=Callers.resident)
async def private(call: Call) -> Reply:
    return Reply.ok(Search())


@router.get(
    "/limited",
    summary="limited",
    replies={200: Search},
    caller=Callers.anonymous,
    limit=Limit("limited", per_minute=3, by="ip"),
)
async def limited(call: Call) -> Reply:
    return Reply.ok(Search())


@router.get(
    "/ceilings",
    summary="ceilings",
    replies={200: Search},
    caller=Callers.anonymous,
    limit=(Limit("device", per_minute=2, by="device"), Limit("together", per_minute=5, by="ip")),
)
async def ceilings(call: Call) -> Reply:
    return Reply.ok(Search())


@router.get("/broken", summary="broken", replies={200: Search}, caller=Callers.anonymous)
async def broken(call: Call) -> Reply:
    raise RuntimeError("a secret: 42")


@router.post("/slow", summary="slow", replies={204: None}, caller=Callers.anonymous)
async def slow(call: Call) -> Reply:
    call.services.started.set()
    await call.services.may_end.wait()
    call.services.finished.append(call.request_id)
    return Reply.nothing()


@pytest.fixture
def services() -> Services:
    return Services()


@pytest_asyncio.fixture
async def client(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(application(settings(), router.routes, services)) as opened:
        yield opened


def code_of(response: httpx.Response) -> str:
    error = response.json()["error"]
    assert error["message"] and error["request_id"] == response.headers["X-Request-ID"]
    return str(error["code"])


async def test_a_good_request_is_answered(client: httpx.AsyncClient) -> None:
    response = await client.post("/t/orders", json={"amount_fen": 5, "note": "茶"})
    assert (response.status_code, response.json()) == (201, {"amount_fen": 5, "note": "茶"})


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"", 400, "malformed_json", None),
        (b"{", 400, "malformed_json", None),
        (b"\xff\xfe", 400, "malformed_json", None),
        (b"[" * 20000, 400, "invalid_field", None),
        (b"[]", 400, "invalid_field", None),
        (b"{}", 400, "invalid_field", "amount_fen"),
        (b'{"amount_fen": "5"}', 400, "invalid_field", "amount_fen"),
        (b'{"amount_fen": 1.5}', 400, "invalid_field", "amount_fen"),
        (b'{"amount_fen": true}', 400, "invalid_field", "amount_fen"),
        (b'{"amount_fen": 1, "more": 2}', 400, "unknown_field", "more"),
        (b'{"amount_fen": 1, "note": "a\\u0000b"}', 400, "invalid_field", "note"),
        (b'{"amount_fen": 1, "note": "\\ud800"}', 400, "malformed_json", None),
        (b'{"amount_fen": 1, "note": "' + b"x" * 1_000_000 + b'"}', 413, "body_too_large", None),
    ],
)
async def test_a_bad_body_is_refused_with_its_reason(
    client: httpx.AsyncClient, body: bytes, status: int, code: str, field: str | None
) -> None:
    response = await client.post("/t/orders", content=body)
    assert (response.status_code, code_of(response)) == (status, code)
    assert response.json()["error"].get("field") == field


@pytest.mark.parametrize(
    ("query", "code"),
    [("limit=x", "invalid_field"), ("limit=1&limit=2", "invalid_field"), ("limits=1", "unknown_field")],
)
async def test_a_bad_query_is_refused(client: httpx.AsyncClient, query: str, code: str) -> None:
    response = await client.get(f"/t/search?{query}")
    assert (response.status_code, code_of(response)) == (400, code)


async def test_a_change_that_knows_no_query_refuses_one_instead_of_going_ahead(client: httpx.AsyncClient) -> None:
    response = await client.post("/t/orders?simulate=true", json={"amount_fen": 1})
    assert (response.status_code, code_of(response)) == (400, "unknown_field")
    assert response.json()["error"]["field"] == "simulate"
    assert (await client.post("/t/orders?", json={"amount_fen": 1})).status_code == 201


async def test_a_query_is_read_by_type(client: httpx.AsyncClient) -> None:
    assert (await client.get("/t/search?limit=7")).json() == {"limit": 7}


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "idempotency_key_required"),
        ("x", "idempotency_key_invalid"),
        ("3d813cbb-47fb-42ba-91df-831e1593ac29", "idempotency_key_invalid"),
        ("{01890a5d-ac96-774b-bcce-b302099a8057}", "idempotency_key_invalid"),
    ],
)
async def test_a_value_post_needs_a_v7_key(client: httpx.AsyncClient, key: str | None, code: str) -> None:
    response = await client.post("/t/keyed", headers={"Idempotency-Key": key} if key else {})
    assert (response.status_code, code_of(response)) == (400, code)


async def test_a_v7_key_reaches_the_handler(client: httpx.AsyncClient) -> None:
    response = await client.post("/t/keyed", headers={"Idempotency-Key": "01890a5d-ac96-774b-bcce-b302099a8057"})
    assert response.json() == {"limit": 7}


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "token_missing"),
        ("Basic x", "token_invalid"),
        ("Bearer x.y.z", "token_invalid"),
        ("Bearer " + "a" * 5000, "token_invalid"),
        ("Bearer eyJhbGciOiJub25lIn0.e30.", "token_invalid"),
    ],
)
async def test_a_token_that_does_not_hold_is_401(client: httpx.AsyncClient, token: str | None, code: str) -> None:
    response = await client.get("/t/private", headers={"Authorization": token} if token else {})
    assert (response.status_code, code_of(response)) == (401, code)
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_no_such_path_and_wrong_method_leave_in_the_envelope(client: httpx.AsyncClient) -> None:
    missing, wrong = await client.get("/nowhere"), await client.put("/t/orders")
    assert (missing.status_code, code_of(missing)) == (404, "route_not_found")
    assert (wrong.status_code, code_of(wrong)) == (405, "method_not_allowed")
    assert wrong.headers["Allow"] == "POST"


async def test_a_fault_tells_nothing(client: httpx.AsyncClient) -> None:
    response = await client.get("/t/broken")
    assert (response.status_code, code_of(response)) == (500, "internal_error")
    assert "secret" not in response.text


async def test_one_call_too_many_is_429_with_a_time(client: httpx.AsyncClient) -> None:
    answers = [await client.get("/t/limited") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[3].headers["Retry-After"]) == 31
    assert code_of(answers[3]) == "rate_limited"


async def test_a_call_must_be_within_every_ceiling_of_its_route(client: httpx.AsyncClient) -> None:
    async def ask(device: str) -> int:
        return (await client.get("/t/ceilings", headers={"X-Device-Id": device})).status_code

    assert [await ask("one") for _ in range(3)] == [200, 200, 429]
    assert [await ask(name) for name in ("two", "three", "four")] == [200, 200, 200]
    assert await ask("five") == 429, "the address has had its five, whatever a device calls itself"


async def test_our_own_request_id_is_used_whatever_a_client_sends(client: httpx.AsyncClient) -> None:
    response = await client.get("/t/search", headers={"X-Request-ID": "abc<script>"})
    assert len(response.headers["X-Request-ID"]) == 24


async def test_a_change_ends_although_its_client_hung_up(client: httpx.AsyncClient, services: Services) -> None:
    asked = asyncio.create_task(client.post("/t/slow"))
    await services.started.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await asyncio.sleep(0.3)  # the server learns of it
    assert services.finished == []
    services.may_end.set()

    async def finished() -> bool:
        return len(services.finished) == 1

    await until("the end of the change", finished)


async def test_requests_in_flight_end_before_the_services_close(services: Services) -> None:
    listener = bind("127.0.0.1", 0)
    listener.setblocking(False)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=address, timeout=10) as client:
        async with running(application(settings(), router.routes, services), listener):
            under_way = asyncio.create_task(client.post("/t/slow"))
            await services.started.wait()
            assert services.finished == []
            asyncio.get_running_loop().call_later(0.4, services.may_end.set)
        assert len(services.finished) == 1
        assert (await under_way).status_code == 204


async def test_a_keep_alive_connection_does_not_hold_up_the_end(services: Services) -> None:
    app, listener = application(settings(drain_s=60), router.routes, services), bind("127.0.0.1", 0)
    listener.setblocking(False)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        async with running(app, listener):
            await client.get("/t/search")
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 30, "less than who is busy is given"


async def test_metrics_count_by_template(client: httpx.AsyncClient) -> None:
    await client.get("/t/search?limit=3")
    text = (await client.get("/metrics")).text
    assert 'chengxin_request_seconds_count{method="GET",route="/t/search",status="200"}' in text


async def test_health_and_docs_answer(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]) == (503, {"database": "unreachable"})
    page = (await client.get("/docs")).text
    assert "http://" not in page and "https://" not in page
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js", "start.js"):
        assert (await client.get(f"/docs/assets/{name}")).status_code == 200, name
    assert (await client.get("/docs/assets/index.html")).status_code == 404
    document: dict[str, Any] = json.loads((await client.get("/openapi.json")).content)
    assert set(document["paths"]["/t/orders"]["post"]["responses"]) == {"201", "400", "413", "429", "500", "503"}
