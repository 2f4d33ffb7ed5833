"""The published file: JSON lines. Every byte follows from the announcement, the entries, the secret and the beacon.

{"format":"chengxin-lottery/1","id":…,"commitment":…}     the announcement, as published before the draw
{"code":"0123456789ABCDEFGHJK","tickets":1}               the entries, by code; from the closing on
{"entries":1,"tickets":1,"digest":"…"}                    what the entries amount to
{"secret":"…","beacon":null}                              from the draw on
{"rank":1,"place":1,"code":"…","ticket":1}                the winners, in order
{"winners":1}
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

import msgspec
from msgspec import Struct

CODE: Final = "[0-9A-HJKMNP-TV-Z]{20}"
ENTRY: Final = re.compile(rb'\{"code":"(' + CODE.encode() + rb')","tickets":([1-9][0-9]{0,2})\}')
_CODE: Final = re.compile(CODE)
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Prize(Struct, frozen=True, forbid_unknown_fields=True):
    """What the winners of one rank get: a coupon of a template, `count` times."""

    rank: int
    name: str
    template_id: str
    count: int


class Announcement(Struct, frozen=True, forbid_unknown_fields=True):
    """What is published before the draw. `beacon` names the outside number, null when there is none; `commitment` is
    the SHA-256 of the secret; `second_of` the lottery whose undelivered prizes are drawn once more, null for none."""

    format: Literal["chengxin-lottery/1"]
    id: str
    title: str
    rules: str
    opens_at: datetime
    closes_at: datetime
    draw_at: datetime
    max_tickets: int
    prizes: list[Prize]
    beacon: str | None
    commitment: str
    published_at: datetime
    second_of: str | None = None

    def counts(self) -> list[tuple[int, int]]:
        """(rank, prizes) by rank."""
        return prize_counts(self.prizes)


class ListLine(Struct, frozen=True, forbid_unknown_fields=True):
    """How many entries and tickets there are, and the end of their chain."""

    entries: int
    tickets: int
    digest: str


class DrawLine(Struct, frozen=True, forbid_unknown_fields=True):
    """What makes the list a draw: the secret, and the outside number when one was named."""

    secret: str
    beacon: str | None


class WinnerLine(Struct, frozen=True, forbid_unknown_fields=True):
    """`place` counts within its rank; `ticket` is the number of the ticket that won."""

    rank: int
    place: int
    code: str
    ticket: int


class EndLine(Struct, frozen=True, forbid_unknown_fields=True):
    winners: int


def prize_counts(prizes: Iterable[Prize]) -> list[tuple[int, int]]:
    """(rank, prizes) by rank."""
    return sorted((prize.rank, prize.count) for prize in prizes)


def line_of(content: Announcement | ListLine | DrawLine | WinnerLine | EndLine) -> bytes:
    """A line without its newline."""
    return msgspec.json.encode(content)


def entry_line(code: str, tickets: int) -> bytes:
    """The line of an entry without its newline."""
    return b'{"code":"%b","tickets":%d}' % (code.encode(), tickets)


def code_of(keyed_hash: bytes) -> str:
    """The anonymous code of an entry: the first 100 bits of a keyed hash, in letters and digits that are not mixed
    up."""
    number = int.from_bytes(keyed_hash[:13], "big") >> 4
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(95, -1, -5))


def is_code(text: str) -> bool:
    """Whether a text may be the code of an entry."""
    return _CODE.fullmatch(text) is not None
