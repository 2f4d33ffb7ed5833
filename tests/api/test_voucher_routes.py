"""Voucher codes over HTTP: made, approved, exported by two people, typed by residents, shown beside coupons."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any

import httpx
import pytest

from server.sandbox.phone import client_id
from tests.support.patience import until
from tests.support.play import Console, books_balance, refused, send
from tests.support.town import Town

DOCUMENT = "澄信办〔2026〕8号"


async def ask(console: Console, who: str, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {await console.token(who)}"}
    return await console.town.http.request(method, f"/api/admin/v1{path}", json=body, headers=headers, **options)


async def upload(console: Console, batch: str, content: bytes, who: str = "editor") -> httpx.Response:
    headers = {"Authorization": f"Bearer {await console.token(who)}", "Content-Type": "text/csv"}
    path = f"/api/admin/v1/voucher-batches/{batch}/codes"
    return await console.town.http.post(path, content=content, headers=headers)


async def batch_of(console: Console, template: str, count: int, *, beyond_stock: bool = False) -> str:
    """An approved batch of ours; its id."""
    body = {"template_id": template, "mode": "platform", "count": count, "prefix": "QX", "document": DOCUMENT}
    body["beyond_stock"] = beyond_stock
    made = await console.call("editor", "POST", "/voucher-batches", body)
    path = f"/voucher-batches/{made['id']}"

    async def is_made() -> bool:
        return bool((await console.call("auditor", "GET", path))["status"] == "made")

    await until("the codes made", is_made)
    assert (await console.call("approver", "POST", f"{path}/approve"))["status"] == "ready"
    return str(made["id"])


async def codes_of(console: Console, batch: str) -> list[str]:
    """The codes of a batch, exported as it must be."""
    path = f"/voucher-batches/{batch}/exports"
    asked = await console.call("editor", "POST", path, {"reason": "印刷宣传页"})
    assert (await console.call("approver", "POST", f"/voucher-exports/{asked['id']}/approve"))["status"] == "approved"
    answer = await ask(console, "editor", "POST", f"/voucher-exports/{asked['id']}/file")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    return [row["code"] for row in csv.DictReader(io.StringIO(answer.text))]


async def typed(phone: Any, code: str) -> httpx.Response:
    """A code is typed until its coupon is there, as a phone does it."""

    async def settled() -> httpx.Response | None:
        answer = await send(phone, "POST", "/coupons/codes", json={"code": code})
        return None if answer.status_code == 202 else answer

    return await until("the coupon", settled)


async def test_codes_are_made_exported_by_two_people_and_become_coupons_once(town: Town, console: Console) -> None:
    template = await console.template("兑换码券", claimable=False, stock=50)
    batch = await batch_of(console, template, 12)
    codes = await codes_of(console, batch)
    assert len({*codes}) == 12 and all(code.startswith("QX-") for code in codes)
    phones = [await town.resident(points=0) for _ in range(4)]
    answers = await asyncio.gather(*(typed(phone, codes[0]) for phone in phones for _ in range(5)))
    given = [one for one in answers if one.status_code == 201]
    assert len(given) == 5 and len({one.json()["id"] for one in given}) == 1
    assert sum(one.headers.get("Idempotency-Replayed") != "true" for one in given) <= 1
    for one in answers:
        if one.status_code != 201:
            refused(one, 409, "voucher_code_not_usable")
    winner = phones[answers.index(given[0]) // 5]
    coupon = (await send(winner, "GET", f"/coupons/{given[0].json()['id']}")).json()
    assert (coupon["state"], coupon["benefit"]["title"]) == ("issued", "兑换码券")
    shown = await console.call("auditor", "GET", f"/voucher-batches/{batch}")
    assert (shown["made"], shown["used"], shown["approved_by"] != shown["created_by"]) == (12, 1, True)
    await books_balance(town)


async def test_an_export_takes_a_scope_two_people_and_is_opened_once(town: Town, console: Console) -> None:
    batch = await batch_of(console, await console.template("导出券", claimable=False), 2)
    path = f"/voucher-batches/{batch}/exports"
    refused(await ask(console, "approver", "POST", path, {"reason": "x"}), 403, "forbidden")
    refused(await ask(console, "editor", "POST", path, {"reason": ""}), 400, "invalid_field", "reason")
    asked = await console.call("editor", "POST", path, {"reason": "印刷"})
    file = f"/voucher-exports/{asked['id']}/file"
    refused(await ask(console, "editor", "POST", file), 409, "voucher_export_closed")
    refused(await ask(console, "editor", "POST", f"/voucher-exports/{asked['id']}/approve"), 403, "forbidden")
    await console.call("approver", "POST", f"/voucher-exports/{asked['id']}/approve")
    refused(await ask(console, "auditor", "POST", file), 403, "forbidden")
    assert (await ask(console, "editor", "POST", file)).status_code == 200
    refused(await ask(console, "editor", "POST", file), 409, "voucher_export_closed")
    (listed,) = (await console.call("auditor", "GET", path))["items"]
    assert (listed["status"], listed["reason"]) == ("opened", "印刷")
    trail = await console.call("auditor", "GET", f"/audit-entries?object_kind=voucher_export&object_id={asked['id']}")
    assert [one["action"] for one in trail["items"]] == [
        "voucher_export.opened", "voucher_export.approved", "voucher_export.requested"
    ]  # fmt: skip


async def test_a_file_of_codes_is_told_by_line_and_works_after_an_approval(town: Town, console: Console) -> None:
    template = await console.template("上传码券", claimable=False)
    body = {"template_id": template, "mode": "uploaded", "document": DOCUMENT}
    batch = (await console.call("editor", "POST", "/voucher-batches", body))["id"]
    refused(await upload(console, batch, b"PAPER00001\n", "auditor"), 403, "forbidden")
    taken = (await upload(console, batch, b"code\nPAPER00001\npaper-00001\nx\n")).json()
    assert (taken["batch"]["made"], taken["batch"]["status"], taken["repeated"], taken["unreadable"]) == (
        1,
        "made",
        1,
        1,
    )
    assert taken["lines"] == [{"line": 3, "reason": "repeated"}, {"line": 4, "reason": "unreadable"}]
    phone = await town.resident(points=0)
    refused(await typed(phone, "PAPER00001"), 409, "voucher_code_not_usable")
    await console.call("approver", "POST", f"/voucher-batches/{batch}/approve")
    assert (await typed(phone, "paper 00001")).status_code == 201
    refused(await upload(console, batch, b"PAPER00002\n"), 409, "wrong_status")
    stopped = await console.call("approver", "POST", f"/voucher-batches/{batch}/stop")
    assert stopped["status"] == "stopped"
    refused(
        await ask(console, "editor", "POST", f"/voucher-batches/{batch}/exports", {"reason": "x"}),
        409,
        "nothing_to_export",
    )


async def test_more_codes_than_the_template_can_give_are_refused_unless_it_is_said(console: Console) -> None:
    template = await console.template("码多券少", claimable=False, stock=5)
    order = {"template_id": template, "mode": "platform", "count": 3, "document": DOCUMENT}
    await console.call("editor", "POST", "/voucher-batches", order)
    for path in ("/voucher-batches?simulate=true", "/voucher-batches"):  # two are left beside the first batch
        answer = await ask(console, "editor", "POST", path, order)
        refused(answer, 409, "voucher_stock_short")
        assert "按库存和资金还可发放2张，少于本批次的3个兑换码" in answer.json()["error"]["message"]
    assert (await console.call("editor", "POST", "/voucher-batches", order | {"beyond_stock": True}))["beyond_stock"]
    uploaded = {"template_id": template, "mode": "uploaded", "document": DOCUMENT}
    batch = (await console.call("editor", "POST", "/voucher-batches", uploaded))["id"]
    assert (await upload(console, batch, b"code\nPAPER20001\nPAPER20002\n")).json()["batch"]["made"] == 2
    refused(await ask(console, "approver", "POST", f"/voucher-batches/{batch}/approve"), 409, "voucher_stock_short")


async def test_a_third_party_s_code_is_shown_to_the_coupon_s_owner_alone(town: Town, console: Console) -> None:
    template = await console.template("第三方券")
    body = {"template_id": template, "mode": "external", "document": DOCUMENT}
    batch = (await console.call("editor", "POST", "/voucher-batches", body))["id"]
    assert (await upload(console, batch, "券码\n影城A-17\n".encode())).json()["batch"]["made"] == 1
    await console.call("approver", "POST", f"/voucher-batches/{batch}/approve")
    phones = [await town.resident(points=0) for _ in range(2)]
    coupons = [(await phone.claim(template))["id"] for phone in phones]
    looks = [await send(phones[0], "POST", f"/coupons/{coupons[0]}/external-code") for _ in range(2)]
    assert [one.json() for one in looks] == [{"code": "影城A-17"}] * 2
    assert looks[0].headers["cache-control"] == "no-store"
    refused(await send(phones[1], "POST", f"/coupons/{coupons[1]}/external-code"), 409, "no_external_code")
    refused(await send(phones[1], "POST", f"/coupons/{coupons[0]}/external-code"), 404, "coupon_not_found")
    refused(await send(phones[1], "POST", f"/coupons/{client_id()}/external-code"), 404, "coupon_not_found")


async def test_after_too_many_wrong_codes_nobody_is_heard_for_a_while(town: Town, console: Console) -> None:
    batch = await batch_of(console, await console.template("限次券", claimable=False), 1)
    (code,) = await codes_of(console, batch)
    phone = await town.resident(points=0)
    wrong = code[:-1] + ("2" if code[-1] != "2" else "3")

    async def heard() -> httpx.Response | None:
        answer = await send(phone, "POST", "/coupons/codes", json={"code": wrong})
        if answer.status_code != 429:
            refused(answer, 400, "voucher_code_mistyped", "code")
            return None
        return answer

    answer = await until("being told to wait", heard, every_s=0.01)
    assert 1 <= int(answer.headers["Retry-After"]) <= 61
    for path in ("/coupons/codes",):
        refused(await send(phone, "POST", path, json={"code": ""}), 400, "invalid_field", "code")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"count": 1_000_001}, "count"),
        ({"prefix": "o"}, "prefix"),
        ({"mode": "paper"}, "mode"),
        ({"count": 0}, "count"),
    ],
)
async def test_an_order_that_cannot_be_is_refused(console: Console, body: dict[str, Any], field: str) -> None:
    plain = {"template_id": "1", "mode": "platform", "count": 1, "document": DOCUMENT}
    refused(await ask(console, "editor", "POST", "/voucher-batches", plain | body), 400, "invalid_field", field)


async def test_what_is_not_there_is_said_so(console: Console) -> None:
    for method, path in (
        ("GET", "/voucher-batches/999999"), ("POST", "/voucher-batches/999999/approve"),
        ("POST", "/voucher-exports/999999/approve"), ("POST", "/voucher-batches/999999/stop"),
    ):  # fmt: skip
        assert (await ask(console, "approver", method, path)).status_code == 404
    page = await console.call("auditor", "GET", "/voucher-batches?limit=1")
    assert len(page["items"]) <= 1
