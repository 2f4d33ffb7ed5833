"""Who belongs to a segment at an instant, as SQL: the residents as `server.people.attributes` tells them, a window at a
time.

A window is a range of resident ids, so that no statement works longer for a larger city. Band and town are those of the
instant; whether somebody wants to be picked by his profile is asked of what he chose last.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from server.incentives.segments.definition import Definition
from server.people.attributes import BAND_AT, CHOICE_NOW, ENROLLED_ON, TOWN_AT

#: Residents looked at in one statement, a fraction of a second.
WINDOW: Final = 100_000
#: The last id of the window behind $1; NULL when there is nobody.
WINDOW_END: Final = "SELECT max(id) AS high FROM (SELECT id FROM resident WHERE id > $1 ORDER BY id LIMIT $2) ahead"
#: The planner does not carry the window over from `r`, so it is said of each table.
_WITHIN: Final = "AND {0}.resident_id > $2 AND {0}.resident_id <= $3"


def members(definition: Definition, at: datetime, low: int, high: int, *, cells: bool = False) -> tuple[str, list[Any]]:
    """FROM … WHERE of the residents `r` who belong to it, of those with ids above `low` up to `high`, with
    arguments. With `cells` the columns `band.value` and `town.value` are there whatever the definition asks."""
    arguments: list[Any] = [at, low, high]
    joins, wanted = [], ["r.id > $2", "r.id <= $3", "r.bound_at <= $1"]

    def ask(condition: str, value: object) -> None:
        arguments.append(value)
        wanted.append(condition.format(f"${len(arguments)}"))

    if definition.bands or cells:
        joins.append(f"{BAND_AT} {_WITHIN.format('band')}")
    if definition.towns or cells:
        joins.append(f"{TOWN_AT} {_WITHIN.format('town')}")
    if definition.personal:
        joins.append(f"{CHOICE_NOW} {_WITHIN.format('choice')}")
        wanted.append("choice.personalised")
    if definition.bands:
        ask("band.value = ANY({}::text[])", definition.bands)
    if definition.towns:
        ask("town.value = ANY({}::text[])", definition.towns)
    if definition.interests:
        ask("choice.interests ?| {}::text[]", definition.interests)
    if definition.enrolled_from is not None:
        ask(ENROLLED_ON + " >= {}", definition.enrolled_from)
    if definition.enrolled_until is not None:
        ask(ENROLLED_ON + " <= {}", definition.enrolled_until)
    return f"FROM resident r {' '.join(joins)} WHERE {' AND '.join(wanted)}", arguments
