"""Recipients named one by one: an uploaded file becomes a list of residents, each once, only of those who take part."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Final

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.commands import Signed
from server.incentives.grants.errors import RecipientListEmpty, RecipientListNotFound
from server.incentives.grants.models import RecipientList
from server.incentives.rows import plain
from server.incentives.simulation import change
from server.kit import audit, sheets
from server.kit.clock import Clock
from server.kit.db import fetch
from server.kit.errors import InvalidField

HEADINGS: Final = frozenset({"resident_id", "居民编号"})
PAGE: Final = 5_000
#: Lines that were not taken are told one by one up to so many; all of them are counted.
LINES_TOLD: Final = 100
ID_MAX: Final = 2**63 - 1
BROKEN_OFF: Final = timedelta(days=1)

_TAKE = """
INSERT INTO recipient (list_id, resident_id)
SELECT $1, r.id FROM unnest($2::bigint[]) x(id) JOIN resident r ON r.id = x.id
ON CONFLICT (list_id, resident_id) DO NOTHING RETURNING resident_id
"""
_CLEAR = """
UPDATE recipient_list l SET status = 'cleared' WHERE l.status = 'ready' AND l.created_at < $1
AND NOT EXISTS (SELECT FROM grant_job j WHERE j.list_id = l.id AND j.status IN ('requested', 'running', 'paused'))
AND NOT EXISTS (SELECT FROM fact_batch b WHERE b.list_id = l.id AND b.status IN ('requested', 'running'))
RETURNING id
"""
_FORGET = """
DELETE FROM recipient WHERE id IN (
  SELECT r.id FROM recipient_list l JOIN recipient r ON r.list_id = l.id
  WHERE l.status = 'cleared' OR (l.status = 'receiving' AND l.created_at < $1) LIMIT $2) RETURNING id
"""
_KNOWN = "SELECT id FROM resident WHERE id = ANY($1::bigint[])"
_PAGE = "SELECT resident_id FROM recipient WHERE list_id = $1 AND resident_id > $2 ORDER BY resident_id LIMIT $3"


@dataclass(slots=True)
class Taken:
    """How a file was taken in. `lines`: (line, reason) of what was not, the first hundred. reason: unreadable |
    unknown | repeated."""

    row: RecipientList
    lines: list[tuple[int, str]] = field(default_factory=list)

    def refuse(self, line: int, reason: str) -> None:
        """One line that was not taken."""
        setattr(self.row, reason, getattr(self.row, reason) + 1)
        if len(self.lines) < LINES_TOLD:
            self.lines.append((line, reason))


class RecipientLists:
    """Takes files in and reads them page by page; memory holds the file and one page."""

    def __init__(self, *, clock: Clock, kept: timedelta) -> None:
        self._clock, self._kept = clock, kept

    async def take(self, name: str, content: bytes, signed: Signed) -> Taken:
        """A new list out of a file with one resident id per line (see `server.kit.sheets`). Whoever does not take part
        is counted and gets no row anywhere. Raises SheetUnreadable and RecipientListEmpty; then no list is left, and
        none is when it is only simulated."""
        if not name.strip() or len(name) > 60 or not name.isprintable():
            raise InvalidField(field="name")
        taken = Taken(await RecipientList.create(name=name, created_by=signed.admin_id, created_at=self._clock.now()))
        lines = sheets.cells(content, HEADINGS)
        try:
            while page := await asyncio.to_thread(_next, lines):
                await self._take_page(taken, page)
            if not taken.row.taken:
                raise RecipientListEmpty(field="file")
        except BaseException:
            await RecipientList.filter(id=taken.row.id).delete()
            raise
        taken.row.status = "ready"
        async with change(signed) as tx:
            await taken.row.save(using_db=tx)
            await audit.record(
                tx, actor=signed.actor, action="recipient_list.created", object_kind="recipient_list",
                object_id=str(taken.row.id), before=None, after=_snapshot(taken.row), at=self._clock.now(),
                request_id=signed.request_id,
            )  # fmt: skip
        if signed.simulate:
            await RecipientList.filter(id=taken.row.id).delete()
        return taken

    async def get(self, list_id: int) -> RecipientList:
        """One list. Raises RecipientListNotFound."""
        row = await RecipientList.get_or_none(id=list_id)
        if row is None:
            raise RecipientListNotFound
        return row

    async def page(
        self, before_id: int | None, limit: int, status: str | None = None, text: str | None = None
    ) -> list[RecipientList]:
        """Up to `limit` lists with an id below `before_id`, newest first; `text`: a part of the name."""
        wanted = {"id__lt": before_id, "status": status, "name__icontains": text}
        chosen = RecipientList.filter(**{name: value for name, value in wanted.items() if value is not None})
        return await chosen.order_by("-id").limit(limit)

    async def _take_page(self, taken: Taken, page: list[tuple[int, str]]) -> None:
        line_of: dict[int, int] = {}
        for line, text in page:
            resident = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
            if not 0 < resident <= ID_MAX:
                taken.refuse(line, "unreadable")
            elif resident in line_of:
                taken.refuse(line, "repeated")
            else:
                line_of[resident] = line
        rows = await fetch(_TAKE, taken.row.id, list(line_of))
        taken.row.taken += len(rows)
        left = line_of.keys() - {row["resident_id"] for row in rows}
        known = {row["id"] for row in await fetch(_KNOWN, list(left))} if left else set()
        for resident in sorted(left, key=line_of.__getitem__):
            taken.refuse(line_of[resident], "repeated" if resident in known else "unknown")

    async def purge(self, limit: int) -> int:
        """Who was on a list is forgotten when its time is over and no job needs it; so is what an upload left that was
        broken off a day ago. Returns how many rows, at most `limit`."""
        now = self._clock.now()
        await fetch(_CLEAR, now - self._kept)
        return len(await fetch(_FORGET, now - BROKEN_OFF, limit))


async def members_after(tx: BaseDBAsyncClient, list_id: int, position: int, limit: int) -> list[int]:
    """The next residents of a list, by their ids."""
    return [row["resident_id"] for row in await fetch(_PAGE, list_id, position, limit, using=tx)]


def _next(lines: Iterator[tuple[int, str]]) -> list[tuple[int, str]]:
    return list(islice(lines, PAGE))


def _snapshot(row: RecipientList) -> dict[str, object]:
    return {
        name: plain(getattr(row, name)) for name in ("name", "status", "taken", "unknown", "repeated", "unreadable")
    }
