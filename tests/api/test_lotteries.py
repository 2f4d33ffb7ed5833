"""Lotteries over HTTP: made by two people in the console, entered by phone, public for everybody, drawn again from the
file."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.incentives.lottery.draw import commitment_of
from server.incentives.lottery.verify import verify
from server.sandbox.phone import ResidentPhone
from tests.support.lottery_desk import PUBLIC, Desk, client_key, desk
from tests.support.patience import until
from tests.support.play import Console, refused, send
from tests.support.town import Town

__all__ = ["desk"]


async def test_a_lottery_goes_from_draft_to_draw_and_the_public_sees_each_step(desk: Desk, tmp_path: Path) -> None:
    draft = (await desk.call("editor", "POST", "/lotteries", desk.body())).json()
    where = f"/lotteries/{draft['id']}"
    assert (draft["status"], draft["commitment"], draft["rules"].startswith("奖项：第1等「大奖」2名")) == (
        "draft",
        None,
        True,
    )
    refused(await desk.public(where), 404, "lottery_not_found")
    edited = await desk.call("editor", "PUT", where, desk.body(title="春节抽奖"), revision=draft["revision"])
    assert edited.json()["title"] == "春节抽奖"
    refused(await desk.call("editor", "PUT", where, desk.body(), revision=draft["revision"]), 409, "revision_changed")
    assert (await desk.call("editor", "POST", f"{where}/submit")).json()["status"] == "in_review"
    refused(await desk.call("editor", "POST", f"{where}/publish"), 403, "forbidden")
    published = (await desk.call("approver", "POST", f"{where}/publish")).json()
    assert (published["status"], published["secret"], len(published["commitment"])) == ("published", None, 64)
    shown = (await desk.public(where)).json()
    assert (shown["status"], shown["commitment"], shown["secret"], shown["entries"]) == (
        "published", published["commitment"], None, None,
    )  # fmt: skip
    assert json.loads(shown["announcement"])["rules"] == shown["rules"] == published["rules"]
    refused(await desk.public(f"{where}/file"), 409, "lottery_list_not_published")
    await desk.crowd(draft["id"], 9)
    await desk.pass_time(5)
    closed = (await desk.public(where)).json()
    assert (closed["status"], closed["entries"], closed["tickets"], closed["secret"]) == ("closed", 9, 9, None)
    before = (await desk.public(f"{where}/file")).content
    assert closed["announcement"].encode() == before.splitlines()[0] and before.count(b'"code"') == 9
    assert (await desk.public(f"{where}/winners")).json() == {"items": [], "next_cursor": None}
    await desk.pass_time(5)
    drawn = (await desk.public(where)).json()
    assert (drawn["status"], drawn["winners"], drawn["digest"]) == ("drawn", 2, closed["digest"])
    assert commitment_of(bytes.fromhex(drawn["secret"])).hex() == shown["commitment"]
    reply = await desk.public(f"{where}/file")
    assert reply.headers["content-type"].startswith("application/x-ndjson")
    assert reply.headers["content-disposition"] == f'attachment; filename="lottery-{draft["id"]}-drawn.jsonl"'
    assert reply.content.startswith(before), "what was public before the draw is the beginning of the whole"
    file = tmp_path / "draw.jsonl"
    file.write_bytes(reply.content)
    assert verify(file, commitment=shown["commitment"], digest=closed["digest"]).holds
    first = (await desk.public(f"{where}/winners", limit=1)).json()
    second = (await desk.public(f"{where}/winners", limit=1, cursor=first["next_cursor"])).json()
    told = [json.loads(line) for line in reply.content.splitlines()[-3:-1]]
    assert first["items"] + second["items"] == told
    # What became of the prizes stands beside the file: here nobody's worker gives them.
    delivered = (await desk.public(f"{where}/deliveries")).json()
    assert delivered == {"given": 0, "pending": 2, "not_given": 0, "items": [], "next_cursor": None}
    page = (await desk.call("auditor", "GET", f"{where}/deliveries", limit=1)).json()
    assert (page["summary"]["pending"], page["items"][0]["code"]) == (2, told[0]["code"])
    rest = (await desk.call("auditor", "GET", f"{where}/deliveries", limit=5, cursor=page["next_cursor"])).json()
    assert [one["place"] for one in rest["items"]] == [2]
    times = {name: desk.body()[name] for name in ("closes_at", "draw_at")} | {"document": "澄信办〔2026〕10号"}
    refused(await desk.call("editor", "POST", f"{where}/second-draw", times), 409, "prizes_under_way")
    refused(await desk.call("auditor", "POST", f"{where}/second-draw", times), 403, "forbidden")


async def test_every_role_may_do_its_part_and_no_more(desk: Desk) -> None:
    made = (await desk.call("editor", "POST", "/lotteries", desk.body())).json()
    where = f"/lotteries/{made['id']}"
    for who, method, path, body in (
        ("approver", "POST", "/lotteries", desk.body()), ("approver", "PUT", where, desk.body()),
        ("editor", "POST", f"{where}/cancel", {"reason": "x"}), ("auditor", "POST", f"{where}/beacon", {"value": "1"}),
        ("merchant_manager", "GET", where, None), ("merchant_manager", "GET", "/lotteries", None),
    ):  # fmt: skip
        refused(await desk.call(who, method, path, body), 403, "forbidden")
    assert (await desk.call("auditor", "GET", where)).json()["id"] == made["id"]
    both = (await desk.call("director", "POST", "/lotteries", desk.body())).json()
    await desk.call("director", "POST", f"/lotteries/{both['id']}/submit")
    refused(await desk.call("director", "POST", f"/lotteries/{both['id']}/publish"), 403, "second_person_required")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"max_tickets": 51}, "max_tickets"), ({"prizes": []}, "prizes"),
        ({"closes_at": "2026-01-01T00:00:00Z"}, "closes_at"),
        ({"draw_at": "2026-01-01T00:00:00"}, "draw_at"), ({"surprise": 1}, "surprise"), ({"title": "  "}, "title"),
        ({"prizes": [{"rank": 2, "name": "奖", "template_id": "1", "count": 1}]}, "prizes[0].rank"),
        ({"prizes": [{"rank": 1, "name": "奖", "template_id": "01", "count": 1}]}, "prizes[0].template_id"),
        ({"price_points": 5}, "price_points"),
    ],
)  # fmt: skip
async def test_bad_input_is_refused_and_named(desk: Desk, changes: dict[str, Any], field: str) -> None:
    reply = await desk.call("editor", "POST", "/lotteries", desk.body(**changes))
    assert (reply.status_code, reply.json()["error"].get("field")) == (400, field), reply.text


async def test_prizes_beyond_the_stock_are_not_published(desk: Desk) -> None:
    prizes = [{"rank": 1, "name": "奖", "template_id": desk.template_id, "count": 101}]
    made = (await desk.call("editor", "POST", "/lotteries", desk.body(prizes=prizes))).json()
    await desk.call("editor", "POST", f"/lotteries/{made['id']}/submit")
    reply = await desk.call("approver", "POST", f"/lotteries/{made['id']}/publish")
    refused(reply, 409, "prize_stock_short", "prizes[0].count")


async def test_a_cancelled_lottery_says_why_to_everybody(desk: Desk) -> None:
    made = await desk.published()
    where = f"/lotteries/{made['id']}"
    refused(await desk.call("approver", "POST", f"{where}/cancel", {"reason": " "}), 400, "invalid_field", "reason")
    cancelled = await desk.call("approver", "POST", f"{where}/cancel", {"reason": "赞助商退出"})
    assert (cancelled.json()["status"], cancelled.json()["cancelled_by"]) == ("cancelled", made["published_by"])
    shown = (await desk.public(where)).json()
    assert (shown["status"], shown["cancel_reason"]) == ("cancelled", "赞助商退出")
    refused(await desk.public(f"{where}/file"), 409, "lottery_list_not_published")


async def test_the_calendar_shows_lotteries_from_their_opening_to_their_draw(desk: Desk) -> None:
    drawn, off = [(await desk.published(title=f"日历抽奖{number}"))["id"] for number in (1, 2)]
    now = desk.ledger.now()

    async def shown(minutes: float) -> dict[str, Any]:
        span = {"since": (now + timedelta(minutes=minutes)).isoformat(), "until": (now + timedelta(days=1)).isoformat()}
        items = (await desk.call("editor", "GET", "/campaigns/calendar", **span)).json()["items"]
        return {one["id"]: one["status"] for one in items if one["kind"] == "lottery"}

    assert {drawn, off} <= (await shown(9)).keys() and not {drawn, off} & (await shown(11)).keys()
    await desk.call("approver", "POST", f"/lotteries/{off}/cancel", {"reason": "奖品有误"})
    seen = await shown(-5)
    assert (seen[drawn], seen[off], off in await shown(9)) == ("published", "cancelled", False)


async def test_the_outside_number_is_public_once_two_people_have_read_it(desk: Desk) -> None:
    made = await desk.published(beacon_source="福彩3D 2026年12月1日开奖号码")
    where = f"/lotteries/{made['id']}"
    await desk.crowd(made["id"], 3)
    refused(await desk.call("editor", "POST", f"{where}/beacon", {"value": "371"}), 409, "beacon_not_wanted")
    await desk.pass_time(10)
    assert (await desk.public(where)).json()["status"] == "closed"
    await desk.call("editor", "POST", f"{where}/beacon", {"value": "371"})
    assert (await desk.public(where)).json()["beacon"] is None
    refused(await desk.call("approver", "POST", f"{where}/beacon", {"value": "372"}), 409, "beacon_differs")
    assert (await desk.call("approver", "POST", f"{where}/beacon", {"value": "371"})).is_success
    await desk.pass_time(0)
    shown = (await desk.public(where)).json()
    assert (shown["status"], shown["beacon"], "福彩3D" in shown["rules"]) == ("drawn", "371", True)


async def test_pages_hold_every_lottery_once_and_filter_by_status(desk: Desk) -> None:
    made = {(await desk.published())["id"] for _ in range(3)}

    async def ids(path: str, admin: bool, **query: Any) -> list[str]:
        seen: list[str] = []
        cursor: str | None = None
        while True:
            asked = query | {"limit": 2} | ({"cursor": cursor} if cursor else {})
            reply = await (desk.call("auditor", "GET", path, **asked) if admin else desk.public(path, **asked))
            assert reply.status_code == 200, reply.text
            seen += [item["id"] for item in reply.json()["items"]]
            cursor = reply.json()["next_cursor"]
            if cursor is None:
                return seen

    public, published = await ids("/lotteries", False), await ids("/lotteries", True, status="published")
    assert made <= set(public) and len(set(public)) == len(public)
    assert made <= set(published) <= set(public)
    refused(await desk.public("/lotteries", cursor="%%"), 400, "invalid_field", "cursor")


async def test_the_stock_of_a_template_is_public_and_adds_up_and_a_draft_has_none(desk: Desk) -> None:
    stock = (await desk.public(f"/coupon-templates/{desk.template_id}/stock")).json()
    assert (stock["planned"], stock["topped_up"], stock["total"], stock["title"]) == (100, 0, 100, "电影票兑换券")
    assert stock["total"] == stock["planned"] + stock["topped_up"] - stock["cut"]
    assert stock["total"] == stock["left"] + stock["claimed"] - stock["returned"]
    assert stock["available"] == stock["left"], "nobody pays for them"
    assert stock["claimed"] == sum(stock[name] for name in ("issued", "redeemed", "expired", "voided"))
    now = datetime.now(UTC)
    draft = {
        "title": "草稿", "document": "澄信办〔2026〕8号", "kind": "exchange", "stock": 1, "sponsor_bp": 0,
        "starts_at": now.isoformat(), "ends_at": (now + timedelta(days=1)).isoformat(),
    }  # fmt: skip
    made = (await desk.call("editor", "POST", "/coupon-templates", draft)).json()
    for missing in (made["id"], "999999"):
        refused(await desk.public(f"/coupon-templates/{missing}/stock"), 404, "template_not_found")


async def test_the_audit_trail_has_every_step_and_no_secret(desk: Desk) -> None:
    made = await desk.published()
    await desk.pass_time(10)
    secret = (await desk.public(f"/lotteries/{made['id']}")).json()["secret"]
    query = {"object_kind": "lottery", "object_id": made["id"]}
    page = await desk.call("auditor", "GET", "/audit-entries", **query)
    actions = [item["action"].partition(".")[2] for item in page.json()["items"]]
    assert actions[-6:] == ["drawn", "listed", "closed", "published", "submitted", "created"]
    assert secret not in page.text


@pytest.fixture
async def prize(town: Town, console: Console) -> str:
    return await console.template("电影票", kind="exchange", face_value_fen=0, sponsor_bp=0, claimable=False)


async def _publish(console: Console, template: str, life_s: float, **changes: Any) -> str:
    now = datetime.now(UTC)
    ends = (now + timedelta(seconds=life_s)).isoformat()
    prizes = [{"rank": 1, "name": "电影票", "template_id": template, "count": 1}]
    body = {
        "title": "周末抽奖", "document": "澄信办〔2026〕10号", "opens_at": (now - timedelta(hours=1)).isoformat(),
        "closes_at": ends, "draw_at": ends, "prizes": prizes,
    }  # fmt: skip
    made = await console.call("editor", "POST", "/lotteries", body | changes)
    await console.call("editor", "POST", f"/lotteries/{made['id']}/submit")
    await console.call("approver", "POST", f"/lotteries/{made['id']}/publish")
    return str(made["id"])


async def test_two_hundred_calls_of_one_person_at_once_are_one_entry(town: Town, console: Console, prize: str) -> None:
    lottery_id = await _publish(console, prize, 3_600)
    phone = await town.resident(points=0)
    where, one = f"/lotteries/{lottery_id}/entries", client_key()
    keys = [one if number % 2 else client_key() for number in range(200)]
    answers = await asyncio.gather(*(send(phone, "POST", where, headers=key) for key in keys))
    assert {answer.status_code for answer in answers} == {201, 409}
    bodies = {answer.text for answer in answers if answer.status_code == 201}
    fresh = [answer for answer in answers if answer.status_code == 201 and "Idempotency-Replayed" not in answer.headers]
    assert (len(bodies), len(fresh)) == (1, 1)
    for answer in answers:
        if answer.status_code == 409:
            refused(answer, 409, "already_entered")
    refused(await send(phone, "POST", where), 400, "idempotency_key_required")
    mine = next(item for item in (await send(phone, "GET", "/lotteries")).json()["items"] if item["id"] == lottery_id)
    assert (mine["can_enter"], mine["entry"]["tickets"], mine["entry"]["result"]) == (False, 1, "pending")
    other = await town.resident(points=0)
    refused(await send(other, "GET", f"/lotteries/{lottery_id}/entry"), 404, "lottery_not_entered")
    shown = next(item for item in (await send(other, "GET", "/lotteries")).json()["items"] if item["id"] == lottery_id)
    assert (shown["can_enter"], shown["entry"]) == (True, None)


async def test_from_publication_to_the_winners_coupon_and_anybodys_own_draw(
    town: Town, console: Console, prize: str, tmp_path: Path
) -> None:
    phones = [await town.resident(points=0) for _ in range(3)]
    for life_s in (8.0, 60.0, 300.0):  # who is too slow on a busy machine tries a longer one
        lottery_id = await _publish(console, prize, life_s)
        where = f"/lotteries/{lottery_id}"
        noted = (await town.http.get(PUBLIC + where)).json()["commitment"]
        entered = [await send(phone, "POST", f"{where}/entries", headers=client_key()) for phone in phones]
        if all(answer.status_code == 201 for answer in entered):
            break
        assert {answer.json()["error"]["code"] for answer in entered if answer.status_code != 201} == {"lottery_closed"}

    async def drawn() -> dict[str, Any] | None:
        shown = (await town.http.get(PUBLIC + where)).json()
        return dict(shown) if shown["status"] == "drawn" else None

    shown = await until("the draw", drawn, every_s=0.5)
    late = await town.resident(points=0)
    refused(await send(late, "POST", f"{where}/entries", headers=client_key()), 409, "lottery_closed")
    results = [(await send(phone, "GET", f"{where}/entry")).json() for phone in phones]
    (winner,) = [phone for phone, result in zip(phones, results, strict=True) if result["result"] == "won"]
    assert sorted(result["result"] for result in results) == ["not_won", "not_won", "won"]
    winners = (await town.http.get(f"{PUBLIC}{where}/winners")).json()["items"]
    codes = {result["result"]: result["code"] for result in results}
    assert [won["code"] for won in winners] == [codes["won"]]

    file = tmp_path / "draw.jsonl"
    file.write_bytes((await town.http.get(f"{PUBLIC}{where}/file")).content)
    command = [
        sys.executable,
        "-m",
        "server.cli",
        "verify-draw",
        str(file),
        "--commitment",
        noted,
        "--digest",
        shown["digest"],
    ]
    done = await asyncio.to_thread(subprocess.run, command, env={}, capture_output=True, text=True)
    assert (done.returncode, "the draw is as it was published" in done.stdout) == (0, True), done.stdout + done.stderr
    list_and_secret, _, end = file.read_bytes().rpartition(codes["won"].encode())
    file.write_bytes(list_and_secret + codes["not_won"].encode() + end)
    done = await asyncio.to_thread(subprocess.run, command, env={}, capture_output=True, text=True)
    assert (done.returncode, "BROKEN winners" in done.stdout) == (1, True), done.stdout + done.stderr
    await _has_the_prize(winner, prize)


async def _has_the_prize(winner: ResidentPhone, template: str) -> None:
    async def given() -> bool:
        coupons = (await send(winner, "GET", "/coupons")).json()["items"]
        return template in [coupon["benefit"]["id"] for coupon in coupons]

    await until("the winner's coupon", given, every_s=0.5)

    async def told() -> bool:
        entries = [item["entry"] for item in (await send(winner, "GET", "/lotteries")).json()["items"]]
        return [entry["won"]["coupon"] for entry in entries if entry and entry["won"]] == ["given"]

    await until("the winner being told", told, every_s=0.5)
    stock = (await winner.http.get(f"{PUBLIC}/coupon-templates/{template}/stock")).json()
    assert (stock["issued"], stock["left"], stock["total"]) == (1, 99, 100)


async def test_codes_and_prizes_of_one_template_are_never_promised_twice(town: Town, console: Console) -> None:
    template = await console.template("两处承诺券", claimable=False, stock=5)
    now = datetime.now(UTC)
    at = {
        name: (now + timedelta(hours=n)).isoformat() for n, name in enumerate(("opens_at", "closes_at", "draw_at"), 1)
    }
    prizes = [{"rank": 1, "name": "奖", "template_id": template, "count": 3}]
    lottery = {"title": "两处承诺", "document": "澄信办〔2026〕8号", "max_tickets": 1, "prizes": prizes, **at}
    codes = {"template_id": template, "mode": "platform", "prefix": "QX", "document": "澄信办〔2026〕9号"}

    async def send_as(who: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {await console.token(who)}"}
        return await town.http.post(f"/api/admin/v1{path}", json=body, headers=headers)

    made = (await send_as("editor", "/lotteries", lottery)).json()
    await send_as("editor", f"/lotteries/{made['id']}/submit")
    assert (await send_as("editor", "/voucher-batches", codes | {"count": 3})).status_code == 201
    publish = f"/lotteries/{made['id']}/publish"
    refused(await send_as("approver", publish), 409, "prize_stock_short", "prizes[0].count")
    batch = (await console.call("editor", "GET", f"/voucher-batches?template_id={template}"))["items"][0]["id"]
    assert (await send_as("approver", f"/voucher-batches/{batch}/stop")).is_success
    assert (await send_as("approver", publish)).json()["status"] == "published"
    short = await send_as("editor", "/voucher-batches", codes | {"count": 3})
    refused(short, 409, "voucher_stock_short")
    assert "还可发放2张，少于本批次的3个兑换码" in short.json()["error"]["message"]
    assert (await send_as("editor", "/voucher-batches", codes | {"count": 2})).status_code == 201
