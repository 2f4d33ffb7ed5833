"""Campaigns, templates, budgets and the audit trail over HTTP, on the whole application."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.kit.ids import uuid7
from tests.support.console import ADMIN, Console, campaign, console, rule, template

__all__ = ["console"]


async def test_a_campaign_is_made_by_one_and_activated_by_another(console: Console) -> None:
    made = await console.post("/campaigns", console.director, campaign())
    assert made.status_code == 201, made.text
    draft = made.json()
    assert (draft["status"], draft["budgets"][0]["planned"], draft["budgets"][0]["total"]) == ("draft", 1_000, 0)
    path = f"/campaigns/{draft['id']}"
    assert (await console.post(f"{path}/submit", console.director)).json()["status"] == "in_review"
    alone = await console.post(f"{path}/approve", console.director)
    assert (alone.status_code, alone.json()["error"]["code"]) == (403, "second_person_required")
    active = (await console.post(f"{path}/approve", console.approver)).json()
    version = active["version"]
    assert (active["status"], version["version_status"], version["number"]) == ("active", "live", 1)
    assert version["created_by"] != version["approved_by"]
    assert active["budgets"][0] | {"id": ""} == {
        "id": "", "unit": "points", "planned": 1_000, "total": 1_000, "left": 1_000, "reserved": 0, "consumed": 0,
        "open": True,
    }  # fmt: skip
    late = await console.client.put(ADMIN + path, json=campaign(rule=rule(1)), headers=console.director)
    assert (late.status_code, late.json()["error"]["code"]) == (409, "already_live")
    for step, status in (("pause", "paused"), ("resume", "active"), ("end", "ended")):
        assert (await console.post(f"{path}/{step}", console.approver)).json()["status"] == status


async def test_scopes_keep_editors_from_approving_and_approvers_from_editing(console: Console) -> None:
    made = (await console.post("/campaigns", console.editor, campaign())).json()
    assert (await console.post(f"/campaigns/{made['id']}/approve", console.editor)).status_code == 403
    assert (await console.post("/campaigns", console.approver, campaign())).status_code == 403
    assert (await console.post("/campaigns", console.resident, campaign())).status_code == 403


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/campaigns", campaign(rule=[]), "rule"),
        ("/campaigns", campaign(budget_points=99), "budget_points"),
        ("/campaigns", campaign(limits=[{"action": "earn", "cap": 0}]), "limits[0].cap"),
        ("/campaigns", campaign(starts_at="2026-01-01T00:00:00"), "starts_at"),
        ("/campaigns", campaign(budget_points=None), "budget_points"),
        ("/campaigns", campaign(surprise=1), "surprise"),
        ("/campaigns", campaign(limits=[{"action": "earn", "cap": 1, "period": "year"}]), "limits[0].period"),
        ("/coupon-templates", template(limits=[{"action": "earn", "cap": 1}]), "limits[0].action"),
        ("/coupon-templates", template(stock=None), "stock"),
        ("/coupon-templates", template(grace_days=366), "grace_days"),
        ("/coupon-templates", template(cap_fen=0), "cap_fen"),
        ("/coupon-templates", template(merchants=["07"]), "merchants[0]"),
        ("/coupon-templates", template(kind="cash"), "kind"),
    ],
)
async def test_bad_input_is_refused_and_named(console: Console, path: str, body: dict[str, Any], field: str) -> None:
    reply = await console.post(path, console.editor, body)
    assert (reply.status_code, reply.json()["error"].get("field")) == (400, field), reply.text


@pytest.mark.parametrize("path", ["/campaigns/{}", "/coupon-templates/{}", "/budgets/{}"])
@pytest.mark.parametrize(("number", "status"), [("999999", 404), ("9" * 18, 404), ("9" * 30, 400)])
async def test_what_is_not_there_is_said_so(console: Console, path: str, number: str, status: int) -> None:
    reply = await console.client.get(ADMIN + path.format(number), headers=console.director)
    assert reply.status_code == status, reply.text


async def test_residents_see_live_campaigns_and_coupons_with_what_is_left(console: Console) -> None:
    earned = await console.live("/campaigns", campaign())
    coupon = await console.live("/coupon-templates", template())
    await console.post("/coupon-templates", console.editor, template())
    shown = (await console.client.get("/api/mp/v1/campaigns", headers=console.resident)).json()
    assert earned["id"] in [item["id"] for item in shown["campaigns"]]
    (item,) = [item for item in shown["coupons"] if item["template_id"] == coupon["id"]]
    assert (item["summary"], item["price_points"], item["left"]) == ("8.5折，最高优惠30元", 60, 10)
    assert item["terms_text"] == coupon["version"]["terms_text"]
    assert {"budgets", "document", "created_by"}.isdisjoint(item)


async def test_a_cap_per_period_and_a_grace_are_set_edited_audited_and_shown(console: Console) -> None:
    draft = (await console.post("/coupon-templates", console.editor, template())).json()
    once = {"action": "issue", "cap": 1, "measure": "count", "period": "total", "scope": "resident"}
    assert (draft["version"]["limits"], draft["version"]["grace_days"]) == ([once], 0)
    weekly = {"action": "issue", "cap": 2, "period": "week"}
    path, body = f"/coupon-templates/{draft['id']}", template(limits=[weekly], grace_days=3)
    edited = (await console.client.put(ADMIN + path, json=body, headers=console.editor)).json()["version"]
    assert (edited["limits"], edited["grace_days"]) == ([once | weekly], 3)
    assert "每人每周限领2张" in edited["terms_text"]
    assert "退回后至少可用3天" in edited["terms_text"]
    query = {"object_kind": "coupon_template", "object_id": draft["id"]}
    page = (await console.client.get(ADMIN + "/audit-entries", params=query, headers=console.director)).json()
    told = [
        (entry["version"]["limits"][0]["period"], entry["version"]["grace_days"])
        for entry in (page["items"][0][k] for k in ("before", "after"))
    ]
    assert told == [("total", 0), ("week", 3)]
    await console.post(f"{path}/submit", console.editor)
    assert (await console.post(f"{path}/approve", console.approver)).status_code == 200
    daily = await console.live("/campaigns", campaign(limits=[{"action": "earn", "cap": 1, "period": "day"}]))
    shown = (await console.client.get("/api/mp/v1/campaigns", headers=console.resident)).json()
    limits = {item["id"]: item["limits"] for item in shown["campaigns"]}
    assert limits[daily["id"]] == ["每人每日限1次"]


async def test_a_top_up_takes_two_people_and_its_key_books_it_once(console: Console) -> None:
    budget = (await console.live("/campaigns", campaign()))["budgets"][0]
    path, key = f"/budgets/{budget['id']}/top-ups", str(uuid7(datetime.now(UTC)))
    body = {"amount": 500, "document": "追加1号"}
    assert (await console.post(path, console.editor, body)).json()["error"]["code"] == "idempotency_key_required"
    first = await console.post(path, console.director, body, **{"Idempotency-Key": key})
    again = await console.post(path, console.director, body, **{"Idempotency-Key": key})
    assert (first.status_code, again.status_code, first.json()) == (201, 201, again.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await console.post(path, console.director, body | {"amount": 501}, **{"Idempotency-Key": key})
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    alone = await console.post(f"/top-ups/{key}/approve", console.director)
    assert alone.json()["error"]["code"] == "second_person_required"
    assert (await console.post(f"/top-ups/{key}/approve", console.approver)).json()["status"] == "done"
    detail = (await console.client.get(f"{ADMIN}/budgets/{budget['id']}", headers=console.director)).json()
    assert (detail["budget"]["planned"], detail["budget"]["total"]) == (1_000, 1_500)
    assert [request["amount"] for request in detail["requests"]] == [500, 1_000]


async def test_a_top_up_that_waits_can_be_rejected_or_taken_back_and_is_not_booked_then(console: Console) -> None:
    budget = (await console.live("/campaigns", campaign()))["budgets"][0]
    keys = [str(uuid7(datetime.now(UTC))) for _ in range(2)]
    for key in keys:
        body, header = {"amount": 500, "document": "追加2号"}, {"Idempotency-Key": key}
        await console.post(f"/budgets/{budget['id']}/top-ups", console.director, body, **header)
    rejected, withdrawn = (f"/top-ups/{key}" for key in keys)
    silent = await console.post(f"{rejected}/reject", console.approver, {"comment": "   "})
    assert (silent.status_code, silent.json()["error"]["field"]) == (400, "comment")
    tried = await console.post(f"{rejected}/reject?simulate=true", console.approver, {"comment": "不必"})
    assert tried.json()["simulated"] is True
    for _ in range(2):
        seen = (await console.post(f"{rejected}/reject", console.approver, {"comment": "年内预算已定"})).json()
        assert (seen["status"], seen["reason"], seen["approved_by"]) == ("rejected", "年内预算已定", None)
        mine = (await console.post(f"{withdrawn}/withdraw", console.director)).json()
        assert (mine["status"], mine["settled_at"] is None) == ("withdrawn", False)
    for path, step in ((rejected, "approve"), (withdrawn, "approve"), (rejected, "withdraw")):
        late = await console.post(f"{path}/{step}", console.approver if step == "approve" else console.director)
        assert (late.status_code, late.json()["error"]["code"]) == (409, "wrong_status")
    detail = (await console.client.get(f"{ADMIN}/budgets/{budget['id']}", headers=console.director)).json()
    assert detail["budget"]["total"] == 1_000


async def test_who_a_number_is_can_be_looked_up(console: Console) -> None:
    made = await console.live("/campaigns", campaign())
    listed = (await console.client.get(f"{ADMIN}/administrators", headers=console.editor)).json()["items"]
    names = {one["id"]: one for one in listed}
    version = made["version"]
    assert {"editor"} <= set(names[version["created_by"]]["roles"]) and names[version["approved_by"]]["display_name"]
    assert all(set(one) == {"id", "username", "display_name", "roles", "created_at", "disabled_at"} for one in listed)


async def test_pages_of_campaigns_hold_every_campaign_once(console: Console) -> None:
    for _ in range(3):
        await console.post("/campaigns", console.editor, campaign())
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        reply = await console.client.get(ADMIN + "/campaigns", params=query, headers=console.director)
        page = reply.json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) >= 3
    assert seen == sorted(seen, key=int, reverse=True)


async def test_the_audit_trail_tells_who_changed_what_and_how(console: Console) -> None:
    active = await console.live("/coupon-templates", template())
    query = {"object_kind": "coupon_template", "object_id": active["id"]}
    page = (await console.client.get(ADMIN + "/audit-entries", params=query, headers=console.director)).json()
    assert [item["action"] for item in page["items"]] == [
        "coupon_template.activated", "coupon_template.approved", "coupon_template.submitted", "coupon_template.created",
    ]  # fmt: skip
    approved = page["items"][1]
    assert (approved["before"]["status"], approved["after"]["status"]) == ("in_review", "approved")
    assert approved["actor_id"] == str(approved["after"]["version"]["approved_by"]) == active["version"]["approved_by"]
    refused = await console.client.get(ADMIN + "/audit-entries", headers=console.editor)
    assert refused.status_code == 403
    bad = await console.client.get(ADMIN + "/audit-entries", params={"cursor": "%%%"}, headers=console.director)
    assert (bad.status_code, bad.json()["error"]["field"]) == (400, "cursor")


async def test_a_rule_that_may_not_be_is_refused_with_its_part_and_the_reason_in_chinese(console: Console) -> None:
    older = {"kind": "amount", "attribute": "age", "at_least": 60}
    for document, field, word in (
        (rule(condition=older), "rule.condition.attribute", "年龄"),
        (rule(-5), "rule.effect.points", "不能扣减"),
        (rule(fact="petition"), "rule.trigger.fact", "信访"),
    ):
        reply = await console.post("/campaigns", console.editor, campaign(rule=document))
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["field"]) == (422, "rule_refused", field)
        assert word in error["message"]
    limit = {"action": "earn", "cap": 1, "scope": "store"}
    reply = await console.post("/campaigns", console.editor, campaign(limits=[limit]))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["field"]) == (422, "limit_not_counted", "limits[0].scope")
    reply = await console.post("/campaigns", console.editor, campaign(limits=[limit | {"scope": "town"}]))
    assert reply.status_code == 201 and "每个镇街限1次" in reply.json()["version"]["terms_text"]


async def test_an_argument_that_a_read_does_not_know_is_refused_and_public_links_may_carry_some(
    console: Console,
) -> None:
    made = (await console.post("/campaigns", console.editor, campaign())).json()
    reply = await console.client.get(f"{ADMIN}/campaigns/{made['id']}?simulate=true", headers=console.director)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["field"]) == (400, "unknown_field", "simulate")
    for path in ("/healthz", "/openapi.json", "/api/public/v1/ledger/heads/2026-01-01"):
        reply = await console.client.get(f"{path}?from=singlemessage&isappinstalled=0")
        assert reply.status_code in (200, 404), path


async def test_a_version_that_was_rejected_says_that_it_must_be_edited_first(console: Console) -> None:
    made = (await console.post("/campaigns", console.editor, campaign())).json()
    path = f"/campaigns/{made['id']}"
    early = await console.post(f"{path}/approve", console.approver)
    assert early.json()["error"]["message"] == "当前状态为“草稿”，此操作须为“审核中”"
    await console.post(f"{path}/submit", console.editor)
    assert (await console.post(f"{path}/reject", console.approver, {"comment": "请写明文号"})).status_code == 200
    again = await console.post(f"{path}/submit", console.editor)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "wrong_status")
    assert "请先修改再提交" in again.json()["error"]["message"]
    assert (await console.client.put(ADMIN + path, json=campaign(), headers=console.editor)).status_code == 200
    assert (await console.post(f"{path}/submit", console.editor)).status_code == 200


async def test_a_draft_that_nobody_wants_is_discarded_and_leaves_the_lists(console: Console) -> None:
    now = datetime.now(UTC)
    days = {name: (now + timedelta(days=n)).isoformat() for n, name in enumerate(("opens_at", "closes_at", "draw_at"))}
    lottery = {
        "title": "弃用抽奖", "document": "弃字1号", **days,
        "prizes": [{"rank": 1, "name": "奖", "template_id": "1", "count": 1}],
    }  # fmt: skip
    bodies = {
        "/campaigns": campaign(title="弃用活动"), "/coupon-templates": template(title="弃用券"), "/lotteries": lottery
    }  # fmt: skip
    for path, body in bodies.items():
        made = (await console.post(path, console.editor, body)).json()
        one, words = f"{path}/{made['id']}", {"text": body["title"]}
        if path != "/lotteries":  # these are cancelled, and never archived
            archived = await console.post(f"{one}/archive", console.approver)
            assert archived.json()["error"]["message"] == "当前状态为“草稿”，此操作须为“已结束”，草稿可以放弃"
        assert (await console.post(f"{one}/discard?simulate=true", console.editor)).json()["simulated"]
        assert len((await console.get(path, **words))["items"]) == 1
        gone = await console.post(f"{one}/discard", console.editor)
        assert gone.status_code == 200, gone.text
        assert (await console.get(path, **words))["items"] == []
        asked = words | {"status": gone.json()["status"]}
        assert [found["id"] for found in (await console.get(path, **asked))["items"]] == [made["id"]]
        trail = await console.get("/audit-entries", object_id=made["id"], limit=1)
        assert trail["items"][0]["action"].endswith(".discarded")
        again = await console.client.put(ADMIN + one, json=body, headers=console.editor)
        assert again.status_code == 409, again.text
        for step in ("discard", "submit"):
            refused = await console.post(f"{one}/{step}", console.editor)
            assert (refused.status_code, refused.json()["error"]["code"]) == (409, "wrong_status")


async def test_beside_a_live_version_only_the_draft_is_discarded_and_another_may_follow(console: Console) -> None:
    made = await console.live("/campaigns", campaign())
    path, body = f"/campaigns/{made['id']}", campaign(rule=rule(7), title="试试")
    del body["budget_points"]
    for number in (2, 3):
        assert (await console.post(f"{path}/versions", console.editor, body)).json()["draft"]["number"] == number
        seen = (await console.post(f"{path}/discard", console.editor)).json()
        assert (seen["status"], seen["version"]["number"], seen.get("draft")) == ("active", 1, None)
    versions = (await console.get(f"{path}/versions"))["items"]
    assert [one["version_status"] for one in versions] == ["discarded", "discarded", "live"]


async def test_an_editor_of_rules_finds_every_word_in_one_place(console: Console) -> None:
    words = await console.get("/vocabulary")
    facts = {one["code"]: one for one in words["facts"]}
    assert facts["volunteer_hours_recorded"]["attributes"][0] == {
        "code": "minutes", "name": "服务时长", "type": "amount", "unit": "分钟"
    }  # fmt: skip
    assert facts["login_day"]["attributes"] == [] and facts["login_day"]["happens"] == "当日首次登录"
    assert {"code": "free_minutes", "name": "发放停车免费时长"} in words["effects"]
    assert {"bands", "towns", "merchant_categories", "interests"} <= words.keys()
