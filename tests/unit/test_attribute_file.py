"""Files of bands and towns: what is a file, what is none, and that nothing of a line is repeated."""

from __future__ import annotations

import io

import pytest

from server.people.attribute_file import FileUnfit, read_told
from server.people.attribute_import import Told

HEADER = "id_number,band,town\n"


def told(text: str) -> list[Told]:
    return list(read_told(io.StringIO(text, newline="")))


def test_columns_may_stand_in_any_order_and_be_chinese() -> None:
    assert told("镇街, 身份证号 \n华士镇,1\n") == [Told(2, "1", None, "华士镇")]
    assert told('BAND,ID_Number\n"A+",1\n\n,2\n') == [Told(2, "1", "A+", None), Told(4, "2", "", None)]


def test_a_line_is_named_by_where_it_ends_in_the_file() -> None:
    assert [one.line for one in told(HEADER + '1,A,"x\ny"\n2,A,\n')] == [3, 4]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "须有 id_number"),
        ("band,town\n", "须有 id_number"),
        ("id_number\n", "须有 id_number"),
        ("id_number,band,age\n1,A,30\n", "第3列不是可用的列"),
        ("id_number,band,信用等级\n", "有一列出现了两次"),
        (HEADER + "1,A\n", "第2行有2个字段, 表头有3个"),
        (HEADER + '1,A,x\n1,"A,x\n', "第3行无法读取"),
        (HEADER + "1," + "A" * 2_000 + ",x\n", "第2行无法读取"),
    ],
)
def test_what_is_no_file_of_attributes_is_refused_by_its_line(text: str, said: str) -> None:
    with pytest.raises(FileUnfit, match=said) as refused:
        told(text)
    assert "30" not in str(refused.value)


def test_another_encoding_is_said_so() -> None:
    raw = io.TextIOWrapper(io.BytesIO("身份证号,镇街\n1,华士镇\n".encode("gb18030")), encoding="utf-8", newline="")
    with pytest.raises(FileUnfit, match="编码"):
        list(read_told(raw))
