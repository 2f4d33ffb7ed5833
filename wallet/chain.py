"""check-ledger --seals: every root computed again from the journal itself, and whatever differs named.

The hashes are computed where the rows are, by built-in functions only: a function of the vault that was tampered
with is not asked. A seal that does not hold is opened row by row, in Python, beside the names it kept. What only a
copy outside can show, a chain rewritten from its beginning, is what the daily heads are for: hand them over as `kept`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import asyncpg

from wallet.items import bucket_of
from wallet.seals import FIRST_PREV, LEGS, NAME_BYTES, ROW, ROW_SQL, VERSION, name_of, root_of, row_digest

#: Rows whose hashes are computed in one statement: few passes over the journal, and a sort that fits in memory.
PASS_ROWS = 1_000_000
PASS_SEALS = 20_000
NAMED = 1000

What = Literal[
    "edited", "deleted", "inserted", "seal_edited", "seal_missing", "names_edited", "head_differs",
    "from_the_future",
]  # fmt: skip
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Tampering:
    """One thing that is not as it was sealed. Owner and id are None where it is no single row."""

    what: What
    seal: int | None
    owner: str | None
    id: str | None
    text: str


@dataclass(slots=True)
class SealReport:
    """What was proved of the seals, at one instant. `unsealed` rows are newer than the last seal and not yet
    covered by any; `since` is the seal that an incremental run began after."""

    since: int = 0
    seals: int = 0
    rows: int = 0
    last: int = 0
    root: str = ""
    sealed_at: datetime | None = None
    unsealed: int = 0
    found: list[Tampering] = field(default_factory=list)

    @property
    def broken(self) -> bool:
        return bool(self.found)


# Months that left the journal lie in the archive.
_EVERYWHERE = "(SELECT * FROM vault.journal UNION ALL SELECT * FROM vault.journal_archive)"
# The rows of many windows, hashed: rows with a mark say where windows begin, and their running sum numbers the windows.
_HASHES = f"""
SELECT k, count(*) AS rows, sha256(string_agg(digest, '' ORDER BY txid, b, owner, seq, id)) AS row_hash,
  sha256(string_agg(int8send(owner) || uuid_send(id) || substr(digest, 1, 8), '' ORDER BY txid, b, owner, seq, id))
    AS name_hash, {", ".join(f"coalesce(sum({leg}), 0)::bigint AS {leg}" for leg in LEGS)}
FROM (SELECT x.*, sum(mark) OVER (ORDER BY txid, b, owner, seq, mark DESC, id ROWS UNBOUNDED PRECEDING) AS k FROM (
    SELECT 1 AS mark, m.*, NULL::uuid AS id, NULL::bytea AS digest,
      {", ".join(f"NULL::bigint AS {leg}" for leg in LEGS)}
    FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[]) AS m (txid, b, owner, seq)
    UNION ALL
    SELECT 0, j.txid, j.b, j.owner, j.seq, j.id, sha256({ROW_SQL}), {", ".join(f"j.{leg}" for leg in LEGS)}
    FROM {_EVERYWHERE} j
    WHERE j.txid BETWEEN $1[1] AND $5 AND j.at >= $9 AND j.at < $10
      AND (j.txid, j.b, j.owner, j.seq) >= ($1[1], $2[1], $3[1], $4[1])
      AND (j.txid, j.b, j.owner, j.seq) < ($5, $6, $7, $8)) x) y
WHERE mark = 0 GROUP BY k"""  # noqa: S608 (columns of ours)

_ROWS = f"""
SELECT {", ".join("j." + name + ("::text" if name in ("takes", "lots", "detail") else "") for name, _ in ROW)}
FROM {_EVERYWHERE} j WHERE j.txid BETWEEN $1 AND $5 AND j.at >= $9 AND j.at < $10
  AND (j.txid, j.b, j.owner, j.seq) >= ($1, $2, $3, $4) AND (j.txid, j.b, j.owner, j.seq) < ($5, $6, $7, $8)
