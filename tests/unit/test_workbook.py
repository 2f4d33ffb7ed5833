"""Tables that leave for an office: what is written is what is read, and nothing is evaluated."""

from __future__ import annotations

import csv
import io
import os
import tempfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from openpyxl import load_workbook

from server.kit import workbook
from server.kit.sheets import cells
from server.kit.workbook import Cell, csv_pieces, xlsx_pieces

ROWS: list[tuple[Cell, ...]] = [
    ("名称", "数量", "备注"), ("早餐券", 12, None), ("=1+1", -5, "+86"), ("@SUM(A1)", 0, "a<b>&\"c\"\x07"), ("\t=1",
    7, "-"),
]  # fmt: skip


async def rows(times: int = 1) -> AsyncIterator[tuple[Cell, ...]]:
    for row in ROWS * times:
        yield row


async def test_csv_is_read_as_chinese_and_formulas_stand_behind_an_apostrophe() -> None:
    content = b"".join([piece async for piece in csv_pieces(rows())])
    assert content.startswith(b"\xef\xbb\xbf")
    read = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    assert read[1:4] == [["早餐券", "12", ""], ["'=1+1", "-5", "'+86"], ["'@SUM(A1)", "0", 'a<b>&"c"\x07']]
    assert read[4] == ["'\t=1", "7", "'-"]


def read(content: bytes) -> list[list[list[object]]]:
    """Every sheet's cells as another library reads them; what it takes for a formula is refused."""
    book = load_workbook(io.BytesIO(content))
    cells = [[list(row) for row in sheet.iter_rows()] for sheet in book.worksheets]
    assert {cell.data_type for sheet in cells for row in sheet for cell in row} <= {"s", "n"}
    return [[[cell.value for cell in row] for row in sheet] for sheet in cells]


async def test_a_workbook_holds_texts_as_texts_and_numbers_as_numbers() -> None:
    content = b"".join([piece async for piece in xlsx_pieces(rows())])
    [sheet] = read(content)
    assert sheet[:3] == [["名称", "数量", "备注"], ["早餐券", 12, None], ["=1+1", -5, "+86"]]
    assert sheet[3:] == [["@SUM(A1)", 0, 'a<b>&"c"_x0007_'], ["\t=1", 7, "-"]]
    assert [text for _, text in cells(content, {"名称"})] == ["早餐券", "=1+1", "@SUM(A1)", "=1"]
    assert b"<f>" not in zipfile.ZipFile(io.BytesIO(content)).read("xl/worksheets/sheet1.xml")


async def test_a_number_too_long_for_a_spreadsheet_is_told_to_its_last_digit() -> None:
    async def one() -> AsyncIterator[tuple[Cell, ...]]:
        yield 2**53 - 1, 2**53, -(2**63), "长" * 40_000

    [[row]] = read(b"".join([piece async for piece in xlsx_pieces(one())]))
    assert row == [2**53 - 1, str(2**53), str(-(2**63)), "长" * 32_767]


async def test_a_table_longer_than_a_sheet_goes_on_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "SHEET_ROWS", 4)
    sheets = read(b"".join([piece async for piece in xlsx_pieces(rows(2))]))
    assert [len(sheet) for sheet in sheets] == [4, 4, 2]
    assert sheets[1][0][0] == "\t=1"


async def test_a_workbook_that_nobody_waits_for_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def broken() -> AsyncIterator[tuple[Cell, ...]]:
        yield ("一",)
        raise ConnectionError

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ConnectionError):
        [piece async for piece in xlsx_pieces(broken())]
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_a_long_table_leaves_in_pieces() -> None:
    pieces = [piece async for piece in csv_pieces(rows(5_000))]
    assert len(pieces) > 3
    assert max(map(len, pieces)) < 3 * 64 * 1024
