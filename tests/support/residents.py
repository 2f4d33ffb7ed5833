"""Enrolled residents by the hundred, with bands, towns and choices, as the people room would leave them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from server.incentives.facts import record_facts
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex
from server.kit.db import fetch
from server.people import city_lists
from server.people.attribute_import import AttributeImport, Told
from server.people.city_lists import BandEntry, CityLists, InterestEntry, ScaleEntry
from server.people.residents import ID_NUMBER_PURPOSE
from server.sandbox.city import id_number

BANDS, TOWNS = ("S", "A", "AA"), ("澄江街道", "华士镇", "新桥镇")
INTERESTS = ("reading", "sport")
FIRST_BORN = date(1950, 1, 1).toordinal()
_ENROL = """
INSERT INTO resident (id_number_hmac, id_number_sealed, name_sealed, bound_at)
SELECT hmac, repeat('x', 40)::bytea, repeat('y', 40)::bytea, bound_at
FROM unnest($1::bytea[], $2::timestamptz[]) WITH ORDINALITY u (hmac, bound_at, place) ORDER BY place RETURNING id
"""


@dataclass(frozen=True)
class Person:
    """What a test says of a resident."""

    bound_at: datetime
    band: str | None = None
    town: str | None = None
    personalised: bool = False
    interests: tuple[str, ...] = ()


async def set_lists() -> None:
    """Three bands, three towns, two interests."""
    bands = [BandEntry(code, f"{code}级", rank) for rank, code in enumerate(BANDS, 1)]
    interests = [InterestEntry(code, name) for code, name in zip(INTERESTS, ("阅读", "运动"), strict=True)]
    await city_lists.set_lists(CityLists(ScaleEntry(1, date(2026, 1, 1), bands), list(TOWNS), interests))


async def enrol(
    people: Sequence[Person], index: BlindIndex, *, first: int = 0, as_of: date, clock: Clock | None = None
) -> list[int]:
    """Enrols them and tells their bands and towns through the import; their ids in this order. `first`: how many ID
    numbers are taken; `clock`: where it was moved."""
    numbers = [_number(first + place) for place in range(len(people))]
    hashes = [index.of(number, purpose=ID_NUMBER_PURPOSE) for number in numbers]
    ids = [row["id"] for row in await fetch(_ENROL, hashes, [one.bound_at for one in people])]
    told = (Told(line, numbers[line], one.band, one.town) for line, one in enumerate(people))
    importer = AttributeImport(clock=clock or Clock(), index=index, record_facts=record_facts)
    report = await importer.run(told, source="测试", as_of=as_of)
    assert (report.enrolled, report.unfit_lines) == (len(people), 0), report
    chosen = [(id, one) for id, one in zip(ids, people, strict=True) if one.personalised or one.interests]
    for id, one in chosen:
        await fetch(
            "INSERT INTO resident_choice (resident_id, version, personalised, interests, chosen_at)"
            " VALUES ($1, 1, $2, to_jsonb($3::text[]), $4)",
            id, one.personalised, list(one.interests), one.bound_at,
        )  # fmt: skip
    return ids


def _number(place: int) -> str:
    return id_number(date.fromordinal(FIRST_BORN + place // 999), 1 + place % 999)