ORDER BY j.txid, j.b, j.owner, j.seq, j.id"""  # noqa: S608 (columns of ours)

Epochs = Mapping[int, tuple[datetime, datetime]]


async def prove_seals(
    connection: asyncpg.Connection,
    *,
    since: int = 0,
    root: bytes = FIRST_PREV,
    kept: Sequence[Mapping[str, Any]] = (),
    progress: Progress | None = None,
) -> SealReport:
    """Proves every seal after number `since`, whose root was `root`, inside the caller's transaction, which must be
    REPEATABLE READ. `kept` are heads from outside (`day`, `n`, `root`): each must be in the chain."""
    report = SealReport(since=since, last=since, root=root.hex())
    epochs = await _epochs(connection)
    total = int(await connection.fetchval("SELECT coalesce(sum(rows), 0) FROM vault.seal WHERE n > $1", since))
    before = await connection.fetchrow("SELECT * FROM vault.seal WHERE n = $1", since)
    if since and (before is None or before["root"] != root or root_of(before) != root):
        report.found.append(_of_seal("seal_edited", since, "is not as it was when it was proved"))
    while passed := await _next_pass(connection, report.last):
        _prove_chain(report, before, passed)
        for seals in _by_epoch(passed):
            await _prove_rows(connection, report, before, seals, epochs)
            before = seals[-1]
        report.last, report.sealed_at, report.root = before["n"], before["at"], before["root"].hex()
        report.seals += len(passed)
        report.rows += sum(seal["rows"] for seal in passed)
        if progress is not None:
            progress("seals", report.rows, total)
    await _prove_heads(connection, report, kept)
    await _look_beyond(connection, report, before, epochs)
    _settle(report)
    return report


async def _epochs(connection: asyncpg.Connection) -> dict[int, tuple[datetime, datetime]]:
    """The times that the rows of each epoch were booked in: from, and to before."""
    rows = await connection.fetch(
        "SELECT epoch, began_at, coalesce(lead(began_at) OVER (ORDER BY epoch), 'infinity') AS ended_at"
        " FROM vault.seal_epoch"
    )
    return {row["epoch"]: (row["began_at"], row["ended_at"]) for row in rows}


async def _next_pass(connection: asyncpg.Connection, after: int) -> list[asyncpg.Record]:
    """The next seals, with together about as many rows as one statement shall hash."""
    rows: list[asyncpg.Record] = await connection.fetch(
        "SELECT * FROM vault.seal WHERE n > $1 ORDER BY n LIMIT $2", after, PASS_SEALS
    )
    held = 0
    for count, row in enumerate(rows, 1):
        held += row["rows"]
        if held >= PASS_ROWS:
            return rows[:count]
    return rows


def _by_epoch(seals: Sequence[asyncpg.Record]) -> Iterator[list[asyncpg.Record]]:
    """The seals in runs without a gap, each of one epoch."""
    run: list[asyncpg.Record] = []
    for seal in seals:
        if run and (seal["epoch"] != run[-1]["epoch"] or _low(seal) != _high(run[-1])):
            yield run
            run = []
        run.append(seal)
    if run:
        yield run


def _low(seal: Mapping[str, Any]) -> tuple[int, int, int, int]:
    return seal["lo_txid"], seal["lo_b"], seal["lo_owner"], seal["lo_seq"]


def _high(seal: Mapping[str, Any]) -> tuple[int, int, int, int]:
    return seal["hi_txid"], seal["hi_b"], seal["hi_owner"], seal["hi_seq"]


def _of_seal(what: What, n: int, text: str) -> Tampering:
    return Tampering(what, n, None, None, f"seal {n} {text}")


def _prove_chain(report: SealReport, before: Mapping[str, Any] | None, seals: Sequence[Mapping[str, Any]]) -> None:
    """Each seal's root is the hash of its columns, and it names the one before it, where its window begins."""
    for seal in seals:
        n = int(seal["n"])
        wanted = int(before["n"]) + 1 if before else 1
        if n != wanted:
            gap = f"seal {wanted}" if n == wanted + 1 else f"seals {wanted} to {n - 1}"
            report.found.append(Tampering("seal_missing", wanted, None, None, f"{gap} missing"))
        elif seal["prev"] != (before["root"] if before else FIRST_PREV):
            report.found.append(_of_seal("seal_edited", n, "does not follow from the one before it"))
        elif before and seal["epoch"] == before["epoch"] and _low(seal) != _high(before):
            report.found.append(_of_seal("seal_edited", n, "does not begin where the one before it ends"))
        elif (before is None or seal["epoch"] != before["epoch"]) and any(_low(seal)):
            report.found.append(_of_seal("seal_edited", n, "does not begin with its epoch's first row"))
        if seal["root"] != root_of(seal) or seal["version"] != VERSION:
            report.found.append(_of_seal("seal_edited", n, "has another root than its columns"))
        before = seal


