"""Sessions and own data over HTTP."""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime, timedelta
from typing import Any

import httpx
import jwt
import pyotp
import pytest

from tests.support.people import PASSWORD, Room, id_number

SESSIONS = "/api/mp/v1/sessions"
ADMIN_SESSIONS = "/api/admin/v1/sessions"


async def logged_in(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.post(SESSIONS, json={"code": secrets.token_hex(8)})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def bearer(session: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {session['access_token']}"}


def refused(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert error["message"], "every refusal has words for people"
    assert error["request_id"]
    return answer.status_code, error["code"]


async def test_a_log_in_gives_a_ten_minute_token_and_says_that_the_name_is_not_bound(client: httpx.AsyncClient) -> None:
    session = await logged_in(client)
    assert session["bound"] is False
    assert session["token_type"] == "Bearer"
    server_time, ends = (datetime.fromisoformat(session[name]) for name in ("server_time", "expires_at"))
    assert timedelta(seconds=598) < ends - server_time <= timedelta(seconds=600)
    claims = jwt.decode(session["access_token"], options={"verify_signature": False})
    assert set(claims) == {"iss", "aud", "sub", "sid", "iat", "exp"}


async def test_own_data_is_masked_before_and_after_binding(client: httpx.AsyncClient) -> None:
    session = await logged_in(client)
    before = (await client.get("/api/mp/v1/me", headers=bearer(session))).json()
    assert (before["bound"], before["resident_id"], before["name"]) == (False, None, None)
    number = id_number()
    body = {"name": "张三", "id_number": number}
    bound = await client.post("/api/mp/v1/me/identity", json=body, headers=bearer(session))
    assert bound.status_code == 200, bound.text
    await client.post("/api/mp/v1/me/phone", json={"code": "from-the-button"}, headers=bearer(session))
    after = await client.get("/api/mp/v1/me", headers=bearer(session))
    me = after.json()
    assert (me["name"], me["phone"]) == ("张*", "138****0000")
    assert me["id_number"] == f"{number[:4]}**********{number[-4:]}"
    assert isinstance(me["resident_id"], str)
    assert number not in after.text + bound.text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"name": "张三", "id_number": "320281199001011234"}, (400, "id_number_invalid")),
        ({"name": "张三", "id_number": "1"}, (400, "id_number_invalid")),
        ({"name": "1", "id_number": "320281199001011234"}, (400, "name_invalid")),
        ({"name": "张三"}, (400, "invalid_field")),
        ({"name": "张三", "id_number": 5}, (400, "invalid_field")),
        ({"name": "张三", "id_number": "1", "score": 999}, (400, "unknown_field")),
        ({"name": "张" * 65, "id_number": "1"}, (400, "invalid_field")),
    ],
)
async def test_bad_input_gets_a_clear_answer(
    client: httpx.AsyncClient, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    session = await logged_in(client)
    answer = await client.post("/api/mp/v1/me/identity", json=body, headers=bearer(session))
    assert refused(answer) == expected


async def test_a_minor_is_refused_with_words_that_say_why(client: httpx.AsyncClient, room: Room) -> None:
    session = await logged_in(client)
    body = {"name": "张三", "id_number": id_number(f"{room.clock.now().year - 17}0101")}
    answer = await client.post("/api/mp/v1/me/identity", json=body, headers=bearer(session))
    assert refused(answer) == (403, "minor_refused")
    assert "十八周岁" in answer.text


async def test_a_refresh_rotates_repeats_for_honest_phones_and_ends_for_thieves(
    client: httpx.AsyncClient, room: Room
) -> None:
    session = await logged_in(client)
    body = {"refresh_token": session["refresh_token"]}
    answers = await asyncio.gather(*(client.post(f"{SESSIONS}/refresh", json=body) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    room.clock.offset = timedelta(seconds=31)
    assert refused(await client.post(f"{SESSIONS}/refresh", json=body)) == (401, "refresh_token_reused")
    newest = {"refresh_token": answers[0].json()["refresh_token"]}
    assert refused(await client.post(f"{SESSIONS}/refresh", json=newest)) == (401, "session_revoked")
    assert refused(await client.get("/api/mp/v1/me", headers=bearer(session))) == (401, "session_revoked")


@pytest.mark.parametrize("token", ["x", "A" * 71, "é", "A" * 128])
async def test_a_forged_refresh_token_is_refused(client: httpx.AsyncClient, token: str) -> None:
    answer = await client.post(f"{SESSIONS}/refresh", json={"refresh_token": token})
    assert refused(answer) == (401, "refresh_token_invalid")


async def test_a_log_out_ends_this_session_and_everywhere_ends_them_all(client: httpx.AsyncClient) -> None:
    first = await logged_in(client)
    gone = await client.delete(f"{SESSIONS}/current", headers=bearer(first))
    assert (gone.status_code, gone.content) == (204, b"")
    assert refused(await client.get("/api/mp/v1/me", headers=bearer(first))) == (401, "session_revoked")
    code = secrets.token_hex(8)
    phones = [(await client.post(SESSIONS, json={"code": code})).json() for _ in range(3)]
    assert (await client.delete(SESSIONS, headers=bearer(phones[0]))).status_code == 204
    for phone in phones:
        assert refused(await client.get("/api/mp/v1/me", headers=bearer(phone))) == (401, "session_revoked")


@pytest.mark.parametrize("ttl_s", [600])
async def test_an_expired_or_forged_access_token_is_refused(client: httpx.AsyncClient, room: Room, ttl_s: int) -> None:
    session = await logged_in(client)
    forged = jwt.encode(
        jwt.decode(session["access_token"], options={"verify_signature": False}),
        "not the key of the house, but long enough",
        headers={"kid": "1"},
    )
    answer = await client.get("/api/mp/v1/me", headers={"Authorization": f"Bearer {forged}"})
    assert refused(answer) == (401, "token_invalid")
    room.clock.offset = timedelta(seconds=ttl_s + 1)
    assert refused(await client.get("/api/mp/v1/me", headers=bearer(session))) == (401, "token_expired")


async def test_an_administrator_logs_in_refreshes_and_leaves(client: httpx.AsyncClient, room: Room) -> None:
    username, secret = f"admin{secrets.token_hex(4)}", pyotp.random_base32()
    await room.administrators.create_admin(username, PASSWORD, roles=("approver",), totp_secret=secret)
    body = {"username": username, "password": PASSWORD, "totp": pyotp.TOTP(secret).at(room.clock.now())}
    answer = await client.post(ADMIN_SESSIONS, json=body)
    assert answer.status_code == 201, answer.text
    session = answer.json()
    assert "campaign.activate" in session["scopes"]
    assert refused(await client.post(ADMIN_SESSIONS, json=body)) == (401, "admin_login_refused")
    token = {"refresh_token": session["refresh_token"]}
    assert refused(await client.post(f"{SESSIONS}/refresh", json=token)) == (401, "refresh_token_invalid")
    again = await client.post(f"{ADMIN_SESSIONS}/refresh", json=token)
    assert again.status_code == 200
    assert refused(await client.get("/api/mp/v1/me", headers=bearer(session))) == (403, "forbidden")
    left = await client.delete(f"{ADMIN_SESSIONS}/current", headers=bearer(again.json()))
    assert left.status_code == 204
    gone = await client.delete(f"{ADMIN_SESSIONS}/current", headers=bearer(session))
    assert refused(gone) == (401, "session_revoked")


async def test_too_many_wrong_passwords_are_told_when_to_come_back(client: httpx.AsyncClient) -> None:
    body = {"username": f"nobody{secrets.token_hex(4)}", "password": "wrong password", "totp": "123456"}
    for _ in range(5):
        assert refused(await client.post(ADMIN_SESSIONS, json=body)) == (401, "admin_login_refused")
    answer = await client.post(ADMIN_SESSIONS, json=body)
    assert refused(answer) == (429, "admin_login_locked")
    assert 10 <= int(answer.headers["Retry-After"]) <= 31


async def test_a_device_ceiling_is_not_avoided_by_another_name_each_time_nor_by_another_session(
    client: httpx.AsyncClient,
) -> None:
    async def come(session: dict[str, Any], device: str | None) -> int:
        named = {} if device is None else {"X-Device-Id": device}
        return (await client.get("/t/crowded", headers=bearer(session) | named)).status_code

    # Two a minute: of five calls one at least is too many, wherever the minute ends.
    one = await logged_in(client)
    assert 429 in [await come(one, f"fresh-{number}") for number in range(5)]
    assert 429 in [await come(await logged_in(client), "shared") for _ in range(5)]
    unnamed = await logged_in(client)
    assert 429 in [await come(unnamed, None) for _ in range(5)]
    assert [await come(await logged_in(client), f"own-{number}") for number in range(5)] == [204] * 5
