"""The seals of the journal: making them, reading the days' heads, and the bytes they are made of.

A seal commits to a window of committed rows and to the seal before it; `migrations/sql/vault/070_seals.sql` makes
them. The bytes are written down here a second time, from the list of columns alone, so that whoever holds a copy of
the journal can compute every root without trusting the database. `wallet.chain` proves them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from wallet.errors import InFlight, VaultUnavailable
from wallet.lanes import CONNECTION_LOST, TOOK_TOO_LONG

VERSION = 1
FIRST_PREV = bytes(32)
NAME_BYTES = 32
MOST_ROWS = 100_000
#: What the worker seals in one transaction: well under a second.
JOB_ROWS = 20_000
SEAL_TIMEOUT_S = 60
_ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

LEGS = (
    "d_avail", "d_held", "d_peer", "c_stock", "c_out", "c_used", "c_gone", "f_budget", "f_reserved", "f_payable",
)  # fmt: skip


def _document(value: str) -> bytes:
    return value.encode()


def _instant(value: datetime) -> bytes:
    return struct.pack(">q", (value - _ORIGIN) // _MICROSECOND)


def _int(size: str) -> Callable[[int], bytes]:
    return struct.Struct(f">{size}").pack


# Kind of a column: the type's number in PostgreSQL's catalogue, which never changes, and its bytes.
_SMALL: tuple[int, Callable[[Any], bytes]] = (21, _int("h"))
_INTEGER: tuple[int, Callable[[Any], bytes]] = (23, _int("i"))
_BIG: tuple[int, Callable[[Any], bytes]] = (20, _int("q"))
_ID: tuple[int, Callable[[Any], bytes]] = (2950, lambda value: UUID(str(value)).bytes)
_DOCUMENT: tuple[int, Callable[[Any], bytes]] = (17, _document)
_HASH: tuple[int, Callable[[Any], bytes]] = (17, bytes)
_INSTANT: tuple[int, Callable[[Any], bytes]] = (1184, _instant)

#: The sealed columns of a journal row in their order, version 1.
ROW = (
    ("b", _SMALL), ("owner", _BIG), ("id", _ID), ("seq", _BIG), ("op", _SMALL), ("st", _SMALL),
    *((leg, _BIG) for leg in LEGS),
    ("peer", _BIG), ("avail_after", _BIG), ("held_after", _BIG), ("terms", _BIG), ("ref", _ID), ("takes", _DOCUMENT),
    ("lots", _DOCUMENT), ("detail", _DOCUMENT), ("hash", _HASH), ("at", _INSTANT), ("txid", _BIG),
)  # fmt: skip
#: The columns of a seal that its root commits to; `prev` is the root before it.
SEAL = (
    ("version", _SMALL), ("n", _BIG), ("epoch", _INTEGER),
    ("lo_txid", _BIG), ("lo_b", _SMALL), ("lo_owner", _BIG), ("lo_seq", _BIG),
    ("hi_txid", _BIG), ("hi_b", _SMALL), ("hi_owner", _BIG), ("hi_seq", _BIG),
    ("rows", _INTEGER), ("total_rows", _BIG), *((leg, _BIG) for leg in LEGS),
    ("row_hash", _HASH), ("name_hash", _HASH), ("prev", _HASH), ("at", _INSTANT),
)  # fmt: skip

#: The same in SQL over a journal row called j, by built-in functions only: a proof calls nothing of the vault's.
ROW_SQL = "record_send(ROW({}::smallint, {}))".format(
    VERSION,
    ", ".join(f"convert_to(j.{name}::text, 'UTF8')" if kind is _DOCUMENT else f"j.{name}" for name, kind in ROW),
)


def _record(values: Sequence[tuple[int, bytes | None]]) -> bytes:
    parts = [struct.pack(">i", len(values))]
    for number, value in values:
        parts.append(struct.pack(">Ii", number, -1 if value is None else len(value)))
        parts.append(value or b"")
    return b"".join(parts)


def _of(row: Mapping[str, Any], columns: Sequence[tuple[str, tuple[int, Callable[[Any], bytes]]]]) -> bytes:
    return _record(_values(row, columns))


def _values(
    row: Mapping[str, Any], columns: Sequence[tuple[str, tuple[int, Callable[[Any], bytes]]]]
) -> list[tuple[int, bytes | None]]:
    return [(number, None if row[name] is None else encode(row[name])) for name, (number, encode) in columns]


def sealed_bytes(row: Mapping[str, Any]) -> bytes:
    """The bytes of a journal row, by column names; documents (`takes`, `lots`, `detail`) are given as PostgreSQL's
    text of them. The same as `vault.sealed_bytes`."""
    return _record([(_SMALL[0], _SMALL[1](VERSION)), *_values(row, ROW)])


def row_digest(row: Mapping[str, Any]) -> bytes:
    """The hash of a row in its seal."""
    return hashlib.sha256(sealed_bytes(row)).digest()


def name_of(row: Mapping[str, Any], digest: bytes) -> bytes:
    """What a seal remembers of a row: owner, id, the beginning of its hash."""
    return _BIG[1](row["owner"]) + UUID(str(row["id"])).bytes + digest[:8]


def root_of(seal: Mapping[str, Any]) -> bytes:
    """The root that a seal with these columns must have."""
    return hashlib.sha256(_of(seal, SEAL)).digest()


@dataclass(frozen=True, slots=True)
class Head:
    """The last seal of a city day: `n` and `root` name everything booked through that day. `rows` and `totals` (the
    sum of each leg) count from the first row on, and may hold a few rows of the next day."""

    day: date
    n: int
    root: str
    rows: int
    totals: dict[str, int]
    sealed_at: datetime
    at: datetime


_HEADS = f"""
SELECT h.day, h.n, encode(h.root, 'hex') AS root, h.at, s.at AS sealed_at, s.total_rows, {", ".join(LEGS)}
FROM vault.seal_head h JOIN vault.seal s ON s.n = h.n WHERE h.day BETWEEN $1 AND $2 ORDER BY h.day"""  # noqa: S608


class Seals:
    """Seals and heads over one pool. Reading is for both roles, making for the worker's."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def seal(self, rows: int = JOB_ROWS) -> int:
        """Worker only: seals what is committed and not yet sealed, at most `rows` (and never more than 100,000);
        returns how many. Safe to run twice at once. Raises when transaction numbers have started anew (a restore)."""
        return int(await self._change("SELECT vault.seal_next($1)", rows))

    async def next_head(self) -> date | None:
        """Worker only: writes the head of the oldest city day without one, once everything that had begun by midnight
        is sealed; returns that day, or None when there is none to write."""
        day: date | None = await self._change("SELECT vault.seal_head_next()")
        return day

    async def heads(self, first: date, last: date) -> list[Head]:
        """The heads of the days from `first` to `last`, both included, oldest first."""
        return [
            Head(
                row["day"], row["n"], row["root"], row["total_rows"], {leg: row[leg] for leg in LEGS},
                row["sealed_at"], row["at"],
            )
            for row in await self._pool.fetch(_HEADS, first, last)
        ]  # fmt: skip

    async def head(self, day: date) -> Head | None:
        """The head of one day, None when it has none (yet)."""
        found = await self.heads(day, day)
        return found[0] if found else None

    async def _change(self, sql: str, *args: object) -> Any:
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(f"SET LOCAL statement_timeout = '{SEAL_TIMEOUT_S}s'")
                return await connection.fetchval(sql, *args, timeout=SEAL_TIMEOUT_S)
        except TOOK_TOO_LONG as slow:
            raise InFlight from slow
        except CONNECTION_LOST as lost:
            raise VaultUnavailable from lost
