"""Growing delays for what must not be guessed: passwords (D35) and pairs of name and ID number.

Each attempt is counted as a failure before anything is looked at and taken back when it was right. So a hundred guesses
sent at once are no better than a hundred in a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.kit.clock import Clock
from server.kit.crypto import BlindIndex
from server.kit.db import transaction
from server.kit.errors import AppError
from server.people.models import LoginLock

FORGET_AFTER_S = 86_400


@dataclass(frozen=True)
class Growth:
    """Up to `free - 1` failures cost nothing; then a rest of `base_s`, twice as long each time, never above `cap_s`."""

    free: int
    base_s: int
    cap_s: int


GROWTH = {
    "account": Growth(free=5, base_s=30, cap_s=3600),
    "ip": Growth(free=20, base_s=30, cap_s=3600),
    "identity": Growth(free=5, base_s=600, cap_s=86_400),
}


@dataclass(frozen=True)
class Subject:
    """Who is counted: `scope` is a key of `GROWTH`; `name` is kept as a keyed hash only."""

    scope: str
    name: str


def rest_s(failures: int, growth: Growth) -> int:
    """How many seconds the next attempt must wait after `failures` wrong ones."""
    over = failures - growth.free
    if over < 0:
        return 0
    return min(growth.base_s << min(over, 20), growth.cap_s)


class Lockout:
    """Counts attempts. Name several subjects always in the same order, lest two attempts wait for each other."""

    def __init__(self, *, clock: Clock, index: BlindIndex) -> None:
        self._clock = clock
        self._index = index

    async def begin(self, subjects: Sequence[Subject], refusal: type[AppError]) -> None:
        """Count an attempt as wrong. Raises `refusal` with the seconds to wait when a subject rests."""
        now = self._clock.now()
        async with transaction():
            rows = [await self._locked_row(subject, now) for subject in subjects]
            waits = [row.locked_until - now for row in rows if row.locked_until is not None and row.locked_until > now]
            if waits:
                raise refusal(retry_after_s=int(max(waits).total_seconds()) + 1)
            for row in rows:
                stale = now - row.last_at > timedelta(seconds=FORGET_AFTER_S)
                row.failures = 1 if stale else row.failures + 1
                wait = rest_s(row.failures, GROWTH[row.scope])
                row.locked_until = now + timedelta(seconds=wait) if wait else None
                row.last_at = now
                await row.save(update_fields=["failures", "locked_until", "last_at"])

    async def succeeded(self, subjects: Sequence[Subject]) -> None:
        """The attempt was right: a name starts anew, an address, which others share, only loses this one attempt."""
        await self._lower(subjects, lambda row: row.failures - 1 if row.scope == "ip" else 0)

    async def undecided(self, subjects: Sequence[Subject]) -> None:
        """The attempt could not be judged: it counts for nothing."""
        await self._lower(subjects, lambda row: row.failures - 1)

    async def purge(self) -> int:
        """Delete counts that no longer matter; how many. For the worker."""
        before = self._clock.now() - timedelta(seconds=FORGET_AFTER_S)
        return await LoginLock.filter(last_at__lt=before).delete()

    async def _lower(self, subjects: Sequence[Subject], failures: Callable[[LoginLock], int]) -> None:
        async with transaction():
            for subject in subjects:
                row = await self._locked_row(subject, self._clock.now())
                row.failures = max(failures(row), 0)
                row.locked_until = None
                await row.save(update_fields=["failures", "locked_until"])

    async def _locked_row(self, subject: Subject, now: datetime) -> LoginLock:
        hmac = self._index.of(subject.name, purpose=f"login.{subject.scope}")
        await LoginLock.bulk_create(
            [LoginLock(scope=subject.scope, subject_hmac=hmac, failures=0, last_at=now)],
            ignore_conflicts=True,
        )
        return await LoginLock.select_for_update().get(scope=subject.scope, subject_hmac=hmac)
