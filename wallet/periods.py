"""The journal's months, taken out and put back by the owner's role; the worker makes the coming ones (`Setup`).

    journal_month ──detach──▶ archived_month      a month's ids become old ids: refused, never executed
    journal_month ◀──attach── archived_month      only with the content it left with

Both need the journal for themselves for some milliseconds. They wait for it at most `LOCK_TIMEOUT_MS` at a time, since
every posting queues behind who waits, and try again after a pause.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal

import asyncpg

LOCK_TIMEOUT_MS: Final = 100
ATTEMPTS: Final = 60
LONGEST_PAUSE_S: Final = 1.0

Place = Literal["journal", "archive"]
_NOT_NOW = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)


class MonthRefused(Exception):
    """A month stays where it is. `reason`: unknown, too_young, live_coupons, open_holds, not_sealed, not_folded,
    not_streamed, changed, busy."""

    def __init__(self, month: date, reason: str) -> None:
        super().__init__(f"{month:%Y-%m}: {reason}")
        self.month, self.reason = month, reason


@dataclass(frozen=True, slots=True)
class Month:
    """One month and where it is. `entries` is known of archived months once they are measured."""

    month: date
    place: Place
    detached_at: datetime | None
    entries: int | None


@dataclass(frozen=True, slots=True)
class Moved:
    """What `detach` or `attach` did. `moved` is false when the month was there already; `attempts` is how often the
    journal was asked for."""

    month: date
    moved: bool
    attempts: int
    entries: int | None


async def months(owner_dsn: str) -> list[Month]:
    """Every month the vault has, oldest first."""
    async with _owner(owner_dsn) as connection:
        rows = await connection.fetch(
            "SELECT month, 'journal' AS place, NULL::timestamptz AS detached_at, NULL::bigint AS entries"
            " FROM vault.journal_month"
            " UNION ALL SELECT month, 'archive', detached_at, entries FROM vault.archived_month ORDER BY month"
        )
        return [Month(**row) for row in rows]


async def detach(owner_dsn: str, month: date, *, keep_months: int, streamed_to: int | None = None) -> Moved:
    """Takes a month out of the journal and measures it; again is a no-op that measures what was not measured yet.

    `keep_months` whole months before the current one stay, at least 3. Consumers of the value stream have all read what
    transactions below `streamed_to` wrote; None when there is no consumer. Raises `MonthRefused`.
    """
    async with _owner(owner_dsn) as connection:
        answer, attempts = await _with_the_journal(
            connection, month, "SELECT vault.detach_month($1, $2, $3)", month, keep_months, streamed_to
        )
        if answer not in ("detached", "already"):
            raise MonthRefused(month, answer)
        entries, _ = await _proven(connection, month)
        return Moved(month, answer == "detached", attempts, entries)


async def attach(owner_dsn: str, month: date) -> Moved:
    """Puts a month back when its content is what it left with; again is a no-op. Raises `MonthRefused`."""
    async with _owner(owner_dsn) as connection:
        try:
            entries, digest = await _proven(connection, month)
        except MonthRefused as refused:
            here = "SELECT EXISTS (SELECT FROM vault.journal_month WHERE month = $1)"
            if refused.reason == "unknown" and await connection.fetchval(here, month):
                return Moved(month, False, 0, None)
            raise
        answer, attempts = await _with_the_journal(
            connection, month, "SELECT vault.attach_month($1, $2)", month, digest
        )
        if answer not in ("attached", "already"):
            raise MonthRefused(month, answer)
        return Moved(month, answer == "attached", attempts, entries)


@asynccontextmanager
async def _owner(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        await connection.execute("SET statement_timeout = 0")
        yield connection
    finally:
        await connection.close()


async def _proven(connection: asyncpg.Connection, month: date) -> tuple[int, bytes]:
    row = await connection.fetchrow("SELECT answer, entries, digest FROM vault.prove_month($1)", month)
    if row["answer"] not in ("recorded", "same"):
        raise MonthRefused(month, row["answer"])
    return row["entries"], row["digest"]


async def _with_the_journal(connection: asyncpg.Connection, month: date, sql: str, *args: object) -> tuple[str, int]:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
                return await connection.fetchval(sql, *args), attempt
        except _NOT_NOW:
            # Jitter, so that two who wait do not meet again.
            await asyncio.sleep(min(LONGEST_PAUSE_S, 0.05 * attempt) * random.uniform(0.5, 1.5))  # noqa: S311
    raise MonthRefused(month, "busy")
