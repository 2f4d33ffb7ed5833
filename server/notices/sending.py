"""Sending notices through WeChat: at most once each, one grant each, slowly, by day.

    due ──take (one grant)──► sending ──► sent
                                 │  ├───► no_grant   WeChat knows of no accept (43101): our count becomes 0
                                 │  ├───► refused    what we sent is wrong (40003, 40037, 47003); grant given back
                                 │  ├───► unknown    it may have arrived (no answer, or we died): never again
                                 │  └───► due        certainly not sent (busy, quota, not reached); grant given back,
                                 │                   tried again later and later
                                 └ late              the last day passed before it could be sent

The message is a courtesy beside the inbox, where the notice is in any case: a lost message costs little, a second one
annoys and uses up a grant that was meant for something else. Hence at most once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Protocol

import structlog
from tortoise.backends.base.client import BaseDBAsyncClient

from server.kit.clock import Clock
from server.kit.crypto import Envelope
from server.kit.db import fetch, transaction
from server.kit.pace import UNBOUND, Pace, Stopwatch
from server.notices.grants import MOST
from server.notices.wording import Kind, MessageTemplate
from server.people.sessions import OPENID_PURPOSE
from server.people.wechat import Delivery

BATCH: Final = 20
#: Batches of a step that find nobody to send to.
BATCHES: Final = 50
ABANDONED_AFTER: Final = timedelta(minutes=5)
REST_AFTER_FAILURE_S: Final = 60.0
FIRST_PAUSE_S: Final = 60
LONGEST_PAUSE_S: Final = 3600

log = structlog.get_logger(__name__)

_ABANDONED: Final = (
    "UPDATE notice SET push = 'unknown' WHERE id IN (SELECT id FROM notice WHERE push = 'sending' AND push_at < $1"
    " ORDER BY push_at LIMIT $2) AND push = 'sending' RETURNING id"
)
_NEXT: Final = (
    "SELECT id, resident_id, kind, last_day, points, name, attempts FROM notice WHERE push = 'due' AND push_at <= $1"
    " ORDER BY push_at, id LIMIT $2 FOR UPDATE SKIP LOCKED"
)
# The identity that logged in last is the phone in use.
_TAKE: Final = (
    "UPDATE notice_grant SET balance = balance - 1, changed_at = $3 WHERE id = (SELECT g.id FROM notice_grant g"
    " JOIN identity i ON i.id = g.identity_id WHERE i.resident_id = $1 AND g.template_id = $2 AND g.balance > 0"
    " ORDER BY i.last_login_at DESC, i.id LIMIT 1 FOR UPDATE OF g) RETURNING identity_id"
)
_TAKEN: Final = (
    "UPDATE notice n SET push = 'sending', push_at = $3, identity_id = $2, attempts = attempts + 1 FROM identity i"
    " WHERE n.id = $1 AND i.id = $2 RETURNING i.subject_sealed, n.attempts"
)
_SETTLE: Final = (
    "UPDATE notice SET push = $3, push_at = $4 WHERE id = $1 AND push = 'sending' AND attempts = $2 RETURNING id"
)
_GIVE_BACK: Final = (
    "UPDATE notice_grant SET balance = least(balance + 1, $3), changed_at = $4 WHERE identity_id = $1"
    " AND template_id = $2 RETURNING id"
)
_NONE_LEFT: Final = (
    "UPDATE notice_grant SET balance = 0, changed_at = $3 WHERE identity_id = $1 AND template_id = $2 RETURNING id"
)


class MessagePort(Protocol):
    """The route of WeChat that notices need."""

    async def send_message(
        self, openid: str, template_id: str, values: Mapping[str, str], *, page: str = ""
    ) -> Delivery: ...


@dataclass(frozen=True, slots=True)
class _Taken:
    id: int
    attempt: int
    identity_id: int
    subject_sealed: bytes
    template: MessageTemplate
    values: dict[str, str]


class NoticeSender:
    """The job. `hours`: it sends from the first hour of the city's day until the second; nobody is woken at night."""

    def __init__(
        self,
        *,
        clock: Clock,
        wechat: MessagePort,
        envelope: Envelope,
        templates: Mapping[Kind, MessageTemplate],
        hours: tuple[int, int] = (0, 24),
        page: str = "",
        pace: Pace = UNBOUND,
        batch: int = BATCH,
    ) -> None:
        self._clock, self._wechat, self._envelope, self._templates = clock, wechat, envelope, templates
        self._hours, self._page, self._pace, self._batch = hours, page, pace, batch
        self._resting_until = 0.0

    async def step(self) -> int:
        """Sends what is due until something went out; how many messages did. 0 at night, while WeChat is given a rest,
        and when nothing is due."""
        now = self._clock.now()
        abandoned = await fetch(_ABANDONED, now - ABANDONED_AFTER, self._batch)
        if abandoned:
            log.warning("messages_abandoned", count=len(abandoned))
        first, until = self._hours
        if not first <= now.astimezone(self._clock.zone).hour < until:
            return 0
        for _ in range(BATCHES):
            if time.monotonic() < self._resting_until:
                break
            watch = Stopwatch()
            looked_at, taken = await self._take(now)
            if not looked_at:
                break
            sent = await self._deliver_all(taken)
            await self._pace.rest(len(taken), watch.s)
            if sent:
                return sent
        return 0

    async def _deliver_all(self, taken: list[_Taken]) -> int:
        delivered = await asyncio.gather(*(self._deliver(one) for one in taken), return_exceptions=True)
        if Delivery.NOT_NOW in delivered or Delivery.UNKNOWN in delivered:
            self._resting_until = time.monotonic() + REST_AFTER_FAILURE_S
        for one in delivered:
            if isinstance(one, BaseException):  # after the others are settled; this one will count as abandoned
                raise one
        return sum(one is Delivery.SENT for one in delivered)

    async def _take(self, now: datetime) -> tuple[int, list[_Taken]]:
        """Takes one grant for each notice and marks it, together: whatever happens later, it is not sent twice. Also
        says how many notices it looked at."""
        taken: list[_Taken] = []
        today = self._clock.today()
        async with transaction() as tx:
            rows = await fetch(_NEXT, now, self._batch, using=tx)
            for row in rows:
                one = await self._take_one(tx, row, now, today)
                if one is not None:
                    taken.append(one)
        return len(rows), taken

    async def _take_one(self, tx: BaseDBAsyncClient, row: dict[str, Any], now: datetime, today: date) -> _Taken | None:
        template = self._templates.get(row["kind"])
        if row["last_day"] < today:
            await fetch("UPDATE notice SET push = 'late' WHERE id = $1 RETURNING id", row["id"], using=tx)
            return None
        granted = await fetch(_TAKE, row["resident_id"], template.id, now, using=tx) if template else []
        if template is None or not granted:
            await fetch("UPDATE notice SET push = 'no_grant' WHERE id = $1 RETURNING id", row["id"], using=tx)
            return None
        identity_id = granted[0]["identity_id"]
        marked = (await fetch(_TAKEN, row["id"], identity_id, now, using=tx))[0]
        values = template.values(row["kind"], last_day=row["last_day"], points=row["points"], name=row["name"])
        return _Taken(row["id"], marked["attempts"], identity_id, marked["subject_sealed"], template, values)

    async def _deliver(self, one: _Taken) -> Delivery:
        openid = self._envelope.open(one.subject_sealed, purpose=OPENID_PURPOSE)
        outcome = await self._wechat.send_message(openid, one.template.id, one.values, page=self._page)
        now = self._clock.now()
        again_s = min(FIRST_PAUSE_S << min(one.attempt - 1, 10), LONGEST_PAUSE_S)
        push, push_at = (
            ("due", now + timedelta(seconds=again_s)) if outcome is Delivery.NOT_NOW else (outcome.value, now)
        )
        async with transaction() as tx:
            # Nothing to settle: it took so long that it was given up, and its grant with it.
            if not await fetch(_SETTLE, one.id, one.attempt, push, push_at, using=tx):
                return outcome
            if outcome in (Delivery.NOT_NOW, Delivery.REFUSED):
                await fetch(_GIVE_BACK, one.identity_id, one.template.id, MOST, now, using=tx)
            elif outcome is Delivery.NO_GRANT:
                await fetch(_NONE_LEFT, one.identity_id, one.template.id, now, using=tx)
        if outcome is not Delivery.SENT:
            log.warning("message_not_sent", notice_id=one.id, outcome=outcome.value, attempt=one.attempt)
        return outcome
