"""Bad input over real HTTP: a clear refusal with its code, in Chinese, naming the field; nothing is lost."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
import pytest_asyncio

from server.sandbox.phone import CounterPhone, Phone, ResidentPhone, client_id
from tests.support.play import (
    BOOK_STORE,
    BOOKS,
    EVERYWHERE,
    GYM_STORE,
    NOODLE_STORE,
    NOODLES,
    Console,
    Shown,
    books_balance,
    key_at,
    refused,
    send,
    show,
    ticket,
)
from tests.support.town import Town
from wallet.credentials import code_of, luhn_digit

VERIFY, REDEEM = "/merchant/verifications", "/merchant/redemptions"
NOBODYS = "019a0000-0000-7000-8000-000000000000"
JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture(scope="module")
async def shown(town: Town) -> Shown:
    return await show(town)


@pytest_asyncio.fixture(scope="module")
async def resident(shown: Shown) -> ResidentPhone:
    return shown.resident


@pytest_asyncio.fixture
async def counter(town: Town) -> CounterPhone:
    return await town.counter(GYM_STORE)


@pytest_asyncio.fixture(scope="module", autouse=True)
async def books(town: Town) -> AsyncIterator[None]:
    yield
    await books_balance(town)


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


def forged(town: Town, genuine: str, *, key: bytes | None = None, kid: str | None = None, **changes: Any) -> str:
    """A token with the claims of a genuine one, changed, and signed by the house's key unless told otherwise."""
    first, secret = next(iter(town.settings.signing_keys.items()))
    claims = {**jwt.decode(genuine, options={"verify_signature": False}), **changes}
    return jwt.encode(claims, key or secret, algorithm="HS256", headers={"kid": kid or first})


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_expired_and_forged_tokens_open_nothing(
    town: Town, resident: ResidentPhone, counter: CounterPhone
) -> None:
    now, secret = int(time.time()), next(iter(town.settings.signing_keys.values()))
    for phone, path in ((resident, "/wallet"), (counter, REDEEM)):
        genuine = phone.headers["Authorization"].removeprefix("Bearer ")
        header, payload, signature = genuine.split(".")
        none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT","kid":"sandbox1"}').decode().rstrip("=")
        claims = jwt.decode(genuine, options={"verify_signature": False})
        tokens = {
            "token_expired": [forged(town, genuine, iat=now - 700, exp=now - 100)],
            "token_invalid": [
                f"{none}.{payload}.",
                f"{none}.{payload}.{signature}",
                forged(town, genuine, key=b"k" * 32),
                forged(town, genuine, kid="another"),
                forged(town, genuine, iss="somebody"),
                forged(town, genuine, exp="soon"),
                jwt.encode(claims, secret, algorithm="HS384", headers={"kid": "sandbox1"}),
                f"{header}.{payload}.{signature[:-4]}AAAA",
                "x", "x.y.z", "令牌", "a" * 5_000,
            ],
            "session_revoked": [
                forged(town, genuine, sid=str(uuid4())),
                forged(town, genuine, sid="nonsense"),
                forged(town, genuine, sub="1"),
            ],
        }  # fmt: skip
        for code, several in tokens.items():
            for token in several:
                value = f"Bearer {token}".encode()
                answer = await town.http.get(f"/api/mp/v1{path}", headers={"Authorization": value})
                refused(answer, 401, code)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
        refused(await town.http.get(f"/api/mp/v1{path}"), 401, "token_missing")
        wrong_scheme = await town.http.get(f"/api/mp/v1{path}", headers={"Authorization": f"Basic {genuine}"})
        refused(wrong_scheme, 401, "token_invalid")
        for audience in ("admin", "merchant", "resident", "terminal"):
            if audience == claims["aud"]:
                continue
            turned = {"Authorization": f"Bearer {forged(town, genuine, aud=audience)}"}
            answer = await town.http.get(f"/api/mp/v1{path}", headers=turned)
            assert (answer.status_code in (401, 403), answer.status_code < 500) == (True, True), answer.text


