"""What residents are shown, over HTTP: their campaigns, the shop, what ends next; and coupons that are drawn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.sandbox.phone import ResidentPhone, client_id
from tests.support.play import EVERYWHERE, Console, refused, send
from tests.support.town import Town


async def everything(phone: ResidentPhone, path: str, **query: Any) -> list[dict[str, Any]]:
    """All pages of a list, two at a time."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        params = {"limit": 2, **query, **({"cursor": cursor} if cursor else {})}
        page = (await send(phone, "GET", path, params=params)).json()
        assert len(page["items"]) <= 2
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def test_campaigns_and_the_shop_are_the_same_for_everybody_and_say_what_they_are_for_one(
    town: Town, console: Console
) -> None:
    once, hot = await town.resident(), await town.resident(points=0)
    template = await console.template("橱窗券", stock=5, price_points=30)
    mine, theirs = await everything(once, "/me/campaigns"), await everything(hot, "/me/campaigns")
    assert [one["id"] for one in mine] == [one["id"] for one in theirs] != []
    assert {one["state"] for one in mine} <= {"open", "received", "held_out", "not_eligible", "exhausted"}
    assert all(one["reason"] and one["terms_text"] for one in mine)
    assert "received" in {one["state"] for one in mine if one["trigger"] == "identity_bound"}
    shops = [{one["template_id"]: one for one in await everything(who, "/shop")} for who in (once, hot)]
    assert list(shops[0]) == list(shops[1])
    assert (shops[0][template]["state"], shops[0][template]["left"], shops[0][template]["mine_left"]) == ("open", 5, 1)
    await once.claim(template)
    paid = await everything(once, "/shop", price="points")
    seen = next(one for one in paid if one["template_id"] == template)
    assert (seen["state"], seen["mine_left"], seen["reason"]) == ("limit_reached", 0, "您已达到上限：每人限领1张")
    assert all(one["price_points"] for one in paid)


async def test_what_ends_next_comes_first(town: Town, console: Console) -> None:
    phone = await town.resident()
    for days in (20, 3, 11):
        await phone.claim(await console.template(f"{days}天券", valid_days=days))
    listed = await everything(phone, "/coupons", order="expiring")
    assert [one["benefit"]["title"] for one in listed] == ["3天券", "11天券", "20天券"]
    seen = await phone.call("GET", "/coupons/overview")
    assert seen["counts"] == {"issued": 3, "locked": 0, "redeemed": 0, "expired": 0, "voided": 0}
    assert [one["id"] for one in seen["next"]] == [one["id"] for one in listed]
    assert seen["points"]["points"] == (await phone.call("GET", "/wallet"))["next_expiry"]["points"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/me/campaigns?cursor=x", "cursor"), ("/shop?cursor=WzFd", "cursor"), ("/shop?price=cheap", "price"),
        ("/coupons?order=expiring&state=issued", "state"), ("/coupons?order=expiring&cursor=WyJhIiwiYiJd", "cursor"),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked_is_named(town: Town, path: str, field: str) -> None:
    refused(await send(await town.resident(points=0), "GET", path), 400, "invalid_field", field)


async def test_coupons_that_are_drawn_cannot_be_claimed_and_are_shown_with_their_lottery(
    town: Town, console: Console
) -> None:
    phone, now = await town.resident(points=0), datetime.now(UTC)
    template = await console.template("抽签券", stock=3, by_lottery=True)
    body, key = {"template_id": template}, {"Idempotency-Key": str(client_id())}
    refused(await send(phone, "POST", "/coupons", json=body, headers=key), 409, "claimed_by_lottery")
    times = {name: (now + timedelta(hours=hours)).isoformat() for name, hours in
             (("opens_at", -1), ("closes_at", 24), ("draw_at", 48))}  # fmt: skip
    prizes = [{"rank": 1, "name": "抽签券", "template_id": template, "count": 3}]
    lottery = await console.call(
        "editor", "POST", "/lotteries", {"title": "抽签", "document": "文", "prizes": prizes, **times}
    )
    await console.call("editor", "POST", f"/lotteries/{lottery['id']}/submit")
    await console.call("approver", "POST", f"/lotteries/{lottery['id']}/publish")
    seen = next(one for one in await everything(phone, "/shop") if one["template_id"] == template)
    assert (seen["state"], seen["lottery"]["id"], seen["lottery"]["self_entry"]) == ("lottery", lottery["id"], True)
    assert seen["reason"].startswith("通过抽签发放") and seen["reason"].endswith("前可报名")
    entered = await send(phone, "POST", f"/lotteries/{lottery['id']}/entries", headers=key)
    assert entered.status_code == 201, entered.text
    shown = await console.call("editor", "GET", f"/coupon-templates/{template}")
    assert shown["version"]["by_lottery"] and not shown["version"]["claimable"]
    assert EVERYWHERE in {one["title"] for one in await everything(phone, "/shop")}
