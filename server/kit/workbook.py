"""A table for an office: CSV that its programs open rightly, or an XLSX workbook of one sheet, row by row in bounded
memory.

A text that a spreadsheet would take for a formula is written as text: in CSV behind an apostrophe, in XLSX as an inline
string, which no program evaluates.
"""

from __future__ import annotations

import csv
import io
import tempfile
import zipfile
from collections.abc import AsyncIterator, Sequence
from typing import Final
from xml.sax.saxutils import escape

Cell = str | int | None
CSV: Final = "text/csv; charset=utf-8"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

#: With what a spreadsheet begins a formula (OWASP, CSV injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_PIECE: Final = 64 * 1024
_IN_MEMORY: Final = 2**20
_PARTS: Final = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/xl/workbook.xml"'
    ' ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
    '<Override PartName="/xl/worksheets/sheet1.xml"'
    ' ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>',
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Target="xl/workbook.xml"'
    ' Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>',
    "xl/workbook.xml": '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    ' xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
    '<sheets><sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Target="worksheets/sheet1.xml"'
    ' Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"/></Relationships>',
}
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_SHEET: Final = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'


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
    """The table as a workbook; it is packed into a temporary file first, as its directory comes last."""
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in _PARTS.items():
                packed.writestr(name, _HEAD + content)
            with packed.open("xl/worksheets/sheet1.xml", "w") as sheet:
                sheet.write((_HEAD + _SHEET).encode())
                line = 0
                async for row in rows:
                    line += 1
                    sheet.write(f'<row r="{line}">{"".join(map(_cell, row))}</row>'.encode())
                sheet.write(b"</sheetData></worksheet>")
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece


def _plain(cell: Cell) -> str | int:
    if cell is None:
        return ""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _cell(cell: Cell) -> str:
    if cell is None or cell == "":
        return "<c/>"
    if isinstance(cell, int):
        return f"<c><v>{cell}</v></c>"
    text = "".join(one for one in cell if one in "\t\n\r" or one >= " ")
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(text)}</t></is></c>'
