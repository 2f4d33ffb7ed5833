"""What became of every coupon of a template: one reading of the ledger at one instant, so that the counters add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wallet.stream import Query


@dataclass(frozen=True, slots=True)
class Stock:
    """Coupons of a template, in coupons.

        topped_up − cut = left + claimed − returned        claimed = issued + redeemed + expired + voided

    `issued` holds what is locked for an order; `returned` are expired and voided ones whose place another may claim.
    """

    topped_up: int
    cut: int
    left: int
    issued: int
    redeemed: int
    expired: int
    voided: int
    returned: int

    @property
    def claimed(self) -> int:
        """Every coupon that was ever claimed, exchanged or given."""
        return self.issued + self.redeemed + self.expired + self.voided


async def stock_of(query: Query, template_id: int) -> Stock | None:
    """The counters of one template as they stand; None when the vault has no terms of it. Reads every coupon of the
    template: keep the answer for as long as it may be old."""
    rows = await query(_STOCK, template_id)
    return Stock(**rows[0]) if rows else None


_STOCK: Final = """
WITH t AS MATERIALIZED (SELECT terms, stock_budget, return_stock FROM vault.coupon_terms WHERE template = $1),
  g AS (SELECT DISTINCT stock_budget AS budget FROM t),
  e AS (SELECT coalesce(sum(e.amount) FILTER (WHERE e.kind = 'topup'), 0)::bigint AS topped_up,
          coalesce(sum(e.amount) FILTER (WHERE e.kind = 'cut'), 0)::bigint AS cut
        FROM g JOIN vault.budget_entry e USING (budget)),
  l AS (SELECT coalesce(sum(b.reserve + (SELECT sum(s.avail) FROM vault.slot s WHERE s.budget = b.budget)), 0)::bigint
          AS "left" FROM g JOIN vault.budget b USING (budget)),
  c AS (SELECT count(*) FILTER (WHERE c.state IN ('issued', 'locked')) AS issued,
          count(*) FILTER (WHERE c.state = 'redeemed') AS redeemed,
          count(*) FILTER (WHERE c.state = 'expired') AS expired,
          count(*) FILTER (WHERE c.state = 'voided') AS voided,
          count(*) FILTER (WHERE c.state IN ('expired', 'voided') AND t.return_stock) AS returned
        FROM t JOIN vault.coupon c USING (terms))
SELECT e.topped_up, e.cut, l."left", c.issued, c.redeemed, c.expired, c.voided, c.returned FROM e, l, c
WHERE EXISTS (SELECT FROM t)
"""
