"""Sizes without single people: small cells are hidden, and so is one beside them, lest they be worked out.

A size below `floor` is not told (guard rail 21). Where any cell of a table is hidden, so is the first one behind it, in
the table's order, that is not small: what the total leaves over for both then allows a small cell everything below
`floor`. Which one it is depends on places only and not on sizes, so the choice itself tells nothing.

What is told is rounded down to a multiple of `floor`: two sizes subtracted from each other tell as little as one.
Coupons that a segment was given are counted to the last one, as budget and ledger count them: see `told_recipients`.
"""

from __future__ import annotations

from collections.abc import Sequence


def hidden_cells(counts: Sequence[int], floor: int) -> frozenset[int]:
    """The places of the cells of one table that may not be told."""
    small = [place for place, count in enumerate(counts) if count < floor]
    if not small:
        return frozenset()
    behind = ((small[0] + step) % len(counts) for step in range(1, len(counts)))
    beside = next((place for place in behind if counts[place] >= floor), small[0])
    return frozenset({*small, beside})


def told(counts: Sequence[int], floor: int) -> list[int | None]:
    """The cells of one table as they may be told; None for those that may not."""
    hidden = hidden_cells(counts, floor)
    return [None if place in hidden else _rounded(count, floor) for place, count in enumerate(counts)]


def told_total(total: int, floor: int) -> int | None:
    """A total as it may be told; None below `floor`."""
    return None if total < floor else _rounded(total, floor)


def told_recipients(members: int, owed: int, floor: int) -> int:
    """For how many members a segment's job is, as it may be told: what is written down already, and of the rest no
    more than a rounded size says."""
    return max(owed, _rounded(members, floor))


def _rounded(count: int, floor: int) -> int:
    return count - count % floor
