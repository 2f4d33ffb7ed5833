"""The inbox and the WeChat grants, over real HTTP; the house's own worker sends."""

from __future__ import annotations

import base64
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from server.sandbox.phone import Phone, ResidentPhone
from server.sandbox.wechat import SANDBOX_TEMPLATES
from tests.support.databases import connected
from tests.support.patience import until
from tests.support.play import refused, send
from tests.support.town import Town

POINTS_TEMPLATE, COUPON_TEMPLATE = SANDBOX_TEMPLATES
COUPON = str(uuid4())


@pytest_asyncio.fixture
async def resident(town: Town) -> ResidentPhone:
    return await town.resident(points=0)


async def resident_id(phone: Phone) -> int:
    return int((await phone.call("GET", "/me"))["resident_id"])


async def tell(
    town: Town, resident: int, *, days: int, kind: str = "points_expiring", subject: str = "", push: str = "none"
) -> int:
    """A notice as the worker writes it; its id."""
    last_day = date.today() + timedelta(days=days)  # noqa: DTZ011
    points = 80 if kind == "points_expiring" else None
    async with connected(town.database.owner) as owner:
        number: int = await owner.fetchval(
            "INSERT INTO notice (resident_id, kind, subject, last_day, lead_days, points, name, title, body,"
            " created_at, push, push_at, attempts) VALUES ($1, $2, $3, $4, $5, $6, '', '积分即将到期', '您有 80 积分',"
            " clock_timestamp(), $7::text, CASE WHEN $7::text <> 'none' THEN clock_timestamp() END, 0) RETURNING id",
            resident, kind, subject or last_day.isoformat(), last_day, days, points, push,
        )  # fmt: skip
        return number


async def test_a_resident_reads_the_own_notices_newest_first_and_page_by_page(
    town: Town, resident: ResidentPhone
) -> None:
    me = await resident_id(resident)
    made = [await tell(town, me, days=days) for days in (30, 7, 3)]
    coupon = await tell(town, me, days=5, kind="coupon_expiring", subject=COUPON)
    first = await resident.call("GET", "/me/notices?limit=3")
    assert [int(one["id"]) for one in first["items"]] == [coupon, made[2], made[1]]
    assert first["unread"] == 4
    assert first["items"][0]["coupon_id"] == COUPON
    assert first["items"][0]["points"] is None
    assert first["items"][1]["points"] == 80
    assert first["items"][1]["coupon_id"] is None
    second = await resident.call("GET", f"/me/notices?limit=3&cursor={first['next_cursor']}")
    assert [int(one["id"]) for one in second["items"]] == [made[0]]
    assert second["next_cursor"] is None


async def test_a_notice_is_read_once_and_counted_no_more(town: Town, resident: ResidentPhone) -> None:
    number = await tell(town, await resident_id(resident), days=7)
    read = await resident.call("POST", f"/me/notices/{number}/read")
    assert read["read_at"] is not None
    assert await resident.call("POST", f"/me/notices/{number}/read") == read, "again changes nothing"
    page = await resident.call("GET", "/me/notices")
    assert (page["unread"], page["items"][0]["read_at"]) == (0, read["read_at"])


async def test_nobody_reads_the_notices_of_others(town: Town, resident: ResidentPhone) -> None:
    number = await tell(town, await resident_id(resident), days=7)
    other = await town.resident(points=0)
    assert await other.call("GET", "/me/notices") == {"items": [], "unread": 0, "next_cursor": None}
    refused(await send(other, "POST", f"/me/notices/{number}/read"), 404, "notice_not_found")
    assert (await resident.call("GET", "/me/notices"))["unread"] == 1


@pytest.mark.parametrize("number", ["0", "999999999999", str(2**63 - 1), "-1"])
async def test_a_notice_that_is_not_there_is_not_found(resident: ResidentPhone, number: str) -> None:
    answer = await send(resident, "POST", f"/me/notices/{number}/read")
    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize("number", [str(2**63), "9" * 40])
async def test_a_number_that_no_notice_can_have_is_refused(resident: ResidentPhone, number: str) -> None:
    refused(await send(resident, "POST", f"/me/notices/{number}/read"), 400, "invalid_field")


