"""Bodies of the public routes; a line of a file of heads has the same form as an answer."""

from __future__ import annotations

import re
from datetime import date, datetime

from msgspec import Struct, field

from server.kit.errors import InvalidField
from wallet.seals import Head

MOST_DAYS = 366
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class HeadsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Days from `from` to `to`, both included, at most 366; without them the last 31 days that are over."""

    first: date | None = field(name="from", default=None)
    last: date | None = field(name="to", default=None)


class HeadReply(Struct, frozen=True):
    """The ledger at the end of a city day. `root` is the hash of everything booked so far (see docs/ledger.md);
    `totals` are the sums of the legs of all `rows`, which may hold a few rows of the next day."""

    day: date
    n: str
    root: str
    rows: int
    totals: dict[str, int]
    sealed_at: datetime


class HeadsReply(Struct, frozen=True):
    items: list[HeadReply]


def head_reply(head: Head) -> HeadReply:
    """A head as anybody may see it."""
    return HeadReply(head.day, str(head.n), head.root, head.rows, head.totals, head.sealed_at)


def day_of(text: str, name: str) -> date:
    """A day as it stands in a path. Raises InvalidField."""
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidField(field=name)
