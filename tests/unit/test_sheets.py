"""Files as offices make them: encodings, headings, workbooks, and what is none of these."""

from __future__ import annotations

import io
import zipfile

import pytest

from server.kit import sheets
from server.kit.sheets import SheetUnreadable

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def read(content: bytes, *headings: str) -> list[tuple[int, str]]:
    return list(sheets.cells(content, headings or ("code", "兑换码")))


def workbook(rows: str, *, shared: str = "", target: str = "worksheets/sheet7.xml") -> bytes:
    """The least that a spreadsheet program writes, with this content in the first sheet."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets><sheet name="名单" sheetId="1" r:id="rId3"/>'
            f'<sheet name="2" sheetId="2" r:id="rId1"/></sheets></workbook>',
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{PACKAGE}"><Relationship Id="rId1" Target="worksheets/other.xml"/>'
            f'<Relationship Id="rId3" Target="{target}"/></Relationships>',
        )
        book.writestr(
            "xl/worksheets/sheet7.xml", f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>'
        )
        if shared:
            book.writestr("xl/sharedStrings.xml", f'<sst xmlns="{MAIN}">{shared}</sst>')
    return made.getvalue()


def test_a_column_without_a_heading_is_the_first_from_the_first_line() -> None:
    assert read(b"A1,x\r\n\r\n B2 ,y\nC3") == [(1, "A1"), (3, "B2"), (4, "C3")]


def test_a_heading_names_the_column_wherever_it_stands() -> None:
    assert read("序号,兑换码\n1,A1\n2,\n3\n4,B2\n".encode()) == [(2, "A1"), (5, "B2")]
    assert read(b"n, Code \n1,A1\n") == [(2, "A1")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_the_encodings_that_offices_use_are_read(encoding: str) -> None:
    assert read("兑换码,备注\nA1,春节\n".encode(encoding)) == [(2, "A1")]


def test_quoted_cells_and_lines_within_them_keep_the_file_s_numbers() -> None:
    assert read(b'"A,1"\n"B\n2"\nC3\n') == [(1, "A,1"), (3, "B\n2"), (4, "C3")]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01", b"A\0B", b"PK\x03\x04nothing", b"\x81"])
def test_what_is_no_text_and_no_workbook_is_refused(content: bytes) -> None:
    with pytest.raises(SheetUnreadable):
        read(content)


def test_a_workbook_s_first_sheet_is_read_with_every_kind_of_cell() -> None:
    shared = "<si><t>兑换码</t></si><si><r><t>A</t></r><r><t>1</t></r><rPh><t>aloud</t></rPh></si>"
    rows = (
        '<row r="1"><c r="A1" t="inlineStr"><is><t>序号</t></is></c><c r="B1" t="s"><v>0</v></c></row>'
        '<row r="3"><c r="B3" t="s"><v>1</v></c></row>'
        '<row r="4"><c r="A4"><v>7</v></c><c r="B4"><v>1001.0</v></c></row>'
        '<row r="5"><c r="A5"><v>8</v></c></row>'
        '<row r="6"><c r="B6" t="str"><v>C3</v></c></row>'
    )
    assert read(workbook(rows, shared=shared)) == [(3, "A1"), (4, "1001"), (6, "C3")]
    assert read(workbook(rows, shared=shared, target="/xl/worksheets/sheet7.xml")) == [
        (3, "A1"),
        (4, "1001"),
        (6, "C3"),
    ]


@pytest.mark.parametrize("rows", ["<row r='1'><c t='s'><v>5</v></c></row>", "<row r='1'>", "<row><c/></row>"])
def test_a_broken_workbook_is_refused(rows: str) -> None:
    with pytest.raises(SheetUnreadable):
        read(workbook(rows))


def test_a_workbook_that_would_unpack_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = workbook('<row r="1"><c t="inlineStr"><is><t>A1</t></is></c></row>')
    assert read(content) == [(1, "A1")]
    monkeypatch.setattr(sheets, "UNPACKED_MAX", 100)
    with pytest.raises(SheetUnreadable):
        read(content)


def test_entities_that_unfold_to_many_times_their_size_are_broken_off() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 20}">' for n in range(1, 8))
    bomb = f'<!DOCTYPE worksheet [<!ENTITY e0 "aaaaaaaaaa">{entities}]>'
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook(""))) as plain, zipfile.ZipFile(made, "w") as book:
        for name in plain.namelist():
            text = plain.read(name).decode()
            if "sheet7" in name:
                text = bomb + text.replace("</sheetData>", '<row r="1"><c t="str"><v>&e7;</v></c></row></sheetData>')
            book.writestr(name, text)
    with pytest.raises(SheetUnreadable):
        read(made.getvalue())
