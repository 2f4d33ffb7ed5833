"""Versions, simulation, search, export, calendar, kill switch, alerts and budget speed over HTTP."""

from __future__ import annotations

import asyncio
import csv
import io
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from server.incentives.grants.models import RecipientList
from server.incentives.models import BudgetAlert
from server.kit.db import fetch
from server.kit.ids import uuid7
from server.kit.sheets import cells
from tests.support.console import ADMIN, Console, campaign, console, rule, template, window
from tests.support.databases import Database

__all__ = ["console"]


async def changed(console: Console, made: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """A live campaign after a change of it was approved."""
    path = f"/campaigns/{made['id']}"
    assert (await console.post(f"{path}/versions", console.editor, body)).status_code == 201
    await console.post(f"{path}/submit", console.editor)
    reply = await console.post(f"{path}/approve", console.approver)
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


async def test_a_live_campaign_is_changed_by_a_version_and_both_stay_readable(console: Console) -> None:
    made = await console.live("/campaigns", campaign())
    body = campaign(rule=rule(7), title="第二版")
    late = await console.post(f"/campaigns/{made['id']}/versions", console.editor, body | {"budget_points": 9_999})
    assert (late.status_code, late.json()["error"]["field"]) == (409, "budget_points")
    live = await changed(console, made, {name: value for name, value in body.items() if name != "budget_points"})
    assert (live["version"]["number"], live["version"]["title"], live["status"]) == (2, "第二版", "active")
    assert live["budgets"] == made["budgets"]
    versions = (await console.get(f"/campaigns/{made['id']}/versions"))["items"]
    assert [(one["number"], one["version_status"]) for one in versions] == [(2, "live"), (1, "superseded")]
    assert all(one["approved_by"] not in (None, one["created_by"]) for one in versions)
    found = await console.get(f"/campaigns/{made['id']}/diff", before=1, after=2)
    fields = {one["field"]: (one["before"], one["after"]) for one in found["fields"]}
    assert fields["rule.effect.points"] == (100, 7)
    assert ("100积分" in found["before_text"], "7积分" in found["after_text"]) == (True, True)
    nothing = await console.client.get(
        f"{ADMIN}/campaigns/{made['id']}/diff", params={"before": 1, "after": 3}, headers=console.director
    )
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (404, "version_not_found")


async def test_a_hold_out_is_told_kept_with_its_version_and_compared(console: Console) -> None:
    hold_out = {"share_bp": 1_250, "outcome": "redemption_made", "days": 30}
    made = await console.live("/campaigns", campaign(hold_out=hold_out))
    version = made["version"]
    assert version["hold_out"] == hold_out and "另设12.5%的居民为对照组" in version["terms_text"]
    path = f"/campaigns/{made['id']}"
    assert (await console.get(path))["withheld"] == {"awards": None, "points": None, "fen": None}
    told = await console.get(f"{path}/uplift", version=1)
    assert (told["versions"], told["hold_out"], told["floor"], told["difference"]) == ([1], hold_out, 10, None)
    assert set(told["held_out"].values()) == {None}
    owed = await console.post(
        "/campaigns", console.editor, campaign(rule=rule(fact="administrator_grant"), hold_out=hold_out)
    )
    assert (owed.status_code, owed.json()["error"]["code"]) == (422, "hold_out_not_allowed")
    plain = await console.live("/campaigns", campaign())
    assert "withheld" not in await console.get(f"/campaigns/{plain['id']}")
    nothing = await console.client.get(f"{ADMIN}/campaigns/{plain['id']}/uplift", headers=console.director)
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (409, "no_hold_out")


async def test_a_draft_is_run_dry_over_the_last_month_and_small_cells_are_hidden(console: Console) -> None:
    made = (await console.post("/campaigns", console.editor, campaign(rule=rule(fact="parking_exit_paid")))).json()
    path = f"/campaigns/{made['id']}/dry-run"
    today = datetime.now(ZoneInfo("Asia/Shanghai")).date()
    month = {
        "first_day": (today - timedelta(days=40)).isoformat(),
        "last_day": (today - timedelta(days=10)).isoformat(),
    }
    reply = await console.post(path, console.editor, month)
    assert reply.status_code == 200, reply.text
    run = reply.json()
    assert (run["status"], run["version"], run["floor"], run["given"], run["cut_by_budget"]) == (
        "done", 1, 10, None, None
    )  # fmt: skip
    assert [one["day"] for one in run["days"]][::30] == list(month.values())
    assert {one["given"] for one in run["days"]} == {None}
    assert await console.get(f"/dry-runs/{run['id']}") == run
    assert (await console.get(f"/campaigns/{made['id']}/dry-runs"))["items"] == [run]
    seen = await console.get("/audit-entries", object_kind="campaign", object_id=made["id"])
    assert {"campaign.dry_run", "campaign.created"} <= {one["action"] for one in seen["items"]}
    for body, status, code in (
        (month | {"last_day": (today + timedelta(days=1)).isoformat()}, 400, "invalid_field"),
        (month | {"version": 9}, 404, "version_not_found"),
    ):
        refused = await console.post(path, console.editor, body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(("path", "body"), [("/campaigns", campaign()), ("/coupon-templates", template())])
async def test_every_write_can_be_simulated_and_leaves_nothing(
    console: Console, path: str, body: dict[str, Any]
) -> None:
    async def pretend(step: str, who: dict[str, str], content: Any = None) -> dict[str, Any]:
        reply = await console.post(f"{path}{step}?simulate=true", who, content)
        assert reply.status_code == 200, reply.text
        assert reply.json()["simulated"] is True
        answer: dict[str, Any] = reply.json()
        return answer

    pretended = await pretend("", console.editor, body)
    assert (await console.client.get(f"{ADMIN}{path}/{pretended['id']}", headers=console.director)).status_code == 404
    made = (await console.post(path, console.editor, body)).json()
    assert {"simulated", "effects"}.isdisjoint(made)
    one = f"/{made['id']}"
    assert (await pretend(f"{one}/submit", console.editor))["status"] == "in_review"
    assert (await console.get(path + one))["status"] == "draft"
    await console.post(f"{path}{one}/submit", console.editor)
    for step, who, status, content in (
        ("withdraw", console.editor, "draft", None), ("reject", console.approver, "draft", {"comment": "再改改"}),
        ("approve", console.approver, "active", None),
    ):  # fmt: skip
        assert (await pretend(f"{one}/{step}", who, content))["status"] == status
        assert (await console.get(path + one))["status"] == "in_review"
    told = await pretend(f"{one}/approve", console.approver)
    planned = {budget["unit"]: budget["planned"] for budget in made["budgets"]}
    assert {budget["unit"]: budget["amount"] for budget in told["effects"]["budgets"]} == planned
    assert all(budget["total"] == 0 for budget in (await console.get(path + one))["budgets"])
    await console.post(f"{path}{one}/approve", console.approver)
    for step, status in (("pause", "paused"), ("end", "ended")):
        assert (await pretend(f"{one}/{step}", console.approver))["status"] == status
    await pretend(f"{one}/copy", console.editor)
    stands = await console.get(path + one)
    assert (stands["status"], {budget["open"] for budget in stands["budgets"]}) == ("active", {True})
    budget, key = stands["budgets"][0]["id"], str(uuid7(datetime.now(UTC)))
    asked = await console.post(
        f"/budgets/{budget}/top-ups?simulate=true", console.director, {"amount": 5, "document": "追加"},
        **{"Idempotency-Key": key},
    )  # fmt: skip
    assert (asked.status_code, asked.json()["simulated"]) == (200, True)
    assert (await console.post(f"/top-ups/{key}/approve", console.approver)).status_code == 404


async def test_writes_of_the_other_rooms_are_simulated_and_leave_everything_as_it_was(console: Console) -> None:
    """Every step is pretended first and done then; between the two the thing stands as before."""
    stands: dict[str, Any] = {}

    async def step(who: dict[str, str], path: str, content: Any = None, method: str = "POST") -> dict[str, Any]:
        body = {"content": content.encode()} if isinstance(content, str) else {"json": content}
        before, one = await _trail(), stands.get("path")
        seen = await console.get(one) if one else None
        for pretended in (True, False):
            query = {"simulate": "true"} if pretended else {}
            reply = await console.client.request(method, ADMIN + path, params=query, headers=who, **body)  # type: ignore[arg-type]
            assert reply.status_code in ((200,) if pretended else (200, 201)), reply.text
            answer: dict[str, Any] = reply.json()
            if pretended:
                assert answer["simulated"] is True and answer["effects"]["changes"]
                assert (await _trail(), await console.get(one) if one else None) == (before, seen)
            else:
                assert {"simulated", "effects"}.isdisjoint(answer)
                assert await _trail() > before
        return answer

    async def _trail() -> int:
        return int((await console.get("/audit-entries", limit=1))["items"][0]["id"])

    asks = {"enrolled_from": "2026-01-01"}
    segment = await step(console.editor, "/segments", {"name": "新居民", "definition": asks})
    stands["path"] = f"/segments/{segment['id']}"
    await step(console.editor, stands["path"], {"name": "老居民", "definition": asks}, "PUT")

    prize = await console.live("/coupon-templates", template(claimable=False, price_points=0))
    del stands["path"]
    order = {"template_id": prize["id"], "mode": "uploaded", "document": "澄信办〔2026〕9号"}
    batch = await step(console.editor, "/voucher-batches", order)
    stands["path"] = f"/voucher-batches/{batch['id']}"
    taken = await step(console.editor, f"{stands['path']}/codes", "code\nPRETEND2345\nPRETEND2346\nPRETEND2345\n")
    assert (taken["batch"]["made"], taken["repeated"]) == (2, 1)
    await step(console.approver, f"{stands['path']}/approve")
    await step(console.approver, f"{stands['path']}/stop")

    now = datetime.now(UTC)
    days = ("opens_at", "closes_at", "draw_at")
    body = {
        "title": "新年抽奖", "document": "澄信办〔2026〕10号", "max_tickets": 1, "self_entry": True,
        "prizes": [{"rank": 1, "name": "早餐", "template_id": prize["id"], "count": 3}],
        **{name: (now + timedelta(days=n)).isoformat() for n, name in enumerate(days, 1)},
    }  # fmt: skip
    del stands["path"]
    lottery = await step(console.editor, "/lotteries", body)
    path = stands["path"] = f"/lotteries/{lottery['id']}"
    await step(console.editor, path, body | {"title": "元宵抽奖"}, "PUT")
    await step(console.editor, f"{path}/submit")
    assert (await step(console.approver, f"{path}/publish"))["status"] == "published"
    assert (await step(console.approver, f"{path}/cancel", {"reason": "改期"}))["status"] == "cancelled"


async def test_campaigns_are_found_by_status_trigger_words_time_and_editor_in_any_order(console: Console) -> None:
    far = datetime.now(UTC) + timedelta(days=4_000)
    made = []
    for days in (3, 1, 2):
        window_ = {
            "starts_at": (far + timedelta(days=days)).isoformat(),
            "ends_at": (far + timedelta(days=10 - days)).isoformat(),
        }
        body = campaign(title=f"远期100%活动{days}", rule=rule(fact="parking_exit_paid"), **window_)
        made.append((await console.post("/campaigns", console.editor, body)).json())
    first, second, third = (one["id"] for one in made)
    words = {"text": "远期100%"}
    cases = {
        "newest": [third, second, first], "oldest": [first, second, third], "starts": [second, third, first],
        "ends": [first, third, second],
    }  # fmt: skip
    for sort, expected in cases.items():
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await console.get("/campaigns", sort=sort, limit=2, **words, **cursor)
            seen += [item["id"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert seen == expected, sort
    editor = made[0]["version"]["created_by"]
    for query, count in (
        (words | {"status": "draft"}, 3), (words | {"status": "active"}, 0), (words | {"trigger": "date"}, 0),
        (words | {"trigger": "parking_exit_paid"}, 3), (words | {"created_by": editor}, 3),
        (words | {"created_by": "999"}, 0), ({"text": "远期100_活动"}, 0),
        (words | {"until": (far + timedelta(days=1)).isoformat()}, 0),
        (words | {"since": (far + timedelta(days=8)).isoformat()}, 1),
    ):  # fmt: skip
        assert len((await console.get("/campaigns", **query))["items"]) == count, query


async def test_lists_leave_as_csv_and_xlsx_and_no_cell_is_a_formula(console: Console) -> None:
    title = "=cmd|' /C calc'!A1"
    made = (await console.post("/campaigns", console.editor, campaign(title=title))).json()
    reply = await console.client.get(f"{ADMIN}/campaigns/export/csv", params={"text": title}, headers=console.director)
    assert (reply.status_code, reply.headers["Cache-Control"]) == (200, "no-store")
    heading, row = csv.reader(io.StringIO(reply.content.decode("utf-8-sig")))
    told = dict(zip(heading, row, strict=True))
    assert (told["编号"], told["名称"], told["预算总额"]) == (made["id"], f"'{title}", "1000")
    assert (told["状态"], told["触发/类型"], told["预算单位"]) == ("草稿", "实名认证", "积分")
    starts = datetime.fromisoformat(made["version"]["starts_at"]).astimezone(ZoneInfo("Asia/Shanghai"))
    assert told["开始时间"] == f"{starts:%Y-%m-%d %H:%M:%S}"
    book = await console.client.get(f"{ADMIN}/campaigns/export/xlsx", params={"text": title}, headers=console.director)
    assert list(cells(book.content, {"名称"})) == [(2, title)]
    assert b"<f>" not in book.content
    other = await console.client.get(f"{ADMIN}/coupon-templates/export/csv", headers=console.director)
    assert other.headers["Content-Type"].startswith("text/csv")
    assert (await console.client.get(f"{ADMIN}/campaigns/export/csv", headers=console.resident)).status_code == 403


async def test_the_calendar_shows_what_reaches_into_a_time(console: Console) -> None:
    made = await console.live("/campaigns", campaign(title="日历活动"))
    offer = await console.live("/coupon-templates", template(title="日历券"))
    await console.post(f"/coupon-templates/{offer['id']}/end", console.approver)
    now = datetime.now(UTC)

    async def shown(since: timedelta, until: timedelta) -> set[tuple[str, str]]:
        span = {"since": (now + since).isoformat(), "until": (now + until).isoformat()}
        return {(one["kind"], one["id"]) for one in (await console.get("/campaigns/calendar", **span))["items"]}

    both = {("campaign", made["id"]), ("coupon_template", offer["id"])}
    assert both <= await shown(timedelta(hours=-2), timedelta(hours=1))
    assert both & await shown(timedelta(days=1), timedelta(days=2)) == {("campaign", made["id"])}
    assert not both & await shown(timedelta(days=31), timedelta(days=60))
    wrong = {"since": now.isoformat(), "until": (now + timedelta(days=401)).isoformat()}
    reply = await console.client.get(f"{ADMIN}/campaigns/calendar", params=wrong, headers=console.director)
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, "until")


async def test_the_kill_switch_stops_everything_and_is_written_down(console: Console) -> None:
    made = await console.live("/campaigns", campaign())
    offer = await console.live("/coupon-templates", template())
    body = {"kind": "all", "reason": "系统异常，全部停止"}
    assert (await console.post("/incentives/kill-switch", console.editor, body)).status_code == 403
    pretended = (await console.post("/incentives/kill-switch?simulate=true", console.approver, body)).json()
    assert (made["id"] in pretended["campaigns"], pretended["simulated"]) == (True, True)
    assert (await console.get(f"/campaigns/{made['id']}"))["status"] == "active"
    done = (await console.post("/incentives/kill-switch", console.approver, body)).json()
    assert (made["id"] in done["campaigns"], offer["id"] in done["templates"], done["settling"]) == (True, True, 0)
    for path in (f"/campaigns/{made['id']}", f"/coupon-templates/{offer['id']}"):
        stands = await console.get(path)
        assert (stands["status"], {one["open"] for one in stands["budgets"]}) == ("paused", {False})
    assert (await console.post("/incentives/kill-switch", console.approver, body)).json()["campaigns"] == []
    entry = (await console.get("/audit-entries", object_kind="kill_switch"))["items"][-1]
    assert (entry["after"]["reason"], made["id"] in entry["after"]["campaigns"]) == (body["reason"], True)
    resumed = (await console.post(f"/campaigns/{made['id']}/resume", console.approver)).json()
    assert (resumed["status"], resumed["budgets"][0]["open"]) == ("active", True)
    assert (await console.get(f"/coupon-templates/{offer['id']}"))["status"] == "paused"


async def test_a_budget_tells_how_fast_it_is_used(console: Console) -> None:
    made = await console.live("/campaigns", campaign(**window()))
    detail = await console.get(f"/budgets/{made['budgets'][0]['id']}")
    assert detail["burn"] == {"per_day_7": 0.0, "per_day": 0.0, "empty_at": None}


async def test_what_is_under_way_is_shown_in_the_console_and_by_the_command(
    console: Console, database: Database
) -> None:
    offer = await console.live("/coupon-templates", template())
    order = {"template_id": offer["id"], "mode": "platform", "count": 1_000, "document": "澄信办〔2026〕8号"}
    order["beyond_stock"] = True
    made = (await console.post("/voucher-batches", console.editor, order)).json()
    await fetch("UPDATE voucher_batch SET made = 400 WHERE id = $1", int(made["id"]))
    [one] = (await console.get("/incentives/jobs"))["items"]
    assert (one["kind"], one["id"], one["status"], one["done"], one["total"]) == (
        "voucher_batch", made["id"], "running", 400, 1_000,
    )  # fmt: skip
    assert one["per_second"] > 0 and one["remaining_s"] is not None
    command = [sys.executable, "-m", "server.cli", "jobs", "--url", database.worker]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    line, last = done.stdout.splitlines()
    assert line.startswith(f"codes   {made['id']}") and "400 of 1000" in line and last == "1 under way"


async def test_every_list_of_the_room_is_found_and_exported_like_campaigns_and_some_are_copied(
    console: Console,
) -> None:
    offer = await console.live("/coupon-templates", template(claimable=False, price_points=0))
    word = "台账〔2026〕77号"
    order = {"template_id": offer["id"], "mode": "platform", "count": 10, "document": word}
    batch = (await console.post("/voucher-batches", console.editor, order)).json()
    now = datetime.now(UTC)
    prizes = [{"rank": 1, "name": "奖", "template_id": offer["id"], "count": 1}]
    lottery = {
        "title": "=台账抽奖", "document": word, "prizes": prizes,
        "opens_at": now.isoformat(), "closes_at": (now + timedelta(hours=1)).isoformat(),
        "draw_at": (now + timedelta(hours=2)).isoformat(),
    }  # fmt: skip
    drawn = (await console.post("/lotteries", console.editor, lottery)).json()
    group = {"name": "=台账人群", "definition": {"enrolled_from": "2026-01-01"}}
    segment = (await console.post("/segments", console.editor, group)).json()
    list_id = (await RecipientList.create(name="台账", status="ready", taken=1, created_by=1, created_at=now)).id
    wanted = {"template_id": offer["id"], "list_id": str(list_id), "per_second": 10, "document": word, "note": "=1+1"}
    job = (await console.post("/grant-jobs", console.editor, wanted)).json()
    file = {"kind": "recipients_file", "list_id": str(list_id), "document": word}
    facts = (await console.post("/facts/grants", console.editor, file)).json()
    for path, made, heading, cell, query, other in (
        ("/recipient-lists", {"id": str(list_id)}, "名称", "台账", {"text": "台账", "status": "ready"}, {"text": "%"}),
        ("/facts/batches", facts, "文号", word, {"text": "77号", "kind": "recipients_file"}, {"text": "%"}),
        ("/voucher-batches", batch, "文号", word, {"text": "77号", "status": "making"}, {"status": "stopped"}),
        ("/lotteries", drawn, "名称", "=台账抽奖", {"text": "台账抽", "status": "draft"}, {"text": "%"}),
        ("/segments", segment, "名称", "=台账人群", {"search": "台账人"}, {"search": "%"}),
        ("/grant-jobs", job, "备注", "=1+1", {"text": "1+1", "template_id": offer["id"]}, {"template_id": "999"}),
    ):
        assert [one["id"] for one in (await console.get(path, **query))["items"]] == [made["id"]], path
        assert made["id"] not in [one["id"] for one in (await console.get(path, **other))["items"]], path
        reply = await console.client.get(f"{ADMIN}{path}/export/csv", params=query, headers=console.editor)
        assert (reply.status_code, reply.headers["Cache-Control"]) == (200, "no-store"), reply.text
        [row] = csv.DictReader(io.StringIO(reply.content.decode("utf-8-sig")))
        assert {"draft", "making", "requested", "platform"}.isdisjoint(row.values()), "words that an office reads"
        assert (row["编号"], row[heading]) == (made["id"], f"'{cell}" if cell[0] == "=" else cell)
        refused = await console.client.get(f"{ADMIN}{path}/export/csv", headers=console.resident)
        assert refused.status_code == 403
    alert = await BudgetAlert.create(
        budget_id=offer["budgets"][0]["id"], threshold_percent=80, total=10, used=8, times=1, raised_at=now
    )
    reply = await console.client.get(f"{ADMIN}/budget-alerts/export/csv?state=open", headers=console.editor)
    [told] = [
        row for row in csv.DictReader(io.StringIO(reply.content.decode("utf-8-sig"))) if row["编号"] == str(alert.id)
    ]
    seen = (told["名称"], told["提醒线（%）"], told["已用"], told["状态"])
    assert seen == (offer["version"]["title"], "80", "8", "待确认")
    book = await console.client.get(f"{ADMIN}/grant-jobs/export/xlsx", headers=console.director)
    assert list(cells(book.content, {"备注"})) == [(2, "=1+1")]
    twin = (await console.post(f"/lotteries/{drawn['id']}/copy", console.editor)).json()
    assert (twin["title"], twin["status"], twin["prizes"]) == ("=台账抽奖（副本）", "draft", drawn["prizes"])
    named = {"name": "台账人群二"}
    other_one = (await console.post(f"/segments/{segment['id']}/copy", console.editor, named)).json()
    assert (other_one["name"], other_one["definition"]) == ("台账人群二", segment["definition"])
    again = await console.post(f"/segments/{segment['id']}/copy", console.editor, named)
    assert (again.status_code, again.json()["error"]["field"]) == (409, "name")
    for kind, one in (("lottery", twin), ("segment", other_one)):
        [entry] = [
            entry for entry in (await console.get("/audit-entries", object_kind=kind))["items"]
            if entry["object_id"] == one["id"]
        ]  # fmt: skip
        assert (entry["action"], entry["before"]) == (f"{kind}.created", None)
