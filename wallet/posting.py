"""One posting: an item goes through the lanes, and its answer becomes a result or a refusal.

A budget whose slot is too low is laid out again and the same item sent once more, at most three times (D8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import asyncpg
import msgspec

from wallet import statuses
from wallet.cells import Cells
from wallet.errors import Refused
from wallet.items import Item, Refill, fits
from wallet.lanes import Answer
from wallet.setup import Setup

Result = TypeVar("Result", bound=msgspec.Struct)
R = TypeVar("R")

REFILL_ATTEMPTS = 3


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
        for _ in range(REFILL_ATTEMPTS):
            if answer.status != statuses.REFILL.number:
                break
            await self._refill(msgspec.json.decode(answer.body or "", type=Refill), item.b)
            answer = await self._lanes.post(item)
        if answer.status != statuses.DONE.number or answer.body is None:
            raise Refused.of(answer.status, replayed=answer.replayed)
        return Done(msgspec.json.decode(answer.body, type=kind), answer.replayed)

    async def _refill(self, refill: Refill, b: int) -> None:
        """Makes room in the slots beside a bucket, or raises sold out: the whole of the budget, in all cells, holds
        less than the amount. Nothing is remembered, so nobody is told so while there is enough; once the budget of a
        single cell is gathered the posting itself knows."""
        total = await self._value("SELECT vault.rebalance($1, $2, $3::smallint)", refill.budget, refill.amount, b)
        if total is None or total < refill.amount:
            raise Refused(statuses.SOLD_OUT)
