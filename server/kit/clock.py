"""The one clock of the Python side (D11).

`Clock` follows the database: `wallet` reads `vault.now()` at start and on each move and sets `offset`. Nothing else
in the house calls `datetime.now()`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

#: How far this clock may be behind the database's: it follows every few seconds, a round trip late.
BEHIND = timedelta(seconds=5)


class Clock:
    """City time. `offset` is how far `vault.now()` is ahead of this machine's own clock."""

    def __init__(self, zone: str = "Asia/Shanghai") -> None:
        self.zone = ZoneInfo(zone)
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """The current instant, UTC, aware."""
        return datetime.now(UTC) + self.offset

    def unix(self) -> float:
        """The current instant in seconds since the epoch."""
        return self.now().timestamp()

    def today(self) -> date:
        """The current day in the city."""
        return self.now().astimezone(self.zone).date()

    def follow(self, database_now: datetime) -> None:
        """Take the database's clock as the truth from here on."""
        self.offset = database_now - datetime.now(UTC)

    def is_over(self, at: datetime) -> bool:
        """Whether an instant may be over by the database's clock."""
        return at <= self.now() + BEHIND

    def midnight_after(self, day: date) -> datetime:
        """The instant a city day ends."""
        return datetime.combine(day + timedelta(days=1), time(), self.zone)

    def span(self, first_day: date | None, last_day: date | None) -> tuple[datetime | None, datetime | None]:
        """The instants from which and before which the city days lie, both days included; None is open."""
        since = None if first_day is None else self.midnight_after(first_day - timedelta(days=1))
        return since, None if last_day is None else self.midnight_after(last_day)
