"""Days that campaigns wait for: when one has begun, everybody whom the rule could reach is told the fact `date`.

    a live version that waits for a date ──its midnight in the city──> DateCall ──job, page by page──> facts, once each

A fact occurs at the day's midnight, for whoever had joined by then, and is named by resident and day, so that campaigns
that wait for one day share it. Who is told is chosen by the rule without what it asks of the past: judging the fact
decides.
"""

from __future__ import annotations

import time
from datetime import date, datetime
from typing import Any, Final

import msgspec
import structlog

from server.incentives.commands import midnight_of
from server.incentives.facts import Told, record_all
from server.incentives.judging import decoded
from server.incentives.rules import Case, Rule, needs
from server.incentives.rules.reach import may_reach, relaxed
from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from server.kit.jobs import Task, enqueue, save
from server.kit.pace import Pace, Stopwatch
from server.people.attributes import Profile, profiles_of
from server.people.city_lists import band_ranks

log = structlog.get_logger(__name__)

DATE: Final = "date"
#: The kind of the worker's job; its key is the version's id.
KIND: Final = "date_call"
PAGE: Final = 500
#: How long one turn lasts before other jobs have theirs.
TURN_S: Final = 5.0

# Only the version that was live when its day began; a call is written once, whatever becomes of the campaign.
_DUE = """
INSERT INTO date_call (version_id, day, told, begun_at)
SELECT v.id, d.day, 0, $1 FROM campaign_version v
CROSS JOIN LATERAL (SELECT (v.rule -> 'trigger' ->> 'on')::date AS day) d
CROSS JOIN LATERAL (SELECT d.day::timestamp AT TIME ZONE vault.zone() AS at) m
WHERE v.trigger = 'date' AND v.live_at IS NOT NULL AND m.at <= $1 AND v.starts_at <= m.at AND m.at < v.ends_at
  AND EXISTS (SELECT FROM campaign_span s WHERE s.version_id = v.id AND s.from_at <= m.at
              AND (s.until_at IS NULL OR m.at < s.until_at))
  AND NOT EXISTS (SELECT FROM date_call c WHERE c.version_id = v.id)
ON CONFLICT (version_id) DO NOTHING RETURNING version_id
"""
_PAGE = "SELECT id FROM resident WHERE id > $1 AND bound_at <= $2 ORDER BY id LIMIT $3"
_ADD = "UPDATE date_call SET told = told + $2 WHERE version_id = $1"
_FINISH = "UPDATE date_call SET finished_at = $2 WHERE version_id = $1 AND finished_at IS NULL"


class DateCalls:
    """Calls people for the days that live campaigns wait for; every step may be repeated."""

    def __init__(self, *, clock: Clock, pace: Pace) -> None:
        self._clock, self._pace = clock, pace

    async def redrive(self) -> int:
        """Begin a job for every version whose day has begun; returns how many."""
        async with transaction() as tx:
            due = await fetch(_DUE, self._clock.now(), using=tx)
            for row in due:
                await enqueue(tx, KIND, str(row["version_id"]), {"version_id": str(row["version_id"])})
        return len(due)

    async def walk(self, task: Task) -> bool:
        """The worker's turn at one day: pages until the turn is over. True: everybody was looked at."""
        version_id = int(task.payload["version_id"])
        (row,) = await fetch("SELECT rule FROM campaign_version WHERE id = $1", version_id)
        rule = relaxed(msgspec.convert(decoded(row["rule"]), Rule))
        at = midnight_of(rule, self._clock.zone)
        assert at is not None, "only versions that wait for a day have a call"
        ranks = await band_ranks(at) if needs(rule).bands else {}
        state: dict[str, Any] = dict(task.state)
        until = time.monotonic() + TURN_S
        while time.monotonic() < until:
            watch = Stopwatch()
            residents = [one["id"] for one in await fetch(_PAGE, state.get("after", 0), at, PAGE)]
            told = await self._reached(rule, at, ranks, residents)
            state["after"] = residents[-1] if residents else state.get("after", 0)
            async with transaction() as tx:
                new = await record_all(tx, told)
                await tx.execute_query(_ADD, [version_id, new])
                if len(residents) < PAGE:
                    await tx.execute_query(_FINISH, [version_id, self._clock.now()])
                await save(tx, task, state)
            if len(residents) < PAGE:
                log.info("date_call_finished", version_id=version_id)
                return True
            await self._pace.rest(len(told), watch.s)
        return False

    async def _reached(self, rule: Rule, at: datetime, ranks: dict[str, int], residents: list[int]) -> list[Told]:
        people = await profiles_of(residents, at) if needs(rule).profile else {}
        day = at.astimezone(self._clock.zone).date()
        return [
            Told(one, DATE, f"{one}:{day}", at, {})
            for one in residents
            if may_reach(rule, Case(at=at, person=_person(one, people), zone=self._clock.zone, fact=DATE, ranks=ranks))
        ]


def _person(resident_id: int, people: dict[int, Profile]) -> Profile:
    return people.get(resident_id) or Profile(resident_id, None, None, date.max, False)
