"""Dead letters: what was tried ATTEMPTS times and could not be done. Seen, tried again, or given up for a reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from server.kit import audit
from server.kit.audit import Actor
from server.kit.db import fetch, transaction
from server.kit.errors import AppError, InvalidField
from server.kit.jobs import lock_key, next_of_key

OBJECT: Final = "dead_letter"
REASON_MAX: Final = 200


class DeadLetterNotFound(AppError):
    code, status, message = "dead_letter_not_found", 404, "未找到该死信，可能已被重试或放弃"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event (`stream` names whose) or a job (`stream` empty) of one consumer. `error` is a class of error, never a
    text; `waiting` events of the same key are held back behind it."""

    id: int
    consumer: str
    stream: str
    key: str
    payload: dict[str, Any]
    error: str
    attempts: int
    waiting: int
    first_failed_at: datetime
    last_failed_at: datetime


async def page(before_id: int | None, limit: int, consumer: str | None = None) -> list[DeadLetter]:
    """Newest first; up to `limit` with an id below `before_id`."""
    return [_letter(row) for row in await fetch(_PAGE, before_id, consumer, limit)]


async def replay(letter_id: int, actor: Actor, at: datetime, request_id: str) -> DeadLetter:
    """Try it again, as if for the first time, within seconds; what waits behind it follows when it succeeds."""
    async with transaction() as tx:
        rows = await fetch(_REPLAY, letter_id, using=tx)
        if not rows:
            raise DeadLetterNotFound
        letter = _letter(rows[0])
        await _record(tx, letter, "dead_letter.replay", actor, at, request_id, None)
    return letter


async def discard(letter_id: int, reason: str, actor: Actor, at: datetime, request_id: str) -> DeadLetter:
    """Give it up for good; what waits behind it goes on. The reason stays in the audit trail."""
    if not reason.strip() or len(reason) > REASON_MAX or not reason.isprintable():
        raise InvalidField(field="reason")
    known = await fetch(_ONE, letter_id)
    if not known:
        raise DeadLetterNotFound
    async with transaction() as tx:
        await lock_key(tx, known[0]["kind"], known[0]["key"])
        rows = await fetch(_DISCARD, letter_id, using=tx)
        if not rows:
            raise DeadLetterNotFound
        letter = _letter(rows[0])
        if letter.stream:
            await next_of_key(tx, letter.consumer, letter.key, letter.stream)
        await _record(tx, letter, "dead_letter.discard", actor, at, request_id, {"reason": reason.strip()})
    return letter


async def counts() -> dict[str, int]:
    """How many there are, by consumer."""
    return {row["kind"]: row["n"] for row in await fetch(_COUNTS)}


async def _record(
    tx: Any, letter: DeadLetter, action: str, actor: Actor, at: datetime, request_id: str, after: dict[str, Any] | None
) -> None:
    before: dict[str, Any] = {
        "consumer": letter.consumer, "stream": letter.stream, "key": letter.key, "payload": letter.payload,
        "error": letter.error, "attempts": letter.attempts,
    }  # fmt: skip
    await audit.record(
        tx, actor=actor, action=action, object_kind=OBJECT, object_id=str(letter.id), before=before, after=after,
        at=at, request_id=request_id,
    )  # fmt: skip


def _letter(row: dict[str, Any]) -> DeadLetter:
    return DeadLetter(
        row["id"], row["kind"], row["stream"], row["key"], msgspec.json.decode(row["payload"]), row["error"],
        row["attempts"], row["waiting"], row["first_failed_at"], row["last_failed_at"],
    )  # fmt: skip


_LETTER: Final = """j.id, j.kind, j.stream, j.key, j.payload::text AS payload, j.error, j.attempts, j.first_failed_at,
  j.last_failed_at, (SELECT count(*) FROM job w WHERE w.kind = j.kind AND w.key = j.key AND w.status = 'waiting'
                     AND w.stream = j.stream) AS waiting"""
_PAGE: Final = f"""
SELECT {_LETTER} FROM job j
WHERE j.status = 'dead' AND ($1::bigint IS NULL OR j.id < $1) AND ($2::text IS NULL OR j.kind = $2)
ORDER BY j.id DESC LIMIT $3"""  # noqa: S608
_REPLAY: Final = f"""
WITH was AS (SELECT * FROM job WHERE id = $1 AND status = 'dead' FOR UPDATE),
     now_due AS (UPDATE job SET status = 'due', due_at = clock_timestamp(), attempts = 0, claim = NULL,
                 claimed_until = NULL WHERE id IN (SELECT id FROM was))
SELECT {_LETTER} FROM was j"""  # noqa: S608
_ONE: Final = "SELECT kind, key FROM job WHERE id = $1 AND status = 'dead'"
_DISCARD: Final = f"DELETE FROM job j WHERE j.id = $1 AND j.status = 'dead' RETURNING {_LETTER}"  # noqa: S608
_COUNTS: Final = "SELECT kind, count(*) AS n FROM job WHERE status = 'dead' GROUP BY kind"
