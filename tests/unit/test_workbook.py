"""Tables that leave for an office: what is written is what is read, and nothing is evaluated."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator

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


async def test_a_workbook_holds_texts_as_texts() -> None:
    content = b"".join([piece async for piece in xlsx_pieces(rows())])
    assert [text for _, text in cells(content, {"名称"})] == ["早餐券", "=1+1", "@SUM(A1)", "=1"]
    assert [text for _, text in cells(content, {"备注"})] == ["+86", 'a<b>&"c"', "-"]
    assert [text for _, text in cells(content, {"数量"})] == ["12", "-5", "0", "7"]


async def test_a_long_table_leaves_in_pieces() -> None:
    pieces = [piece async for piece in csv_pieces(rows(5_000))]
    assert len(pieces) > 3
    assert max(map(len, pieces)) < 3 * 64 * 1024
