"""Whether nothing is left, asked without a posting: for crowds who come when all is gone.

A claim on an empty stock costs the vault a lock on a wallet and a place in a lane, and writes nothing. Once the vault
has answered one with "sold out", whoever comes next asks here first: one statement for all who wait, by what is
committed when it runs. Nothing is remembered, so nobody is told "sold out" while there is one left, and what comes back
can be claimed at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

import asyncpg

from wallet.directories import Directory
from wallet.items import bucket_of

Rows = Callable[..., Awaitable[list[asyncpg.Record]]]

# Empty is a stock that is open and holds nothing anywhere. An id that was posted before is left to the vault, which has
# its answer.
_EMPTY: Final = """
WITH a AS MATERIALIZED (
    SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::uuid[], $4::bigint[]) x (b, owner, id, terms)),
  gone AS MATERIALIZED (
    SELECT t.terms FROM (SELECT DISTINCT terms FROM a) w JOIN vault.coupon_terms t USING (terms)
    JOIN vault.budget g ON g.budget = t.stock_budget
    WHERE g.reserve = 0 AND (t.claim_from <= vault.now()) IS NOT FALSE AND (t.claim_until > vault.now()) IS NOT FALSE
      AND NOT EXISTS (SELECT FROM vault.slot s WHERE s.budget = g.budget AND (s.avail > 0 OR NOT s.open)))
SELECT a.owner, a.id, a.terms FROM a JOIN gone USING (terms)
WHERE (SELECT j.st FROM vault.journal j WHERE j.b = a.b AND j.owner = a.owner AND j.id = a.id) IS NULL
"""

Asked = tuple[int, UUID, int]


class Emptiness:
    """Reads of empty stocks, grouped: what is asked during one is the next."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._asked = Directory[Asked](self._read)

    async def holds(self, owner: int, id: UUID, terms: int) -> bool:
        """Whether a claim of these terms under a new id would find nothing left now."""
        return await self._asked.find((owner, id, terms)) is not None

    async def _read(self, asked: list[Asked]) -> list[tuple[Asked]]:
        found = await self._rows(
            _EMPTY, [bucket_of(owner) for owner, _, _ in asked], [owner for owner, _, _ in asked],
            [id for _, id, _ in asked], [terms for _, _, terms in asked],
        )  # fmt: skip
        return [((row["owner"], row["id"], row["terms"]),) for row in found]
