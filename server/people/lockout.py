"""Growing delays for wrong passwords, per account and per address (D35).

Each attempt is counted as a failure before the password is looked at and taken back when it was right. So a hundred
guesses sent at once are no better than a hundred in a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from server.kit.clock import Clock
from server.kit.crypto import BlindIndex
from server.kit.db import transaction
from server.people.errors import AdminLoginLocked
from server.people.models import LoginLock

FORGET_AFTER_S = 86_400


@dataclass(frozen=True)
class Growth:
    """`free` failures cost nothing; the next rests `base_s`, each further one twice as long, never above `cap_s`."""

    free: int
    base_s: int
    cap_s: int


GROWTH = {"account": Growth(free=5, base_s=30, cap_s=3600), "ip": Growth(free=20, base_s=30, cap_s=3600)}


def rest_s(failures: int, growth: Growth) -> int:
    """How many seconds the next attempt must wait after `failures` wrong ones."""
    over = failures - growth.free
    if over < 0:
        return 0
    return min(growth.base_s << min(over, 20), growth.cap_s)


class Lockout:
    """Counts attempts for an account name and an address; both are kept as keyed hashes only."""

    def __init__(self, *, clock: Clock, index: BlindIndex) -> None:
        self._clock = clock
        self._index = index

    async def begin(self, username: str, remote_ip: str) -> None:
        """Count an attempt as wrong. `AdminLoginLocked` with the seconds to wait when one of the two rests."""
        now = self._clock.now()
        async with transaction():
            rows = [await self._locked_row(scope, subject, now) for scope, subject in _subjects(username, remote_ip)]
            waits = [row.locked_until - now for row in rows if row.locked_until is not None and row.locked_until > now]
            if waits:
                raise AdminLoginLocked(retry_after_s=int(max(waits).total_seconds()) + 1)
            for row in rows:
                stale = now - row.last_at > timedelta(seconds=FORGET_AFTER_S)
                row.failures = 1 if stale else row.failures + 1
                wait = rest_s(row.failures, GROWTH[row.scope])
                row.locked_until = now + timedelta(seconds=wait) if wait else None
                row.last_at = now
                await row.save(update_fields=["failures", "locked_until", "last_at"])

    async def succeeded(self, username: str, remote_ip: str) -> None:
        """Take the attempt back: the account starts anew, the address only loses this one attempt."""
        async with transaction():
            for scope, subject in _subjects(username, remote_ip):
                row = await self._locked_row(scope, subject, self._clock.now())
                row.failures = 0 if scope == "account" else max(row.failures - 1, 0)
                row.locked_until = None
                await row.save(update_fields=["failures", "locked_until"])

    async def purge(self) -> int:
        """Delete counts that no longer matter; how many. For the worker."""
        before = self._clock.now() - timedelta(seconds=FORGET_AFTER_S)
        return await LoginLock.filter(last_at__lt=before).delete()

    async def _locked_row(self, scope: str, subject: str, now: datetime) -> LoginLock:
        hmac = self._index.of(subject, purpose=f"login.{scope}")
        await LoginLock.bulk_create(
            [LoginLock(scope=scope, subject_hmac=hmac, failures=0, last_at=now)],
            ignore_conflicts=True,
        )
        return await LoginLock.select_for_update().get(scope=scope, subject_hmac=hmac)


def _subjects(username: str, remote_ip: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Always in this order, so that two attempts never wait for each other."""
    return ("account", username), ("ip", remote_ip)
