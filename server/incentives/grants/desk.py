"""The desk where coupons that are owed are written down, and from which the worker gives them.

    owe, owe_page ──> pending ──post──> posted | refused
                         └── put off, later and later (server.incentives.settling) ── redrive ──┘

(`source`, `source_id`) is unique, so the same thing is owed once however often it is told; the vault's id is made from
both when the grant is written and kept with it, so every try names the same posting (D23).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog
from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.gifts import is_template_over
from server.incentives.limits import Homes
from server.incentives.models import CouponTemplateVersion
from server.incentives.settling import is_final, pause_of
from server.kit.clock import Clock
from server.kit.db import fetch, retry_on_conflict, transaction
from server.kit.ids import uuid8
from wallet import Vault, statuses
from wallet.errors import Refused, VaultError

log = structlog.get_logger(__name__)

#: The source of what a grant job owes; its source ids are `<job>:<resident>`.
JOB: Final = "job"
#: Sources whose coupons were promised to a person by name, before everybody: prizes that somebody has won.
PROMISED: Final = frozenset({"lottery"})
#: Grants that are at the vault at once: a few of its calls full, and no more than its queue takes beside others.
IN_FLIGHT: Final = 512
#: What a job has just written down it posts itself; the redrive leaves it alone for so long.
OWN_TURN: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a grant for good. status: posted | refused, with the vault's code as `reason`."""

    source_id: str
    status: str
    reason: str


#: Told in the transaction that settles grants, with what they were owed for.
Settle = Callable[[BaseDBAsyncClient, Sequence[Settled]], Awaitable[None]]

_OWE = """
INSERT INTO coupon_grant
  (source, source_id, resident_id, template_id, job_id, vault_id, status, reason, attempts, due_at, created_at)
SELECT $1, x.source_id, x.resident_id, $2, $3, x.vault_id, 'pending', '', 0, $4, $5
FROM unnest($6::text[], $7::bigint[], $8::uuid[]) x(source_id, resident_id, vault_id)
ON CONFLICT (source, source_id) DO NOTHING
RETURNING id, source, source_id, resident_id, template_id, vault_id, attempts,
  (SELECT coalesce(t.live_version, 0) FROM coupon_template t WHERE t.id = template_id) AS terms_id
"""
_KNOWN = "SELECT FROM coupon_grant WHERE source = $1 AND source_id = $2"
_DUE = """
SELECT g.id, g.source, g.source_id, g.resident_id, g.template_id, g.vault_id, g.attempts,
  coalesce(t.live_version, 0) AS terms_id, t.status IN ('ended', 'archived') AS ended
FROM coupon_grant g JOIN coupon_template t ON t.id = g.template_id
WHERE g.status = 'pending' AND g.due_at <= $1 ORDER BY g.due_at, g.id LIMIT $2
"""
_SETTLE = """
UPDATE coupon_grant g SET status = x.status, reason = x.reason, settled_at = $1, attempts = g.attempts + 1
FROM unnest($2::bigint[], $3::text[], $4::text[]) x(id, status, reason)
WHERE g.id = x.id AND g.status = 'pending' RETURNING g.job_id, g.source, g.source_id, g.status, g.reason
"""
_PUT_OFF = """
UPDATE coupon_grant g SET due_at = x.due_at, reason = x.reason, attempts = g.attempts + 1
FROM unnest($1::bigint[], $2::timestamptz[], $3::text[]) x(id, due_at, reason)
WHERE g.id = x.id AND g.status = 'pending'
"""
_COUNT = "UPDATE grant_job SET posted = posted + $2, refused = refused + $3 WHERE id = $1"


@dataclass(frozen=True, slots=True)
class Owed:
    """A grant that is to be posted. `terms_id`: its template's live version, 0 before there is one. `ended`: its
    template's time is over, so a closed budget will not open again."""

    id: int
    source: str
    source_id: str
    resident_id: int
    template_id: int
    vault_id: UUID
    attempts: int
    terms_id: int
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one try came to. status: posted | refused | pending; `reason` is the vault's code."""

    owed: Owed
    status: str
    reason: str = ""


