"""What the city knows of a resident that rules and segments may ask: band, town, day of enrolment, own choices.

`profile_of` is the one way to read it; scoring takes its place later without a change for those who ask. Values are
read as they were at an instant, so a late fact is judged by what was right when it happened (D37).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from server.kit.db import fetch
from server.people.errors import ResidentNotFound

BAND: Final = "band"
TOWN: Final = "town"

#: The city day of the instant $1, in a subquery so that it is worked out once.
DAY: Final = "(SELECT ($1::timestamptz AT TIME ZONE vault.zone())::date)"
#: Joins to `resident r` AS band, town and choice: at most one row each, NULL where nothing was told by then.
BAND_AT, TOWN_AT = (
    f"LEFT JOIN resident_attribute {kind} ON {kind}.kind = '{kind}' AND {kind}.resident_id = r.id"
    f" AND {kind}.as_of <= {DAY} AND ({kind}.until_day IS NULL OR {kind}.until_day > {DAY})"
    for kind in (BAND, TOWN)
)
CHOICE_NOW: Final = "LEFT JOIN resident_choice choice ON choice.resident_id = r.id AND choice.until_at IS NULL"
ENROLLED_ON: Final = "(r.bound_at AT TIME ZONE vault.zone())::date"

_PROFILES: Final = f"""
SELECT r.id AS resident_id, band.value AS band, town.value AS town, {ENROLLED_ON} AS enrolled_on,
    coalesce(choice.personalised, false) AS personalised
FROM resident r {BAND_AT} {TOWN_AT} {CHOICE_NOW}
WHERE r.id = ANY($2::bigint[])"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Profile:
    """A resident as rules see him. `band` is a code of the scale (`city_lists.band_ranks`), `town` a town's name; None
    where nothing was told by then. `personalised` is what he chose last, whatever the instant: who withdraws is not
    profiled any more, for earlier facts either."""

    resident_id: int
    band: str | None
    town: str | None
    enrolled_on: date
    personalised: bool


async def profile_of(resident_id: int, at: datetime) -> Profile:
    """One resident as he was at an instant. Raises ResidentNotFound."""
    found = await profiles_of([resident_id], at)
    if not found:
        raise ResidentNotFound
    return found[resident_id]


async def profiles_of(resident_ids: Iterable[int], at: datetime) -> dict[int, Profile]:
    """Residents as they were at an instant, by id, in one statement; who is not enrolled is missing."""
    wanted: Sequence[int] = list(resident_ids)
    return {row["resident_id"]: Profile(**row) for row in await fetch(_PROFILES, at, wanted)}
