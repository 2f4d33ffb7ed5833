"""The file of `chengxin import-bands`: CSV with a header, read line by line, never held in memory.

    id_number,band,town         or the Chinese names: 身份证号,信用等级,镇街
    32028119900101001X,A+,澄江街道

The ID number is required, and at least one of the others; an empty field says nothing. Other columns are refused: what
is not wanted is not taken in (guard rail 4).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Final, TextIO

from server.people.attribute_import import Told

COLUMNS: Final = {
    "id_number": "id_number", "身份证号": "id_number",
    "band": "band", "信用等级": "band",
    "town": "town", "镇街": "town",
}  # fmt: skip
#: No field of ours is longer; a file whose quotes do not close is not read whole.
FIELD_MAX: Final = 1_000


class FileUnfit(ValueError):
    """The file cannot be read as such; the message says in which line, and repeats nothing of it."""


def read_told(file: TextIO) -> Iterator[Told]:
    """The lines of a file that was opened with newline="". Raises FileUnfit, for a wrong header at once."""
    csv.field_size_limit(FIELD_MAX)
    rows = csv.reader(file, strict=True)
    try:
        header = next(rows, None)
        places = _places(header or [])
        return _lines(rows, places, len(header or []))
    except (csv.Error, UnicodeError):
        raise FileUnfit("第1行无法读取: 请确认是 CSV 文件, 编码是否正确") from None


def _places(header: list[str]) -> dict[str, int]:
    names = [COLUMNS.get(name.strip().lower()) for name in header]
    if None in names:
        raise FileUnfit(f"第{names.index(None) + 1}列不是可用的列; 可用的列: {', '.join(COLUMNS)}")
    if len(set(names)) < len(names):
        raise FileUnfit("有一列出现了两次")
    if "id_number" not in names or len(names) < 2:
        raise FileUnfit("须有 id_number (身份证号) 一列, 以及 band (信用等级) 或 town (镇街)")
    return {name: place for place, name in enumerate(names) if name}


def _lines(rows: Iterator[list[str]], places: dict[str, int], width: int) -> Iterator[Told]:
    reader_line = getattr(rows, "line_num", 1)
    try:
        for row in rows:
            reader_line = getattr(rows, "line_num", reader_line + 1)
            if not row:
                continue
            if len(row) != width:
                raise FileUnfit(f"第{reader_line}行有{len(row)}个字段, 表头有{width}个")
            cells = {name: row[place].strip() for name, place in places.items()}
            yield Told(reader_line, cells["id_number"], cells.get("band"), cells.get("town"))
    except (csv.Error, UnicodeError):
        raise FileUnfit(f"第{reader_line + 1}行无法读取: 请确认是 CSV 文件, 编码是否正确") from None