class GrantDesk:
    """Writes down what is owed (any process) and gives it (the worker). Every step may be repeated and run twice."""

    def __init__(
        self, *, vault: Vault, clock: Clock, job_key: bytes, settled: Mapping[str, Settle] | None = None
    ) -> None:
        self._vault, self._clock, self._job_key = vault, clock, job_key
        self._settled = dict(settled or {})
        self._homes = Homes(CouponTemplateVersion)

    async def owe(
        self,
        tx: BaseDBAsyncClient,
        resident_id: int,
        template_id: int,
        source: str,
        source_id: str,
        at: datetime | None = None,
    ) -> bool:
        """Write down that a resident is owed a coupon of a template; it is given within seconds of the commit.

        Returns False when (`source`, `source_id`) was owed before: the first telling stands. `source` is a word of
        small letters, `source_id` names the reason within it, without personal data, at most 80 characters; `at`: when
        that happened, by default now. Raises Refused, having written nothing, when the template was over by then; what
        is PROMISED is owed all the same.
        """
        now = self._clock.now()
        if source not in PROMISED and await is_template_over(tx, template_id, at or now):
            if not await fetch(_KNOWN, source, source_id, using=tx):
                raise Refused(statuses.CLOSED)
            return False
        return bool(await self._write(tx, template_id, source, None, now, [(source_id, resident_id)]))

    async def owe_page(
        self, tx: BaseDBAsyncClient, template_id: int, job_id: int, residents: Sequence[int]
    ) -> list[Owed]:
        """Write down a page of a grant job; returns what was not owed before. The caller posts it after the commit."""
        named = [(f"{job_id}:{resident}", resident) for resident in residents]
        return await self._write(tx, template_id, JOB, job_id, self._clock.now() + OWN_TURN, named)

    async def redrive(self, limit: int = 1000) -> int:
        """Give what is due, what a crash left included; returns how many were tried."""
        due = [Owed(**row) for row in await fetch(_DUE, self._clock.now(), limit)]
        await self.post(due)
        return len(due)

    async def post(self, owed: Sequence[Owed]) -> Counter[str]:
        """Give these coupons and note what became of each; returns how many per status."""
        seen: Counter[str] = Counter()
        for begin in range(0, len(owed), IN_FLIGHT):
            some = owed[begin : begin + IN_FLIGHT]
            outcomes = await self._give_all(sorted(some, key=lambda one: one.id))
            seen.update(one.status for one in outcomes)
            await retry_on_conflict(partial(self._note, outcomes))
        return seen

    async def _write(
        self,
        tx: BaseDBAsyncClient,
        template_id: int,
        source: str,
        job_id: int | None,
        due_at: datetime,
        named: Sequence[tuple[str, int]],
    ) -> list[Owed]:
        now = self._clock.now()
        ids = [uuid8(now, "grant", f"{source}:{source_id}", self._job_key) for source_id, _ in named]
        rows = await fetch(
            _OWE, source, template_id, job_id, due_at, now, [one for one, _ in named], [who for _, who in named], ids,
            using=tx,
        )  # fmt: skip
        return [Owed(**row) for row in rows]

    async def _give_all(self, some: Sequence[Owed]) -> list[Outcome]:
        """An outcome for each. A budget near its end is laid out anew for every few: who only met that is tried again
        at once, as long as others get through."""
        done: dict[int, Outcome] = {}
        waiting = list(some)
        while waiting:
            outcomes = await asyncio.gather(*(self._give(one) for one in waiting))
            done.update((one.owed.id, one) for one in outcomes)
            busy = [one.owed for one in outcomes if one.reason == statuses.REFILL.code]
            waiting = busy if len(busy) < len(waiting) else []
        return [done[one.id] for one in some]

    async def _give(self, one: Owed) -> Outcome:
        try:
            try:
                await self._grant(one)
            except Refused as refusal:
                if refusal.answer != statuses.WALLET_MISSING:
                    raise
                await self._vault.open_wallet(one.resident_id)
                await self._grant(one)
        except Refused as refusal:
            final = is_final(refusal, ended=one.ended, promised=one.source in PROMISED)
            return Outcome(one, "refused" if final else "pending", refusal.code)
        except VaultError as error:
            return Outcome(one, "pending", error.code)
        except Exception:  # one grant that cannot be posted must not stop the others
            log.exception("grant_not_posted", grant_id=one.id)
            return Outcome(one, "pending", "fault")
        return Outcome(one, "posted")

    async def _grant(self, one: Owed) -> None:
        await self._vault.grant(
            one.resident_id, one.vault_id, template_id=one.template_id, terms_id=one.terms_id,
            source=f"{one.source}:{one.source_id}",
            town=await self._homes.town(one.terms_id, one.resident_id, self._clock.now()),
        )  # fmt: skip

    async def _note(self, outcomes: Sequence[Outcome]) -> None:
        """In one transaction: what was settled, what that makes of its jobs, and whoever owed it is told."""
        settled = [one for one in outcomes if one.status != "pending"]
        waiting = [one for one in outcomes if one.status == "pending"]
        now = self._clock.now()
        async with transaction() as tx:
            if settled:
                rows = await fetch(
                    _SETTLE, now, [one.owed.id for one in settled], [one.status for one in settled],
                    [one.reason for one in settled], using=tx,
                )  # fmt: skip
                await self._tell(tx, rows)
            if waiting:
                later = [now + pause_of(one.owed.attempts) for one in waiting]
                why = [one.reason for one in waiting]
                await tx.execute_query(_PUT_OFF, [[one.owed.id for one in waiting], later, why])
        reasons = Counter(one.reason for one in outcomes if one.reason)
        log.info("grants_tried", posted=len(outcomes) - reasons.total(), put_off=len(waiting), reasons=dict(reasons))

    async def _tell(self, tx: BaseDBAsyncClient, rows: list[dict[str, Any]]) -> None:
        jobs: dict[int, Counter[str]] = {}
        settled: dict[str, list[Settled]] = {}
        for row in rows:
            if row["job_id"] is not None:
                jobs.setdefault(row["job_id"], Counter())[row["status"]] += 1
            if row["source"] in self._settled:
                one = Settled(row["source_id"], row["status"], row["reason"])
                settled.setdefault(row["source"], []).append(one)
        for job_id in sorted(jobs):
            await tx.execute_query(_COUNT, [job_id, jobs[job_id]["posted"], jobs[job_id]["refused"]])
        for source in sorted(settled):
            await self._settled[source](tx, settled[source])
