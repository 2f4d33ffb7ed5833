"""Wallets over HTTP: what residents read, what administrators look at and order, and what a freeze stops."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from server.sandbox.phone import ResidentPhone, client_id
from tests.support.patience import until
from tests.support.play import EVERYWHERE, GYM_STORE, Console, books_balance, key_at, refused, rows, send, show, ticket
from tests.support.town import Town

WHY = {"purpose": "enquiry"}


async def ask(
    console: Console, who: str, method: str, path: str, *, key: object = None, **options: Any
) -> httpx.Response:
    """An administrator's request; a POST with a fresh key unless it is told one ("" for none)."""
    headers = {"Authorization": f"Bearer {await console.token(who)}"}
    if method == "POST" and key != "":
        headers["Idempotency-Key"] = str(key or client_id())
    return await console.town.http.request(method, f"/api/admin/v1{path}", headers=headers, **options)


async def number(phone: ResidentPhone) -> str:
    return str((await phone.call("GET", "/me"))["resident_id"])


async def wallet(phone: ResidentPhone) -> dict[str, Any]:
    found: dict[str, Any] = await phone.call("GET", "/wallet")
    return found


async def freeze(console: Console, resident: str, kind: str = "frozen", **changes: Any) -> httpx.Response:
    body = {"kind": kind, "authority": "市人民法院", "reason": "（2026）执字1号", **changes}
    return await ask(console, "accountant", "POST", f"/residents/{resident}/wallet/freeze", json=body)


async def test_a_resident_reads_the_wallet_its_lines_and_how_it_stood(town: Town) -> None:
    phone = await town.resident()
    before = datetime.now(UTC)
    coupon = await phone.claim(town.templates[EVERYWHERE])
    now = await wallet(phone)
    assert (now["status"], now["freeze"], now["held_points"]) == ("open", None, 0)
    assert [one["within_days"] for one in now["expiring"]] == [30, 7]
    assert all(one["points"] == 0 for one in now["expiring"]), now
    page = await phone.call("GET", "/wallet/entries?limit=1")
    assert (page["items"][0]["kind"], page["items"][0]["coupon_id"]) == ("coupon_claimed", coupon["id"])
    older = await phone.call("GET", f"/wallet/entries?cursor={page['next_cursor']}")
    assert [item["kind"] for item in older["items"]][-1] == "earned"
    earned = await phone.call("GET", "/wallet/entries?kind=earned")
    assert earned["items"] and {item["kind"] for item in earned["items"]} == {"earned"}
    assert (await phone.call("GET", "/wallet/entries?kind=refused"))["items"] == []
    today = datetime.now(UTC).astimezone().date()
    days = f"first_day={today - timedelta(days=1)}&last_day={today + timedelta(days=1)}"
    assert len((await phone.call("GET", f"/wallet/entries?{days}"))["items"]) == now["seq"]
    assert (await phone.call("GET", "/wallet/entries?last_day=2020-01-01"))["items"] == []
    stood = (await send(phone, "GET", "/wallet/balance", params={"at": before.isoformat()})).json()
    assert (stood["points"], stood["expired_points"]) == (120, 0)
    assert (
        sum(lot["points"] for lot in stood["lots"]) == 120 > now["points"] == sum(lot["points"] for lot in now["lots"])
    )
    assert stood["seq"] < now["seq"]
    never = (await send(phone, "GET", "/wallet/balance", params={"at": "2020-01-01T00:00:00Z"})).json()
    assert (never["seq"], never["points"], never["lots"]) == (0, 0, [])
    assert await phone.call("GET", "/wallet/holds") == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        ("/wallet/balance", {}, "at"),
        ("/wallet/balance", {"at": "2026-11-01T08:00:00"}, "at"),
        ("/wallet/balance", {"at": "yesterday"}, "at"),
        ("/wallet/balance", {"at": "2099-01-01T00:00:00Z"}, "at"),
        ("/wallet/entries", {"kind": "gift"}, "kind"),
        ("/wallet/entries", {"first_day": "2026-02-30"}, "first_day"),
        ("/wallet/entries", {"cursor": "???"}, "cursor"),
        ("/wallet/holds", {"cursor": "WyJ4Il0"}, "cursor"),
        ("/wallet/holds", {"limit": "0"}, "limit"),
    ],
)
async def test_bad_questions_about_a_wallet_are_refused_and_named(
    town: Town, path: str, params: dict[str, str], field: str
) -> None:
    phone = await town.resident(points=0)
    refused(await send(phone, "GET", path, params=params), 400, "invalid_field", field)


