"""The clock of a sandbox's database, moved by its owner (D11). A production start refuses such a database."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import asyncpg

CITY: Final = ZoneInfo("Asia/Shanghai")


def moved_by(offset: timedelta) -> str:
    """The statement, for the owner's role, that moves `vault.now()` by `offset` from this machine's time."""
    return (
        "CREATE OR REPLACE FUNCTION vault.now() RETURNS timestamptz LANGUAGE sql VOLATILE AS "
        f"$$SELECT clock_timestamp() + make_interval(secs => {offset.total_seconds()})$$"
    )


class MovedClock:
    """Goes on running from wherever it was put. Processes that run meanwhile follow within seconds."""

    def __init__(self, owner_dsn: str) -> None:
        self._owner_dsn = owner_dsn
        self.offset = timedelta(0)

    async def set(self, at: datetime) -> None:
        """It is `at` now."""
        offset = at - datetime.now(UTC)
        connection = await asyncpg.connect(self._owner_dsn)
        try:
            await connection.execute(moved_by(offset))
        finally:
            await connection.close()
        self.offset = offset

    def now(self) -> datetime:
        """The moved instant, UTC, aware."""
        return datetime.now(UTC) + self.offset

    def today(self) -> date:
        """The moved day in the city."""
        return self.now().astimezone(CITY).date()
