"""Long work that is under way, as people watch it: how far, how fast, how much longer."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from server.kit.db import fetch

MOST: Final = 100
_RUNNING: Final = """
SELECT * FROM (
  SELECT 'grant_job' AS kind, id, document, status, why, posted + refused AS done,
    CASE WHEN segment_id IS NULL THEN recipients ELSE greatest(owed, recipients - recipients % $2) END AS total,
    greatest(extract(epoch FROM vault.now() - approved_at), 0)::float8 AS age_s
  FROM grant_job WHERE status IN ('running', 'paused') OR status = 'finished' AND posted + refused < owed
  UNION ALL
  SELECT 'voucher_batch', id, document, 'running', '', made, wanted,
    greatest(extract(epoch FROM vault.now() - created_at), 0)::float8
  FROM voucher_batch WHERE status = 'making' AND mode = 'platform'
) x ORDER BY kind, id DESC LIMIT $1
"""


class RunningJob(Struct, frozen=True):
    """A grant job or a batch of voucher codes on its way.

    `done` of `total` coupons given (or refused for good), or codes made; `total` is 0 while a segment is not written
    down yet, and then its size rounded down until so many are owed. `per_second`: since it was approved, or ordered,
    pauses included; `remaining_s`: at that speed, null while nothing moves. `status`: running | paused, or settling
    when all is written down and the last are with the vault; `why`: why it does not run.
    """

    kind: Literal["grant_job", "voucher_batch"]
    id: str
    document: str
    status: Literal["running", "paused", "settling"]
    why: str
    done: int
    total: int
    per_second: float
    remaining_s: int | None


async def running_jobs(small_cell: int = 1) -> list[RunningJob]:
    """What is under way now, at most a hundred, newest first within a kind; the size of a segment rounded down to a
    multiple of `small_cell`."""
    return [figures_of(**row) for row in await fetch(_RUNNING, MOST, small_cell)]


def figures_of(
    kind: Literal["grant_job", "voucher_batch"],
    id: int,
    document: str,
    status: Literal["running", "paused", "finished"],
    why: str,
    done: int,
    total: int,
    age_s: float,
) -> RunningJob:
    """The figures of one row; `age_s`: how long it has been under way."""
    rate = done / age_s if age_s > 0 else 0.0
    left = max(total - done, 0)
    remaining = round(left / rate) if rate > 0 and status != "paused" else None
    told: Literal["running", "paused", "settling"] = "settling" if status == "finished" else status
    return RunningJob(kind, str(id), document, told, why, done, total, round(rate, 1), remaining)