async def test_a_token_of_one_kind_does_not_open_routes_of_another(
    town: Town, console: Console, resident: ResidentPhone, counter: CounterPhone
) -> None:
    refused(await send(resident, "POST", VERIFY, json={"code": "1" * 20}), 403, "forbidden")
    refused(await send(counter, "GET", "/wallet"), 403, "forbidden")
    for phone in (resident, counter):
        refused(await town.http.get("/api/admin/v1/coupon-templates", headers=phone.headers), 403, "forbidden")
    admin = {"Authorization": f"Bearer {await console.token('editor')}"}
    refused(await town.http.get("/api/mp/v1/wallet", headers=admin), 403, "forbidden")
    refused(
        await town.http.post("/api/admin/v1/merchants/1/suspend", json={"reason": "x"}, headers=admin), 403, "forbidden"
    )
    invitation = {"role": "cashier", "display_name": "x", "store_id": town.stores[GYM_STORE]}
    refused(await send(counter, "POST", "/merchant/staff/invitations", json=invitation), 403, "forbidden")
    auditor = await town.counter(GYM_STORE, "auditor")
    refused(await send(auditor, "POST", REDEEM, json={"ticket": "x"}), 403, "forbidden")


async def test_somebody_without_a_real_name_has_no_wallet(town: Town) -> None:
    phone = ResidentPhone(town.http)
    _, _, openid = await town.person()
    await phone.log_in(await town.control.login_code(openid))
    for method, path in (("GET", "/wallet"), ("GET", "/coupons"), ("GET", "/events"), ("POST", "/coupons")):
        refused(await send(phone, method, path), 403, "binding_required")


async def test_the_coupons_and_codes_of_others_are_not_found(town: Town, shown: Shown) -> None:
    stranger = await town.resident()
    refused(await send(stranger, "GET", f"/coupons/{shown.coupon_id}"), 404, "coupon_not_found")
    subject = {"subject": {"kind": "coupon", "id": shown.coupon_id}}
    answer = await send(stranger, "POST", "/credentials", json=subject)
    nobodys = await send(stranger, "POST", "/credentials", json={"subject": {"kind": "coupon", "id": NOBODYS}})
    assert 400 <= answer.status_code < 500, answer.text
    assert (answer.status_code, answer.json()["error"]["code"]) == (
        nobodys.status_code,
        nobodys.json()["error"]["code"],
    )
    path = f"/credentials/{shown.handle.credential_id}"
    refused(await send(stranger, "POST", f"{path}/picture", json={"format": "png"}), 404, "credential_not_found")
    assert await stranger.call("POST", f"{path}/burn", {"reason": "left"}) == {"burnt": False}
    assert (await shown.resident.picture(shown.handle.credential_id)).startswith(b"\x89PNG"), "it was not burnt"


async def test_a_key_of_another_or_for_another_body_moves_nothing(town: Town, resident: ResidentPhone) -> None:
    other, key = await town.resident(), {"Idempotency-Key": str(client_id())}
    first = await send(resident, "POST", "/coupons", json={"template_id": town.templates[EVERYWHERE]}, headers=key)
    assert first.status_code == 201, first.text
    changed = await send(resident, "POST", "/coupons", json={"template_id": town.templates[NOODLES]}, headers=key)
    refused(changed, 422, "idempotency_mismatch")
    theirs = await send(other, "POST", "/coupons", json={"template_id": town.templates[EVERYWHERE]}, headers=key)
    assert theirs.status_code in (201, 409, 422), theirs.text
    assert "Idempotency-Replayed" not in theirs.headers
    assert (await resident.call("GET", f"/coupons/{first.json()['id']}"))["state"] == "issued"


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


async def test_what_is_not_twenty_digits_of_ours_is_malformed(counter: CounterPhone, shown: Shown) -> None:
    good = shown.code()
    full_width = "".join(chr(ord(digit) + 0xFEE0) for digit in good)
    arabic = "".join(chr(ord(digit) - 48 + 0x660) for digit in good)
    wrong_luhn = good[:-1] + str((int(good[-1]) + 1) % 10)
    other_prefix = "82" + good[2:-1]
    swapped = good[:5] + good[6] + good[5] + good[7:]
    other_prefix += str(luhn_digit(other_prefix))
    codes = [good[:-1], good + "0", full_width, arabic, wrong_luhn, other_prefix, " " + good[1:],
             "-" + good[1:], "1e19", "0x" + good[2:], "https://a.cn/", good[:10] + "\n" + good[11:]]  # fmt: skip
    codes += [swapped] if good[5] != good[6] and {good[5], good[6]} != {"0", "9"} else []
    for code in codes:
        refused(await send(counter, "POST", VERIFY, json={"code": code}), 400, "code_malformed", "code")
    refused(await send(counter, "POST", VERIFY, json={"code": ""}), 400, "invalid_field", "code")
    refused(await send(counter, "POST", VERIFY, json={"code": int(good)}), 400, "invalid_field", "code")
    assert (await counter.verify(good))["result"] == "usable", "none of them cost the code anything"


