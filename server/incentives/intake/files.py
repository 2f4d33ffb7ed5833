"""Files of outside systems become batches: checked line by line, lines that are not fit named, residents found.

Who does not take part is counted and leaves no trace (guard rail 1); ID numbers are hashed as they are read, and never
stored or logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final

import msgspec

from server.incentives.commands import FIRST_DAY, Signed
from server.incentives.forgetting import forgotten_before
from server.incentives.intake.batches import BatchView, FactBatches, check_document
from server.incentives.intake.columns import ID_NUMBER, IMPORTED, RESIDENT, SOURCE_ID, Columns, Line, columns_of
from server.incentives.intake.errors import FactBatchEmpty, FactColumnsUnfit
from server.incentives.intake.models import FactBatch
from server.kit import sheets
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex
from server.kit.db import fetch, transaction
from server.kit.errors import InvalidField
from server.people.id_number import is_valid
from server.people.residents import ID_NUMBER_PURPOSE, clean_id_number

PAGE: Final = 2_000
#: Lines that were not taken are told one by one up to so many; all of them are counted.
LINES_TOLD: Final = 100
ID_MAX: Final = 2**63 - 1

# In the file's order, which is the order in which they are told: what somebody is given depends on it.
_LINE: Final = "WITH ORDINALITY u (who, source_id, at, attributes, place)"
_BY_ID: Final = f"unnest($2::bigint[], $3::text[], $4::timestamptz[], $5::text[]) {_LINE}"
_BY_NUMBER: Final = f"unnest($2::bytea[], $3::text[], $4::timestamptz[], $5::text[]) {_LINE}"
_STAGE: Final = """
WITH told AS (SELECT r.id, u.source_id, u.at, u.attributes, u.place FROM {lines} JOIN resident r ON r.{key} = u.who),
staged AS (INSERT INTO fact_line (batch_id, resident_id, source_id, occurred_at, attributes)
  SELECT $1, t.id, t.source_id, t.at, t.attributes::jsonb FROM told t ORDER BY t.place
  ON CONFLICT (batch_id, source_id) DO NOTHING RETURNING source_id)
SELECT t.source_id, s.source_id IS NOT NULL AS staged FROM told t LEFT JOIN staged s ON s.source_id = t.source_id
"""


@dataclass(slots=True)
class Taken:
    """How a file was taken in. `lines`: (line, column, reason) of what was not, the first hundred. reason: unreadable |
    in_future | too_old | unknown | repeated."""

    row: FactBatch
    lines: list[tuple[int, str, str]] = field(default_factory=list)

    def refuse(self, line: int, column: str, reason: str) -> None:
        """One line that was not taken."""
        count = "mistimed" if reason in ("in_future", "too_old") else reason
        setattr(self.row, count, getattr(self.row, count) + 1)
        if len(self.lines) < LINES_TOLD:
            self.lines.append((line, column, reason))


class FactFiles:
    """Takes files in, a page at a time; memory holds the file and one page."""

    def __init__(self, *, batches: FactBatches, clock: Clock, index: BlindIndex) -> None:
        self._batches, self._clock, self._index = batches, clock, index

    async def take(
        self, kind: str, source: str, document: str, content: bytes, signed: Signed
    ) -> tuple[BatchView, list[tuple[int, str, str]]]:
        """A new batch out of a file about one kind of fact, and the lines that were not taken. `source`: the outside
        system, in whose name its own ids are unique. Simulated, the same answer and nothing left. Raises InvalidField,
        SheetUnreadable, FactColumnsUnfit, FactBatchEmpty; then nothing is left either."""
        if kind not in IMPORTED:
            raise InvalidField(field="kind")
        check_document(document)
        rows = sheets.rows(content)
        heading = await asyncio.to_thread(next, rows, None)
        if heading is None:
            raise FactColumnsUnfit("没有表头")
        columns, oldest = columns_of(kind, heading[1]), await forgotten_before() or FIRST_DAY
        taken = Taken(await FactBatch.create(
            kind=kind, source=source, document=document, created_by=signed.admin_id, created_at=self._clock.now()
        ))  # fmt: skip
        try:
            while page := await asyncio.to_thread(_page, rows):
                await self._take_page(taken, columns, page, oldest)
            if not taken.row.taken:
                raise FactBatchEmpty(field="file")
            view = await self._written(taken.row, signed)
        except BaseException:
            await FactBatch.filter(id=taken.row.id).delete()
            raise
        return view, sorted(taken.lines)

    async def _written(self, row: FactBatch, signed: Signed) -> BatchView:
        if signed.simulate:
            await FactBatch.filter(id=row.id).delete()
            return await self._batches.unwritten(row)
        async with transaction() as tx:
            await self._batches.finish_writing(tx, row, signed)
        return await self._batches.get(row.id)

    async def _take_page(
        self, taken: Taken, columns: Columns, page: list[tuple[int, list[str]]], oldest: datetime
    ) -> None:
        now, zone = self._clock.now(), self._clock.zone
        line_of: dict[str, int] = {}
        fit: list[tuple[Line, int | bytes]] = []
        for line, cells in page:
            if not any(cell.strip() for cell in cells):
                continue
            read = columns.read(cells, zone, now, oldest)
            who = self._who(columns.person, read.who) if isinstance(read, Line) else None
            if not isinstance(read, Line):
                taken.refuse(line, read.column, read.reason)
            elif who is None:
                taken.refuse(line, columns.person, "unreadable")
            elif read.source_id in line_of:
                taken.refuse(line, SOURCE_ID, "repeated")
            else:
                line_of[read.source_id] = line
                fit.append((read, who))
        key, lines = (RESIDENT, _BY_ID) if columns.person == RESIDENT else ("id_number_hmac", _BY_NUMBER)
        prefix = f"{taken.row.source}:"
        found = await fetch(
            _STAGE.format(lines=lines, key="id" if key == RESIDENT else key), taken.row.id, [who for _, who in fit],
            [prefix + one.source_id for one, _ in fit], [one.occurred_at for one, _ in fit],
            [msgspec.json.encode(one.attributes).decode() for one, _ in fit],
        )  # fmt: skip
        staged = {row["source_id"]: row["staged"] for row in found}
        for source_id, line in line_of.items():
            if staged.get(prefix + source_id):
                taken.row.taken += 1
            elif prefix + source_id in staged:
                taken.refuse(line, SOURCE_ID, "repeated")
            else:
                taken.refuse(line, columns.person, "unknown")

    def _who(self, person: str, text: str) -> int | bytes | None:
        """What finds the resident; None when the cell holds no number of the kind."""
        if person == ID_NUMBER:
            number = clean_id_number(text)
            fits = is_valid(number, today=self._clock.today())
            return self._index.of(number, purpose=ID_NUMBER_PURPOSE) if fits else None
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= ID_MAX else None


def _page(rows: Iterator[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    return list(islice(rows, PAGE))