async def test_without_a_bound_name_there_is_no_inbox_but_a_grant_may_be_left(town: Town) -> None:
    phone = ResidentPhone(town.http)
    await phone.log_in(await town.control.login_code("o-unbound"))
    refused(await send(phone, "GET", "/me/notices"), 403, "binding_required")
    answer = await phone.call("POST", "/me/notice-grants", {"results": {POINTS_TEMPLATE: "accept"}})
    assert {one["template_id"]: one["left"] for one in answer["items"]}[POINTS_TEMPLATE] == 1


async def test_staff_and_strangers_have_no_inbox(town: Town) -> None:
    stranger = Phone(town.http)
    for method, path in (("GET", "/me/notices"), ("GET", "/me/notice-grants"), ("POST", "/me/notices/1/read")):
        refused(await send(stranger, method, path), 401, "token_missing")


async def test_every_accept_is_counted_and_nothing_else(resident: ResidentPhone) -> None:
    before = await resident.call("GET", "/me/notice-grants")
    assert before == {
        "items": [
            {"kind": "points_expiring", "template_id": POINTS_TEMPLATE, "left": 0},
            {"kind": "coupon_expiring", "template_id": COUPON_TEMPLATE, "left": 0},
        ]
    }
    for results, left in (
        ({POINTS_TEMPLATE: "accept", COUPON_TEMPLATE: "reject"}, [1, 0]),
        ({POINTS_TEMPLATE: "acceptWithAudio", COUPON_TEMPLATE: "accept"}, [2, 1]),
        ({POINTS_TEMPLATE: "ban", COUPON_TEMPLATE: "filter"}, [2, 1]),
    ):
        answer = await resident.call("POST", "/me/notice-grants", {"results": results})
        assert [one["left"] for one in answer["items"]] == left
    assert await resident.call("GET", "/me/notice-grants") == answer


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 400, "invalid_field", "results"),
        ({"results": {}}, 400, "invalid_field", "results"),
        ({"results": []}, 400, "invalid_field", "results"),
        ({"results": {POINTS_TEMPLATE: "yes"}}, 400, "invalid_field", None),
        ({"results": {POINTS_TEMPLATE: True}}, 400, "invalid_field", None),
        ({"results": {"": "accept"}}, 400, "invalid_field", None),
        ({"results": {"x" * 65: "accept"}}, 400, "invalid_field", None),
        ({"results": {f"t{n}": "accept" for n in range(6)}}, 400, "invalid_field", "results"),
        ({"results": {"another-template": "accept"}}, 422, "message_template_unknown", "results"),
        ({"results": {POINTS_TEMPLATE: "accept"}, "count": 9}, 400, "unknown_field", "count"),
    ],
)
async def test_what_is_no_answer_of_wechat_s_is_refused_and_counts_nothing(
    resident: ResidentPhone, body: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    refused(await send(resident, "POST", "/me/notice-grants", json=body), status, code, field)
    assert [one["left"] for one in (await resident.call("GET", "/me/notice-grants"))["items"]] == [0, 0]


async def test_a_bad_cursor_and_a_bad_limit_are_named(resident: ResidentPhone) -> None:
    refused(await send(resident, "GET", "/me/notices?cursor=nonsense"), 400, "invalid_field", "cursor")
    other = base64.urlsafe_b64encode(b'["a"]').decode()
    refused(await send(resident, "GET", f"/me/notices?cursor={other}"), 400, "invalid_field", "cursor")
    refused(await send(resident, "GET", "/me/notices?limit=101"), 400, "invalid_field", "limit")


async def test_the_house_sends_what_was_granted(town: Town) -> None:
    name, number, openid = await town.person()
    phone = ResidentPhone(town.http)
    await phone.log_in(await town.control.login_code(openid))
    await phone.bind(name, number)
    await town.control.subscribe(openid, POINTS_TEMPLATE)
    await phone.call("POST", "/me/notice-grants", {"results": {POINTS_TEMPLATE: "accept"}})
    await tell(town, await resident_id(phone), days=7, push="due")

    async def arrived() -> list[dict[str, Any]]:
        return [one for one in await town.control.messages() if one["touser"] == openid]

    (message,) = await until("the message on the phone", arrived)
    assert message["data"]["number2"] == {"value": "80"}
    assert (await phone.call("GET", "/me/notices"))["unread"] == 1

    async def none_left() -> bool:
        items = (await phone.call("GET", "/me/notice-grants"))["items"]
        return [one["left"] for one in items] == [0, 0]

    await until("the grant used", none_left)
