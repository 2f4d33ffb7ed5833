"""From a fact to what a campaign gives for it and to the words that say why, over HTTP, one scene for whoever tells."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio

from server.sandbox.phone import ResidentPhone
from tests.support.patience import until
from tests.support.play import (
    GYM_STORE,
    NOODLE_STORE,
    Console,
    Shown,
    books_balance,
    chengxin,
    refused,
    rows,
    send,
    ticket,
)
from tests.support.town import Town

DOCUMENT = "澄信办〔2026〕97号"


@dataclass
class Person:
    phone: ResidentPhone
    number: str
    openid: str
    id: int


@dataclass
class Facts:
    """Who is here, and the campaigns of a test, which end with it."""

    town: Town
    console: Console
    campaigns: list[str] = field(default_factory=list)

    async def person(self) -> Person:
        name, number, openid = await self.town.person()
        phone = ResidentPhone(self.town.http)
        await phone.log_in(await self.town.control.login_code(openid))
        await phone.bind(name, number)
        await phone.wait_for_points(120)
        (row,) = await rows(self.town, "SELECT max(id) AS id FROM resident")
        return Person(phone, number, openid, row["id"])

    async def campaign(self, fact: str, effect: dict[str, Any], condition: dict[str, Any] | None = None) -> str:
        rule = {"trigger": {"kind": "fact", "fact": fact}, "condition": condition, "effect": effect}
        self.campaigns.append(await self.console.campaign(f"{fact} {len(self.campaigns)}", rule))
        return self.campaigns[-1]

    async def send(self, path: str, content: bytes, who: str = "editor", **query: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {await self.console.token(who)}", "Content-Type": "text/csv"}
        return await self.town.http.post(f"/api/admin/v1{path}", params=query, content=content, headers=headers)

    async def log_in(self, person: Person) -> None:
        """Until it is told: a process may have heard two seconds ago that nobody asks for log-ins."""

        async def told() -> bool:
            await person.phone.log_in(await self.town.control.login_code(person.openid))
            sql = "SELECT FROM fact WHERE kind = 'login_day' AND resident_id = $1"
            return bool(await rows(self.town, sql, person.id))

        await until("a log-in that is told", told, every_s=0.5)

    async def told(self, batch: dict[str, Any], by: str = "approver") -> dict[str, Any]:
        """A batch that is approved, when all of it is told."""
        path = f"/facts/batches/{batch['id']}"
        await self.console.call(by, "POST", f"{path}/approve")

        async def finished() -> Any:
            seen = await self.console.call("auditor", "GET", path)
            return seen if seen["status"] == "finished" else None

        return dict(await until("the end of a batch", finished))

    async def why(self, person: Person, campaign: str) -> dict[str, Any]:
        return dict(await person.phone.call("GET", f"/campaigns/{campaign}/explanation"))

    async def given(self, person: Person, campaign: str) -> dict[str, Any]:
        """What a campaign gave for the newest fact, once it is there."""

        async def posted() -> Any:
            found = (await self.why(person, campaign))["given"]
            return found if found is not None and found["status"] == "posted" else None

        return dict(await until("what the campaign gives", posted))

    async def not_given(self, person: Person, campaign: str) -> list[str]:
        """The codes of what would have to be otherwise, once a fact was judged."""

        async def judged() -> Any:
            found = await self.why(person, campaign)
            return found if found["occurred_at"] is not None else None

        found = await until("a fact that was judged", judged)
        assert (found["granted"], found["given"]) == (False, None), found
        return [one["code"] for one in found["missing"]]


@pytest_asyncio.fixture
async def facts(town: Town, console: Console) -> AsyncIterator[Facts]:
    made = Facts(town, console)
    yield made
    for campaign in made.campaigns:
        await console.call("approver", "POST", f"/campaigns/{campaign}/end")


def code_in(attribute: str, *values: str) -> dict[str, Any]:
    return {"kind": "value_in", "attribute": attribute, "values": list(values)}


def points(count: int) -> dict[str, Any]:
    return {"kind": "points", "points": count}


async def test_what_outside_systems_told_in_files_is_checked_approved_told_once_and_explained(facts: Facts) -> None:
    one, other = await facts.person(), await facts.person()
    code = secrets.token_hex(4)
    enough = {
        "kind": "has_done", "fact": "volunteer_hours_recorded", "within": {"kind": "campaign"},
        "measure": {"kind": "sum", "attribute": "minutes", "at_least": 180},
    }  # fmt: skip
    hours = await facts.campaign(
        "volunteer_hours_recorded", points(9), {"kind": "all", "of": [code_in("project_id", code), enough]}
    )
    parking = await facts.campaign(
        "parking_exit_paid", {"kind": "free_minutes", "minutes": 60}, code_in("lot_id", code)
    )
    template = await facts.console.template("还书有礼", claimable=False, stock=5)
    coupon = {"kind": "coupon", "template_id": template}
    library = await facts.campaign("library_returned_on_time", coupon, code_in("library_id", code))
    now = datetime.now(UTC).isoformat()
    file = (
        "身份证号,来源编号,发生时间,服务时长,志愿项目编号\n"
        f"{one.number},{code}-1,{now},120,{code}\n{one.number},{code}-2,{now},60,{code}\n"
        f"{other.number},{code}-3,{now},90,{code}\n{other.number},{code}-3,{now},90,{code}\n"
        f"{(await facts.town.person())[1]},{code}-4,{now},60,{code}\n{one.number},{code}-5,2099-01-01,60,{code}\n"
    ).encode("gb18030")
    query = {"kind": "volunteer_hours_recorded", "source": "volunteers", "document": DOCUMENT}
    tried = await facts.send("/facts/imports", file, simulate="true", **query)
    assert (tried.status_code, tried.json()["batch"]["simulated"]) == (200, True), tried.text
    made = await facts.send("/facts/imports", file, **query)
    assert made.status_code == 201, made.text
    batch = made.json()["batch"]
    assert made.json()["lines"] == tried.json()["lines"] == [
        {"line": 5, "column": "source_id", "reason": "repeated"},
        {"line": 6, "column": "id_number", "reason": "unknown"},
        {"line": 7, "column": "occurred_at", "reason": "in_future"},
    ]  # fmt: skip
    counts = ("status", "taken", "unknown", "repeated", "unreadable", "mistimed", "told", "campaigns")
    assert [batch[name] for name in counts] == ["requested", 3, 1, 1, 0, 1, 0, 1]
    assert await rows(facts.town, "SELECT FROM fact WHERE source_id LIKE $1", f"volunteers:{code}%") == []
    assert (await facts.told(batch))["told"] == 3
    told = await rows(
        facts.town, "SELECT source_id FROM fact WHERE source_id LIKE $1 ORDER BY id", f"volunteers:{code}%"
    )
    assert [row["source_id"] for row in told] == [f"volunteers:{code}-{place}" for place in (1, 2, 3)]
    assert (await facts.given(one, hours))["points"] == 9
    assert await facts.not_given(other, hours) == ["has_done"]
    (step,) = (await facts.why(other, hours))["progress"]
    assert step["progress"]["text"] == "已完成1小时30分钟，共需3小时"
    again = await facts.told((await facts.send("/facts/imports", file, **query)).json()["batch"])
    assert (again["taken"], again["told"]) == (3, 0)
    for kind, source, columns, campaign in (
        ("parking_exit_paid", "parking", f"fee_fen,stay_minutes,lot_id\n{one.id},{code},{now},500,90,{code}", parking),
        ("library_returned_on_time", "library", f"books,library_id\n{one.id},{code},{now},3,{code}", library),
    ):
        content = f"resident_id,source_id,occurred_at,{columns}\n".encode()
        made = await facts.send("/facts/imports", content, kind=kind, source=source, document=DOCUMENT)
        assert made.status_code == 201, made.text
        assert (await facts.told(made.json()["batch"]))["told"] == 1
        assert (await facts.given(one, campaign))["effect"] in ("free_minutes", "coupon")
        assert [part["code"] for part in (await facts.why(other, campaign))["missing"]] == ["fact", "value_in"]

    async def coupon_is_there() -> bool:
        held = (await send(one.phone, "GET", "/coupons")).json()["items"]
        return [each["benefit"]["title"] for each in held] == ["还书有礼"]

    await until("the coupon", coupon_is_there)
    assert (await send(one.phone, "GET", "/wallet")).json()["points"] == 129
    minutes = await rows(facts.town, "SELECT minutes FROM free_minutes WHERE resident_id = $1", one.id)
    assert [row["minutes"] for row in minutes] == [60]
    for content, code_of in ((b"id_number,age\n", "fact_columns_unfit"), (b"", "invalid_field"), (file[:60], None)):
        answer = await facts.send("/facts/imports", content, **query)
        refused(answer, 400, code_of or answer.json()["error"]["code"], "file")
    refused(await facts.send("/facts/imports", file, "approver", **query), 403, "forbidden")
    trail = await facts.console.call("auditor", "GET", f"/audit-entries?object_kind=fact_batch&object_id={batch['id']}")
    assert [each["action"] for each in trail["items"]] == [
        "fact_batch.finished", "fact_batch.approved", "fact_batch.requested"
    ]  # fmt: skip
    await books_balance(facts.town)


async def test_what_administrators_grant_and_what_the_house_sees_is_told_once_and_explained(facts: Facts) -> None:
    one, other = await facts.person(), await facts.person()
    occasion = f"好人好事-{secrets.token_hex(4)}"
    uploaded = await facts.send("/recipient-lists", f"resident_id\n{one.id}\n".encode(), name="先进名单")
    chosen = uploaded.json()["recipient_list"]["id"]
    mine = {"kind": "has_done", "fact": "recipients_file", "within": {"kind": "ever"}}
    on_list = await facts.campaign("recipients_file", points(3), code_in("file_id", chosen))
    granted = await facts.campaign("administrator_grant", points(7), code_in("occasion", occasion))
    login = await facts.campaign("login_day", points(2), mine)
    canteen = {"kind": "merchant_category_in", "categories": ["restaurant"]}
    lunch = await facts.campaign("redemption_made", points(4), {"kind": "all", "of": [canteen, mine]})
    voided = await facts.campaign("redemption_voided", points(1), mine)
    shown = await facts.console.call("editor", "GET", f"/campaigns/{lunch}")
    assert "商户类别为「餐饮」" in shown["version"]["terms_text"]

    async def order(who: str = "editor", query: str = "", **body: Any) -> dict[str, Any]:
        return dict(await facts.console.call(who, "POST", f"/facts/grants{query}", {"document": DOCUMENT, **body}))

    wanted = {"kind": "recipients_file", "list_id": chosen}
    assert (await order(query="?simulate=true", **wanted))["taken"] == 1
    assert (await facts.told(await order(**wanted)))["told"] == 1
    assert (await facts.told(await order(**wanted)))["told"] == 0, "a list is told once"
    batch = await order("director", occasion=occasion, resident_id=str(other.id))
    path = f"/api/admin/v1/facts/batches/{batch['id']}"
    headers = {"Authorization": f"Bearer {await facts.console.token('director')}"}
    refused(await facts.town.http.post(f"{path}/approve", headers=headers), 403, "second_person_required")
    assert (await facts.told(batch))["told"] == 1
    assert (await facts.told(await order(occasion=occasion, list_id=chosen)))["told"] == 1
    stopped = await order(occasion=occasion, list_id=chosen)
    stopped = await facts.console.call("editor", "POST", f"/facts/batches/{stopped['id']}/cancel")
    assert stopped["status"] == "cancelled"
    assert (await facts.given(one, on_list))["points"] == 3
    assert [part["code"] for part in (await facts.why(other, on_list))["missing"]] == ["fact", "value_in"]
    for person in (one, other):
        assert (await facts.given(person, granted))["points"] == 7
        await facts.log_in(person)
        await person.phone.log_in(await facts.town.control.login_code(person.openid))
    assert (await facts.given(one, login))["points"] == 2
    assert await facts.not_given(other, login) == ["has_done"]

    template = await facts.console.template("类别券", limits=[])
    noodles, gym = await facts.town.counter(NOODLE_STORE), await facts.town.counter(GYM_STORE)
    receipts = []
    for counter in (noodles, gym):
        coupon = await one.phone.claim(template)
        (handle,) = await one.phone.show(coupon["id"])
        receipts.append(await counter.redeem(await ticket(counter, Shown(one.phone, coupon["id"], handle))))
        if counter is noodles:
            assert (await facts.given(one, lunch))["points"] == 4

    async def at_the_gym() -> bool:
        (missing,) = (await facts.why(one, lunch))["missing"] or [{"seen": ""}]
        return bool(missing["seen"] == "「健身」")

    await until("the gym's redemption, of another category", at_the_gym)
    await noodles.void(receipts[0]["id"], "点错了")
    assert (await facts.given(one, voided))["points"] == 1
    wallets = [(await send(person.phone, "GET", "/wallet")).json()["points"] for person in (one, other)]
    assert wallets == [120 + 3 + 7 + 2 + 4 + 1, 120 + 7]
    logins = await rows(facts.town, "SELECT resident_id FROM fact WHERE kind = 'login_day' AND resident_id = ANY($1)",
                        [one.id, other.id])  # fmt: skip
    assert len(logins) == 2
    for body, field_name in (
        ({"kind": "recipients_file", "resident_id": "1"}, "list_id"), ({"occasion": "x"}, "resident_id"),
        ({"resident_id": "1"}, "occasion"), ({"resident_id": "1", "occasion": "疾病补助"}, "occasion"),
        ({"kind": "recipients_file", "list_id": "1", "occasion": "x"}, "occasion"),
    ):  # fmt: skip
        headers = {"Authorization": f"Bearer {await facts.console.token('editor')}"}
        answer = await facts.town.http.post(
            "/api/admin/v1/facts/grants", json={"document": DOCUMENT, **body}, headers=headers
        )
        refused(answer, 400, "invalid_field", field_name)
    answer = await facts.town.http.post(
        "/api/admin/v1/facts/grants", headers=headers,
        json={"document": DOCUMENT, "occasion": occasion, "resident_id": "99999999"},
    )  # fmt: skip
    refused(answer, 404, "fact_recipient_unknown", "resident_id")
    await books_balance(facts.town)


async def test_what_is_earned_and_what_is_in_stock_are_the_same_with_personalisation_and_without(
    facts: Facts, tmp_path: Path
) -> None:
    chose, did_not = people = [await facts.person(), await facts.person()]
    file = tmp_path / "bands.csv"
    file.write_text("id_number,band,town\n" + "".join(f"{one.number},AA,华士镇\n" for one in people))
    (today,) = await rows(facts.town, "SELECT vault.today()::text AS day")
    status, out, err = chengxin(
        facts.town, "import-bands", str(file), "--source", "信用办2号", "--as-of", today["day"], "--json"
    )
    assert (status, json.loads(out)["bands_changed"]) == (0, 2), err
    await chose.phone.call("PUT", "/me/choices", {"personalised": True, "interests": []})
    listed = await facts.send(
        "/recipient-lists", "resident_id\n{}\n{}\n".format(*(one.id for one in people)).encode(), name="同等待遇"
    )
    assert listed.status_code == 201, listed.text
    chosen = listed.json()["recipient_list"]["id"]
    good = {"kind": "band_at_least", "band": "A"}
    here = {"kind": "town_in", "towns": ["华士镇"]}
    effect = points(6)
    campaign = await facts.campaign(
        "recipients_file", effect, {"kind": "all", "of": [good, here, code_in("file_id", chosen)]}
    )
    closed = await facts.campaign(
        "recipients_file",
        effect,
        {"kind": "all", "of": [{"kind": "band_in", "bands": ["AAA"]}, code_in("file_id", chosen)]},
    )
    batch = await facts.console.call(
        "editor", "POST", "/facts/grants", {"document": DOCUMENT, "kind": "recipients_file", "list_id": chosen}
    )
    assert (await facts.told(batch))["told"] == 2
    for person in people:
        assert (await facts.given(person, campaign))["points"] == 6
        assert await facts.not_given(person, closed) == ["band_in"]
    seen = [await person.phone.call("GET", "/campaigns") for person in (chose, did_not)]
    stock = [{(one["template_id"], one["price_points"]) for one in each["coupons"]} for each in seen]
    offered = [{one["id"]: one["terms_text"] for one in each["campaigns"]} for each in seen]
    assert stock[0] == stock[1] != set()
    assert offered[0] == offered[1]
    assert campaign in offered[0]


async def test_free_minutes_are_given_told_with_their_last_day_and_listed_until_they_end(facts: Facts) -> None:
    one, other = await facts.person(), await facts.person()
    occasion = f"停车优待-{secrets.token_hex(4)}"
    effects = [{"kind": "free_minutes", "minutes": count} for count in (45, 120)]
    campaigns = [
        await facts.campaign("administrator_grant", effect, code_in("occasion", occasion)) for effect in effects
    ]
    assert await one.phone.call("GET", "/me/free-minutes") == {"items": [], "next_cursor": None}
    body = {"document": DOCUMENT, "occasion": occasion, "resident_id": str(one.id)}
    assert (await facts.told(await facts.console.call("editor", "POST", "/facts/grants", body)))["told"] == 1
    for campaign, count in zip(campaigns, (45, 120), strict=True):
        given = await facts.given(one, campaign)
        last = date.fromisoformat(given["valid_until"])
        assert (given["effect"], given["minutes"], given["points"]) == ("free_minutes", count, 0)
        assert given["text"] == f"已发放停车免费时长{count}分钟，有效期至{last.year}年{last.month}月{last.day}日"
    seen, path = [], "/me/free-minutes?limit=1"
    while path:
        page = await one.phone.call("GET", path)
        seen += page["items"]
        path = f"/me/free-minutes?limit=1&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    assert [(each["given"], each["left"], each["campaign_id"]) for each in seen] == [
        (45, 45, campaigns[0]), (120, 120, campaigns[1])
    ]  # fmt: skip
    titles = [
        (await facts.console.call("auditor", "GET", f"/campaigns/{each}"))["version"]["title"] for each in campaigns
    ]
    assert [(each["campaign_title"], each["valid_until"]) for each in seen] == [(title, str(last)) for title in titles]
    assert (await other.phone.call("GET", "/me/free-minutes"))["items"] == []
    only_once = [{"action": "earn", "cap": 1, "scope": "campaign"}]
    rule = {"trigger": {"kind": "fact", "fact": "administrator_grant"}, "condition": code_in("occasion", occasion)}
    scarce = await facts.console.campaign("仅此一份", {**rule, "effect": effects[0]}, limits=only_once)
    facts.campaigns.append(scarce)
    seen = await facts.console.call("auditor", "GET", f"/campaigns/{scarce}")
    use = {"scope": "campaign", "period": "total", "town": None, "cap": 1}
    assert ("全部合计限1次" in seen["version"]["terms_text"], seen["limit_use"]) == (
        True,
        [{**use, "used": 0, "left": 1}],
    )
    for person in (one, other):
        body["resident_id"] = str(person.id)
        assert (await facts.told(await facts.console.call("editor", "POST", "/facts/grants", body)))["told"] == 1
        if person is one:
            assert (await facts.given(one, scarce))["minutes"] == 45

    async def refused_him() -> Any:
        return (await facts.why(other, scarce))["given"]

    late = await until("an award that is refused", refused_him)
    assert (late["status"], late["reason"], late["text"]) == ("refused", "campaign_full", "未能发放：本活动名额已发完")
    seen = await facts.console.call("auditor", "GET", f"/campaigns/{scarce}")
    assert seen["limit_use"] == [{**use, "used": 1, "left": 0}]
    (mine,) = [
        each for each in (await other.phone.call("GET", "/me/campaigns?limit=100"))["items"] if each["id"] == scarce
    ]
    assert (mine["state"], mine["reason"]) == ("exhausted", "名额已发完：全部合计限1次")
    wrong = await facts.town.http.get("/api/mp/v1/me/free-minutes?cursor=WzAsMV0", headers=one.phone.headers)
    refused(wrong, 400, "invalid_field", "cursor")
