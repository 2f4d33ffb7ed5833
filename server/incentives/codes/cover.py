"""Whether a template's stock and money cover a batch: who types a code that was promised a coupon should find one."""

from __future__ import annotations

from server.incentives.codes.errors import VoucherStockShort
from server.incentives.promises import Promises
from server.incentives.templates import TemplateService, left_of


class StockCover:
    """Looks at what a template has left beside what others were promised. The ledger alone decides who gets the
    last coupon; this is for whoever orders and approves."""

    def __init__(self, *, templates: TemplateService, promises: Promises) -> None:
        self._templates, self._promises = templates, promises

    async def check(self, template_id: int, codes: int, batch_id: int = 0) -> None:
        """Raise VoucherStockShort when the template, live or planned, cannot give a coupon for each of so many codes;
        TemplateNotFound."""
        others = (await self._promises.open([template_id], but_batch=batch_id))[template_id]
        left = max(0, left_of(await self._templates.get(template_id)) - others)
        if left < codes:
            raise VoucherStockShort(left, codes)
