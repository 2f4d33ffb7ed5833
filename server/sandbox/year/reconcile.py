"""Two books held against each other: every figure of one must stand in the other, equal to the last fen and point."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from server.sandbox.year.account import Book


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure that is not the same in both books; None: the book does not have it."""

    book: str
    key: str
    figure: str
    expected: int | None
    seen: int | None

    def __str__(self) -> str:
        return f"{self.book} · {self.key} · {self.figure}: expected {self.expected}, seen {self.seen}"


def differences(name: str, expected: Book, seen: Book, figures: Iterable[str] | None = None) -> list[Difference]:
    """Where two books differ; `figures` narrows which are asked for. What either has and the other has not differs."""
    chosen = None if figures is None else frozenset(figures)
    found = []
    for key in sorted(expected.keys() | seen.keys()):
        mine, theirs = expected.get(key, {}), seen.get(key, {})
        names = mine.keys() | theirs.keys() if chosen is None else chosen
        found += [
            Difference(name, key, figure, mine.get(figure), theirs.get(figure))
            for figure in sorted(names)
            if mine.get(figure) is None or mine.get(figure) != theirs.get(figure)
        ]
    return found
