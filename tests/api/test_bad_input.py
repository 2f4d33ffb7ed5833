"""Bad input over real HTTP: a clear refusal with its code, in Chinese, naming the field; nothing is lost."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from server.sandbox.phone import CounterPhone, Phone, ResidentPhone, client_id
from tests.support.play import (
    EVERYWHERE,
    GYM_STORE,
    key_at,
    refused,
    send,
)
from tests.support.town import Town
from tests.support.visits import books, counter, resident, shown

__all__ = ["books", "counter", "resident", "shown"]


VERIFY, REDEEM = "/merchant/verifications", "/merchant/redemptions"


NOBODYS = "019a0000-0000-7000-8000-000000000000"


JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture
async def doors(town: Town) -> list[tuple[Phone, str, dict[str, Any], dict[str, str]]]:
    """Representative routes of every kind that take a body: who sends, where, a good body, the headers it needs."""
    resident = await town.resident(points=0)
    nobody, cashier, manager = Phone(town.http), await town.counter(GYM_STORE), await town.counter(GYM_STORE, "manager")
    key = {"Idempotency-Key": str(client_id())}
    return [
        (nobody, "/sessions", {"code": "x"}, {}),
        (nobody, "/sessions/refresh", {"refresh_token": "x"}, {}),
        (nobody, "/merchant/sessions", {"code": "x", "store_id": "1"}, {}),
        (resident, "/me/identity", {"name": "王", "id_number": "1"}, {}),
        (resident, "/coupons", {"template_id": "1"}, key),
        (resident, "/credentials", {"subject": {"kind": "coupon", "id": NOBODYS}}, {}),
        (resident, f"/credentials/{NOBODYS}/picture", {"format": "svg"}, {}),
        (cashier, VERIFY, {"code": "1" * 20}, {}),
        (cashier, REDEEM, {"ticket": "x"}, {}),
        (cashier, f"{REDEEM}/{NOBODYS}/void", {"reason": "x"}, {}),
        (manager, "/merchant/staff/invitations", {"role": "cashier", "display_name": "x"}, {}),
        (manager, "/merchant/terminals", {"store_id": "1", "kind": "gate"}, {}),
    ]


async def test_what_is_no_json_is_malformed_on_every_kind_of_route(doors: list[Any]) -> None:
    bodies = (
        b"",
        b"{",
        b"{'code': 1}",
        b'{"code": "x",}',
        b"\xff\xfe",
        b'"\xed\xa0\x80"',
        b"[" * 20_000,
        b'{"a": NaN}',
    )
    for phone, path, _, headers in doors:
        for body in bodies:
            answer = await send(phone, "POST", path, content=body, headers={**JSON, **headers})
            assert answer.status_code == 400, (path, body[:20], answer.text)
            assert answer.json()["error"]["code"] in ("malformed_json", "unknown_field", "invalid_field"), (
                path,
                answer.text,
            )


async def test_wrong_types_missing_and_unknown_fields_are_named(doors: list[Any]) -> None:
    for phone, path, good, headers in doors:
        for name in good:
            wrong = {**good, name: [] if isinstance(good[name], dict) else {}}
            refused(await send(phone, "POST", path, json=wrong, headers=headers), 400, "invalid_field", name)
        missing = dict(list(good.items())[1:])
        refused(await send(phone, "POST", path, json=missing, headers=headers), 400, "invalid_field", next(iter(good)))
        unknown = {**good, "is_admin": True}
        refused(await send(phone, "POST", path, json=unknown, headers=headers), 400, "unknown_field", "is_admin")
        for not_an_object in ("[]", '"x"', "1", "null"):
            answer = await send(phone, "POST", path, content=not_an_object, headers={**JSON, **headers})
            refused(answer, 400, "invalid_field")


async def test_nul_bytes_lone_surrogates_and_overlong_strings_are_refused(doors: list[Any]) -> None:
    for phone, path, good, headers in doors:
        name = next(name for name, value in good.items() if isinstance(value, str)) if "subject" not in good else None
        if name is None:
            continue
        for text in ('"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"\\udfff\\ud800"', json.dumps("长" * 20_000)):
            body = json.dumps({**good, name: "@"}).replace('"@"', text)
            answer = await send(phone, "POST", path, content=body.encode(), headers={**JSON, **headers})
            assert answer.status_code in (400, 401, 413), (path, text[:20], answer.text)
            assert "internal_error" not in answer.text


async def announced(town: Town, phone: Phone, path: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Status and body of the answer to a request that announces a megabyte and sends its beginning: a server that
    refuses reads no further, and a client still sending may lose the answer with the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", town.house.port)
    lines = [f"POST /api/mp/v1{path} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Length: {1 << 20}"]
    lines += [f"{name}: {value}" for name, value in {**JSON, **phone.headers, **headers}.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + b'{"x": "aaaa')
    try:
        head, _, body = (await asyncio.wait_for(reader.read(65_536), 60)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    return int(head.split()[1]), json.loads(body)


async def test_a_body_of_a_megabyte_is_too_large_everywhere(town: Town, doors: list[Any]) -> None:
    for phone, path, _, headers in doors:
        status, body = await announced(town, phone, path, headers)
        assert (status, body["error"]["code"]) == (413, "body_too_large"), path
        assert body["error"]["message"] == "提交的内容过大"
        with contextlib.suppress(httpx.TransportError):
            whole = await send(phone, "POST", path, content=b"a" * (1 << 20), headers={**JSON, **headers})
            refused(whole, 413, "body_too_large")


async def test_the_idempotency_key_is_a_fresh_uuid_of_version_7(town: Town, resident: ResidentPhone) -> None:
    body, now = {"template_id": town.templates[EVERYWHERE]}, datetime.now(UTC)
    refused(await send(resident, "POST", "/coupons", json=body), 400, "idempotency_key_required", "Idempotency-Key")
    fresh = str(client_id())
    for key in ("x", str(uuid4()), fresh.replace("-", ""), "{" + fresh + "}", fresh + "0", "0" * 36, fresh[:-1] + "g"):
        answer = await send(resident, "POST", "/coupons", json=body, headers={"Idempotency-Key": key})
        refused(answer, 400, "idempotency_key_invalid", "Idempotency-Key")
    for away in (timedelta(hours=-49), timedelta(days=-4000), timedelta(minutes=6), timedelta(days=4000)):
        headers = {"Idempotency-Key": str(key_at(now + away, client_id().int))}
        refused(await send(resident, "POST", "/coupons", json=body, headers=headers), 422, "idempotency_key_expired")
    for near in (timedelta(hours=-47), timedelta(minutes=4)):
        headers = {"Idempotency-Key": str(key_at(now + near, client_id().int))}
        answer = await send(resident, "POST", "/coupons", json=body, headers=headers)
        assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("path", ["/coupons", "/wallet/entries", "/merchant/redemptions"])
async def test_bad_cursors_and_limits_are_named(resident: ResidentPhone, counter: CounterPhone, path: str) -> None:
    phone: Phone = counter if path.startswith("/merchant") else resident

    def packed(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    cursors = [
        "x",
        "!!!!",
        "令",
        "%00",
        packed({}),
        packed([]),
        packed([1, 2]),
        packed([None]),
        packed(["x"]),
        packed([10**30]),
        packed([[]]),
    ]
    for cursor in cursors:
        answer = await send(phone, "GET", path, params={"cursor": cursor})
        refused(answer, 400, "invalid_field", "cursor")
    for limit in ("0", "-1", "101", "x", "1.5", "9" * 30):
        refused(await send(phone, "GET", path, params={"limit": limit}), 400, "invalid_field", "limit")
    refused(await send(phone, "GET", f"{path}?limit=1&limit=2"), 400, "invalid_field", "limit")
    refused(await send(phone, "GET", f"{path}?sort=points"), 400, "unknown_field", "sort")


async def test_paths_and_methods_that_are_not_there_say_so(town: Town, resident: ResidentPhone) -> None:
    refused(await send(resident, "GET", "/nothing"), 404, "route_not_found")
    refused(await send(resident, "GET", "/coupons/" + "9" * 300), 404, "route_not_found")
    for method in ("DELETE", "PATCH", "PUT"):
        refused(await send(resident, method, "/wallet"), 405, "method_not_allowed")
    for template in ("0", "-1", "x", "9" * 19, "1.5", "1 "):
        headers = {"Idempotency-Key": str(client_id())}
        answer = await send(resident, "POST", "/coupons", json={"template_id": template}, headers=headers)
        refused(answer, 400, "invalid_field", "template_id")
    headers = {"Idempotency-Key": str(client_id())}
    refused(
        await send(resident, "POST", "/coupons", json={"template_id": "9" * 18}, headers=headers),
        404,
        "terms_not_found",
    )
