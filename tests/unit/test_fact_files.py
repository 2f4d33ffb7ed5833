"""Files of facts: columns of the catalogue and no other, cells as offices write them, and instants in the city."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from server.incentives.intake.columns import IMPORTED, Columns, Line, Unfit, columns_of, moment
from server.incentives.intake.errors import FactColumnsUnfit
from server.incentives.rules import FACTS

CITY = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
HOURS = "volunteer_hours_recorded"
ENGLISH = ["resident_id", "source_id", "occurred_at", "minutes", "project_id"]
LATER = "2026-06-01 08:00:01"  # one second after now, in the city
CHINESE = ["志愿项目编号", "身份证号", "来源编号", "发生时间", " 服务时长 ", ""]


def read(cells: list[str], columns: Columns | None = None) -> Line | Unfit:
    return (columns or columns_of(HOURS, ENGLISH)).read(cells, CITY, NOW)


def test_columns_are_known_by_either_name_in_any_order() -> None:
    read_by = columns_of(HOURS, CHINESE)
    assert read_by.person == "id_number"
    line = read(["P-7", "32028119900101001X", "a-1", "2026/5/4 8:30", "90", "x"], read_by)
    assert line == Line(
        "32028119900101001X", "a-1", datetime(2026, 5, 4, 0, 30, tzinfo=UTC), {"minutes": 90, "project_id": "P-7"}
    )
    assert read(["7", "a-1", "2026-05-04", "90"]) == Line(
        "7", "a-1", datetime(2026, 5, 3, 16, tzinfo=UTC), {"minutes": 90}
    ), "a code may be missing"


@pytest.mark.parametrize("kind", IMPORTED)
def test_every_imported_kind_is_in_the_catalogue_and_can_be_read(kind: str) -> None:
    names = list(FACTS[kind].attributes)
    columns = columns_of(kind, ["居民编号", "来源编号", "发生时间", *names])
    line = columns.read(["7", "a", "2026-05-04", *("1" for _ in names)], CITY, NOW)
    assert isinstance(line, Line)
    assert set(line.attributes) == set(names)


def test_what_happened_before_the_border_is_not_taken_in() -> None:
    columns, border = columns_of(HOURS, ENGLISH), datetime(2026, 5, 3, 16, tzinfo=UTC)
    for at, taken in (("2026-05-04", True), ("2026-05-03 23:59:59", False)):
        assert isinstance(columns.read(["7", "a-1", at, "90"], CITY, NOW, border), Line) == taken


@pytest.mark.parametrize(
    ("headings", "said"),
    [
        ([*ENGLISH, "age"], "“age”不在目录中"), ([*ENGLISH, "fee_fen"], "不在目录中"), (ENGLISH[1:], "有且只有一列"),
        ([*ENGLISH, "身份证号"], "有且只有一列"), (ENGLISH[:3], "缺少“服务时长”"),
        (["居民编号", "发生时间"], "缺少“来源编号”"),
        ([*ENGLISH, "minutes"], "出现了两次"), ([], "有且只有一列"),
    ],
)  # fmt: skip
def test_a_file_with_other_columns_is_refused_whole(headings: list[str], said: str) -> None:
    with pytest.raises(FactColumnsUnfit) as refused:
        columns_of(HOURS, headings)
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("place", "cell", "column"),
    [
        (0, "", "resident_id"), (1, "", "source_id"), (1, "x" * 51, "source_id"), (1, "a b", "source_id"),
        (2, "昨天", "occurred_at"), (2, LATER, "occurred_at"), (2, "1999-01-01", "occurred_at"),
        (2, "2026-02-30", "occurred_at"), (3, "", "minutes"), (3, "-5", "minutes"), (3, "1.5", "minutes"),
        (3, "9" * 13, "minutes"), (3, "９", "minutes"), (4, "x" * 41, "project_id"), (4, "「x」", "project_id"),
        (4, "信访接待", "project_id"),
    ],
)  # fmt: skip
def test_a_cell_that_is_not_fit_names_its_column(place: int, cell: str, column: str) -> None:
    cells = ["7", "a-1", "2026-05-04 08:00", "90", "P-7"]
    assert isinstance(read(cells), Line)
    cells[place] = cell
    assert read(cells) == Unfit(column, "in_future" if cell == LATER else "unreadable")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-05-04T08:30:15+08:00", datetime(2026, 5, 4, 0, 30, 15, tzinfo=UTC)),
        ("2026-05-04T08:30:15.250Z", datetime(2026, 5, 4, 8, 30, 15, 250_000, tzinfo=UTC)),
        ("2026-05-04 08:30:15.1234567", datetime(2026, 5, 4, 0, 30, 15, 123_456, tzinfo=UTC)),
        ("2026.5.4 23:59", datetime(2026, 5, 4, 15, 59, tzinfo=UTC)),
        ("2026-05-04 08:30 -0330", datetime(2026, 5, 4, 12, 0, tzinfo=UTC)),
        ("46146.5", datetime(2026, 5, 4, 4, 0, tzinfo=UTC)),
        ("46146", datetime(2026, 5, 3, 16, 0, tzinfo=UTC)),
        ("2026-05-04 25:00", None), ("20260504", None), ("2026-05-04 8", None),
    ],
)  # fmt: skip
def test_an_instant_is_the_city_s_unless_it_says_another_zone(text: str, at: datetime | None) -> None:
    assert moment(text, CITY) == at
