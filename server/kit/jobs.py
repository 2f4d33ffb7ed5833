"""Work that is done later: written with the change that wants it, done at least once, seen when it cannot be done.

    enqueue(tx, …) ──► job: due ──run_due──► handler ──► gone, or again with its `state` (a long job's progress)
                                                └─ raises ─► due later and later ─► dead after ATTEMPTS (a dead letter)
    an event that stumbled (server.kit.relay) is such a job too; later events of its key are `waiting` behind it

A job is claimed with SKIP LOCKED for CLAIM_S; a process that dies gives it back by dying. What a handler writes through
`save` commits with its progress, and only while the claim stands. The machine's clock paces this, never the city's.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import structlog
from tortoise import fields
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.models import Model

from server.kit.db import fetch, transaction

#: Ten tries with pauses that double up to 512 s: a quarter of an hour of trouble passes without anybody's help.
ATTEMPTS: Final = 10
LONGEST_PAUSE_S: Final = 600
CLAIM_S: Final = 60
HANDLER_S: Final = 45
AT_ONCE: Final = 4
LOST: Final = "process_lost"

log = structlog.get_logger(__name__)


class Job(Model):
    """One piece of work. `stream` is empty, or names the stream whose event stumbled; then `kind` is the consumer."""

    id = fields.BigIntField(primary_key=True)
    kind = fields.CharField(max_length=64)
    key = fields.CharField(max_length=128)
    stream = fields.CharField(max_length=16, default="")
    payload: Any = fields.JSONField()
    state: Any = fields.JSONField()
    status = fields.CharField(max_length=8)
    attempts = fields.IntField(default=0)
    due_at = fields.DatetimeField(null=True)
    claim = fields.CharField(max_length=16, null=True)
    claimed_until = fields.DatetimeField(null=True)
    error = fields.CharField(max_length=64, default="")
    first_failed_at = fields.DatetimeField(null=True)
    last_failed_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField()

    class Meta:
        table = "job"
        indexes = (("kind", "key", "id"),)


class ClaimLost(RuntimeError):
    """This process took too long and somebody else has the job now; nothing of the transaction stands."""


@dataclass(frozen=True, slots=True)
class Task:
    """A claimed job in its handler's hands."""

    id: int
    kind: str
    key: str
    stream: str
    payload: dict[str, Any]
    state: dict[str, Any]
    attempts: int
    claim: str


#: True: done. False: there is more; it is called again with the state it saved, after others had their turn.
Handler = Callable[[Task], Awaitable[bool]]

_ENQUEUE = """
INSERT INTO job (kind, key, stream, payload, state, status, attempts, due_at, error, created_at)
VALUES ($1, $2, '', $3::jsonb, '{}', 'due', 0, coalesce($4, clock_timestamp()), '', clock_timestamp())
ON CONFLICT (kind, key) WHERE stream = '' DO NOTHING RETURNING id
"""
_CLAIM = """
UPDATE job SET claim = $2, claimed_until = clock_timestamp() + make_interval(secs => $3), attempts = attempts + 1
WHERE id IN (SELECT id FROM job WHERE status = 'due' AND due_at <= clock_timestamp() AND kind = ANY($1::text[])
               AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
             ORDER BY due_at, id LIMIT $4 FOR UPDATE SKIP LOCKED)
RETURNING id, kind, key, stream, payload::text AS payload, state::text AS state, attempts, claim
"""
_SAVE = """
UPDATE job SET state = $3::jsonb, claimed_until = clock_timestamp() + make_interval(secs => $4)
WHERE id = $1 AND claim = $2 RETURNING id
"""
_AGAIN = """
UPDATE job SET attempts = 0, due_at = clock_timestamp(), claim = NULL, claimed_until = NULL
WHERE id = $1 AND claim = $2 RETURNING id
"""
_FAILED = """
UPDATE job SET error = $3, first_failed_at = coalesce(first_failed_at, clock_timestamp()),
  last_failed_at = clock_timestamp(), claim = NULL, claimed_until = NULL,
  status = CASE WHEN attempts >= $4 THEN 'dead' ELSE 'due' END,
  due_at = CASE WHEN attempts < $4 THEN clock_timestamp() + make_interval(secs => $5) END
WHERE id = $1 AND claim = $2 RETURNING status
"""
_NEXT = """
UPDATE job SET status = 'due', due_at = clock_timestamp()
WHERE id = (SELECT min(id) FROM job WHERE kind = $1 AND key = $2 AND stream = $3) AND status = 'waiting'
"""


