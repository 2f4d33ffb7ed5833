"""A template with every condition, over HTTP: written and read back, refused by field, and met at the counter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import pytest_asyncio

from server.sandbox.phone import CounterPhone, ResidentPhone, client_id
from tests.support.play import (
    GYM_STORE,
    NOODLE_STORE,
    OTHER_GYM_STORE,
    Console,
    Shown,
    books_balance,
    refused,
    send,
    show,
    ticket,
)
from tests.support.town import Town

CITY = ZoneInfo("Asia/Shanghai")
REDEEM = "/merchant/redemptions"


@pytest_asyncio.fixture(scope="module")
async def console(town: Town) -> Console:
    return Console(town)


@pytest_asyncio.fixture(scope="module", autouse=True)
async def books(town: Town) -> AsyncIterator[None]:
    yield
    await books_balance(town)


async def with_terms(town: Town, console: Console, title: str, **terms: Any) -> str:
    town.templates[title] = await console.template(title, **terms)
    return title


async def another(town: Town, who: ResidentPhone, title: str) -> Shown:
    return await show(town, title, resident=who)


async def redeemed(counter: CounterPhone, shown: Shown, **order: Any) -> httpx.Response:
    body = {"ticket": await ticket(counter, shown), **order}
    return await send(counter, "POST", REDEEM, json=body)


async def test_every_condition_is_read_back_as_it_was_written(town: Town, console: Console) -> None:
    now = datetime.now(UTC)
    until = (now + timedelta(days=90)).date()
    written = {
        "platform_bp": 4_000, "sponsor_bp": 3_500, "merchant_bp": 2_500, "starts_after_days": 1, "valid_days": 20,
        "valid_from": (now + timedelta(days=3)).date().isoformat(), "valid_until": until.isoformat(),
        "windows": [{"weekdays": [1, 2], "day": "workday", "from_time": "11:00", "until_time": "13:30"}],
        "stores": [town.stores[GYM_STORE]], "stacking_group": "健身", "most_per_order": 2, "goods_name": "毛巾",
        "goods_quantity": 2, "notice": "请自带水杯。",
    }  # fmt: skip
    body = {
        "title": "样样都有", "document": "澄信办〔2026〕77号", "kind": "exchange", "stock": 5, "face_value_fen": 300,
        "starts_at": now.isoformat(), "ends_at": (now + timedelta(days=9)).isoformat(), **written,
    }  # fmt: skip
    made = await console.call("editor", "POST", "/coupon-templates", body)
    seen = made["version"]
    assert {name: seen[name] for name in written} == written
    for words in (
        "「毛巾」2份",
        "周一、周二中的工作日",
        "健身",
        "平台承担40%",
        "须知：请自带水杯。",
        "领取后第1天起可用",
    ):
        assert words in seen["terms_text"], words


@pytest.mark.parametrize(
    ("stated", "shares"),
    [
        ({}, (0, 10_000, 0)),
        ({"platform_bp": 10_000}, (10_000, 0, 0)),
        ({"platform_bp": 4_000}, (4_000, 6_000, 0)),
        ({"platform_bp": 4_000, "merchant_bp": 1_000}, (4_000, 5_000, 1_000)),
        ({"platform_bp": 4_000, "sponsor_bp": 1_000}, (4_000, 1_000, 5_000)),
    ],
)
async def test_shares_that_are_not_stated_are_the_rest(
    console: Console, stated: dict[str, int], shares: tuple[int, int, int]
) -> None:
    now = datetime.now(UTC)
    body = {
        "title": "谁来承担", "document": "文", "kind": "amount_off", "stock": 5, "face_value_fen": 300,
        "starts_at": now.isoformat(), "ends_at": (now + timedelta(days=9)).isoformat(), **stated,
    }  # fmt: skip
    seen = (await console.call("editor", "POST", "/coupon-templates?simulate=true", body))["version"]
    assert tuple(seen[name] for name in ("platform_bp", "sponsor_bp", "merchant_bp")) == shares


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"platform_bp": 4_000, "sponsor_bp": 6_001}, "sponsor_bp"),
        ({"platform_bp": 4_000, "merchant_bp": 6_001}, "merchant_bp"),
        ({"sponsor_bp": 4_000, "merchant_bp": 1}, "merchant_bp"),
        ({"windows": [{"from_time": "13:00", "until_time": "12:00"}]}, "windows[0].until_time"),
        ({"windows": [{}]}, "windows[0]"),
        ({"most_per_order": 2}, "most_per_order"),
        ({"goods_name": "米"}, "goods_name"),
        ({"stores": ["7", "7"]}, "stores"),
        ({"price_points": 5, "by_lottery": True}, "price_points"),
    ],
)
async def test_terms_that_cannot_be_are_refused_with_their_field(
    console: Console, terms: dict[str, Any], field: str
) -> None:
    now = datetime.now(UTC)
    body = {
        "title": "不成", "document": "文", "kind": "amount_off", "stock": 5, "face_value_fen": 300,
        "starts_at": now.isoformat(), "ends_at": (now + timedelta(days=9)).isoformat(), **terms,
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {await console.token('editor')}"}
    answer = await console.town.http.post("/api/admin/v1/coupon-templates", json=body, headers=headers)
    refused(answer, 400, "invalid_field", field)


async def test_places_that_do_not_exist_or_not_together_are_named(town: Town, console: Console) -> None:
    now = datetime.now(UTC)
    body = {
        "title": "不成", "document": "文", "kind": "amount_off", "stock": 5, "face_value_fen": 300,
        "starts_at": now.isoformat(), "ends_at": (now + timedelta(days=9)).isoformat(),
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {await console.token('editor')}"}
    listed = (await console.call("merchants", "GET", "/merchants"))["items"]
    elsewhere = next(one["id"] for one in listed if "面馆" in one["name"])
    for places, field in (
        ({"stores": [town.stores[GYM_STORE], "999999"]}, "stores[1]"), ({"merchants": ["999999"]}, "merchants[0]"),
        ({"merchants": [elsewhere], "stores": [town.stores[GYM_STORE]]}, "stores[0]"),
    ):  # fmt: skip
        answer = await console.town.http.post("/api/admin/v1/coupon-templates", json=body | places, headers=headers)
        refused(answer, 400, "place_unknown", field)


async def test_where_a_coupon_can_be_used_is_told_by_name(town: Town, console: Console) -> None:
    shown = await show(town)
    anywhere = (await shown.resident.call("GET", f"/coupons/{shown.coupon_id}/places"))["items"]
    store = next(one for one in anywhere if one["name"] == GYM_STORE)
    there = await console.template("只在一家", merchants=[store["merchant_id"]], stores=[store["store_id"]])
    page = await shown.resident.call("GET", f"/coupon-templates/{there}/places")
    assert page == {"items": [store], "next_cursor": None}
    first = await shown.resident.call("GET", f"/coupons/{shown.coupon_id}/places?limit=1")
    rest = await shown.resident.call("GET", f"/coupons/{shown.coupon_id}/places?cursor={first['next_cursor']}")
    assert first["items"] + rest["items"] == anywhere
    assert (await shown.resident.call("GET", f"/coupon-templates/{there}/places?town=没有的镇"))["items"] == []
    refused(await send(shown.resident, "GET", "/coupon-templates/999999/places"), 404, "template_not_found")


async def test_outside_its_hours_a_code_is_told_when_it_can_be_used_and_stays_good(
    town: Town, console: Console
) -> None:
    day = datetime.now(CITY) + timedelta(days=3)
    windows = [{"weekdays": [day.isoweekday()], "from_time": "11:00", "until_time": "13:30"}]
    shown = await show(town, await with_terms(town, console, "三天后的午餐券", windows=windows))
    seen = await shown.resident.call("GET", f"/coupons/{shown.coupon_id}")
    opens = day.replace(hour=11, minute=0, second=0, microsecond=0)
    assert not seen["usable_now"] and datetime.fromisoformat(seen["usable_at"]) == opens
    counter = await town.counter(GYM_STORE)
    told = await counter.verify(shown.code())
    assert (told["result"], told["ticket"], told["benefit"]) == ("outside_window", None, None)
    assert datetime.fromisoformat(told["usable_at"]) == opens
    assert f"{opens.month}月{opens.day}日" in told["message"] and "11:00起可用" in told["message"]
    assert (await shown.resident.call("GET", f"/coupons/{shown.coupon_id}"))["state"] == "issued"
    assert await counter.verify(shown.code()) == told


async def test_before_its_first_day_a_coupon_waits(town: Town, console: Console) -> None:
    shown = await show(town, await with_terms(town, console, "后天起用", starts_after_days=2))
    seen = await shown.resident.call("GET", f"/coupons/{shown.coupon_id}")
    claimed = datetime.fromisoformat(seen["issued_at"]).astimezone(CITY).date()
    assert seen["usable_from"] == (claimed + timedelta(days=2)).isoformat()
    assert (await (await town.counter(GYM_STORE)).verify(shown.code()))["result"] == "outside_window"


async def test_another_store_learns_no_more_than_another_merchant(town: Town, console: Console) -> None:
    title = await with_terms(town, console, "只在一家店", stores=[town.stores[GYM_STORE]])
    shown = await show(town, title)
    answers = [await (await town.counter(store)).verify(shown.code()) for store in (OTHER_GYM_STORE, NOODLE_STORE)]
    assert answers[0] == answers[1] and answers[0]["result"] == "not_valid"
    answer = await redeemed(await town.counter(GYM_STORE), shown)
    assert answer.status_code == 201, answer.text


async def test_one_order_carries_one_coupon_of_a_group(town: Town, console: Console) -> None:
    title = await with_terms(
        town, console, "每单一张", stacking_group="每单", limits=[{"action": "issue", "cap": 5}],
        platform_bp=4_000, sponsor_bp=3_000, merchant_bp=3_000,
    )  # fmt: skip
    counter = await town.counter(GYM_STORE)
    who = await town.resident()
    first, second = await another(town, who, title), await another(town, who, title)
    found = await counter.verify(first.code())
    assert found["benefit"]["needs_order_no"]
    body = {"ticket": found["ticket"]}
    refused(await send(counter, "POST", REDEEM, json=body), 422, "order_no_required")
    refused(await send(counter, "POST", REDEEM, json=body | {"order_no": "张三"}), 400, "invalid_field", "order_no")
    answer = await send(counter, "POST", REDEEM, json=body | {"order_no": "T-7"})
    receipt = answer.json()
    assert answer.status_code == 201, answer.text
    assert [receipt[name] for name in ("order_no", "platform_fen", "sponsor_fen", "merchant_fen", "discount_fen")] == [
        "T-7", 120, 90, 90, 300,
    ]  # fmt: skip
    refused(await redeemed(counter, second, order_no="T-7"), 409, "not_stackable")
    await counter.void(receipt["id"], "点错了")
    answer = await redeemed(counter, second, order_no="T-7")
    assert answer.status_code == 201, answer.text
    lines = (await counter.call("GET", REDEEM))["items"]
    assert {line["order_no"] for line in lines if line["id"] in (receipt["id"], answer.json()["id"])} == {"T-7"}


async def test_a_limit_that_is_reached_is_told_by_its_place_and_period(town: Town, console: Console) -> None:
    limits = [
        {"action": "redeem", "cap": 1, "scope": "store", "period": "day"},
        {"action": "issue", "cap": 3, "scope": "campaign"},
        {"action": "issue", "cap": 2, "scope": "resident"},
    ]
    title = await with_terms(town, console, "每店每日一张", limits=limits)
    first, second = await show(town, title), await town.resident()
    counter, elsewhere = await town.counter(GYM_STORE), await town.counter(OTHER_GYM_STORE)
    shown = await another(town, second, title)
    early = await ticket(counter, shown)
    done = await redeemed(counter, first)
    assert done.status_code == httpx.codes.CREATED
    full = await send(counter, "POST", REDEEM, json={"ticket": early})
    refused(full, 409, "limit_reached")
    assert full.json()["error"]["message"] == "本门店今日的名额已用完"
    told = await counter.verify(shown.code())
    assert (told["result"], told["message"]) == ("limit_reached", "本门店今日的名额已用完")
    assert {told[part] for part in ("ticket", "benefit", "check", "usable_at")} == {None}
    await counter.void(done.json()["id"], "退单")
    assert (await counter.verify(shown.code()))["result"] == "usable", "there is room again"
    (handle,) = await second.show(shown.coupon_id)
    assert (await redeemed(elsewhere, Shown(second, shown.coupon_id, handle))).status_code == httpx.codes.CREATED
    await second.claim(town.templates[title])
    said = {}
    for who in (second, first.resident):
        answer = await send(
            who, "POST", "/coupons", json={"template_id": town.templates[title]},
            headers={"Idempotency-Key": str(client_id())},
        )  # fmt: skip
        refused(answer, 409, "limit_reached")
        said[who] = answer.json()["error"]["message"]
    assert said == {second: "已达到限领或限用的上限", first.resident: "本活动的名额已用完"}
