"""Bands, towns and own choices on a real PostgreSQL: what was told, since when, and what is never taken back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from server.incentives.facts import record_facts
from server.kit.clock import Clock
from server.kit.db import fetch
from server.kit.errors import InvalidField
from server.people import city_lists
from server.people.attribute_import import AttributeImport, ImportReport, Told
from server.people.attributes import Profile, profile_of, profiles_of
from server.people.choices import NOTHING_CHOSEN, ChoiceService
from server.people.city_lists import BandEntry, CityLists, InterestEntry, ScaleEntry
from server.people.errors import AsOfInFuture, AsOfTooOld, BandScaleFixed, NoBandScale, ResidentNotFound
from tests.support.databases import Database, connected
from tests.support.people import ENVELOPE, INDEX, Room, id_number

LISTS = CityLists(
    ScaleEntry(1, date(2026, 1, 1), [BandEntry("S", "标准", 1), BandEntry("A", "A级", 2), BandEntry("AA", "AA级", 3)]),
    ["澄江街道", "华士镇"],
    [InterestEntry("reading", "阅读"), InterestEntry("sport", "运动健身")],
)


@pytest_asyncio.fixture(autouse=True)
async def lists(house: None) -> None:
    await city_lists.set_lists(LISTS)


@pytest_asyncio.fixture
async def clean(house: None, database: Database) -> AsyncIterator[None]:
    """Nothing told before, so that days of other tests are no bound."""
    async with connected(database.owner) as owner:
        await owner.execute("TRUNCATE resident_attribute, attribute_batch, attribute_line")
    yield


def importer(page: int = 10_000) -> AttributeImport:
    return AttributeImport(clock=Clock(), index=INDEX, record_facts=record_facts, page=page)


async def enrol(room: Room, count: int = 1) -> list[tuple[int, str]]:
    """(resident, ID number) of new residents."""
    made = []
    for _ in range(count):
        number = id_number(f"19{50 + len(made) % 50}0101")
        rows = await fetch(
            "INSERT INTO resident (id_number_hmac, id_number_sealed, name_sealed, bound_at) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (id_number_hmac) DO UPDATE SET bound_at = EXCLUDED.bound_at RETURNING id",
            INDEX.of(number, purpose="resident.id_number"),
            ENVELOPE.seal(number, purpose="resident.id_number"),
            ENVELOPE.seal("王芳", purpose="resident.name"),
            room.clock.now(),
        )
        made.append((int(rows[0]["id"]), number))
    return made


async def tell(
    lines: Iterable[tuple[str, str | None, str | None]], as_of: date, page: int = 10_000, **named: Any
) -> ImportReport:
    told = (Told(place, *line) for place, line in enumerate(lines, 2))
    return await importer(page).run(told, source="信用办〔2026〕3号", as_of=as_of, **named)


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 4, tzinfo=UTC)


async def facts_of(resident_id: int) -> list[tuple[str, dict[str, Any]]]:
    rows = await fetch(
        "SELECT source_id, attributes::text AS told FROM fact"
        " WHERE resident_id = $1 AND kind = 'band_reached' ORDER BY id",
        resident_id,
    )
    return [(row["source_id"], json.loads(row["told"])) for row in rows]


async def test_values_are_read_as_they_were_at_an_instant(room: Room, clean: None) -> None:
    ((resident, number),) = await enrol(room)
    await tell([(number, "A", "澄江街道")], date(2026, 3, 1))
    await tell([(number, "AA", None)], date(2026, 5, 1))
    await tell([(number, "S", "华士镇")], date(2026, 6, 1))
    seen = {}
    for day in (date(2026, 2, 28), date(2026, 3, 1), date(2026, 4, 30), date(2026, 5, 1), date(2026, 6, 1)):
        profile = await profile_of(resident, noon(day))
        seen[day] = (profile.band, profile.town)
    assert list(seen.values()) == [
        (None, None), ("A", "澄江街道"), ("A", "澄江街道"), ("AA", "澄江街道"), ("S", "华士镇"),
    ]  # fmt: skip
    midnight = datetime(2026, 4, 30, 16, tzinfo=UTC)  # of 1 May in the city
    before, after = [(await profile_of(resident, midnight + timedelta(seconds=s))).band for s in (-1, 0)]
    assert (before, after) == ("A", "AA")


async def test_a_profile_tells_the_city_day_of_enrolment_and_the_newest_choice(room: Room, clean: None) -> None:
    ((resident, number),) = await enrol(room)
    bound = await fetch("UPDATE resident SET bound_at = $2 WHERE id = $1 RETURNING id", resident,
                        datetime(2026, 4, 30, 17, tzinfo=UTC))  # fmt: skip
    assert bound
    early = noon(date(2026, 1, 1))
    assert await profile_of(resident, early) == Profile(resident, None, None, date(2026, 5, 1), False)
    await ChoiceService(clock=room.clock).choose(resident, personalised=True, interests=[])
    assert (await profile_of(resident, early)).personalised
    with pytest.raises(ResidentNotFound):
        await profile_of(2**62, early)
    assert set(await profiles_of([resident, 2**62], early)) == {resident}
    assert number not in repr(await profile_of(resident, early))


async def test_who_is_not_enrolled_is_counted_and_leaves_no_trace(room: Room, clean: None) -> None:
    ((_, number),) = await enrol(room)
    stranger = id_number("19910202")
    before = await fetch("SELECT count(*) AS n FROM resident")
    report = await tell([(number, "A", None), (stranger, "AA", "华士镇")], date(2026, 3, 1))
    assert (report.lines, report.enrolled, report.unknown, report.bands_changed) == (2, 1, 1, 1)
    assert await fetch("SELECT count(*) AS n FROM resident") == before
    told = await fetch("SELECT count(*) AS n FROM resident_attribute")
    left = await fetch("SELECT count(*) AS n FROM attribute_line")
    assert (told[0]["n"], left[0]["n"]) == (1, 0)


async def test_the_same_file_again_changes_nothing_and_a_page_more_or_less_neither(room: Room, clean: None) -> None:
    people = await enrol(room, 25)
    lines = [(number, ("S", "A", "AA")[n % 3], "澄江街道") for n, (_, number) in enumerate(people)]
    first = await tell(lines, date(2026, 3, 1), page=7)
    assert (first.enrolled, first.bands_changed, first.towns_changed) == (25, 25, 25)
    assert first.risen == sum(1 for _, band, _ in lines if band != "S")
    state = await fetch("SELECT * FROM resident_attribute ORDER BY id")
    again = await tell(lines, date(2026, 3, 1), page=4)
    assert (again.enrolled, again.bands_changed, again.towns_changed, again.risen) == (25, 0, 0, 0)
    assert await fetch("SELECT * FROM resident_attribute ORDER BY id") == state


async def test_an_import_cut_off_in_the_middle_is_simply_begun_again(
    room: Room, clean: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = await enrol(room, 12)
    lines: list[tuple[str, str | None, str | None]] = [(number, "AA", "华士镇") for _, number in people]
    write, pages = AttributeImport._write_page, 0

    async def cut_off(self: AttributeImport, *given: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages == 3:
            raise ConnectionError("killed")
        return await write(self, *given)

    with monkeypatch.context() as broken:
        broken.setattr(AttributeImport, "_write_page", cut_off)
        with pytest.raises(ConnectionError):
            await tell(lines, date(2026, 3, 1), page=4)
    half = await fetch("SELECT count(*) AS n FROM resident_attribute")
    again = await tell(lines, date(2026, 3, 1), page=5)
    assert (half[0]["n"], again.bands_changed, again.towns_changed, again.risen) == (16, 4, 4, 4)
    assert [len(await facts_of(resident)) for resident, _ in people] == [1] * 12
    batches = await fetch("SELECT finished_at IS NULL AS open FROM attribute_batch ORDER BY started_at")
    assert [row["open"] for row in batches] == [True, False]


async def test_two_imports_at_once_take_turns_and_each_value_is_told_once(room: Room, clean: None) -> None:
    people = await enrol(room, 20)
    lines: list[tuple[str, str | None, str | None]] = [(number, "AA", "华士镇") for _, number in people]
    turned = lines[::-1]
    reports = await asyncio.gather(*(tell(one, date(2026, 3, 1), page=3) for one in (lines, turned, lines, turned)))
    assert sum(one.bands_changed for one in reports) == sum(one.towns_changed for one in reports) == 20
    rows = await fetch("SELECT resident_id, kind FROM resident_attribute")
    assert len(rows) == len({(row["resident_id"], row["kind"]) for row in rows}) == 40
    assert [len(await facts_of(resident)) for resident, _ in people] == [1] * 20


async def test_a_dry_run_counts_the_same_and_writes_nothing(room: Room, clean: None) -> None:
    people = await enrol(room, 5)
    lines: list[tuple[str, str | None, str | None]] = [(number, "AA", "华士镇") for _, number in people]
    dry = await tell(lines, date(2026, 3, 1), dry_run=True)
    written = [await fetch(f"SELECT count(*) AS n FROM {table}") for table in ("resident_attribute", "attribute_batch")]
    assert [rows[0]["n"] for rows in written] == [0, 0]
    assert all([await facts_of(resident) == [] for resident, _ in people])
    real = await tell(lines, date(2026, 3, 1))
    counts = [(one.lines, one.enrolled, one.bands_changed, one.towns_changed, one.risen) for one in (dry, real)]
    assert counts == [(5, 5, 5, 5, 5)] * 2


async def test_one_unfit_line_refuses_the_whole_file_and_is_named(room: Room, clean: None) -> None:
    people = await enrol(room, 3)
    numbers = [number for _, number in people]
    report = await tell(
        [
            (numbers[0], "A", "澄江街道"), (numbers[1], "B+", None), (numbers[1][:-1], "A", None),
            (numbers[2], None, "不存在镇"), (numbers[0], "A", "澄江街道"),
        ],
        date(2026, 3, 1),
    )  # fmt: skip
    assert [(one.line, one.what) for one in report.unfit] == [(3, "band"), (4, "id_number"), (5, "town"), (6, "twice")]
    assert report.unfit_lines == 4
    assert await fetch("SELECT id FROM resident_attribute") == []
    assert await fetch("SELECT batch_id FROM attribute_line") == []


async def test_many_unfit_lines_are_counted_and_only_the_first_are_named(room: Room, clean: None) -> None:
    report = await tell([("nonsense", "A", None)] * 50, date(2026, 3, 1))
    assert (report.unfit_lines, len(report.unfit)) == (50, 20)


async def test_a_person_in_two_pieces_of_a_file_is_noticed(
    room: Room, clean: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.people.attribute_import.PIECE", 2)
    people = await enrol(room, 4)
    lines: list[tuple[str, str | None, str | None]] = [(number, "A", None) for _, number in people]
    report = await tell([*lines, lines[0]], date(2026, 3, 1))
    assert [(one.line, one.what) for one in report.unfit] == [(6, "twice")]


async def test_only_a_rise_is_told_as_a_fact_and_only_once(room: Room, clean: None) -> None:
    ((resident, number),) = await enrol(room)
    days = iter(date(2026, 3, 1) + timedelta(days=n) for n in range(10))
    for band in ("S", "AA", "A", "A", "AA"):
        await tell([(number, band, "华士镇")], next(days))
    told = await facts_of(resident)
    assert told == [
        (f"{resident}:2026-03-02:AA", {"band": "AA", "rank": 3, "band_before": "S"}),
        (f"{resident}:2026-03-05:AA", {"band": "AA", "rank": 3, "band_before": "A"}),
    ]
    rows = await fetch("SELECT occurred_at, id FROM fact WHERE resident_id = $1 ORDER BY id", resident)
    assert rows[0]["occurred_at"] == datetime(2026, 3, 1, 16, tzinfo=UTC)
    events = await fetch("SELECT payload::text AS told FROM event WHERE key = $1 ORDER BY id", f"resident:{resident}")
    assert [json.loads(row["told"])["fact_id"] for row in events] == [str(row["id"]) for row in rows]


async def test_a_correction_of_the_same_day_takes_the_place_of_what_was_told(room: Room, clean: None) -> None:
    ((resident, number),) = await enrol(room)
    for band in ("AA", "A", "AA"):
        await tell([(number, band, None)], date(2026, 3, 1))
    assert (await profile_of(resident, noon(date(2026, 3, 1)))).band == "AA"
    assert [source for source, _ in await facts_of(resident)] == [f"{resident}:2026-03-01:AA"]


async def test_the_past_is_not_rewritten_nor_the_future_told(room: Room, clean: None) -> None:
    ((_, number),) = await enrol(room)
    await tell([(number, "A", None)], date(2026, 3, 1))
    with pytest.raises(AsOfTooOld):
        await tell([(number, "S", None)], date(2026, 2, 28))
    # A file that spoke of nobody who is enrolled binds nobody.
    assert (await tell([(id_number("19910203"), "A", None)], date(2026, 4, 1))).unknown == 1
    assert (await tell([(number, "AA", None)], date(2026, 3, 2))).bands_changed == 1
    # Towns come from elsewhere, with days of their own.
    assert (await tell([(number, None, "华士镇")], date(2026, 2, 1))).towns_changed == 1
    with pytest.raises(AsOfInFuture):
        await tell([(number, "S", None)], room.clock.today() + timedelta(days=1))
    with pytest.raises(NoBandScale):
        await tell([(number, "S", None)], date(2025, 12, 31))
    with pytest.raises(InvalidField):
        await importer().run([], source=" ", as_of=date(2026, 3, 1))
    assert await fetch("SELECT batch_id FROM attribute_line") == []


async def test_a_new_scale_is_no_rise_for_whom_nothing_can_be_compared(
    room: Room, clean: None, database: Database
) -> None:
    people = await enrol(room, 2)
    await tell([(number, "AA", None) for _, number in people], date(2026, 3, 1))
    bands = [BandEntry("S", "标准", 1), BandEntry("AA", "AA级", 2), BandEntry("L1", "一级", 5)]
    try:
        await city_lists.set_lists(CityLists(ScaleEntry(2, date(2026, 4, 1), bands)))
        await tell([(people[0][1], "L1", None)], date(2026, 4, 1))
        assert (await facts_of(people[0][0]))[-1][1] == {"band": "L1", "rank": 5, "band_before": "AA"}
        await city_lists.set_lists(CityLists(ScaleEntry(3, date(2026, 5, 1), [BandEntry("X", "甲", 9)])))
        before = await facts_of(people[1][0])
        await tell([(people[1][1], "X", None)], date(2026, 5, 1))
        assert await facts_of(people[1][0]) == before
        assert await city_lists.band_ranks(noon(date(2026, 4, 30))) == {"S": 1, "AA": 2, "L1": 5}
        assert await city_lists.band_ranks(noon(date(2026, 5, 1))) == {"X": 9}
        assert await city_lists.band_ranks(noon(date(2025, 5, 1))) == {}
        with pytest.raises(BandScaleFixed):
            await city_lists.set_lists(CityLists(ScaleEntry(2, date(2026, 4, 1), bands[:2])))
        with pytest.raises(BandScaleFixed):
            await city_lists.set_lists(CityLists(ScaleEntry(4, date(2026, 5, 1), bands)))
    finally:
        async with connected(database.owner) as owner:
            await owner.execute(
                "ALTER TABLE band_scale DISABLE TRIGGER USER; DELETE FROM band_scale WHERE version > 1;"
                "ALTER TABLE band_scale ENABLE TRIGGER USER"
            )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE resident_attribute SET value = 'AA'",
        "UPDATE resident_attribute SET until_day = NULL WHERE until_day IS NOT NULL",
        "DELETE FROM resident_attribute",
        "UPDATE band_scale SET rank = 7",
        "DELETE FROM band_scale",
        "UPDATE resident_choice SET personalised = NOT personalised",
        "DELETE FROM resident_choice",
    ],
)
async def test_what_was_told_or_chosen_stays(room: Room, clean: None, database: Database, statement: str) -> None:
    ((resident, number),) = await enrol(room)
    await tell([(number, "A", None)], date(2026, 3, 1))
    await tell([(number, "AA", None)], date(2026, 4, 1))
    await ChoiceService(clock=room.clock).choose(resident, personalised=True, interests=["sport"])
    async with connected(database.owner) as owner:
        with pytest.raises(asyncpg.RestrictViolationError):
            await owner.execute(statement)


async def test_a_resident_has_one_band_at_a_time_whoever_writes_it(room: Room, clean: None, database: Database) -> None:
    ((resident, number),) = await enrol(room)
    await tell([(number, "A", None)], date(2026, 3, 1))
    async with connected(database.worker) as worker:
        with pytest.raises(asyncpg.UniqueViolationError):
            await worker.execute(
                "INSERT INTO resident_attribute (resident_id, kind, value, as_of, batch_id, recorded_at)"
                " VALUES ($1, 'band', 'AA', '2026-04-01', gen_random_uuid(), now())",
                resident,
            )


async def test_nothing_is_chosen_beforehand_and_every_choice_is_kept(room: Room) -> None:
    ((resident, _),) = await enrol(room)
    choices = ChoiceService(clock=room.clock)
    assert await choices.get(resident) == NOTHING_CHOSEN
    first = await choices.choose(resident, personalised=True, interests=["sport", "reading"])
    assert (first.version, first.personalised, first.interests) == (1, True, ("reading", "sport"))
    assert await choices.choose(resident, personalised=True, interests=["reading", "sport"]) == first
    second = await choices.choose(resident, personalised=False, interests=[])
    assert await choices.get(resident) == second
    assert [one.version for one in await choices.history(resident)] == [2, 1]
    for wrong in (["age"], ["sport", "sport"]):
        with pytest.raises(InvalidField) as refused:
            await choices.choose(resident, personalised=True, interests=wrong)
        assert refused.value.field == f"interests[{len(wrong) - 1}]"
    with pytest.raises(ResidentNotFound):
        await choices.choose(2**62, personalised=True, interests=[])


async def test_lists_are_replaced_as_a_whole_and_what_is_gone_stays_where_it_was_told(room: Room, clean: None) -> None:
    ((resident, number),) = await enrol(room)
    await tell([(number, None, "华士镇")], date(2026, 3, 1))
    await city_lists.set_lists(CityLists(towns=["新桥镇", "澄江街道"], interests=[InterestEntry("sport", "体育")]))
    assert await city_lists.towns() == ["新桥镇", "澄江街道"]
    assert await city_lists.interests() == {"sport": "体育"}
    assert (await profile_of(resident, room.clock.now())).town == "华士镇"
    assert (await tell([(number, None, "华士镇")], date(2026, 4, 1))).unfit[0].what == "town"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"{}x", "lists"),
        (b'{"ages": []}', "lists"),
        (b'{"towns": [""]}', "towns[0]"),
        (b'{"band_scale": {"version": 0, "valid_from": "2026-01-01", "bands": []}}', "band_scale.version"),
    ],
)
def test_a_file_of_lists_that_is_not_fit_is_named(content: bytes, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        city_lists.read_lists(content)
    assert refused.value.field == field
