"""A search of campaigns or templates as a table for an office, and what such tables have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from server.incentives.course import Course, View
from server.incentives.errors import ExportTooLarge
from server.incentives.rules.catalogue import FACTS
from server.incentives.search import Search
from server.incentives.words import ENDS, STATUSES, UNITS
from server.kit.workbook import Cell

EXPORT_MAX: Final = 20_000
PAGE: Final = 200
#: Codes as an office reads them; what is not here is told by its code.
WORDS: Final = {
    **STATUSES, **ENDS, **UNITS, "amount_off": "满减", "discount": "折扣", "exchange": "兑换",
    **{kind: fact.name for kind, fact in FACTS.items()},
}  # fmt: skip
HEADINGS: Final = (
    "编号", "名称", "文号", "状态", "版本", "触发/类型", "开始时间", "结束时间", "编辑人", "审批人", "结束原因",
    "预算单位", "预算总额", "已占用", "已使用", "剩余", "规则说明",
)  # fmt: skip


async def table(course: Course[Any, Any], search: Search) -> AsyncIterator[tuple[Cell, ...]]:
    """The headings, then a row for each budget of each that was found (one where there is none). Raises ExportTooLarge
    before the first row."""
    await course.check_count(search, EXPORT_MAX, ExportTooLarge)
    return _rows(course, search)


async def _rows(course: Course[Any, Any], search: Search) -> AsyncIterator[tuple[Cell, ...]]:
    yield HEADINGS
    after: tuple[int, int] | None = None
    while True:
        views, after = await course.search(search, after, PAGE)
        for view in views:
            for row in _of(view, course.zone):
                yield row
        if after is None:
            return


def _of(view: View[Any, Any], zone: ZoneInfo) -> list[tuple[Cell, ...]]:
    row, version = view.row, view.version
    what = version.trigger if hasattr(version, "trigger") else version.kind
    approved_by = None if version.approved_by is None else str(version.approved_by)
    first: tuple[Cell, ...] = (
        str(row.id), version.title, version.document, WORDS[row.status], version.number, WORDS.get(what, what),
        city_time(version.starts_at, zone), city_time(version.ends_at, zone), str(version.created_by), approved_by,
        WORDS.get(row.end_reason, row.end_reason),
    )  # fmt: skip
    amounts: list[tuple[Cell, ...]] = [
        (WORDS[one.unit], one.total or one.planned, one.reserved, one.consumed, one.left) for one in view.budgets
    ]
    return [(*first, *amount, view.terms_text) for amount in amounts or [(None, None, None, None, None)]]


def city_time(at: datetime, zone: ZoneInfo) -> str:
    """As the text beside it says it: by the city's clock, in a form that spreadsheets take for a time."""
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
