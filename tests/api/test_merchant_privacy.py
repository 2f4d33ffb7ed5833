"""What merchants see: a benefit and a redemption; never who, never how good (D29)."""

from __future__ import annotations

import json

from miniprogram_api import ROUTERS
from server.web.openapi import document
from tests.support.play import NOODLE_STORE, NOODLES, books_balance, send, show, ticket
from tests.support.privacy import MerchantBodies, forbidden_key, walk
from tests.support.town import Town

BENEFIT = {"id", "title", "terms", "needs_order_amount", "needs_order_no"}
VERIFY = {"result", "benefit", "ticket", "expires_in", "check", "usable_at", "message"}
MONEY = {"order_no", "order_amount_fen", "discount_fen", "platform_fen", "sponsor_fen", "merchant_fen"}
RECEIPT = {"id", "benefit", *MONEY, "redeemed_at", "void_until", "check"}
VOIDED = {"redemption_id", "benefit", "voided_at", "reason"}
LINE = {
    "id", "benefit", "store_id", "terminal_id", "staff_id", *MONEY, "business_date", "redeemed_at", "void_until",
    "voided_at", "void_reason",
}  # fmt: skip


async def test_the_exact_keys_that_a_counter_is_shown(town: Town) -> None:
    counter = await town.counter(NOODLE_STORE)
    shown = await show(town, NOODLES)
    found = await counter.verify(shown.code())
    assert set(found) == VERIFY
    assert set(found["benefit"]) == BENEFIT
    receipt = await counter.redeem(found["ticket"], 2_000)
    assert set(receipt) == RECEIPT
    assert set(receipt["benefit"]) == BENEFIT
    voided = await counter.void(receipt["id"], "退单")
    assert set(voided) == VOIDED
    page = await counter.call("GET", "/merchant/redemptions")
    assert set(page) == {"items", "next_cursor"}
    assert all(set(line) == LINE for line in page["items"])
    await books_balance(town)


async def test_nothing_a_counter_gets_is_the_residents(town: Town) -> None:
    counter = await town.counter(NOODLE_STORE)
    name, number, openid = await town.person()
    resident = await town.resident(points=0)
    await resident.log_in(await town.control.login_code(openid))
    await resident.bind(name, number)
    await resident.wait_for_points(120)
    await resident.call("POST", "/me/phone", {"code": await town.control.phone_code(openid, "10012345678")})
    me = await resident.call("GET", "/me")
    shown = await show(town, NOODLES, resident=resident)
    text = await ticket(counter, shown)
    bodies = [await send(counter, "POST", "/merchant/redemptions", json={"ticket": text, "order_amount_fen": 2_000})]
    bodies.append(
        await send(counter, "POST", f"/merchant/redemptions/{bodies[0].json()['id']}/void", json={"reason": "退"})
    )
    bodies.append(await send(counter, "GET", "/merchant/redemptions"))
    for body in bodies:
        for secret in (number, openid, "10012345678", shown.coupon_id, shown.handle.credential_id, me["name"]):
            assert secret not in body.text
        values = [value for _, value in walk(body.json()) if isinstance(value, str)]
        assert name not in values


async def test_the_contract_of_the_merchants_routes_has_no_word_for_a_person_or_a_score() -> None:
    routes = [route for router in ROUTERS for route in router.routes if "/merchant/" in route.path]
    assert len(routes) >= 12
    schemas = document(routes)["components"]["schemas"]
    replies = {name: schema for name, schema in schemas.items() if name.endswith("Reply")}
    found = {
        f"{name}.{key}"
        for name, schema in replies.items()
        for key in schema.get("properties", {})
        if forbidden_key(key)
    }
    assert found == set()


async def test_the_search_finds_what_it_looks_for() -> None:
    bodies = MerchantBodies({"oSecret"}, {"王小明"})
    for shown in ({"a": [{"resident_id": "1"}]}, {"band": 3}, {"note": "王小明"}, {"x": "…oSecret…"}):
        bodies.bodies = [("GET /", json.dumps(shown, ensure_ascii=False))]
        assert len(bodies.leaks()) == 1, shown
    bodies.bodies = [("GET /", json.dumps({"merchant_name": "面馆", "display_name": "小王"}, ensure_ascii=False))]
    assert bodies.leaks() == []


async def test_no_merchants_body_of_all_tests_before_this_one_shows_a_person(town: Town) -> None:
    """Moved behind the other tests over HTTP; the house looks once more when it ends."""
    assert town.shown.bodies, "no merchant was shown anything"
    assert town.shown.leaks() == []
