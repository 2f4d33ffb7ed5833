"""A table for an office: CSV that its programs open rightly, or an XLSX workbook, row by row in bounded memory.

A text that a spreadsheet would take for a formula is written as text: in CSV behind an apostrophe, in XLSX as a string
cell, which no program evaluates.
"""

from __future__ import annotations

import asyncio
import csv
import io
import tempfile
from collections.abc import AsyncIterator, Sequence
from typing import Final

from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

Cell = str | int | None
CSV: Final = "text/csv; charset=utf-8"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

#: With what a spreadsheet begins a formula (OWASP, CSV injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_PIECE: Final = 64 * 1024
_IN_MEMORY: Final = 2**20
#: What a sheet, and a cell, of these programs hold at most; a longer table goes on in a further sheet.
SHEET_ROWS: Final = 2**20
CELL_MAX: Final = 32_767
#: Larger numbers lose their last digits in a spreadsheet, which counts in doubles.
NUMBER_MAX: Final = 2**53


async def csv_pieces(rows: AsyncIterator[Sequence[Cell]]) -> AsyncIterator[bytes]:
    """The table as CSV in UTF-8 with a byte order mark, so that spreadsheets read Chinese."""
    text = io.StringIO("\ufeff")
    text.seek(0, io.SEEK_END)
    writer = csv.writer(text)
    async for row in rows:
        writer.writerow([_plain(cell) for cell in row])
        if text.tell() >= _PIECE:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


async def xlsx_pieces(rows: AsyncIterator[Sequence[Cell]]) -> AsyncIterator[bytes]:
    """The table as a workbook; it lies in a folder of its own until it is packed, as its directory comes last."""
    with (
        tempfile.TemporaryDirectory(prefix="chengxin-table-") as folder,
        tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=folder) as packed,
    ):
        book = Workbook(packed, {"constant_memory": True, "tmpdir": folder})
        try:
            sheet, line = book.add_worksheet(), 0
            async for row in rows:
                if line == SHEET_ROWS:
                    sheet, line = book.add_worksheet(), 0
                for place, cell in enumerate(row):
                    _write(sheet, line, place, cell)
                line += 1
        finally:
            await asyncio.to_thread(book.close)
        packed.seek(0)
        while piece := packed.read(_PIECE):
            yield piece


def _plain(cell: Cell) -> str | int:
    if cell is None:
        return ""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _write(sheet: Worksheet, line: int, place: int, cell: Cell) -> None:
    if isinstance(cell, int) and abs(cell) < NUMBER_MAX:
        sheet.write_number(line, place, cell)
    elif cell is not None and cell != "":
        sheet.write_string(line, place, str(cell)[:CELL_MAX])