async def test_days_at_the_end_of_the_calendar_are_refused_or_empty_and_never_a_fault(town: Town) -> None:
    phone = await town.resident(points=0)
    for params in ({"first_day": "0001-01-01"}, {"last_day": "9999-12-31"}, {"first_day": "9999-12-31"}):
        answer = await send(phone, "GET", "/wallet/entries", params=params)
        assert answer.status_code in (200, 400), answer.text
    answer = await send(phone, "GET", "/wallet/balance", params={"at": "0001-01-01T00:00:00+08:00"})
    assert answer.status_code in (200, 400), answer.text


async def test_nobody_looks_at_a_wallet_without_a_purpose_and_every_look_is_kept(town: Town, console: Console) -> None:
    phone = await town.resident()
    who = await number(phone)
    path = f"/residents/{who}/wallet"
    refused(await ask(console, "accountant", "GET", path), 400, "invalid_field", "purpose")
    refused(
        await ask(console, "accountant", "GET", path, params={"purpose": "curious"}), 400, "invalid_field", "purpose"
    )
    idlike = {**WHY, "reference": "32028119900101123X"}
    refused(await ask(console, "accountant", "GET", path, params=idlike), 400, "invalid_field", "reference")
    for stranger in ("editor", "merchants"):
        refused(await ask(console, stranger, "GET", path, params=WHY), 403, "forbidden")
    seen = (await ask(console, "accountant", "GET", path, params={**WHY, "reference": "case-12"})).json()
    assert (seen["points"], seen["status"], seen["resident_id"]) == (120, "open", who)
    page = (await ask(console, "auditor", "GET", f"{path}/entries", params={"purpose": "inspection"})).json()
    assert {(item["op"], item["answer"]) for item in page["items"]} == {("earn", "done")}
    assert page["items"][0]["points_after"] == 120 > page["items"][1]["points_after"]
    at = {"purpose": "objection", "at": datetime.now(UTC).isoformat()}
    stood = (await ask(console, "approver", "GET", f"{path}/balance", params=at)).json()
    assert (stood["points"], stood["lots"]) == (120, seen["lots"])
    held = await ask(console, "approver", "GET", f"{path}/holds", params=WHY)
    assert held.json() == {"items": [], "next_cursor": None}
    trail = (await ask(
        console, "auditor", "GET", "/audit-entries", params={"object_kind": "wallet", "object_id": who}
    )).json()["items"]  # fmt: skip
    assert [(item["action"], item["after"]["what"], item["after"]["purpose"]) for item in reversed(trail)] == [
        ("wallet.read", "wallet", "enquiry"), ("wallet.read", "entries", "inspection"),
        ("wallet.read", "balance", "objection"), ("wallet.read", "holds", "enquiry"),
    ]  # fmt: skip
    assert trail[-1]["after"]["reference"] == "case-12"
    first = await phone.call("GET", "/wallet/looks?limit=3")
    rest = await phone.call("GET", f"/wallet/looks?limit=3&cursor={first['next_cursor']}")
    assert [(item["what"], item["purpose"]) for item in first["items"] + rest["items"]] == [
        (item["after"]["what"], item["after"]["purpose"]) for item in trail
    ]
    other = await town.resident(points=0)
    assert await other.call("GET", "/wallet/looks") == {"items": [], "next_cursor": None}
    for part in ("/entries", "/holds"):
        nobodys = await ask(console, "accountant", "GET", f"/residents/999999999/wallet{part}", params=WHY)
        refused(nobodys, 409, "wallet_not_open")
    unknown = await ask(console, "accountant", "GET", "/residents/999999999/wallet", params=WHY)
    refused(unknown, 409, "wallet_not_open")
    refused(await ask(console, "accountant", "GET", f"/residents/{'9' * 30}/wallet", params=WHY), 400, "invalid_field")