async def _prove_rows(
    connection: asyncpg.Connection,
    report: SealReport,
    before: Mapping[str, Any] | None,
    seals: Sequence[asyncpg.Record],
    epochs: Epochs,
) -> None:
    """What the seals of one run say of their rows is what the rows are; those that differ are opened."""
    lows = list(zip(*(_low(seal) for seal in seals), strict=True))
    times = epochs[seals[0]["epoch"]]
    hashed = await connection.fetch(_HASHES, *map(list, lows), *_high(seals[-1]), *times)
    by_window = {int(row["k"]): row for row in hashed}
    names = {
        row["n"]: row["hash"]
        for row in await connection.fetch(
            "SELECT n, sha256(names) AS hash FROM vault.seal_name WHERE n BETWEEN $1 AND $2",
            seals[0]["n"],
            seals[-1]["n"],
        )
    }
    total = [before[leg] if before else 0 for leg in LEGS]
    count = before["total_rows"] if before else 0
    for window, seal in enumerate(seals, 1):
        row = by_window.get(window)
        if names.get(seal["n"]) != seal["name_hash"]:
            report.found.append(_of_seal("names_edited", seal["n"], "has lost the names of its rows, or they changed"))
        same = row is not None and all(row[name] == seal[name] for name in ("rows", "row_hash", "name_hash"))
        if not same:
            await _open(connection, report, seal, times)
        elif row is not None:
            total = [held + row[leg] for held, leg in zip(total, LEGS, strict=True)]
            count += row["rows"]
            if total != [seal[leg] for leg in LEGS] or count != seal["total_rows"]:
                report.found.append(_of_seal("seal_edited", seal["n"], "has other totals than its rows"))
        total, count = [seal[leg] for leg in LEGS], seal["total_rows"]


async def _open(
    connection: asyncpg.Connection, report: SealReport, seal: asyncpg.Record, times: tuple[datetime, datetime]
) -> None:
    """Names what differs in one seal: rows as they are, beside what the seal kept of them."""
    rows = await connection.fetch(_ROWS, *_low(seal), *_high(seal), *times)
    kept: bytes = await connection.fetchval("SELECT names FROM vault.seal_name WHERE n = $1", seal["n"]) or b""
    was = [kept[at : at + NAME_BYTES] for at in range(0, len(kept), NAME_BYTES)]
    now = [name_of(row, row_digest(row)) for row in rows]
    if now == was:
        report.found.append(_of_seal("seal_edited", seal["n"], "has another hash than its rows"))
        return
    n = seal["n"]
    sealed = {name[:24]: (place, name[24:]) for place, name in enumerate(was, 1)}
    present = {name[:24]: (place, name[24:]) for place, name in enumerate(now, 1)}
    report.found += [
        _of_row("edited", n, key, f"row {place} of seal {n} was edited")
        for key, (place, digest) in sealed.items()
        if key in present and present[key][1] != digest
    ]
    report.found += [
        _of_row("inserted", n, key, f"row {place} in the window of seal {n} was put in later")
        for key, (place, _) in present.items()
        if key not in sealed
    ]
    gone = {key: place for key, (place, _) in sealed.items() if key not in present}
    if gone:
        report.found += await _missing(connection, n, gone)


def _of_row(what: What, n: int, key: bytes, text: str) -> Tampering:
    owner, id = int.from_bytes(key[:8], "big", signed=True), UUID(bytes=key[8:])
    return Tampering(what, n, str(owner), str(id), f"{what}: owner {owner}, id {id}: {text}")


