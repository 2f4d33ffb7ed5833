"""A published file, drawn again: every check by its name, with what was found.

Needs the file and nothing else. The file is read twice, as the seed is known only when the last entry was read; memory
is bounded by the number of prizes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import msgspec

from server.incentives.lottery import draw
from server.incentives.lottery.published import (
    ENTRY,
    Announcement,
    DrawLine,
    EndLine,
    ListLine,
    WinnerLine,
    line_of,
)

_LONGEST_LINE: Final = 1 << 20

Content = TypeVar("Content", Announcement, ListLine, DrawLine, WinnerLine)


class NotALottery(ValueError):
    """The file is none that was published by a lottery; the message says where."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise and whether the file keeps it; `found` says what is wrong."""

    name: str
    promise: str
    found: str = ""

    @property
    def holds(self) -> bool:
        """Whether nothing wrong was found."""
        return not self.found


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a file says, and whether it is true. `drawn` is false for a list that is not drawn yet."""

    announcement: Announcement
    listed: ListLine
    drawn: bool
    winners: int
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether there is a draw and every check holds."""
        return self.drawn and all(check.holds for check in self.checks)


@dataclass(slots=True)
class _List:
    """The first part of a file: what its entries really are."""

    announcement: Announcement
    link: bytes
    entries: int = 0
    tickets: int = 0
    wrong: str = ""
    last: bytes = b""

    def add(self, line: bytes) -> bool:
        """Takes an entry; False when the line is none."""
        match = ENTRY.fullmatch(line)
        if match is None:
            return False
        code, tickets = match[1], int(match[2])
        self.link = draw.next_link(self.link, (line,))
        self.entries += 1
        self.tickets += tickets
        if not self.wrong and code <= self.last:
            self.wrong = f"entry {self.entries}: {code.decode()} does not come after {self.last.decode()}"
        if not self.wrong and tickets > self.announcement.max_tickets:
            self.wrong = f"entry {self.entries}: {tickets} tickets, at most {self.announcement.max_tickets} are allowed"
        self.last = code
        return True


