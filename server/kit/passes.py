"""Daily passes: long jobs that walk through a whole table in pages, once a day, and may be killed at any moment.

    begin(name, day)  ──►  a lease on the pass of that day, at the position where it stopped
    advance(…)        ──►  the position after a page that is done; the lease is prolonged
                           no position any more: the pass of that day is finished

One row per job, so that nothing grows. A new day begins the pass anew (so does a clock that was put back by more than a
day, as a sandbox may; two processes astride midnight do not take the pass from each other). A pass that another process
holds is left alone until its lease is over, which is how a killed process is succeeded. A page may be done twice (its
process died before `advance`), so whatever a page does must be safe to repeat; the counts are then those of the second
time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
import structlog
from tortoise import fields
from tortoise.models import Model

from server.kit.clock import Clock
from server.kit.db import fetch

LEASE_S: Final = 60

Position = tuple[int | str, ...]

log = structlog.get_logger(__name__)


class DailyPass(Model):
    """How far the pass of `day` has come: `position` is the key of the last row done, null at the start."""

    name = fields.CharField(max_length=32, primary_key=True)
    day = fields.DateField()
    position: Any = fields.JSONField(null=True)
    seen = fields.BigIntField(default=0)
    done = fields.BigIntField(default=0)
    failed = fields.BigIntField(default=0)
    amount = fields.BigIntField(default=0)
    started_at = fields.DatetimeField()
    finished_at = fields.DatetimeField(null=True)
    holder = fields.UUIDField(null=True)
    held_until = fields.DatetimeField(null=True)

    class Meta:
        table = "daily_pass"


@dataclass(frozen=True, slots=True)
class Page:
    """What one page did. `position` is None after the last one; `amount` counts in the job's own unit."""

    position: Position | None
    seen: int = 0
    done: int = 0
    failed: int = 0
    amount: int = 0


@dataclass(frozen=True, slots=True)
class PassState:
    """A pass as it stands; counts are since its beginning."""

    name: str
    day: date
    position: Position | None
    seen: int
    done: int
    failed: int
    amount: int
    started_at: datetime
    finished_at: datetime | None

    @property
    def finished(self) -> bool:
        """Whether every row has been looked at."""
        return self.finished_at is not None


_NEW_DAY: Final = (
    "INSERT INTO daily_pass (name, day, seen, done, failed, amount, started_at) VALUES ($1, $2, 0, 0, 0, 0, $3)"
    " ON CONFLICT (name) DO UPDATE SET day = EXCLUDED.day, position = NULL, seen = 0, done = 0, failed = 0, amount = 0,"
    " started_at = EXCLUDED.started_at, finished_at = NULL, holder = NULL, held_until = NULL"
    " WHERE daily_pass.day < EXCLUDED.day OR daily_pass.day > EXCLUDED.day + 1"
)
_LEASE: Final = (
    "UPDATE daily_pass SET holder = $3, held_until = $5 WHERE name = $1 AND day = $2 AND finished_at IS NULL"
    " AND (holder IS NULL OR holder = $3 OR held_until < $4) RETURNING *"
)
_ADVANCE: Final = (
    "UPDATE daily_pass SET position = $4::jsonb, seen = seen + $5, done = done + $6, failed = failed + $7,"
    " amount = amount + $8, held_until = $10,"
    " finished_at = CASE WHEN $4::jsonb IS NULL THEN greatest($9::timestamptz, started_at) END"
    " WHERE name = $1 AND day = $2 AND holder = $3 AND finished_at IS NULL RETURNING *"
)


class Walk:
    """One process's part in the daily pass of a job."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._name, self._clock = name, clock
        self._holder = uuid4()

    async def page(self, work: Callable[[PassState], Awaitable[Page]]) -> PassState | None:
        """Does one page of today's pass and notes it; None when there is nothing to do: the pass is finished, or
        another process is at it. When `work` raises, the page is done again later."""
        state = await begin(self._name, self._clock.today(), self._holder, self._clock.now())
        if state is None:
            return None
        page = await work(state)
        noted = await advance(state, self._holder, page, self._clock.now())
        if noted is None:
            log.warning("pass_lost", job=self._name)
        return noted


async def begin(name: str, day: date, holder: UUID, now: datetime, *, lease_s: int = LEASE_S) -> PassState | None:
    """The pass of `day`, leased to `holder`; None when it is finished, of a later day, or held by somebody else."""
    known = await look(name)
    if known is None or known.day != day:
        await fetch(_NEW_DAY, name, day, now)
    elif known.finished:
        return None
    rows = await fetch(_LEASE, name, day, holder, now, now + timedelta(seconds=lease_s))
    return _state(rows[0]) if rows else None


async def advance(
    state: PassState, holder: UUID, page: Page, now: datetime, *, lease_s: int = LEASE_S
) -> PassState | None:
    """Notes a page that is done; None when the lease was lost meanwhile: then somebody else goes on from before it."""
    position = None if page.position is None else msgspec.json.encode(page.position).decode()
    rows = await fetch(
        _ADVANCE, state.name, state.day, holder, position, page.seen, page.done, page.failed, page.amount, now,
        now + timedelta(seconds=lease_s),
    )  # fmt: skip
    return _state(rows[0]) if rows else None


async def look(name: str) -> PassState | None:
    """The newest pass of a job as it stands, None when it never ran."""
    rows = await fetch("SELECT * FROM daily_pass WHERE name = $1", name)
    return _state(rows[0]) if rows else None


async def again(name: str) -> None:
    """Makes a finished pass begin anew on the same day; one that is under way goes on as it is."""
    await fetch(
        "UPDATE daily_pass SET position = NULL, seen = 0, done = 0, failed = 0, amount = 0, finished_at = NULL,"
        " holder = NULL, held_until = NULL WHERE name = $1 AND finished_at IS NOT NULL",
        name,
    )


def _state(row: dict[str, Any]) -> PassState:
    position = row["position"]
    return PassState(
        name=row["name"],
        day=row["day"],
        position=None if position is None else msgspec.json.decode(position, type=Position),
        seen=row["seen"],
        done=row["done"],
        failed=row["failed"],
        amount=row["amount"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )
