"""check-ledger: the proof that the books balance, from first principles.

All proofs of a run (`wallet.proofs`) read one instant of the ledger: one REPEATABLE READ READ ONLY transaction, by
the worker's role. A run proves everything, or, after a proof that held, only what that proof cannot have seen: see
"What an incremental run does not prove again" in docs/ledger.md.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import asyncpg
import msgspec

from wallet.chain import Progress, SealReport, prove_seals
from wallet.proofs import PROOFS, WHOLE, scope
from wallet.seals import FIRST_PREV

SHOWN = 5
#: Of the session that proves: sorts and hashes of a city's rows in memory where they fit.
_SETTINGS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "work_mem": "128MB",
    "hash_mem_multiplier": "2",
    "max_parallel_workers_per_gather": "4",
    "jit": "off",
    "TimeZone": "UTC",
    "application_name": "chengxin-check-ledger",
}

#: Every proof with its promise and its query over the whole ledger.
CHECKS: tuple[tuple[str, str, str], ...] = tuple((one.name, one.promise, f"{WHOLE} {one.sql}") for one in PROOFS)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome. `examples` are the first broken rows, as text."""

    check: str
    promise: str
    broken: int
    examples: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Books:
    """What a run over the books found. `since` is the transaction number that an incremental run begins at, None when
    it proved everything; `residents` were looked at."""

    since: int | None
    residents: int
    seconds: float
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> bool:
        return any(one.broken for one in self.findings)


async def prove(dsn: str) -> list[Finding]:
    """Runs every check over everything. Raises when the database cannot be reached."""
    return list((await check_books(dsn, remember=False)).findings)


async def check_books(
    dsn: str, *, since_last: bool = False, remember: bool = True, progress: Progress | None = None
) -> Books:
    """Proves the books; with `since_last` from the last proof that held, if there is one. A run that finds nothing
    broken is remembered (`vault.proof`), for the next one to begin at. Raises when the database cannot be reached."""
    began = time.monotonic()
    async with _connected(dsn) as connection:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            point = await _point(connection)
            last = await _last_proof(connection, "books", point["epoch"]) if since_last else None
            since = last["txid"] if last else None
            before = _budgets(last["taken"]) if last else {}
            taken, settled = await _taken(connection, since or 0, point["xmin"], before)
            beginning = scope(since, taken)
            residents = await connection.fetchval(f"{beginning} SELECT count(*) FROM wallet")  # noqa: S608
            findings = []
            for done, proof in enumerate(PROOFS, 1):
                findings.append(await _finding(connection, proof.name, proof.promise, beginning, proof.sql))
                if progress is not None:
                    progress(proof.name, done, len(PROOFS))
        books = Books(since, residents, time.monotonic() - began, tuple(findings))
        if remember and not books.broken:
            await _remember(connection, "books", since is None, point, point["seal"], point["root"], settled)
    return books


async def check_seals(
    dsn: str,
    *,
    since_last: bool = False,
    kept: Sequence[Mapping[str, Any]] = (),
    remember: bool = True,
    progress: Progress | None = None,
) -> SealReport:
    """Proves the seals (`wallet.chain`), and that every head of `kept` is in the chain. Remembered like the books."""
    async with _connected(dsn) as connection:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            point = await _point(connection)
            last = await _last_proof(connection, "seals", point["epoch"]) if since_last else None
            since, root = (last["seal"], last["root"]) if last else (0, FIRST_PREV)
            report = await prove_seals(connection, since=since, root=root, kept=kept, progress=progress)
        if remember and not report.broken and report.last:
            await _remember(connection, "seals", last is None, point, report.last, bytes.fromhex(report.root), {})
    return report


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, timeout=5, server_settings=_SETTINGS)
    try:
        yield connection
    finally:
        await connection.close()


async def _point(connection: asyncpg.Connection) -> asyncpg.Record:
    """Where this instant stands: every transaction below `xmin` is over and seen."""
    return await connection.fetchrow(
        """SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin,
             (SELECT max(epoch) FROM vault.seal_epoch) AS epoch, coalesce(s.n, 0) AS seal,
             coalesce(s.root, $1) AS root
           FROM (VALUES (1)) one
           LEFT JOIN LATERAL (SELECT n, root FROM vault.seal ORDER BY n DESC LIMIT 1) s ON true""",
        FIRST_PREV,
    )


async def _last_proof(
    connection: asyncpg.Connection, kind: Literal["books", "seals"], epoch: int
) -> asyncpg.Record | None:
    """The last proof that held, None when transaction numbers have started anew since."""
    return await connection.fetchrow(
        "SELECT txid, seal, root, taken FROM vault.proof WHERE kind = $1 AND epoch = $2 ORDER BY id DESC LIMIT 1",
        kind,
        epoch,
    )


def _budgets(text: str) -> dict[int, int]:
    return {int(budget): int(amount) for budget, amount in msgspec.json.decode(text).items()}


async def _taken(
    connection: asyncpg.Connection, since: int, xmin: int, before: Mapping[int, int]
) -> tuple[dict[int, int], dict[int, int]]:
    """What postings took from each budget, in one pass over rows from `since` on, added to `before`: by every row,
    and by rows below `xmin`, which the next run need not read again."""
    sql = """SELECT (t ->> 0)::bigint AS budget, sum((t ->> 2)::bigint)::bigint AS taken,
        coalesce(sum((t ->> 2)::bigint) FILTER (WHERE j.txid < $2), 0)::bigint AS settled
      FROM vault.journal_all j, jsonb_array_elements(j.takes) t
      WHERE j.takes IS NOT NULL AND j.txid >= $1 GROUP BY 1"""
    try:
        async with connection.transaction():
            rows = await connection.fetch(sql, since, xmin)
    except asyncpg.DataError:  # the proofs of the rows say which
        rows = []
    taken, settled = dict(before), dict(before)
    for row in rows:
        taken[row["budget"]] = taken.get(row["budget"], 0) + row["taken"]
        settled[row["budget"]] = settled.get(row["budget"], 0) + row["settled"]
    return taken, settled


async def _finding(connection: asyncpg.Connection, name: str, promise: str, beginning: str, sql: str) -> Finding:
    began = time.monotonic()
    query = (
        f"{beginning}, broken AS MATERIALIZED ({sql}) SELECT count(*) AS n, "  # noqa: S608 (queries of ours)
        f"(SELECT array_agg(x::text) FROM (SELECT broken FROM broken LIMIT {SHOWN}) x) AS examples FROM broken"
    )
    try:
        async with connection.transaction():
            row = await connection.fetchrow(query)
        n, examples = row["n"], tuple(row["examples"] or ())
    except asyncpg.DataError as unreadable:  # a document that is none: what was tampered with may be anything
        n, examples = 1, (f"a row that cannot be read: {unreadable}",)
    return Finding(name, promise, n, examples, round(time.monotonic() - began, 3))


async def _remember(
    connection: asyncpg.Connection,
    kind: Literal["books", "seals"],
    whole: bool,
    point: asyncpg.Record,
    seal: int,
    root: bytes,
    settled: Mapping[int, int],
) -> None:
    await connection.execute(
        "SELECT vault.note_proof($1, $2, $3, $4, $5, $6::jsonb)",
        kind,
        whole,
        point["xmin"],
        seal,
        root,
        msgspec.json.encode({str(budget): amount for budget, amount in settled.items()}).decode(),
    )