async def enqueue(
    tx: BaseDBAsyncClient, kind: str, key: str, payload: Mapping[str, object], *, due_at: datetime | None = None
) -> bool:
    """Ask for a job in the caller's transaction; it exists only if that commits. No personal data in `payload`.

    Returns False, and asks for nothing, while a job of this (`kind`, `key`) is open; a dead one is open too.
    """
    told = msgspec.json.encode(dict(payload)).decode()
    return bool(await fetch(_ENQUEUE, kind, key, told, due_at, using=tx))


async def save(tx: BaseDBAsyncClient, task: Task, state: Mapping[str, object]) -> None:
    """Keep a long job's progress in the transaction that made it. Raises `ClaimLost`."""
    told = msgspec.json.encode(dict(state)).decode()
    if not await fetch(_SAVE, task.id, task.claim, told, CLAIM_S, using=tx):
        raise ClaimLost(task.kind)


async def run_due(handlers: Mapping[str, Handler], limit: int = AT_ONCE) -> int:
    """Claim up to `limit` due jobs of the kinds in `handlers` and do them side by side; returns how many were tried.

    Any number of processes may do so at once. Handlers are repeated after a crash and must be idempotent.
    """
    rows = await fetch(_CLAIM, list(handlers), secrets.token_hex(8), CLAIM_S, limit)
    tasks = [Task(**(row | {name: msgspec.json.decode(row[name]) for name in ("payload", "state")})) for row in rows]
    ends = await asyncio.gather(*(_run(handlers[task.kind], task) for task in tasks), return_exceptions=True)
    for end in ends:
        if end is not None:
            raise end
    return len(tasks)


async def lock_key(tx: BaseDBAsyncClient, kind: str, key: str) -> None:
    """Take turns with everybody who adds to or takes from the jobs of this (`kind`, `key`), until the transaction
    ends."""
    await tx.execute_query("SELECT pg_advisory_xact_lock(hashtextextended($1 || chr(10) || $2, 0))", [kind, key])


async def next_of_key(tx: BaseDBAsyncClient, kind: str, key: str, stream: str) -> None:
    """Let the first that waits behind a key go on; the caller holds `lock_key` and has removed what was before it."""
    await tx.execute_query(_NEXT, [kind, key, stream])


async def _run(handler: Handler, task: Task) -> None:
    if task.attempts > ATTEMPTS:  # every claim ended with its process: no exception will ever tell
        await _failed(task, LOST)
        return
    try:
        async with asyncio.timeout(HANDLER_S):
            done = await handler(task)
    except ClaimLost:
        log.warning("job_claim_lost", kind=task.kind, job_id=task.id)
    except Exception as problem:
        log.exception("job_attempt_failed", kind=task.kind, job_id=task.id, attempts=task.attempts)
        await _failed(task, type(problem).__name__)
    else:
        await (_done(task) if done else fetch(_AGAIN, task.id, task.claim))


async def _done(task: Task) -> None:
    async with transaction() as tx:
        await lock_key(tx, task.kind, task.key)
        gone = await fetch("DELETE FROM job WHERE id = $1 AND claim = $2 RETURNING id", task.id, task.claim, using=tx)
        if gone and task.stream:
            await next_of_key(tx, task.kind, task.key, task.stream)


async def _failed(task: Task, error: str) -> None:
    pause_s = min(LONGEST_PAUSE_S, 2 ** min(task.attempts, 20))
    rows = await fetch(_FAILED, task.id, task.claim, error[:64], ATTEMPTS, pause_s)
    if rows and rows[0]["status"] == "dead":
        log.error("dead_letter", kind=task.kind, job_id=task.id, error=error[:64])
