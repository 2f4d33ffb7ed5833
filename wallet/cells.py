"""Lanes for every cell: a call goes to one node of the database, so it holds residents of one cell (docs/scaling.md).

    callers ──post(item)──▶ Cells ──▶ the lanes of the cell that holds the item's bucket

With one node there is one cell, and one set of lanes. Each cell has a queue and connections of its own, so a node that
is slow or gone makes nobody wait whose wallet lies on another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from wallet.items import Item
from wallet.lanes import Answer, Figures, Lanes


class Cells:
    """Sends each item through the lanes of its cell.

    `cell_of`: the cell of each bucket, as the database says; `lanes_of` makes the lanes of one cell, which add to the
    figures they are given."""

    def __init__(self, cell_of: Sequence[int], lanes_of: Callable[[Figures], Lanes]) -> None:
        figures = Figures()
        by_cell = {cell: lanes_of(figures) for cell in sorted(set(cell_of))}
        self._cell_of = list(cell_of)
        self._of_bucket = [by_cell[cell] for cell in cell_of]
        self._all = list(by_cell.values())
        self.counts, self.calls = figures.counts, figures.calls

    async def open(self) -> None:
        """Connects all lanes; raises `VaultUnavailable` when one cannot be."""
        for lanes in self._all:
            await lanes.open()

    async def close(self) -> None:
        """Sends what is queued everywhere, then ends the lanes."""
        await asyncio.gather(*(lanes.close() for lanes in self._all))

    def cell_of(self, b: int) -> int:
        """The cell of a bucket."""
        return self._cell_of[b]

    async def post(self, item: Item) -> Answer:
        """The vault's answer to one item; see `Lanes.post`."""
        return await self._of_bucket[item.b].post(item)

    async def post_again(self, item: Item, prepare: Callable[[], Awaitable[None]], *, held: bool) -> Answer:
        """The vault's answer to one that it wanted once more; see `Lanes.post_again`."""
        return await self._of_bucket[item.b].post_again(item, prepare, held=held)

    @property
    def depth(self) -> int:
        """How many items are waiting now."""
        return sum(lanes.depth for lanes in self._all)

    @property
    def dropped(self) -> int:
        """How many items were never sent, because their callers hung up while they waited."""
        return sum(lanes.dropped for lanes in self._all)

    @property
    def batch_limit(self) -> int:
        """How many items a call may carry now, in the slowest cell."""
        return min(lanes.batch_limit for lanes in self._all)
