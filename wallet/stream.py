"""The journal as a stream of value: every committed row once, in order per resident (D12).

The journal row is the event; nothing else is written for it. A window ends at the oldest running transaction and goes
by (b, owner, seq). Where a window may end is not free: two batches that overlap can write a resident's rows 7 and 8
under transaction numbers that go the other way round, and only the oldest running transaction never lies between them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

#: Up to so many rows a window is sorted for each page; beyond it is read along the statement's index.
SORTED: Final = 20_000

#: The rows of one statement as mappings: `server.kit.db.fetch`, or an asyncpg pool's `fetch`.
Query = Callable[..., Awaitable[Sequence[Mapping[str, Any]]]]


class Posting(msgspec.Struct, frozen=True):
    """One journal row. A leg is 0 where its unit is not touched; a `status` other than 0 is a refusal, which moves
    nothing."""

    resident_id: int
    id: UUID
    seq: int
    op: int
    status: int
    points: int
    points_held: int
    points_peer: int
    payable_fen: int
    peer: int | None
    terms_id: int | None
    ref: UUID | None
    at: datetime
    detail: dict[str, Any]


class JournalStream:
    """Reads windows of the journal; takes no lock and decides nothing."""

    name = "values"

    def __init__(self, query: Query) -> None:
        self._query = query

    async def cut(self, after: int) -> int | None:
        """The oldest running transaction, None while no row waits before it. Raises RuntimeError where numbers are
        lower than what was read: another cluster than the one that wrote the journal, whose rows would be passed by."""
        (row,) = await self._query(
            "SELECT x.cut, (SELECT j.txid FROM vault.journal j WHERE j.txid >= $1 ORDER BY j.txid LIMIT 1) < x.cut"
            " AS waiting FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS cut) x",
            after,
        )
        if row["cut"] < after:
            raise RuntimeError("transaction numbers have started anew: see After a restore in docs/operations.md")
        return row["cut"] if row["waiting"] else None

    async def window(self, low: int, high: int, position: Sequence[int], limit: int) -> list[Posting]:
        """Rows of the transactions [low, high) behind (b, owner, seq)."""
        rows = await self._query(_COUNT, low, high, SORTED + 1)
        many = rows[0]["n"] > SORTED
        rows = await self._query(_ALONG if many else _SORTED, low, high, *(position or (-1, 0, 0)), limit)
        return [_posting(row) for row in rows]

    async def at(self, position: Sequence[int]) -> Posting | None:
        """The row at (b, owner, seq), also of a month in the archive: what stumbled may be tried again after years."""
        sql = f"{_COLUMNS} vault.journal_all j WHERE j.b = $1 AND j.owner = $2 AND j.seq = $3"
        rows = await self._query(sql, *position)
        return _posting(rows[0]) if rows else None

    async def behind(self, low: int, high: int, position: Sequence[int], limit: int) -> int:
        """How many rows come after a position in the window, and after the window; counted to `limit`."""
        rows = await self._query(
            "SELECT count(*) AS n FROM (SELECT FROM vault.journal j WHERE j.txid >= $1"
            " AND (j.txid >= $2 OR (j.b, j.owner, j.seq) > ($3, $4, $5)) LIMIT $6) x",
            low,
            high,
            *(position or (-1, 0, 0)),
            limit,
        )
        return int(rows[0]["n"])

    def position(self, item: Posting) -> list[int]:
        return [item.resident_id & 1023, item.resident_id, item.seq]

    def key(self, item: Posting) -> str:
        return f"resident:{item.resident_id}"


_COLUMNS: Final = """
SELECT j.b, j.owner, j.owner AS resident_id, j.id, j.seq, j.op, j.st AS status, coalesce(j.d_avail, 0) AS points,
  coalesce(j.d_held, 0) AS points_held, coalesce(j.d_peer, 0) AS points_peer, coalesce(j.f_payable, 0) AS payable_fen,
  j.peer, j.terms AS terms_id, j.ref, j.at, j.detail::text AS detail FROM"""
_ROW: Final = f"{_COLUMNS} vault.journal j"
_COUNT: Final = """
SELECT count(*) AS n FROM (SELECT FROM vault.journal j WHERE j.txid >= $1 AND j.txid < $2 LIMIT $3) x"""
_SORTED: Final = f"""
WITH w AS MATERIALIZED ({_ROW} WHERE j.txid >= $1 AND j.txid < $2)
SELECT * FROM w WHERE (b, owner, seq) > ($3::smallint, $4::bigint, $5::bigint)
ORDER BY b, owner, seq LIMIT $6"""  # noqa: S608
# The number is hidden from the planner, so that it walks along the statement's index and sorts next to nothing.
_ALONG: Final = f"""{_ROW}
WHERE (j.b, j.owner) >= ($3::smallint, $4::bigint) AND (j.b, j.owner, j.seq) > ($3, $4, $5::bigint)
  AND j.txid + 0 >= $1 AND j.txid + 0 < $2
ORDER BY j.b, j.owner, j.seq LIMIT $6"""


def _posting(row: Mapping[str, Any]) -> Posting:
    values = {name: row[name] for name in Posting.__struct_fields__}
    return Posting(**(values | {"detail": msgspec.json.decode(row["detail"]) if row["detail"] else {}}))
