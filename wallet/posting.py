"""One posting: an item goes through the lanes, and its answer becomes a result or a refusal.

A budget whose slot is too low is laid out again and the same item sent once more, at most three times for each of its
budgets (D8), before those that came after it. So is an item whose counters are not open yet, after they were opened,
and one whose counters the vault has not looked for. A whole batch may ask for the same budget: what asks while it is
laid out shares the next time.
"""

from __future__ import annotations

import itertools
import secrets
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import asyncpg
import msgspec

from wallet import statuses
from wallet.cells import Cells
from wallet.directories import Directory
from wallet.errors import Refused
from wallet.items import Item, PlaceLimit, Refill, fits
from wallet.lanes import Answer
from wallet.setup import Setup

Result = TypeVar("Result", bound=msgspec.Struct)
R = TypeVar("R")

REFILL_ATTEMPTS = 3
#: Beside refills: its counters are looked for, and opened. A day that ends meanwhile asks for both once more.
COUNTER_ATTEMPTS = 4
#: The vault gathers a budget that holds less than so many times its slots times the amount (D4).
GATHERED_BELOW = 4
WHATEVER_IT_HOLDS = 10**15


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
        self._layings: dict[tuple[int, int, int, bool], Directory[int]] = {}
        self._asked = itertools.count()

    @property
    def lanes(self) -> Cells:
        """For figures: queue depth, batches and items sent."""
        return self._lanes

    async def _post(self, item: Item, kind: type[Result]) -> Done[Result]:
        if not fits(item):
            raise Refused(statuses.INVALID)
        answer: Answer = await self._lanes.post(item)
        asked: Counter[int | None] = Counter()
        while answer.status == statuses.REFILL.number:
            wanted = msgspec.json.decode(answer.body or "", type=Refill)
            asked[wanted.budget] += 1
            if asked[wanted.budget] > (COUNTER_ATTEMPTS if wanted.budget is None else REFILL_ATTEMPTS):
                break
            prepare = partial(self._prepare, wanted, item, gather=asked[wanted.budget] > 1)
            answer = await self._lanes.post_again(item, prepare, held=wanted.budget is not None)
        if answer.status == statuses.LIMIT_REACHED.number and answer.body:
            raise Refused(statuses.LIMIT_REACHED, limit=msgspec.json.decode(answer.body, type=PlaceLimit))
        if answer.status != statuses.DONE.number or answer.body is None:
            raise Refused.of(answer.status, replayed=answer.replayed)
        return Done(msgspec.json.decode(answer.body, type=kind), answer.replayed)

    async def _prepare(self, wanted: Refill, item: Item, *, gather: bool) -> None:
        """Makes room in the slots beside the item's bucket, or raises sold out, or limit reached: the whole of the
        budget, in all cells, holds less than the amount. Nothing is remembered, so nobody is told so while there is
        enough; once the budget of a single cell is gathered the posting itself knows. `gather`: all of it into one
        slot, for an item that met an empty one twice. Else has the item's counters opened, or looked for."""
        if wanted.budget is None:
            for one in wanted.missing:
                await self.open_counter(one)
            item.counted = True
            return
        if await self._lay_out(wanted.budget, wanted.amount, item.b, gather=gather) < wanted.amount:
            full = statuses.LIMIT_REACHED if wanted.limit else statuses.SOLD_OUT
            raise Refused(full, limit=wanted.limit)

    async def _lay_out(self, budget: int, amount: int, b: int, *, gather: bool) -> int:
        """What the whole budget holds, laid out beside a bucket after this was asked; 0 for one that does not exist. It
        is gathered when the slots would hold less than those who wait for it want together, or the next two calls could
        take, so that they are all served next and do not empty the slots in turn."""
        where = (budget, amount, self._lanes.cell_of(b), gather)

        async def lay(waiting: list[int]) -> list[tuple[int, int]]:
            soon = max(len(waiting), min(self._lanes.depth, 2 * self._lanes.batch_limit))
            wanted = WHATEVER_IT_HOLDS if gather else max(amount, -(-amount * soon // GATHERED_BELOW))
            rows = await self._rows("SELECT vault.rebalance($1, $2, $3::smallint)", budget, wanted, b)
            return [(one, rows[0][0] or 0) for one in waiting]

        laying = self._layings.get(where)
        if laying is None:
            laying = self._layings[where] = Directory(lay)
        try:
            row: tuple[int, int] = await laying.find(next(self._asked))
        finally:
            if laying.idle and self._layings.get(where) is laying:
                del self._layings[where]
        return row[1]

    async def open_counter(self, limit: PlaceLimit) -> None:
        """Opens the counter of a limit at a place for a period, as large as the limit's terms say; one that is open
        stays as it is. `period_start` may be any day of the period."""
        fresh = -1 - secrets.randbelow(2**62)
        sql = "SELECT vault.open_counter($1, $2, $3, $4, $5::smallint)"
        await self._value(sql, fresh, limit.limit_id, limit.place, limit.period_start, self._budget_slots)