async def test_stale_foreign_unknown_and_used_codes_get_one_and_the_same_answer(
    town: Town, counter: CounterPhone
) -> None:
    one, books_only, used, burnt = await show(town), await show(town, BOOKS), await show(town), await show(town)
    await counter.redeem(await ticket(counter, used))
    await burnt.resident.call("POST", f"/credentials/{burnt.handle.credential_id}/burn", {"reason": "left"})
    handle = one.handle
    codes = {
        "stale": one.code(-90), "ahead": one.code(90),
        "forged": code_of(handle.prefix, handle.handle, bytes(20), time.time()),
        "unknown": code_of(handle.prefix, (handle.handle + 1) % 10**10, handle.seed, time.time()),
        "another merchant's": books_only.code(), "used": used.code(), "burnt": burnt.code(),
    }  # fmt: skip
    answers = {}
    for name, code in codes.items():
        answer = await send(counter, "POST", VERIFY, json={"code": code})
        assert answer.status_code == 200, (name, answer.text)
        answers[name] = answer.content
    assert len(set(answers.values())) == 1, answers
    assert json.loads(answers["stale"])["result"] == "not_valid"
    assert (await counter.verify(one.code()))["result"] == "usable"
    right = await town.counter(BOOK_STORE)
    assert (await right.verify(books_only.code()))["result"] == "usable", "the wrong merchant did not burn it"


async def test_order_amounts_are_asked_for_exactly_when_the_terms_need_them(town: Town, counter: CounterPhone) -> None:
    noodles = await town.counter(NOODLE_STORE)
    text = await ticket(noodles, await show(town, NOODLES))

    async def tries(phone: CounterPhone, ticket: str, amount: Any) -> Any:
        return await send(phone, "POST", REDEEM, json={"ticket": ticket, "order_amount_fen": amount})

    refused(await send(noodles, "POST", REDEEM, json={"ticket": text}), 422, "order_amount_required")
    refused(await tries(noodles, text, 1_999), 409, "below_threshold")
    for amount in (0, -1, 10**11 + 1, 10**18, 10**40, 2_000.5, "2000", True, [], {}):
        refused(await tries(noodles, text, amount), 400, "invalid_field", "order_amount_fen")
    assert (await tries(noodles, text, 2_000)).status_code == 201, "no refusal cost the ticket anything"
    refused(await tries(noodles, text, 2_001), 422, "idempotency_mismatch")
    plain = await ticket(counter, await show(town))
    refused(await tries(counter, plain, 5_000), 422, "order_amount_refused")
    assert (await send(counter, "POST", REDEEM, json={"ticket": plain})).status_code == 201


async def test_tickets_and_redemption_ids_that_are_not_ours_are_refused(
    town: Town, counter: CounterPhone, shown: Shown
) -> None:
    text = await ticket(counter, await show(town))
    middle = len(text) // 2
    turned = text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]
    for wrong in ("x", text[:-3], text + "AAAA", turned, "凭据", shown.code(), "." * 200):
        refused(await send(counter, "POST", REDEEM, json={"ticket": wrong}), 400, "ticket_invalid")
    for unknown in (NOBODYS, str(client_id()), shown.coupon_id):
        refused(
            await send(counter, "POST", f"{REDEEM}/{unknown}/void", json={"reason": "x"}), 404, "redemption_not_found"
        )
    refused(await send(counter, "POST", f"{REDEEM}/nonsense/void", json={"reason": "x"}), 404, "route_not_found")
    receipt = await counter.redeem(text)
    for reason in ("", "   ", "长" * 201, 1, None):
        answer = await send(counter, "POST", f"{REDEEM}/{receipt['id']}/void", json={"reason": reason})
        refused(answer, 400, "invalid_field", "reason")


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
