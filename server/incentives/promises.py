"""How many coupons of a template somebody was promised and has not got: open codes, prizes, what is owed, jobs' lists.

Whoever promises more of the same coupons asks here first. The ledger alone decides who gets the last one; this is for
those who order and approve, so that nobody is promised what is somebody else's already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.lottery.rows import SOURCE
from server.kit.db import fetch

_PROMISED: Final = """
SELECT template, sum(n)::bigint AS n FROM (
  -- codes that may still be typed; a third party's are shown beside coupons and promise none
  SELECT b.template_id AS template, greatest(b.wanted, b.made)
    - (SELECT count(*) FROM voucher_code c WHERE c.batch_id = b.id AND c.resident_id IS NOT NULL) AS n
  FROM voucher_batch b
  WHERE b.template_id = ANY ($1::bigint[]) AND b.id <> $2 AND b.mode <> 'external' AND b.status <> 'stopped'
  UNION ALL
  -- prizes of lotteries that are not drawn, whether or not enough people enter
  SELECT (p ->> 'template_id')::bigint, (p ->> 'count')::bigint
  FROM lottery l CROSS JOIN LATERAL jsonb_array_elements(l.prizes) p
  WHERE l.status IN ('published', 'closed') AND p ->> 'template_id' = ANY ($1::bigint[]::text[])
  UNION ALL
  -- winners for whom nothing is written at the desk yet
  SELECT (p ->> 'template_id')::bigint, 1
  FROM lottery l CROSS JOIN LATERAL jsonb_array_elements(l.prizes) p
  JOIN lottery_winner w ON w.lottery_id = l.id AND w.rank = (p ->> 'rank')::int
  WHERE l.status = 'drawn' AND l.owed_at IS NULL AND p ->> 'template_id' = ANY ($1::bigint[]::text[])
    AND NOT EXISTS (SELECT FROM coupon_grant g
      WHERE g.source = $3 AND g.source_id = w.lottery_id || ':' || w.rank || ':' || w.place)
  UNION ALL
  -- what is owed to somebody, whatever for
  SELECT g.template_id, 1 FROM coupon_grant g WHERE g.status = 'pending' AND g.template_id = ANY ($1::bigint[])
  UNION ALL
  -- those whom an approved job has not come to; of a segment no more is told than a rounded size says
  SELECT j.template_id, greatest(j.recipients - j.owed
    + CASE WHEN j.segment_id IS NULL THEN 0 ELSE $4::bigint - j.recipients % $4 END, 0)
  FROM grant_job j
  WHERE j.status IN ('running', 'paused') AND j.template_id = ANY ($1::bigint[])
) promise GROUP BY template
"""


class Promises:
    """Looks at what templates have promised. `small_cell`: sizes of segments are rounded up to the next multiple of it
    (guard rail 21)."""

    def __init__(self, *, small_cell: int) -> None:
        self._small_cell = small_cell

    async def open(
        self, template_ids: Iterable[int], *, but_batch: int = 0, tx: BaseDBAsyncClient | None = None
    ) -> Counter[int]:
        """Coupons promised and not given yet, by template; those of the voucher batch `but_batch` are left out."""
        rows = await fetch(_PROMISED, sorted(set(template_ids)), but_batch, SOURCE, self._small_cell, using=tx)
        return Counter({row["template"]: row["n"] for row in rows})