async def test_a_correction_takes_two_people_and_reaches_the_resident(town: Town, console: Console) -> None:
    phone = await town.resident()
    who, key = await number(phone), client_id()
    body = {"resident_id": who, "points": 30, "reason": "补记志愿服务", "document": "澄信账〔2026〕7号"}
    refused(
        await ask(console, "accountant", "POST", "/adjustments", key="", json=body), 400, "idempotency_key_required"
    )
    refused(await ask(console, "editor", "POST", "/adjustments", json=body), 403, "forbidden")
    made = await ask(console, "accountant", "POST", "/adjustments", key=key, json=body)
    again = await ask(console, "accountant", "POST", "/adjustments", key=key, json=body)
    assert (made.status_code, made.json()["status"], again.json()) == (201, "pending", made.json())
    assert "Idempotency-Replayed" not in made.headers and again.headers["Idempotency-Replayed"] == "true"
    other = await ask(console, "accountant", "POST", "/adjustments", key=key, json={**body, "points": 31})
    refused(other, 422, "idempotency_mismatch")
    path = f"/adjustments/{key}"
    refused(await ask(console, "accountant", "POST", f"{path}/approve"), 403, "forbidden")
    assert (await wallet(phone))["points"] == 120
    approved = await ask(console, "approver", "POST", f"{path}/approve")
    assert (approved.status_code, approved.json()["status"]) == (200, "approved"), approved.text

    async def posted() -> bool:
        return bool((await ask(console, "auditor", "GET", path)).json()["status"] == "posted")

    await until("the correction being posted", posted)
    shown = (await ask(console, "auditor", "GET", path)).json()
    assert (shown["answer"], shown["points_after"], shown["decided_by"] != shown["requested_by"]) == ("done", 150, True)
    line = (await phone.call("GET", "/wallet/entries?kind=points_adjusted"))["items"][0]
    assert (line["id"], line["points"], line["title"]) == (shown["posting_id"], 30, "积分更正")
    listed = (await ask(console, "auditor", "GET", "/adjustments", params={"resident_id": who})).json()["items"]
    assert [item["id"] for item in listed] == [str(key)]
    refused(await ask(console, "approver", "POST", f"{path}/reject", json={"reason": "x"}), 409, "adjustment_decided")


async def test_one_person_with_both_scopes_still_cannot_do_both(town: Town, console: Console) -> None:
    """A director has both; here the approver has asked before the roles were parted."""
    who, key = await number(await town.resident(points=0)), client_id()
    await rows(
        town,
        """INSERT INTO adjustment (id, resident_id, points, reason, document, validity_months, status, requested_by,
          requested_at, decision_note, attempts, answer)
        SELECT $1, $2, 5, '补记', '8号', 12, 'pending', a.id, now(), '', 0, '' FROM administrator a
        WHERE a.username = 'approver'""",
        key,
        int(who),
    )
    for step, body in (("approve", None), ("reject", {"reason": "x"})):
        refused(
            await ask(console, "approver", "POST", f"/adjustments/{key}/{step}", json=body), 422, "two_people_required"
        )


async def test_a_rejected_correction_moves_nothing(town: Town, console: Console) -> None:
    phone, key = await town.resident(), client_id()
    body = {"resident_id": await number(phone), "points": 5, "reason": "补记", "document": "10号"}
    await ask(console, "accountant", "POST", "/adjustments", key=key, json=body)
    rejected = await ask(console, "approver", "POST", f"/adjustments/{key}/reject", json={"reason": "依据不足"})
    assert (rejected.json()["status"], rejected.json()["decision_note"]) == ("rejected", "依据不足")
    refused(await ask(console, "approver", "POST", f"/adjustments/{key}/approve"), 409, "adjustment_decided")
    refused(await ask(console, "approver", "POST", f"/adjustments/{client_id()}/approve"), 404, "adjustment_not_found")
    assert (await wallet(phone))["points"] == 120


