"""Segments over HTTP on the running house: who may, what is refused and why, and what is told of sizes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from server.config import secret_bytes
from server.incentives.segments.snapshots import SegmentSnapshots
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex
from server.kit.db import close_house, open_house
from tests.support.databases import connected
from tests.support.patience import until
from tests.support.play import Console
from tests.support.residents import Person, enrol
from tests.support.town import Town

_names = itertools.count(1)
ADMIN = "/api/admin/v1"


async def ask(console: Console, who: str, method: str, path: str, body: object = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {await console.token(who)}"}
    return await console.town.http.request(method, ADMIN + path, json=body, headers=headers)


def body(**definition: Any) -> dict[str, Any]:
    return {"name": f"人群 {next(_names)}", "definition": definition}


async def test_a_segment_is_made_read_edited_found_and_audited(console: Console) -> None:
    made = await console.call("editor", "POST", "/segments", body(towns=["华士镇", "澄江街道"], bands=["AAA"]))
    assert (made["text"], made["personal"], made["revision"]) == (
        "信用等级为AAA级；所在镇街为澄江街道、华士镇；已开启个性化", True, 1,
    )  # fmt: skip
    path = f"/segments/{made['id']}"
    assert await console.call("auditor", "GET", path) == made
    new = {"name": made["name"], "definition": {"enrolled_from": "2026-01-01"}}
    edited = await console.call("editor", "PUT", f"{path}?revision=1", new)
    assert (edited["definition"]["enrolled_from"], edited["personal"]) == ("2026-01-01", False)
    late = await ask(console, "editor", "PUT", f"{path}?revision=1", new)
    assert (late.status_code, late.json()["error"]["code"]) == (409, "revision_changed")
    twin = await ask(console, "editor", "POST", "/segments", new)
    assert (twin.status_code, twin.json()["error"]["code"]) == (409, "segment_name_taken")
    found = await console.call("editor", "GET", f"/segments?search={made['name']}")
    assert [one["id"] for one in found["items"]] == [made["id"]]
    trail = await console.call("auditor", "GET", f"/audit-entries?object_kind=segment&object_id={made['id']}")
    assert [(one["action"], one["before"] is not None) for one in trail["items"]] == [
        ("segment.edited", True), ("segment.created", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("definition", "field", "said"),
    [
        ({"age_from": 60}, "definition.age_from", "年龄"),
        ({"性别": ["女"]}, "definition.性别", "性别"),
        ({"hukou": "本地"}, "definition.hukou", "户籍"),
        ({"score": 700}, "definition.score", "没有这一项条件"),
        ({"bands": ["Z"]}, "definition.bands[0]", "不在现行目录中"),
    ],
)
async def test_what_no_segment_may_ask_is_refused_by_name_with_the_reason(
    console: Console, definition: dict[str, Any], field: str, said: str
) -> None:
    reply = await ask(console, "editor", "POST", "/segments", body(**definition))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["field"]) == (422, "segment_refused", field), error
    assert said in error["message"]


async def test_who_may_read_may_not_write_and_merchants_managers_may_neither(console: Console) -> None:
    for who, method, path in (
        ("approver", "POST", "/segments"), ("merchants", "POST", "/segments"), ("merchants", "GET", "/segments"),
    ):  # fmt: skip
        reply = await ask(console, who, method, path, body() if method == "POST" else None)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "forbidden"), (who, method)
    missing = await ask(console, "editor", "GET", "/segments/999999")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "segment_not_found")


async def test_pages_of_segments_hold_every_segment_once(console: Console) -> None:
    mine = {(await console.call("editor", "POST", "/segments", body()))["id"] for _ in range(5)}
    seen: list[str] = []
    cursor = ""
    while True:
        page = await console.call("editor", "GET", f"/segments?limit=2{cursor}")
        seen += [one["id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert mine <= set(seen) and len(seen) == len(set(seen)) and seen == sorted(seen, key=int, reverse=True)


async def test_sizes_and_lists_of_members_tell_no_small_number(town: Town, console: Console) -> None:
    at = datetime(2026, 2, 3, 4, tzinfo=UTC)
    people = [Person(at, "AA", "顾山镇")] * 3 + [Person(at, "S", "顾山镇")] * 30 + [Person(at, "S", "祝塘镇")] * 25
    await settled(town, people)
    window = {"enrolled_from": "2026-02-03", "enrolled_until": "2026-02-03"}
    made = await console.call("editor", "POST", "/segments", body(**window))
    seen = await console.call("editor", "POST", f"/segments/{made['id']}/preview")
    bands = {one["code"]: one["size"] for one in seen["bands"]}
    towns = {one["code"]: one["size"] for one in seen["towns"]}
    assert (seen["size"], seen["floor"]) == (50, 10)
    # 58 people: of bands only one cell is not small, of towns two; the first behind a small one is hidden with it.
    assert set(bands.values()) == {None}
    assert {town: size for town, size in towns.items() if size is not None} == {"祝塘镇": 20}
    few = await console.call("editor", "POST", "/segments", body(**window, bands=["AA"]))
    nothing = await console.call("editor", "POST", f"/segments/{few['id']}/preview")
    assert nothing["size"] is None and all(one["size"] is None for one in nothing["bands"] + nothing["towns"])
    await open_house(town.settings.worker_database_url)
    try:
        shots = SegmentSnapshots(clock=Clock(), keep_days=1, small_cell=10)
        for segment_id in (int(made["id"]), int(few["id"])):
            await shots.take(segment_id, datetime.now(UTC), f"test:{segment_id}")
    finally:
        await close_house()
    listed = [
        (await console.call("auditor", "GET", f"/segments/{one['id']}/snapshots"))["items"][0] for one in (made, few)
    ]
    assert [one["size"] for one in listed] == [50, None]
    assert all(len(one["digest"]) == 64 and one["purged_at"] is None for one in listed)
    await _a_job_tells_what_it_gave_and_the_size_only_rounded(console, made["id"])


async def _a_job_tells_what_it_gave_and_the_size_only_rounded(console: Console, segment_id: str) -> None:
    template = await console.template("三镇券", stock=100, claimable=False)
    order = {"template_id": template, "segment_id": segment_id, "document": "澄信办〔2026〕7号"}
    job = (await console.call("editor", "POST", "/grant-jobs", order))["id"]
    await console.call("approver", "POST", f"/coupon-templates/{template}/pause")  # so it only writes members down
    await console.call("approver", "POST", f"/grant-jobs/{job}/approve")

    async def paused() -> Any:
        running = (await console.call("editor", "GET", "/incentives/jobs"))["items"]
        return next((one for one in running if one["id"] == job and one["status"] == "paused"), None)

    assert (await until("the segment's members", paused))["total"] == 50
    called_off = (await console.call("editor", "POST", f"/grant-jobs/{job}/cancel"))["job"]
    assert (called_off["recipients"], called_off["owed"]) == (50, 0)
    exported = await ask(console, "editor", "GET", f"/grant-jobs/export/csv?template_id={template}")
    headings, row = [line.split(",") for line in exported.content.decode("utf-8-sig").splitlines()]
    assert row[headings.index("人数")] == "50"
    trail = await console.call("auditor", "GET", f"/audit-entries?object_kind=grant_job&object_id={job}")
    assert len(trail["items"]) == 4 and not any("recipients" in one["after"] for one in trail["items"])


async def settled(town: Town, people: Sequence[Person]) -> list[int]:
    """Their ids; told as of the city's day, after what the other tests told."""
    await open_house(town.settings.worker_database_url)
    try:
        index = BlindIndex(secret_bytes(town.settings.index_key))
        async with connected(town.database.worker) as worker:
            today = await worker.fetchval("SELECT vault.today()")
        return await enrol(people, index, first=500_000, as_of=today)
    finally:
        await close_house()
