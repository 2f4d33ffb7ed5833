"""One posting: an item goes through the lanes, and its answer becomes a result or a refusal.

A budget whose slot is too low is laid out again and the same item sent once more, at most three times (D8). So is an
item whose counters are not open yet, after they were opened, and one whose counters the vault has not looked for.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Generic, TypeVar

import asyncpg
import msgspec

from wallet import statuses
from wallet.cells import Cells
from wallet.errors import Refused
from wallet.items import Item, PlaceLimit, Refill, fits
from wallet.lanes import Answer
from wallet.setup import Setup

Result = TypeVar("Result", bound=msgspec.Struct)
R = TypeVar("R")

REFILL_ATTEMPTS = 3
#: Beside refills: its counters are looked for, and opened. A day that ends meanwhile asks for both once more.
COUNTER_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """What a posting did. `replayed`: it had been done before under this id, and this is the same answer."""

    result: R
    replayed: bool


class Poster(Setup):
    """What every operation stands on: one pool for set-up and reads, and lanes for value."""

    def __init__(self, pool: asyncpg.Pool, lanes: Cells, budget_slots: int) -> None:
        super().__init__(pool, budget_slots)
        self._lanes = lanes

    @property
    def lanes(self) -> Cells:
        """For figures: queue depth, batches and items sent."""
        return self._lanes

    async def _post(self, item: Item, kind: type[Result]) -> Done[Result]:
        if not fits(item):
            raise Refused(statuses.INVALID)
        answer: Answer = await self._lanes.post(item)
        refills, counters = REFILL_ATTEMPTS, COUNTER_ATTEMPTS
        while answer.status == statuses.REFILL.number:
            wanted = msgspec.json.decode(answer.body or "", type=Refill)
            if wanted.budget is not None:
                refills -= 1
            else:
                counters -= 1
            if min(refills, counters) < 0:
                break
            await self._prepare(wanted, item)
            answer = await self._lanes.post(item)
        if answer.status == statuses.LIMIT_REACHED.number and answer.body:
            raise Refused(statuses.LIMIT_REACHED, limit=msgspec.json.decode(answer.body, type=PlaceLimit))
        if answer.status != statuses.DONE.number or answer.body is None:
            raise Refused.of(answer.status, replayed=answer.replayed)
        return Done(msgspec.json.decode(answer.body, type=kind), answer.replayed)

    async def _prepare(self, wanted: Refill, item: Item) -> None:
        """Makes room in the slots beside the item's bucket, or raises sold out, or limit reached: the whole of the
        budget, in all cells, holds less than the amount. Nothing is remembered, so nobody is told so while there is
        enough; once the budget of a single cell is gathered the posting itself knows. Else has the item's counters
        opened, or looked for."""
        if wanted.budget is None:
            for one in wanted.missing:
                await self.open_counter(one)
            item.counted = True
            return
        total = await self._value("SELECT vault.rebalance($1, $2, $3::smallint)", wanted.budget, wanted.amount, item.b)
        if total is None or total < wanted.amount:
            full = statuses.LIMIT_REACHED if wanted.limit else statuses.SOLD_OUT
            raise Refused(full, limit=wanted.limit)

    async def open_counter(self, limit: PlaceLimit) -> None:
        """Opens the counter of a limit at a place for a period, as large as the limit's terms say; one that is open
        stays as it is. `period_start` may be any day of the period."""
        fresh = -1 - secrets.randbelow(2**62)
        sql = "SELECT vault.open_counter($1, $2, $3, $4, $5::smallint)"
        await self._value(sql, fresh, limit.limit_id, limit.place, limit.period_start, self._budget_slots)
