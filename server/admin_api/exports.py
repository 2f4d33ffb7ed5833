"""The console's lists as files: which there are, and what stands in the columns of those of no budgets.

They hold what the lists in the console hold: no resident, no code, no size of a segment. A segment's grant job says
how many coupons it has given, to the last one, as they are counted against a budget.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, TypeVar

from server.admin_api.schemas.grants import GrantJobPageQuery
from server.admin_api.schemas.lotteries import LotteryPageQuery
from server.admin_api.schemas.segments import SegmentPageQuery
from server.admin_api.schemas.voucher_codes import VoucherBatchQuery
from server.admin_api.tables import Export, Table, add_exports
from server.incentives.codes.batches import BatchView
from server.incentives.errors import ExportTooLarge
from server.incentives.grants.models import GrantJob
from server.incentives.listing import EXPORT_MAX, PAGE, WORDS, city_time
from server.incentives.lottery.models import Lottery
from server.incentives.segments.service import SegmentView
from server.kit.workbook import Cell
from server.web.routing import Call, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 导出")

Row = TypeVar("Row")
#: Codes as an office reads them.
_WORDS: Final = WORDS | {"platform": "平台码", "uploaded": "上传码", "external": "第三方码"}
_JOBS: Final = (
    "编号", "券模板", "名单", "人群", "文号", "备注", "状态", "原因", "人数", "已登记", "已发放", "未能发放",
    "申请人", "申请时间", "审批人", "审批时间", "结束时间",
)  # fmt: skip
_BATCHES: Final = (
    "编号", "券模板", "方式", "文号", "前缀", "状态", "应有", "已有", "已使用", "申请人", "申请时间",
    "审批人", "审批时间",
)  # fmt: skip
_SEGMENTS: Final = ("编号", "名称", "定义", "版本", "创建人", "创建时间", "修改人", "修改时间")
_LOTTERIES: Final = (
    "编号", "名称", "文号", "状态", "报名开始", "报名结束", "开奖时间", "报名人数", "奖券数", "中奖人数", "编辑人",
    "公布人", "公布时间", "取消原因", "补抽自", "规则说明",
)  # fmt: skip


async def jobs(call: Call, query: GrantJobPageQuery) -> Table:
    """Grant jobs, a row each."""
    rows: list[GrantJob] = await _all(
        lambda before_id, limit: call.services.grant_jobs.page(
            before_id, limit, query.status, _number(query.template_id), query.text
        ),
        lambda row: row.id,
    )
    return _table(call, _JOBS, (
        (str(row.id), str(row.template_id), _id(row.list_id), _id(row.segment_id), row.document, row.note,
         _told(row.status), row.why, call.services.grant_jobs.told_recipients(row), row.owed, row.posted, row.refused,
         str(row.created_by), row.created_at, _id(row.approved_by), row.approved_at, row.ended_at) for row in rows
    ))  # fmt: skip


async def batches(call: Call, query: VoucherBatchQuery) -> Table:
    """Batches of voucher codes, a row each."""
    views: list[BatchView] = await _all(
        lambda before_id, limit: call.services.voucher_batches.page(
            before_id, limit, _number(query.template_id), query.status, query.text
        ),
        lambda view: view.row.id,
    )
    return _table(call, _BATCHES, (
        (str(row.id), str(row.template_id), _told(row.mode), row.document, row.prefix, _told(row.status), row.wanted,
         row.made, view.used, str(row.created_by), row.created_at, _id(row.approved_by), row.approved_at)
        for view in views for row in [view.row]
    ))  # fmt: skip


async def segments(call: Call, query: SegmentPageQuery) -> Table:
    """Segments, a row each."""
    views: list[SegmentView] = await _all(
        lambda before_id, limit: call.services.segments.page(before_id, limit, query.search), lambda view: view.row.id
    )
    return _table(call, _SEGMENTS, (
        (str(row.id), row.name, view.text, row.revision, str(row.created_by), row.created_at,
         str(row.changed_by), row.changed_at) for view in views for row in [view.row]
    ))  # fmt: skip


async def lotteries(call: Call, query: LotteryPageQuery) -> Table:
    """Lotteries, a row each."""
    rows: list[Lottery] = await _all(
        lambda before_id, limit: call.services.lotteries.page(before_id, limit, query.status, query.text),
        lambda row: row.id,
    )
    return _table(call, _LOTTERIES, (
        (str(row.id), row.title, row.document, _told(row.status), row.opens_at, row.closes_at,
         row.draw_at, row.entries, row.tickets, row.winners, str(row.created_by), _id(row.published_by),
         row.published_at, row.cancel_reason, _id(row.second_of), call.services.lotteries.text(row))
        for row in rows
    ))  # fmt: skip


_WHOLE: Final = "at most 20,000 rows; `cursor` and `limit` say nothing here."
_NO_CODES: Final = "at most 20,000 rows; codes leave by exports of their own, approved by two people."
_NO_MEMBERS: Final = "at most 20,000 rows: definitions, no sizes and no members."

for _export in (
    Export("/grant-jobs", "批量发放", "grant.read", GrantJobPageQuery, jobs, _WHOLE),
    Export("/voucher-batches", "兑换码批次", "code.read", VoucherBatchQuery, batches, _NO_CODES),
    Export("/segments", "人群", "segment.read", SegmentPageQuery, segments, _NO_MEMBERS),
    Export("/lotteries", "抽奖", "lottery.read", LotteryPageQuery, lotteries, _WHOLE),
):
    add_exports(router, _export)


async def _all(page: Callable[[int | None, int], Awaitable[list[Row]]], id_of: Callable[[Row], int]) -> list[Row]:
    """Every row of a list, newest first. Raises ExportTooLarge."""
    rows: list[Row] = []
    while found := await page(id_of(rows[-1]) if rows else None, PAGE):
        rows += found
        if len(rows) > EXPORT_MAX:
            raise ExportTooLarge
    return rows


async def _table(call: Call, headings: Sequence[str], rows: Iterable[Sequence[Cell | datetime]]) -> Table:
    zone = call.services.clock.zone
    yield headings
    for row in rows:
        yield [city_time(cell, zone) if isinstance(cell, datetime) else cell for cell in row]


def _told(code: str) -> str:
    return _WORDS.get(code, code)


def _number(id: str | None) -> int | None:
    return None if id is None else int(id)


def _id(value: int | None) -> str | None:
    return None if value is None else str(value)
