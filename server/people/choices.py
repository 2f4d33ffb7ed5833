"""What a resident chooses for himself: whether he wants to be addressed by his profile, and what he cares about.

Nothing is chosen beforehand (guard rails 6, 7): personalised is off and no interest is set until the resident says so.
Turned off or never turned on, the list of campaigns and every stock are the same (guard rail 12); what changes is only
whether segments by band or interest may pick him.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from server.kit.errors import InvalidField
from server.people import city_lists
from server.people.errors import ResidentNotFound


@dataclass(frozen=True, slots=True)
class Choices:
    """The newest version; version 0 and no instant while nothing was chosen. `interests`: codes of the city's list."""

    version: int
    personalised: bool
    interests: tuple[str, ...]
    chosen_at: datetime | None


NOTHING_CHOSEN = Choices(0, False, (), None)


class ChoiceService:
    """Reads and changes a resident's own choices; every earlier version stays readable."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def get(self, resident_id: int) -> Choices:
        """What holds now."""
        rows = await fetch(f"{_CHOICE} AND until_at IS NULL", resident_id)
        return _choices(rows[0]) if rows else NOTHING_CHOSEN

    async def history(self, resident_id: int) -> list[Choices]:
        """Every version, newest first."""
        return [_choices(row) for row in await fetch(f"{_CHOICE} ORDER BY version DESC", resident_id)]

    async def choose(self, resident_id: int, *, personalised: bool, interests: Sequence[str]) -> Choices:
        """Replace what was chosen; it holds at once. The same again is no new version.

        Raises InvalidField("interests[…]") for a code that is not offered or stands twice, ResidentNotFound.
        """
        offered = await city_lists.interests()
        for place, code in enumerate(interests):
            if code not in offered or code in interests[:place]:
                raise InvalidField(field=f"interests[{place}]")
        wanted = [code for code in offered if code in interests]
        async with transaction() as tx:
            locked = await fetch("SELECT id FROM resident WHERE id = $1 FOR NO KEY UPDATE", resident_id, using=tx)
            if not locked:
                raise ResidentNotFound
            rows = await fetch(f"{_CHOICE} AND until_at IS NULL", resident_id, using=tx)
            before = _choices(rows[0]) if rows else NOTHING_CHOSEN
            if (before.personalised, list(before.interests)) == (personalised, wanted):
                return before
            now = max(self._clock.now(), before.chosen_at or self._clock.now())
            await fetch(_END, resident_id, now, using=tx)
            await fetch(_ADD, resident_id, before.version + 1, personalised, wanted, now, using=tx)
        return Choices(before.version + 1, personalised, tuple(wanted), now)


_CHOICE = (
    "SELECT version, personalised, ARRAY(SELECT jsonb_array_elements_text(interests)) AS interests, chosen_at"
    " FROM resident_choice WHERE resident_id = $1"
)
_END = "UPDATE resident_choice SET until_at = $2 WHERE resident_id = $1 AND until_at IS NULL RETURNING 1"
_ADD = (
    "INSERT INTO resident_choice (resident_id, version, personalised, interests, chosen_at)"
    " VALUES ($1, $2, $3, to_jsonb($4::text[]), $5) RETURNING 1"
)


def _choices(row: dict[str, object]) -> Choices:
    return Choices(row["version"], row["personalised"], tuple(row["interests"]), row["chosen_at"])  # type: ignore[arg-type]