@pytest.mark.parametrize(
    ("changes", "status", "code", "field"),
    [
        ({"points": 0}, 400, "invalid_field", "points"),
        ({"points": 1_000_001}, 400, "invalid_field", "points"),
        ({"points": 1.5}, 400, "invalid_field", "points"),
        ({"reason": "  "}, 400, "invalid_field", "reason"),
        ({"reason": "a\nb"}, 400, "invalid_field", "reason"),
        ({"document": ""}, 400, "invalid_field", "document"),
        ({"validity_months": 25}, 400, "invalid_field", "validity_months"),
        ({"resident_id": "07"}, 400, "invalid_field", "resident_id"),
        ({"resident_id": "999999999"}, 409, "wallet_not_open", None),
        ({"approved": True}, 400, "unknown_field", "approved"),
    ],
)
async def test_bad_corrections_are_refused_and_named(
    console: Console, changes: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    body = {"resident_id": "1", "points": 5, "reason": "补记", "document": "9号"} | changes
    refused(await ask(console, "accountant", "POST", "/adjustments", json=body), status, code, field)


async def test_orders_under_old_or_future_keys_are_refused(town: Town, console: Console) -> None:
    who = await number(await town.resident(points=0))
    body = {"kind": "frozen", "authority": "法院", "reason": "执行"}
    path = f"/residents/{who}/wallet/freeze"
    for shift in (timedelta(hours=-49), timedelta(minutes=7)):
        key = key_at(datetime.now(UTC) + shift)
        refused(await ask(console, "accountant", "POST", path, key=key, json=body), 422, "idempotency_key_expired")
    key = client_id().hex
    refused(await ask(console, "accountant", "POST", path, key=key, json=body), 400, "idempotency_key_invalid")
    for wrong in ("2020-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00"):
        refused(
            await ask(console, "accountant", "POST", path, json={**body, "until": wrong}), 400, "invalid_field", "until"
        )
    refused(await ask(console, "approver", "POST", path, json=body), 403, "forbidden")


async def test_a_freeze_stops_a_priced_claim_and_a_redemption_and_says_so_to_the_resident_only(
    town: Town, console: Console
) -> None:
    priced = await console.template("兑换早餐券", price_points=20)
    free = await console.template("免费早餐券", limits=[{"action": "issue", "cap": 2}])
    shown = await show(town)
    phone, who = shown.resident, await number(shown.resident)
    counter = await town.counter(GYM_STORE)
    paper = await ticket(counter, shown)
    key = client_id()
    body = {"kind": "debit_frozen", "authority": "市人民法院", "reason": "（2026）执字1号"}
    path = f"/residents/{who}/wallet/freeze"
    made = await ask(console, "accountant", "POST", path, key=key, json=body)
    again = await ask(console, "accountant", "POST", path, key=key, json=body)
    assert (made.status_code, made.json()["status"], again.json()) == (201, "debit_frozen", made.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    with_price = {"template_id": priced}
    claim = await send(phone, "POST", "/coupons", json=with_price, headers={"Idempotency-Key": str(client_id())})
    refused(claim, 409, "account_frozen")
    assert (await phone.claim(free))["price_points"] == 0
    assert (await freeze(console, who, "frozen")).json()["status"] == "frozen"
    claim = await send(
        phone, "POST", "/coupons", json={"template_id": free}, headers={"Idempotency-Key": str(client_id())}
    )
    refused(claim, 409, "account_frozen")
    sale = await send(counter, "POST", "/merchant/redemptions", json={"ticket": paper})
    refused(sale, 409, "credential_spent")
    assert (await counter.verify(shown.code()))["result"] == "not_valid"
    now = await wallet(phone)
    assert (now["status"], now["freeze"]["authority"], now["freeze"]["reason"], now["freeze"]["until"]) == (
        "frozen", "市人民法院", "（2026）执字1号", None,
    )  # fmt: skip
    assert [item["kind"] for item in (await phone.call("GET", "/wallet/entries?limit=3"))["items"]] == [
        "account_frozen", "coupon_claimed", "account_frozen",
    ]  # fmt: skip
    lift = {"authority": "市人民法院", "reason": "已履行"}
    lifted = await ask(console, "accountant", "POST", f"/residents/{who}/wallet/unfreeze", json=lift)
    assert lifted.json()["status"] == "open"
    twice = await ask(console, "accountant", "POST", f"/residents/{who}/wallet/unfreeze", json=lift)
    refused(twice, 409, "account_not_frozen")
    receipt = await counter.redeem(paper)
    assert receipt["id"]
    assert (await phone.claim(priced))["price_points"] == 20
    assert (await wallet(phone))["freeze"] is None
    await books_balance(town)


async def test_a_coupon_is_voided_and_its_price_comes_back(town: Town, console: Console) -> None:
    priced = await console.template("兑换午餐券", price_points=20)
    phone = await town.resident()
    who = await number(phone)
    coupon = (await phone.claim(priced))["id"]
    path = f"/residents/{who}/coupons/{coupon}/void"
    refused(await ask(console, "accountant", "POST", path, json={"reason": " "}), 400, "invalid_field", "reason")
    key = client_id()
    done = await ask(console, "accountant", "POST", path, key=key, json={"reason": "重复发放"})
    assert (done.status_code, done.json()["points"], done.json()["points_after"]) == (201, 20, 120), done.text
    again = await ask(console, "accountant", "POST", path, key=key, json={"reason": "重复发放"})
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (done.json(), "true")
    other = await ask(console, "accountant", "POST", path, key=key, json={"reason": "另一个理由"})
    refused(other, 422, "idempotency_mismatch")
    refused(await ask(console, "accountant", "POST", path, json={"reason": "重复发放"}), 409, "coupon_not_usable")
    stranger = await number(await town.resident(points=0))
    wrong = f"/residents/{stranger}/coupons/{coupon}/void"
    refused(await ask(console, "accountant", "POST", wrong, json={"reason": "x"}), 409, "coupon_not_usable")
    assert (await phone.call("GET", f"/coupons/{coupon}"))["state"] == "voided"
    account = await ask(console, "auditor", "GET", "/accounts", params={"kind": "template", "account_id": priced})
    assert (account.json()["unit"], account.json()["balance"]) == ("points", 0)
    spend = {"posting_id": str(client_id()), "points": 1, "reason": "退"}
    refused(
        await ask(console, "accountant", "POST", f"/residents/{who}/wallet/refunds", json=spend),
        404,
        "posting_not_found",
    )
    await books_balance(town)


async def test_accounts_are_asked_for_by_what_names_them(town: Town, console: Console) -> None:
    days = {"first_day": "2026-01-01", "last_day": "2099-12-31"}
    found = (await ask(console, "auditor", "GET", "/accounts", params={"kind": "breakage", **days})).json()
    assert (found["unit"], found["balance"] >= 0, found["account_id"]) == ("points", True, None)
    for params, field in (
        ({"kind": "breakage"}, "first_day"),
        ({"kind": "breakage", "account_id": "1", **days}, "account_id"),
        ({"kind": "breakage", "first_day": "2026-02-01", "last_day": "2026-01-01"}, "last_day"),
        ({"kind": "payee"}, "account_id"),
        ({"kind": "adjustment", "account_id": "1"}, "account_id"),
        ({"kind": "wallet"}, "kind"),
    ):
        refused(await ask(console, "auditor", "GET", "/accounts", params=params), 400, "invalid_field", field)
    assert (await ask(console, "auditor", "GET", "/accounts", params={"kind": "adjustment"})).status_code == 200
    owed = (
        await ask(console, "auditor", "GET", "/accounts", params={"kind": "merchant_payable", "account_id": "1"})
    ).json()
    assert owed["unit"] == "fen"
    refused(await ask(console, "editor", "GET", "/accounts", params={"kind": "adjustment"}), 403, "forbidden")
