"""The public counters of a coupon template: what was planned, and what became of every coupon (guard rail 28)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from server.incentives.effects import coupons_left, most_fen
from server.incentives.errors import TemplateNotFound
from server.incentives.models import Budget, CouponTemplate, CouponTemplateVersion
from server.kit.clock import Clock
from server.kit.db import fetch
from wallet import Vault
from wallet.stock import Stock, stock_of

#: A reading goes through every coupon of the template; anybody may ask for it, so it is kept for a while.
KEPT_S: Final = 30.0
KEPT_MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class PublicStock:
    """A template's stock at `at`. `planned`: coupons the approved rule began with; `available`: how many of those left
    can still be given, as far as the money of platform and sponsor reaches."""

    template_id: int
    title: str
    status: str
    planned: int
    stock: Stock
    available: int
    at: datetime


class StockBoard:
    """Stock for everybody, at most `KEPT_S` old, one reading at a time."""

    def __init__(self, *, vault: Vault, clock: Clock) -> None:
        self._vault, self._clock = vault, clock
        self._kept: dict[int, tuple[float, PublicStock]] = {}
        self._one_reader = asyncio.Lock()

    async def of(self, template_id: int) -> PublicStock:
        """The counters of an approved template. Raises TemplateNotFound."""
        async with self._one_reader:
            known = self._kept.get(template_id)
            if known is None or time.monotonic() - known[0] > KEPT_S:
                known = (time.monotonic(), await self._read(template_id))
                while len(self._kept) >= KEPT_MOST:
                    del self._kept[next(iter(self._kept))]
                self._kept[template_id] = known
            return known[1]

    async def _read(self, template_id: int) -> PublicStock:
        row = await CouponTemplate.get_or_none(id=template_id)
        at, stock = self._clock.now(), await stock_of(fetch, template_id)
        if row is None or stock is None or row.live_version is None:
            raise TemplateNotFound
        version = await CouponTemplateVersion.get(id=row.live_version)
        budgets = {one.unit: one for one in await Budget.filter(template_id=template_id)}
        money = budgets.get("fen")
        levels = {} if money is None else await self._vault.budget_levels([money.id])
        fen = levels[money.id].left if money is not None and money.id in levels else 0
        available = coupons_left(stock.left, fen, most_fen(version))
        return PublicStock(template_id, version.title, row.status, budgets["coupons"].planned, stock, available, at)
