"""Where something can be used: the open stores of active merchants, for whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from server.kit.db import fetch

_OPEN: Final = """
SELECT s.id AS store_id, s.name, s.town, m.id AS merchant_id, m.name AS merchant_name
FROM store s JOIN merchant m ON m.id = s.merchant_id
WHERE s.status = 'open' AND m.status = 'active' AND s.id > $1
  AND (cardinality($2::bigint[]) = 0 OR m.id = ANY($2::bigint[]))
  AND (cardinality($3::bigint[]) = 0 OR s.id = ANY($3::bigint[])) AND ($4::text IS NULL OR s.town = $4)
ORDER BY s.id LIMIT $5
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A store by the names over its door."""

    store_id: int
    name: str
    town: str
    merchant_id: int
    merchant_name: str


async def open_places(
    merchants: Sequence[int], stores: Sequence[int], *, town: str | None, after: int, limit: int
) -> list[Place]:
    """The open stores of these merchants that are among these stores, by id; an empty list names all."""
    return [Place(**row) for row in await fetch(_OPEN, after, list(merchants), list(stores), town, limit)]
