"""Segments and their snapshots on a real PostgreSQL: who is picked, what is told of sizes, and what never changes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from server.incentives.commands import Signed
from server.incentives.errors import RevisionChanged
from server.incentives.segments.errors import (
    SegmentNameTaken,
    SegmentNotFound,
    SegmentRefused,
    SnapshotNotFound,
)
from server.incentives.segments.service import SegmentService
from server.incentives.segments.snapshots import SegmentSnapshots
from server.kit.clock import Clock
from server.kit.db import close_house, fetch, open_house
from server.people.choices import ChoiceService
from tests.support.databases import Database, connected
from tests.support.people import INDEX
from tests.support.residents import Person, enrol, set_lists

MAKER = Signed(1, "r-1")
APRIL, MAY = datetime(2026, 4, 10, tzinfo=UTC), datetime(2026, 5, 10, tzinfo=UTC)
TOLD = date(2026, 6, 1)


@pytest_asyncio.fixture(autouse=True)
async def house(database: Database) -> AsyncIterator[None]:
    await open_house(database.app)
    await set_lists()
    yield
    await close_house()


@pytest_asyncio.fixture
async def nobody(house: None, database: Database) -> None:
    """A city without residents and segments."""
    async with connected(database.owner) as owner:
        await owner.execute(
            "ALTER TABLE segment_member DISABLE TRIGGER USER;"
            "TRUNCATE segment_member, segment_snapshot, segment, resident_attribute, resident_choice, attribute_batch,"
            " resident CASCADE; ALTER TABLE segment_member ENABLE TRIGGER USER"
        )  # fmt: skip


def service(floor: int = 10) -> SegmentService:
    return SegmentService(clock=Clock(), small_cell=floor)


def snapshots(window: int = 100_000, keep_days: int = 180) -> SegmentSnapshots:
    return SegmentSnapshots(clock=Clock(), keep_days=keep_days, small_cell=10, window=window)


async def segment(name: str = "人群", **definition: Any) -> int:
    made = await service().create(f"{name}{json.dumps(definition)[:40]}", definition, MAKER)
    return int(made.row.id)


async def picked(ids: list[int], **definition: Any) -> list[int]:
    """The places of the residents that a snapshot of this definition holds."""
    segment_id = await segment(**definition)
    shots = snapshots()
    snapshot = await shots.take(segment_id, datetime.now(UTC), f"test:{segment_id}")
    return [ids.index(one) for one in await shots.members(snapshot)]


CITY = [
    Person(APRIL, "S", "澄江街道"),
    Person(APRIL, "A", "澄江街道", True, ("sport",)),
    Person(APRIL, "AA", "华士镇", True, ("reading",)),
    Person(MAY, "AA", "华士镇", False, ("reading",)),
    Person(MAY, "A", None, True, ("reading", "sport")),
    Person(MAY, None, "新桥镇", True),
]


@pytest.mark.parametrize(
    ("definition", "places"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"towns": ["澄江街道", "华士镇"]}, [0, 1, 2, 3]),
        ({"bands": ["AA", "A"]}, [1, 2, 4]),
        ({"interests": ["sport"]}, [1, 4]),
        ({"interests": ["reading", "sport"], "towns": ["华士镇"]}, [2]),
        ({"enrolled_from": "2026-05-10"}, [3, 4, 5]),
        ({"enrolled_until": "2026-05-09"}, [0, 1, 2]),
        ({"enrolled_from": "2026-04-10", "enrolled_until": "2026-04-10", "bands": ["AA"]}, [2]),
    ],
)
async def test_everything_asked_must_hold_and_profiles_pick_only_who_wants_it(
    nobody: None, definition: dict[str, Any], places: list[int]
) -> None:
    ids = await enrol(CITY, INDEX, as_of=TOLD)
    assert await picked(ids, **definition) == places


async def test_a_snapshot_judges_by_the_instant_and_by_the_newest_choice(nobody: None) -> None:
    ids = await enrol(CITY, INDEX, as_of=TOLD)
    segment_id, shots = await segment(bands=["AA"]), snapshots()
    before = await shots.take(segment_id, datetime(2026, 5, 31, tzinfo=UTC), "before")
    assert await shots.members(before) == []
    first = await shots.take(segment_id, datetime.now(UTC), "first")
    await ChoiceService(clock=Clock()).choose(ids[2], personalised=False, interests=[])
    await ChoiceService(clock=Clock()).choose(ids[3], personalised=True, interests=[])
    second = await shots.take(segment_id, datetime.now(UTC), "second")
    assert [await shots.members(one) for one in (first, second)] == [[ids[2]], [ids[3]]]


async def test_a_snapshot_is_the_same_for_one_use_whatever_the_segment_becomes(nobody: None) -> None:
    ids = await enrol(CITY, INDEX, as_of=TOLD)
    segment_id, shots = await segment(towns=["华士镇"]), snapshots(window=2)
    now = datetime.now(UTC)
    taken = await asyncio.gather(*(snapshots(window=1).take(segment_id, now, "grant_job:1") for _ in range(8)))
    assert len(set(taken)) == 1
    await service().edit(segment_id, "改了", {}, MAKER)
    assert await shots.take(segment_id, datetime.now(UTC), "grant_job:1") == taken[0]
    found = await shots.get(taken[0])
    assert (found.size, await shots.members(taken[0])) == (2, ids[2:4])
    assert found.digest == hashlib.sha256(b"".join(struct.pack(">q", id) for id in ids[2:4])).hexdigest()
    assert (found.definition.towns, found.definition.personal) == (("华士镇",), False)
    with pytest.raises(ValueError, match="another segment"):
        await shots.take(await segment(), now, "grant_job:1")
    with pytest.raises(SegmentNotFound):
        await shots.take(2**62, now, "nothing")


async def test_a_snapshot_broken_off_anywhere_goes_on_where_it_was(
    nobody: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await enrol([Person(APRIL)] * 25, INDEX, as_of=TOLD)
    segment_id, now, steps = await segment(), datetime.now(UTC), 0
    step = SegmentSnapshots._step

    async def one_step(self: SegmentSnapshots, *given: Any) -> bool:
        nonlocal steps
        steps += 1
        if steps % 2 == 0:
            raise ConnectionError("killed")
        return await step(self, *given)

    monkeypatch.setattr(SegmentSnapshots, "_step", one_step)
    broken, taken = 0, None
    while taken is None:
        try:
            taken = await snapshots(window=4).take(segment_id, now, "once")
        except ConnectionError:
            broken += 1
            (row,) = await fetch("SELECT id FROM segment_snapshot")
            with pytest.raises(SnapshotNotFound):
                await snapshots().members(row["id"])
    assert broken == 7
    assert await snapshots().members(taken) == ids


async def test_members_come_in_pages_in_the_order_of_ids(nobody: None) -> None:
    ids = await enrol([Person(APRIL)] * 25, INDEX, as_of=TOLD)
    snapshot, seen = await snapshots(window=7).take(await segment(), datetime.now(UTC), "pages"), []
    while page := await snapshots().members(snapshot, seen[-1] if seen else 0, 10):
        assert len(page) <= 10
        seen += page
    assert seen == sorted(ids)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO segment_member SELECT id, 1 FROM segment_snapshot",
        "UPDATE segment_member SET resident_id = resident_id + 1",
        "DELETE FROM segment_member",
        "TRUNCATE segment_member",
        "UPDATE segment_snapshot SET size = size + 1",
        "UPDATE segment_snapshot SET sealed_at = NULL, digest = ''",
        "UPDATE segment_snapshot SET at = at - interval '1 day'",
        "DELETE FROM segment_snapshot",
    ],
)
async def test_a_sealed_snapshot_never_changes(nobody: None, database: Database, statement: str) -> None:
    await enrol(CITY, INDEX, as_of=TOLD)
    await snapshots().take(await segment(), datetime.now(UTC), "fixed")
    async with connected(database.owner) as owner:
        with pytest.raises((asyncpg.RestrictViolationError, asyncpg.CheckViolationError)):
            await owner.execute(statement)


async def test_members_are_deleted_when_their_time_is_over_and_not_before(nobody: None) -> None:
    await enrol(CITY, INDEX, as_of=TOLD)
    segment_id = await segment()
    kept = await snapshots().take(segment_id, datetime.now(UTC), "kept")
    over = await snapshots(keep_days=-1).take(segment_id, datetime.now(UTC), "over")
    shots, rounds = snapshots(), 0
    while await shots.purge(4):
        rounds += 1
    assert rounds == 2
    assert len(await shots.members(kept)) == 6
    with pytest.raises(SnapshotNotFound):
        await shots.members(over)
    listed = {row.used_for: (row.size, row.purged_at is not None) for row in await shots.of_segment(segment_id)}
    assert listed == {"kept": (6, False), "over": (6, True)}


async def test_sizes_are_told_by_band_and_town_without_small_cells(nobody: None) -> None:
    people = (
        [Person(APRIL, "S", "澄江街道")] * 33 + [Person(APRIL, "A", "华士镇")] * 27
        + [Person(APRIL, "AA", "华士镇")] * 4 + [Person(APRIL, None, "新桥镇")] * 15
    )  # fmt: skip
    await enrol(people, INDEX, as_of=TOLD)
    seen = await service().preview(await segment(), MAKER)
    assert seen.size == 70
    assert [(cell.code, cell.size) for cell in seen.bands] == [("S", 30), ("A", 20), ("AA", None), (None, None)]
    assert [(cell.code, cell.size) for cell in seen.towns] == [
        ("澄江街道", None), ("华士镇", 30), ("新桥镇", 10), (None, None),
    ]  # fmt: skip
    one = await service().preview(await segment(towns=["新桥镇"]), MAKER)
    assert (one.size, [cell.size for cell in one.towns]) == (10, [10])
    small = await service().preview(await segment(enrolled_from="2026-05-01"), MAKER)
    assert small.size is None and {cell.size for cell in small.bands + small.towns} == {None}


async def test_a_look_at_sizes_stays_in_the_audit_trail(nobody: None) -> None:
    segment_id = await segment()
    await service().preview(segment_id, Signed(7, "r-7"))
    rows = await fetch(
        "SELECT action, actor_id FROM audit_entry WHERE object_kind = 'segment' AND object_id = $1 ORDER BY id",
        str(segment_id),
    )
    assert [(row["action"], row["actor_id"]) for row in rows] == [("segment.created", "1"), ("segment.previewed", "7")]


@pytest.mark.parametrize(
    ("name", "definition", "field", "reason"),
    [
        ("人群", {"age": [60]}, "definition.age", "年龄"),
        ("人群", {"户籍": ["本地"]}, "definition.户籍", "户籍"),
        ("人群", {"gender": "f"}, "definition.gender", "性别"),
        ("人群", {"colour": ["red"]}, "definition.colour", "没有这一项条件"),
        ("女性居民", {}, "name", "性别"),
        ("", {}, "name", "名称"),
        ("人群", {"bands": ["AAA"]}, "definition.bands[0]", "不在现行目录中"),
        ("人群", {"towns": ["华士镇", "华士镇"]}, "definition.towns[1]", "重复"),
        ("人群", {"interests": ["religion"]}, "definition.interests[0]", "不在现行目录中"),
        ("人群", {"towns": "华士镇"}, "definition.towns", "内容不合规范"),
        ("人群", {"enrolled_from": "2026-02-30"}, "definition.enrolled_from", "内容不合规范"),
        ("人群", {"enrolled_from": "2026-05-02", "enrolled_until": "2026-05-01"}, "definition.enrolled_until", "早于"),
    ],
)
async def test_what_no_segment_may_ask_is_refused_with_the_reason(
    name: str, definition: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(SegmentRefused) as refused:
        await service().create(name, definition, MAKER)
    assert (refused.value.field, reason in refused.value.message) == (field, True), refused.value.message


async def test_nothing_else_can_be_written_as_a_definition(nobody: None, database: Database) -> None:
    await segment()
    async with connected(database.owner) as owner:
        with pytest.raises(asyncpg.CheckViolationError):
            await owner.execute("UPDATE segment SET definition = '{\"age\": [60]}'")


async def test_segments_are_edited_found_and_told_in_chinese(nobody: None) -> None:
    made = await service().create("读书人", {"interests": ["reading"], "bands": ["AA", "A"]}, MAKER)
    assert made.text == "信用等级为A级、AA级；关注阅读；已开启个性化"
    assert made.definition.bands == ("A", "AA")
    with pytest.raises(SegmentNameTaken):
        await service().create(" 读书人 ", {}, MAKER)
    segment_id = made.row.id
    edited = await service().edit(segment_id, "老用户", {"enrolled_until": "2026-05-01"}, Signed(2, "r-2"), 1)
    assert (edited.text, edited.row.revision, edited.row.changed_by) == ("2026年5月1日（含）以前实名", 2, 2)
    with pytest.raises(RevisionChanged):
        await service().edit(segment_id, "老用户", {}, MAKER, 1)
    other = await service().create("全体", {}, MAKER)
    assert other.text == "全体实名居民"
    assert [view.row.name for view in await service().page(None, 10)] == ["全体", "老用户"]
    assert [view.row.name for view in await service().page(other.row.id, 10)] == ["老用户"]
    assert [view.row.name for view in await service().page(None, 10, "老")] == ["老用户"]
    assert await service().page(None, 10, "%") == []
    with pytest.raises(SegmentNotFound):
        await service().get(2**62)
    with pytest.raises(SegmentNotFound):
        await service().edit(2**62, "x", {}, MAKER)


async def test_who_enrols_after_the_instant_is_not_in_it(nobody: None) -> None:
    at = datetime.now(UTC) - timedelta(days=30)
    ids = await enrol([Person(at - timedelta(seconds=1)), Person(at + timedelta(seconds=1))], INDEX, as_of=TOLD)
    snapshot = await snapshots().take(await segment(), at, "then")
    assert await snapshots().members(snapshot) == ids[:1]
