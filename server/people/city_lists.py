"""The city's own lists: bands by version, towns, what residents may care about, kinds of merchants. All are data.

A version of the bands is written once and holds from a day on; a code that stands in two versions means the same band.
Towns, interests and categories are replaced as a whole: what is no longer listed is not offered, and stays where it was
told before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from tortoise.backends.base.client import BaseDBAsyncClient

from server.kit.db import fetch, transaction
from server.kit.errors import InvalidField
from server.people.errors import BandScaleFixed

Code = Annotated[str, Meta(min_length=1, max_length=16, pattern=r"^\S+$")]
Name = Annotated[str, Meta(min_length=1, max_length=20, pattern=r"^\S(.*\S)?$")]
TownName = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^\S(.*\S)?$")]
#: As rules quote it: without the brackets of their text.
CategoryCode = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[^\s「」〔〕]+$")]
InterestCode = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[a-z][a-z0-9_]*$")]


class BandEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """One band. A higher `rank` is a better band."""

    code: Code
    name: Name
    rank: Annotated[int, Meta(ge=1, le=1_000)]


class ScaleEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A version of the bands, whole."""

    version: Annotated[int, Meta(ge=1, le=1_000_000)]
    valid_from: date
    bands: Annotated[list[BandEntry], Meta(min_length=1, max_length=100)]


class InterestEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """Something residents may care about."""

    code: InterestCode
    name: Name


class CategoryEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of business that merchants may be."""

    code: CategoryCode
    name: Name


class CityLists(Struct, frozen=True, forbid_unknown_fields=True):
    """The file of `chengxin set-lists`. What is null stays as it is."""

    band_scale: ScaleEntry | None = None
    towns: Annotated[list[TownName], Meta(min_length=1, max_length=1_000)] | None = None
    interests: Annotated[list[InterestEntry], Meta(max_length=200)] | None = None
    merchant_categories: Annotated[list[CategoryEntry], Meta(max_length=200)] | None = None


@dataclass(frozen=True, slots=True)
class Band:
    """A band as it is called in the version that holds."""

    code: str
    name: str
    rank: int


async def bands_on(day: date) -> list[Band]:
    """The bands of the version that holds on a city day, lowest first; empty before the first version."""
    rows = await fetch(
        "SELECT code, name, rank FROM band_scale WHERE version = (SELECT version FROM band_scale WHERE valid_from <= $1"
        " ORDER BY valid_from DESC, version DESC LIMIT 1) ORDER BY rank",
        day,
    )
    return [Band(**row) for row in rows]


async def band_ranks(at: datetime) -> dict[str, int]:
    """Rank by code of the bands that held at an instant: what a rule compares bands by."""
    rows = await fetch("SELECT ($1::timestamptz AT TIME ZONE vault.zone())::date AS day", at)
    return {band.code: band.rank for band in await bands_on(rows[0]["day"])}


async def towns() -> list[str]:
    """The listed towns in the city's order."""
    return [row["name"] for row in await fetch("SELECT name FROM town WHERE listed ORDER BY position, name")]


async def interests() -> dict[str, str]:
    """Name by code of what is offered, in the city's order."""
    rows = await fetch("SELECT code, name FROM interest WHERE listed ORDER BY position, code")
    return {row["code"]: row["name"] for row in rows}


async def merchant_categories() -> dict[str, str]:
    """Name by code of the kinds of business that are listed, in the city's order."""
    rows = await fetch("SELECT code, name FROM merchant_category WHERE listed ORDER BY position, code")
    return {row["code"]: row["name"] for row in rows}


def read_lists(content: bytes) -> CityLists:
    """Lists from JSON. Raises InvalidField, naming what is wrong."""
    try:
        return msgspec.json.decode(content, type=CityLists)
    except msgspec.MsgspecError as problem:
        text = str(problem)
        raise InvalidField(field=text.rpartition("`$.")[2].rstrip("`") if "`$." in text else "lists") from None


async def set_lists(lists: CityLists) -> None:
    """Write the lists that are given; the same again changes nothing.

    Raises `BandScaleFixed` for a version that stands otherwise, or that does not begin after all others; InvalidField
    for what stands twice.
    """
    async with transaction() as tx:
        await tx.execute_query("SELECT pg_advisory_xact_lock(hashtextextended('city_lists', 0))", [])
        if lists.band_scale is not None:
            await _put_scale(tx, lists.band_scale)
        if lists.towns is not None:
            _each_once(lists.towns, "towns")
            await fetch(_PUT_TOWNS, lists.towns, using=tx)
            await fetch("UPDATE town SET listed = false WHERE listed AND name <> ALL($1)", lists.towns, using=tx)
        if lists.interests is not None:
            await _put(tx, "interest", "interests", lists.interests)
        if lists.merchant_categories is not None:
            await _put(tx, "merchant_category", "merchant_categories", lists.merchant_categories)


_PUT_TOWNS = """
INSERT INTO town (name, position, listed)
SELECT name, position, true FROM unnest($1::text[]) WITH ORDINALITY u (name, position)
ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position, listed = true RETURNING 1
"""
_PUT_CODES = """
INSERT INTO {table} (code, name, position, listed)
SELECT code, name, position, true FROM unnest($1::text[], $2::text[]) WITH ORDINALITY u (code, name, position)
ON CONFLICT (code) DO UPDATE SET name = EXCLUDED.name, position = EXCLUDED.position, listed = true RETURNING 1
"""
_UNLIST_CODES = "UPDATE {table} SET listed = false WHERE listed AND code <> ALL($1)"


async def _put(
    tx: BaseDBAsyncClient, table: str, field: str, entries: Sequence[InterestEntry] | Sequence[CategoryEntry]
) -> None:
    """Replace a list of codes and names as a whole."""
    codes = [entry.code for entry in entries]
    _each_once(codes, field)
    await fetch(_PUT_CODES.format(table=table), codes, [entry.name for entry in entries], using=tx)
    await fetch(_UNLIST_CODES.format(table=table), codes, using=tx)


async def _put_scale(tx: BaseDBAsyncClient, scale: ScaleEntry) -> None:
    _each_once([band.code for band in scale.bands], "band_scale.bands.code")
    _each_once([band.rank for band in scale.bands], "band_scale.bands.rank")
    wanted = {(band.code, band.name, band.rank, scale.valid_from) for band in scale.bands}
    rows = await fetch("SELECT version, code, name, rank, valid_from FROM band_scale", using=tx)
    known = {
        (row["code"], row["name"], row["rank"], row["valid_from"]) for row in rows if row["version"] == scale.version
    }
    if known == wanted:
        return
    if known or any(row["version"] > scale.version or row["valid_from"] >= scale.valid_from for row in rows):
        raise BandScaleFixed(field="band_scale.version")
    await fetch(
        "INSERT INTO band_scale (version, code, name, rank, valid_from)"
        " SELECT $1, code, name, rank, $2 FROM unnest($3::text[], $4::text[], $5::int[]) u (code, name, rank)",
        scale.version,
        scale.valid_from,
        [band.code for band in scale.bands],
        [band.name for band in scale.bands],
        [band.rank for band in scale.bands],
        using=tx,
    )


def _each_once(values: list[str] | list[int], field: str) -> None:
    if len(set(values)) < len(values):
        raise InvalidField(field=field)
