"""Coupons that are given, over HTTP: a list is uploaded, one orders a job, another approves it, coupons arrive."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from server.sandbox.phone import client_id
from tests.support.patience import until
from tests.support.play import Console, books_balance, refused, rows, send
from tests.support.town import Town

DOCUMENT = "澄信办〔2026〕7号"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


async def upload(
    console: Console, content: bytes, name: str = "慰问名单", who: str = "editor", **query: str
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {await console.token(who)}", "Content-Type": "text/csv"}
    path = "/api/admin/v1/recipient-lists"
    return await console.town.http.post(path, params={"name": name, **query}, content=content, headers=headers)


async def ask(console: Console, who: str, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {await console.token(who)}"}
    return await console.town.http.request(
        method, f"/api/admin/v1{path}", json=body, params=query or None, headers=headers
    )


async def residents(town: Town, count: int) -> list[tuple[Any, int]]:
    """Fresh residents with their phones and ids."""
    phones = [await town.resident(points=0) for _ in range(count)]
    newest = await rows(town, "SELECT id FROM resident ORDER BY id DESC LIMIT $1", count)
    return list(zip(phones, sorted(row["id"] for row in newest), strict=True))


async def test_a_list_is_uploaded_ordered_approved_and_everybody_has_a_coupon(town: Town, console: Console) -> None:
    people = await residents(town, 3)
    template = await console.template("慰问券", claimable=False, stock=10)
    lines = "resident_id\n" + "".join(f"{id}\n" for _, id in people) + f"{people[0][1]}\nabc\n99999999\n"
    lists = (await console.call("editor", "GET", "/recipient-lists"))["items"]
    pretended = await upload(console, lines.encode(), simulate="true")
    assert (pretended.status_code, pretended.json()["recipient_list"]["taken"]) == (200, 3), pretended.text
    assert (await console.call("editor", "GET", "/recipient-lists"))["items"] == lists
    made = await upload(console, lines.encode())
    assert made.status_code == 201, made.text
    assert made.json()["lines"] == pretended.json()["lines"]
    taken = made.json()
    assert (taken["recipient_list"]["taken"], taken["recipient_list"]["status"]) == (3, "ready")
    assert taken["lines"] == [
        {"line": 5, "reason": "repeated"}, {"line": 6, "reason": "unreadable"}, {"line": 7, "reason": "unknown"}
    ]  # fmt: skip
    body = {"template_id": template, "list_id": taken["recipient_list"]["id"], "document": DOCUMENT, "per_second": 50}
    plan = await console.call("editor", "POST", "/grant-jobs?simulate=true", body)
    assert plan == {"recipients": 3, "coupons_left": 10, "promised": 0, "fen": 900, "fen_left": 3000, "enough": True}
    job = await console.call("editor", "POST", "/grant-jobs", body)
    assert (job["status"], job["recipients"], job["approved_by"]) == ("requested", 3, None)
    path = f"/grant-jobs/{job['id']}"
    refused(await ask(console, "editor", "POST", f"{path}/approve"), 403, "forbidden")
    pretended = await ask(console, "approver", "POST", f"{path}/approve", simulate="true")
    assert (pretended.json()["simulated"], pretended.json()["job"]["status"]) == (True, "running")
    assert (await console.call("editor", "GET", path))["job"] == job
    started = await console.call("approver", "POST", f"{path}/approve")
    assert (started["job"]["status"], started["job"]["approved_by"] != job["created_by"]) == ("running", True)

    async def finished() -> Any:
        seen = await console.call("approver", "GET", path)
        return seen if seen["job"]["status"] == "finished" and not seen["job"]["under_way"] else None

    done = (await until("the job's end", finished))["job"]
    assert (done["owed"], done["posted"], done["refused"]) == (3, 3, 0)
    for phone, _ in people:
        (coupon,) = (await send(phone, "GET", "/coupons")).json()["items"]
        assert coupon["benefit"]["title"] == "慰问券"
        entries = (await send(phone, "GET", "/wallet/entries")).json()["items"]
        assert "获得赠送的电子券" in [entry["title"] for entry in entries]
    refused(await ask(console, "approver", "POST", f"{path}/approve"), 409, "wrong_status")
    refused(await ask(console, "editor", "POST", f"{path}/cancel"), 409, "wrong_status")
    listed = await console.call("auditor", "GET", "/grant-jobs?status=finished&limit=1")
    assert [one["id"] for one in listed["items"]] == [job["id"]]
    trail = await console.call("auditor", "GET", f"/audit-entries?object_kind=grant_job&object_id={job['id']}")
    assert [one["action"] for one in trail["items"]][-2:] == ["grant_job.approved", "grant_job.ordered"]
    await books_balance(town)


async def test_what_is_only_given_cannot_be_claimed_and_is_in_no_shop(town: Town, console: Console) -> None:
    template = await console.template("定向券", claimable=False)
    phone = await town.resident(points=0)
    answer = await send(
        phone, "POST", "/coupons", json={"template_id": template}, headers={"Idempotency-Key": str(client_id())}
    )
    refused(answer, 409, "given_only")
    shop = (await send(phone, "GET", "/campaigns")).json()["coupons"]
    assert template not in [one["template_id"] for one in shop]
    shown = await console.call("editor", "GET", f"/coupon-templates/{template}")
    assert "定向发放，不开放领取" in shown["version"]["terms_text"]
    refused(
        await ask(console, "editor", "POST", "/coupon-templates", {
            "title": "x", "document": "x", "kind": "amount_off", "stock": 1, "face_value_fen": 1, "price_points": 5,
            "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-02-01T00:00:00Z", "claimable": False,
        }), 400, "invalid_field", "price_points",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "invalid_field"),
        (b"\xff\xff\xff", 400, "sheet_unreadable"),
        (b"99999999\n", 400, "recipient_list_empty"),
    ],
)
async def test_a_file_that_is_none_is_refused(console: Console, content: bytes, status: int, code: str) -> None:
    refused(await upload(console, content), status, code, "file")


async def test_uploads_need_a_name_the_scope_and_a_size_within_the_bound(town: Town, console: Console) -> None:
    refused(await upload(console, b"1\n", name=""), 400, "invalid_field", "name")
    refused(await upload(console, b"1\n", who="auditor"), 403, "forbidden")
    too_large = await upload(console, b"1\n" * (17 * 2**20))
    refused(too_large, 413, "body_too_large")
    document = (await town.http.get("/openapi.json")).json()
    operation = document["paths"]["/api/admin/v1/recipient-lists"]["post"]
    assert set(operation["requestBody"]["content"]) == {"text/csv", XLSX}


async def test_orders_for_what_is_not_there_are_refused(console: Console) -> None:
    body = {"template_id": "1", "list_id": "999999", "document": DOCUMENT}
    assert (await ask(console, "editor", "POST", "/grant-jobs", body | {"template_id": "999999"})).status_code == 404
    assert (await ask(console, "editor", "POST", "/grant-jobs", body)).status_code == 404
    refused(
        await ask(console, "editor", "POST", "/grant-jobs", body | {"per_second": 0}),
        400,
        "invalid_field",
        "per_second",
    )
    refused(await ask(console, "approver", "POST", "/grant-jobs", body), 403, "forbidden")
    refused(await ask(console, "approver", "GET", "/grant-jobs/999999"), 404, "grant_job_not_found")
    refused(await ask(console, "approver", "GET", "/recipient-lists/999999"), 404, "recipient_list_not_found")
