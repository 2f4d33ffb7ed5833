"""The free minutes that a resident has: what campaigns gave him and no scene has used up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from server.kit.clock import Clock
from server.kit.db import fetch

_OPEN: Final = """
SELECT m.id, m.scene, m.minutes, m.used, m.valid_until, m.created_at, a.campaign_id, v.title
FROM free_minutes m JOIN award a ON a.id = m.award_id JOIN campaign_version v ON v.id = a.version_id
WHERE m.resident_id = $1 AND m.used < m.minutes AND m.valid_until >= $2
  AND ($3::date IS NULL OR (m.valid_until, m.id) > ($3, $4::bigint))
ORDER BY m.valid_until, m.id LIMIT $5
"""


@dataclass(frozen=True, slots=True)
class OpenMinutes:
    """Minutes of one award, usable through `valid_until`, the city's day. `title`: of the campaign as it was then."""

    id: int
    scene: str
    minutes: int
    used: int
    valid_until: date
    created_at: datetime
    campaign_id: int
    title: str


class FreeMinutesReader:
    """Reads a resident's own free minutes."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def page(self, resident_id: int, after: tuple[date, int] | None, limit: int) -> list[OpenMinutes]:
        """Those that can be used today, the first to end first, behind the position of the page before."""
        until, last_id = after or (None, None)
        rows = await fetch(_OPEN, resident_id, self._clock.today(), until, last_id, limit)
        return [OpenMinutes(**row) for row in rows]