async def _missing(connection: asyncpg.Connection, n: int, gone: Mapping[bytes, int]) -> list[Tampering]:
    """Sealed rows that are not in their window: elsewhere in the journal, gone, or gone with their whole month."""
    keys = {(int.from_bytes(key[:8], "big", signed=True), UUID(bytes=key[8:])): key for key in gone}
    moved = await connection.fetch(
        f"""SELECT j.owner, j.id, j.txid, j.at FROM unnest($1::smallint[], $2::bigint[], $3::uuid[]) k (b, owner, id)
        JOIN {_EVERYWHERE} j ON j.b = k.b AND j.owner = k.owner AND j.id = k.id""",  # noqa: S608
        [bucket_of(owner) for owner, _ in keys],
        [owner for owner, _ in keys],
        [id for _, id in keys],
    )
    elsewhere = {(row["owner"], row["id"]): row for row in moved}
    present = {row["relname"] for row in await connection.fetch(_MONTHS)}
    found: list[Tampering] = []
    lost: Counter[str] = Counter()
    for (owner, id), key in keys.items():
        place, month = gone[key], datetime.fromtimestamp((id.int >> 80) / 1000, UTC).strftime("journal_%Y%m")
        if (owner, id) in elsewhere:
            row = elsewhere[owner, id]
            text = f"row {place} of seal {n} was edited: it now says transaction {row['txid']}, {row['at']}"
            found.append(_of_row("edited", n, key, text))
        elif month not in present:
            lost[month] += 1
        else:
            found.append(_of_row("deleted", n, key, f"row {place} of seal {n} is gone"))
    found += [
        Tampering("deleted", n, None, None, f"deleted: {count} rows of seal {n} are gone with their month, {month}")
        for month, count in lost.items()
    ]
    return found


_MONTHS = """
SELECT c.relname FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
WHERE h.inhparent IN ('vault.journal'::regclass, 'vault.journal_archive'::regclass)"""


async def _prove_heads(connection: asyncpg.Connection, report: SealReport, kept: Sequence[Mapping[str, Any]]) -> None:
    """The published heads are seals of the chain, and so are those that were kept outside."""
    rows = await connection.fetch(
        "SELECT h.day, h.n, h.root FROM vault.seal_head h LEFT JOIN vault.seal s ON s.n = h.n"
        " WHERE s.root IS DISTINCT FROM h.root ORDER BY h.day"
    )
    for row in rows:
        text = f"the head of {row['day']} is not seal {row['n']}"
        report.found.append(Tampering("head_differs", row["n"], None, None, text))
    for head in kept:
        n = int(head["n"])
        root = await connection.fetchval("SELECT encode(root, 'hex') FROM vault.seal WHERE n = $1", n)
        if root != head["root"]:
            text = f"the head of {head['day']} that was kept says {head['root']} for seal {n}, the ledger {root}"
            report.found.append(Tampering("head_differs", n, None, None, text))


async def _look_beyond(
    connection: asyncpg.Connection, report: SealReport, last: Mapping[str, Any] | None, epochs: Epochs
) -> None:
    """What no seal covers yet, and rows of transactions that have not begun."""
    epoch = max(epochs)
    low = _high(last) if last and last["epoch"] == epoch else (0, 0, 0, 0)
    row = await connection.fetchrow(
        """SELECT count(*) AS n, count(*) FILTER (WHERE j.txid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
           AS future, min(j.txid) AS first FROM vault.journal j
           WHERE j.txid >= $1 AND (j.txid, j.b, j.owner, j.seq) >= ($1, $2, $3, $4) AND j.at >= $5""",
        *low,
        epochs[epoch][0],
    )
    report.unsealed = row["n"]
    if row["future"]:
        found = await connection.fetch(
            "SELECT owner, id, txid FROM vault.journal"
            " WHERE txid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint AND at >= $1 LIMIT $2",
            epochs[epoch][0],
            NAMED,
        )
        report.found += [
            Tampering(
                "from_the_future", None, str(one["owner"]), str(one["id"]),
                f"owner {one['owner']}, id {one['id']} names transaction {one['txid']}, which has not begun",
            )
            for one in found
        ]  # fmt: skip


def _settle(report: SealReport) -> None:
    """A row that was moved from one window into another is one edit."""
    edited = {(one.owner, one.id) for one in report.found if one.what == "edited"}
    report.found = [
        one for one in report.found if not (one.what == "inserted" and one.id and (one.owner, one.id) in edited)
    ]