def verify(
    path: Path, *, commitment: str | None = None, digest: str | None = None, first: Path | None = None
) -> Verdict:
    """Draws again. `commitment` and `digest`: what was noted when they were published, as lower-case hex. `first`: of a
    second draw the file of the first, which is verified as well.

    Raises NotALottery, and OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        lines = _lines(file)
        said = next(lines, b"")
        announcement = _decode(said, Announcement, 1)
        found = _List(announcement, draw.first_link(said))
        line = next(lines, b"")
        while found.add(line):
            line = next(lines, b"")
        listed = _decode(line, ListLine, found.entries + 2)
        checks = [_entries(found), _listed(found, listed, line)]
        noted = ((commitment, announcement.commitment, "commitment"), (digest, listed.digest, "digest"))
        checks += [_noted(name, wanted, seen) for wanted, seen, name in noted if wanted is not None]
        checks += [] if first is None else _first(path, announcement, first)
        line = next(lines, b"")
        if not line:
            return Verdict(announcement, listed, False, 0, tuple(checks))
        drawn = _decode(line, DrawLine, found.entries + 3)
        checks += [_committed(announcement, drawn, line), _beacon(announcement, drawn)]
        seed = draw.seed_of(_bytes(drawn.secret), found.link, drawn.beacon or "")
        winners = _winners(path, announcement, seed)
        checks.append(_same(winners, lines))
    return Verdict(announcement, listed, True, len(winners), tuple(checks))


def _entries(found: _List) -> Check:
    promise = f"every entry stands once, in the order of codes, with 1 to {found.announcement.max_tickets} tickets"
    return Check("entries", promise, found.wrong)


def _listed(found: _List, listed: ListLine, line: bytes) -> Check:
    true = ListLine(found.entries, found.tickets, found.link.hex())
    wrong = "" if line == line_of(true) else f"the entries amount to {true}, the file says {listed}"
    return Check("digest", "the digest is the chain over the announcement and every entry", wrong)


def _noted(name: str, wanted: str, seen: str) -> Check:
    wrong = "" if wanted == seen else f"noted was {wanted}, the file says {seen}"
    return Check(f"noted_{name}", f"the {name} is the one that was noted", wrong)


def _committed(announcement: Announcement, drawn: DrawLine, line: bytes) -> Check:
    true = draw.commitment_of(_bytes(drawn.secret)).hex()
    wrong = "" if true == announcement.commitment else f"the secret's hash is {true}, not {announcement.commitment}"
    if not wrong and line != line_of(drawn):
        wrong = "the line of the secret is not written as published"
    return Check("commitment", "the secret is the one that was committed to", wrong)


def _beacon(announcement: Announcement, drawn: DrawLine) -> Check:
    kept = bool(drawn.beacon) == (announcement.beacon is not None)
    wrong = "" if kept else f"announced was {announcement.beacon!r}, the file says {drawn.beacon!r}"
    return Check("beacon", "there is an outside number if, and only if, one was announced", wrong)


def _first(path: Path, announcement: Announcement, first: Path) -> list[Check]:
    """What a second draw owes to the first: it names it, and its entries are those who won nothing there."""
    was = verify(first)
    wrong = "" if was.holds else ", ".join(one.name for one in was.checks if not one.holds) or "nothing is drawn yet"
    if announcement.second_of != was.announcement.id:
        wrong = (
            f"announced was a second draw of {announcement.second_of!r}, the first file is of {was.announcement.id!r}"
        )
    with path.open("rb") as ours, first.open("rb") as theirs:
        won = {_decode(line, WinnerLine, 0).code.encode() for line in _lines(theirs) if line.startswith(b'{"rank":')}
        theirs.seek(0)
        left = (entry[0] for entry in _entry_lines(theirs) if entry[1] not in won)
        both = zip_longest((entry[0] for entry in _entry_lines(ours)), left, fillvalue=b"nothing")
        differs = next(
            (f"{line.decode()} stands where {true.decode()} should" for line, true in both if line != true), ""
        )
    return [
        Check("first", "this is the second draw of that file, and that draw holds", wrong),
        Check("carried", "the entries are those of the first draw who won nothing, with their tickets", differs),
    ]


def _entry_lines(file: BinaryIO) -> Iterator[re.Match[bytes]]:
    lines = _lines(file)
    next(lines)
    for line in lines:
        match = ENTRY.fullmatch(line)
        if match is None:
            return
        yield match


def _same(winners: list[bytes], lines: Iterator[bytes]) -> Check:
    wrong = ""
    for number, true in enumerate([*winners, line_of(EndLine(len(winners)))], 1):
        line = next(lines, b"")
        if line != true:
            wrong = (
                f"winner {number}: the draw says {true.decode()}, the file {line[:200].decode('utf-8', 'replace')!r}"
            )
            break
    if not wrong and next(lines, None) is not None:
        wrong = "something stands after the end"
    return Check("winners", "the winners are those with the lowest scores, in order", wrong)


def _winners(path: Path, announcement: Announcement, seed: bytes) -> list[bytes]:
    scores, counts = draw.Scores(seed), announcement.counts()

    def scored(file: BinaryIO) -> Iterator[draw.Scored]:
        for entry in _entry_lines(file):
            yield scores.best(entry[1].decode(), int(entry[2]))

    with path.open("rb") as file:
        won = draw.lowest(scored(file), sum(count for _, count in counts))
    return [
        line_of(WinnerLine(rank, place, code, ticket))
        for (rank, place), (_, code, ticket) in zip(draw.places(counts), won, strict=False)
    ]


def _lines(file: BinaryIO) -> Iterator[bytes]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if not line.endswith(b"\n") or line == b"\n":
            raise NotALottery(f"line {number} is cut off, empty or too long")
        yield line[:-1]


def _decode(line: bytes, kind: type[Content], number: int) -> Content:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise NotALottery(f"line {number}: {problem}") from None


def _bytes(text: str) -> bytes:
    try:
        read = bytes.fromhex(text)
    except ValueError:
        read = b""
    if read.hex() != text:  # also capitals: one secret has one way of being written
        raise NotALottery("the secret is not written in lower-case hexadecimal digits")
    return read
