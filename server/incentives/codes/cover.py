"""Whether a template's stock and money cover a batch: who types a code that was promised a coupon should find one."""

from __future__ import annotations

from typing import Final

from server.incentives.codes.errors import VoucherStockShort
from server.incentives.templates import TemplateService, left_of
from server.kit.db import fetch

#: Codes of other batches that somebody may still type; a third party's are shown beside coupons and promise none.
_PROMISED: Final = """
SELECT coalesce(sum(greatest(b.wanted, b.made)
  - (SELECT count(*) FROM voucher_code c WHERE c.batch_id = b.id AND c.resident_id IS NOT NULL)), 0)::bigint AS codes
FROM voucher_batch b WHERE b.template_id = $1 AND b.id <> $2 AND b.mode <> 'external' AND b.status <> 'stopped'
"""


class StockCover:
    """Looks at what a template has left beside what other batches have promised. The ledger alone decides who gets the
    last coupon; this is for whoever orders and approves."""

    def __init__(self, *, templates: TemplateService) -> None:
        self._templates = templates

    async def check(self, template_id: int, codes: int, batch_id: int = 0) -> None:
        """Raise VoucherStockShort when the template, live or planned, cannot give a coupon for each of so many codes;
        TemplateNotFound."""
        view = await self._templates.get(template_id)
        promised = (await fetch(_PROMISED, template_id, batch_id))[0]["codes"]
        left = max(0, left_of(view) - promised)
        if left < codes:
            raise VoucherStockShort(left, codes)
