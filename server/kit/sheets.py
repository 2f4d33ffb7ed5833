"""Files that an office uploads: CSV in UTF-8 or GB18030, or the first sheet of an XLSX workbook; rows, or one column.

A row that holds one of the wanted headings in one of its cells names the column; without such a first row the first
column is taken, from the first row on. Empty cells are passed over. Line numbers are those the office sees, from 1.

    cells(content, {"code", "兑换码"}) ──> (2, "AB12"), (3, "CD34"), …        rows(content) ──> (1, ["code", …]), …
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Collection, Iterator, Sequence
from typing import IO, Final, Literal
from xml.etree.ElementTree import Element, ParseError, iterparse

from server.kit.errors import AppError

#: What a workbook's parts may unpack to: a small file must not become a large one in memory.
UNPACKED_MAX: Final = 512 * 2**20
CELL_MAX: Final = 1_000

_ZIP: Final = b"PK\x03\x04"
_MAIN: Final = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_OFFICE: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_COLUMN: Final = re.compile(r"[A-Z]+")
_WHOLE: Final = re.compile(r"^-?[0-9]+\.0+$")

Cells = Iterator[tuple[int, str]]
Rows = Iterator[tuple[int, list[str]]]


class SheetUnreadable(AppError):
    code, status, message = "sheet_unreadable", 400, "无法读取文件，请上传 CSV（UTF-8 或 GB18030）或 XLSX 文件"


def cells(content: bytes, headings: Collection[str]) -> Cells:
    """The wanted column, line by line, trimmed. Raises `SheetUnreadable`, at the latest where the file breaks off."""
    wanted = {heading.casefold() for heading in headings}
    column = 0
    for place, (line, row) in enumerate(rows(content)):
        if place == 0:
            named = [n for n, cell in enumerate(row) if cell.strip().casefold() in wanted]
            if named:
                column = named[0]
                continue
        cell = row[column].strip() if column < len(row) else ""
        if cell:
            yield line, cell[:CELL_MAX]


def rows(content: bytes) -> Rows:
    """All of the first sheet, row by row, as it stands. Raises `SheetUnreadable`, at the latest where it breaks off."""
    return _workbook_rows(content) if content[:4] == _ZIP else _text_rows(content)


def _text_rows(content: bytes) -> Rows:
    encoding = _encoding(content)
    text = io.TextIOWrapper(io.BytesIO(content), encoding=encoding, newline="")
    reader = csv.reader(text)
    try:
        for row in reader:
            yield reader.line_num, row
    except (csv.Error, UnicodeDecodeError):
        raise SheetUnreadable(field="file") from None


def _encoding(content: bytes) -> str:
    """UTF-8 when all of it is; a spreadsheet program in China writes GB18030."""
    for encoding in ("utf-8-sig", "gb18030"):
        text = io.TextIOWrapper(io.BytesIO(content), encoding=encoding)
        try:
            while piece := text.read(2**20):
                if "\0" in piece:
                    raise SheetUnreadable(field="file")
        except UnicodeDecodeError:
            continue
        return encoding
    raise SheetUnreadable(field="file")


def _workbook_rows(content: bytes) -> Rows:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            if sum(part.file_size for part in book.infolist()) > UNPACKED_MAX:
                raise SheetUnreadable(field="file")
            shared = _shared_texts(book)
            with book.open(_first_sheet(book)) as sheet:
                yield from _sheet_rows(sheet, shared)
    except (zipfile.BadZipFile, KeyError, ParseError, ValueError, IndexError, NotImplementedError, EOFError):
        raise SheetUnreadable(field="file") from None


def _parsed(part: IO[bytes], events: Sequence[Literal["start", "end"]] = ("end",)) -> Iterator[tuple[str, Element]]:
    """A part's elements as they end. Entities from elsewhere are never fetched, and expat (2.4.1 and later) breaks off
    what would unfold to many times its size."""
    yield from iterparse(part, events=events)  # noqa: S314


def _first_sheet(book: zipfile.ZipFile) -> str:
    """The path of the sheet that stands first in the workbook, whatever it is called."""
    with book.open("xl/workbook.xml") as part:
        first = next(one for _, one in _parsed(part) if one.tag == f"{_MAIN}sheet")
    relation = first.attrib[f"{_OFFICE}id"]
    with book.open("xl/_rels/workbook.xml.rels") as part:
        target = next(one.attrib["Target"] for _, one in _parsed(part) if one.attrib.get("Id") == relation)
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def _shared_texts(book: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in book.namelist():
        return []
    texts = []
    with book.open("xl/sharedStrings.xml") as part:
        for _, one in _parsed(part):
            if one.tag == f"{_MAIN}si":
                texts.append(_text_of(one))
                one.clear()
    return texts


def _sheet_rows(part: IO[bytes], shared: list[str]) -> Rows:
    """Row by row; what was read is let go, so that a long sheet takes no more memory than a short one."""
    holder: Element | None = None
    for event, one in _parsed(part, ("start", "end")):
        if event == "start":
            holder = one if one.tag == f"{_MAIN}sheetData" else holder
        elif one.tag == f"{_MAIN}row":
            row: list[str] = []
            for cell in one:
                place = _place(cell.attrib.get("r", ""), len(row))
                row += [""] * (place - len(row)) + [_cell(cell, shared)]
            yield int(one.attrib["r"]), row
            if holder is not None:
                holder.clear()


def _place(reference: str, following: int) -> int:
    """The column of a cell such as `AB12`, counted from 0; cells without a reference follow one another."""
    letters = _COLUMN.match(reference)
    if letters is None:
        return following
    place = 0
    for letter in letters[0][:3]:
        place = place * 26 + ord(letter) - 64
    return place - 1


def _cell(cell: Element, shared: list[str]) -> str:
    kind = cell.attrib.get("t", "n")
    if kind == "inlineStr":
        return _text_of(cell)
    value = cell.findtext(f"{_MAIN}v") or ""
    if kind == "s":
        return shared[int(value)]
    return value.partition(".")[0] if kind == "n" and _WHOLE.match(value) else value


def _text_of(one: Element) -> str:
    """All of a text's runs; what is only said aloud beside them is no part of it."""
    spoken = {id(text) for aloud in one.iter(f"{_MAIN}rPh") for text in aloud.iter(f"{_MAIN}t")}
    return "".join(text.text or "" for text in one.iter(f"{_MAIN}t") if id(text) not in spoken)
