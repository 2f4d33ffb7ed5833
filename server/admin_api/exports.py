"""The console's lists as files: which there are, and what stands in the columns of those of no budgets.

They hold what the lists in the console hold: no resident, no code, no size of a segment. A segment's grant job says
how many coupons it has given, to the last one, as they are counted against a budget.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, TypeVar

from server.admin_api.schemas.facts import FactBatchPageQuery
from server.admin_api.schemas.grants import GrantJobPageQuery, RecipientListPageQuery
from server.admin_api.schemas.incentive_overview import BudgetAlertQuery
from server.admin_api.schemas.lotteries import LotteryPageQuery
from server.admin_api.schemas.segments import SegmentPageQuery
from server.admin_api.schemas.voucher_codes import VoucherBatchQuery
from server.admin_api.tables import Export, Table, add_exports
from server.incentives import watch
from server.incentives.codes.batches import BatchView
from server.incentives.errors import ExportTooLarge
from server.incentives.grants.models import GrantJob, RecipientList
from server.incentives.intake.batches import BatchView as FactBatchView
from server.incentives.listing import EXPORT_MAX, PAGE, WORDS, city_time
from server.incentives.lottery.models import Lottery
from server.incentives.models import BudgetAlert
from server.incentives.segments.service import SegmentView
from server.kit.workbook import Cell
from server.web.routing import Call, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 导出")

Row = TypeVar("Row")
#: Codes as an office reads them.
_WORDS: Final = WORDS | {
    "platform": "平台码", "uploaded": "上传码", "external": "第三方码", "cleared": "已清除",
}  # fmt: skip
_JOBS: Final = (
    "编号", "券模板", "名单", "人群", "文号", "备注", "状态", "原因", "人数", "已登记", "已发放", "未能发放",
    "申请人", "申请时间", "审批人", "审批时间", "结束时间",
)  # fmt: skip
_BATCHES: Final = (
    "编号", "券模板", "方式", "文号", "前缀", "状态", "应有", "已有", "已使用", "申请人", "申请时间",
    "审批人", "审批时间",
)  # fmt: skip
_LISTS: Final = ("编号", "名称", "状态", "居民数", "非参与者", "重复", "无法识别", "创建人", "创建时间")
_FACTS: Final = (
    "编号", "事实", "来源", "事由", "名单", "文号", "状态", "应入账", "非参与者", "重复", "无法识别", "时间不符",
    "已入账", "创建人", "创建时间", "审批人", "审批时间", "结束时间",
)  # fmt: skip
_ALERTS: Final = (
    "编号", "预算", "单位", "活动", "券模板", "名称", "提醒线（%）", "预算总额", "已用", "次数", "状态", "提醒时间",
    "解除时间", "确认人", "确认时间",
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


async def lists(call: Call, query: RecipientListPageQuery) -> Table:
    """Lists of recipients, a row each."""
    rows: list[RecipientList] = await _all(
        lambda before_id, limit: call.services.recipient_lists.page(before_id, limit, query.status, query.text),
        lambda row: row.id,
    )
    return _table(call, _LISTS, (
        (str(row.id), row.name, _told(row.status), row.taken, row.unknown, row.repeated, row.unreadable,
         str(row.created_by), row.created_at) for row in rows
    ))  # fmt: skip


async def fact_batches(call: Call, query: FactBatchPageQuery) -> Table:
    """Batches of facts, a row each."""
    views: list[FactBatchView] = await _all(
        lambda before_id, limit: call.services.fact_batches.page(
            before_id, limit, query.status, query.kind, query.text
        ),
        lambda view: view.row.id,
    )
    return _table(call, _FACTS, (
        (str(row.id), _told(row.kind), row.source, row.occasion, _id(row.list_id), row.document, _told(row.status),
         row.taken, row.unknown, row.repeated, row.unreadable, row.mistimed, row.told, str(row.created_by),
         row.created_at, _id(row.approved_by), row.approved_at, row.ended_at) for view in views for row in [view.row]
    ))  # fmt: skip


async def alerts(call: Call, query: BudgetAlertQuery) -> Table:
    """Budget alerts, a row each."""
    rows: list[BudgetAlert] = await _all(
        lambda before_id, limit: watch.alerts(before_id, limit, query.state), lambda row: row.id
    )
    owners = await watch.owners(sorted({row.budget_id for row in rows}))
    return _table(call, _ALERTS, (
        (str(row.id), str(row.budget_id), _told(owner.unit), _id(owner.campaign_id), _id(owner.template_id),
         owner.title, row.threshold_percent, row.total, row.used, row.times, _seen(row), row.raised_at,
         row.cleared_at, _id(row.acknowledged_by), row.acknowledged_at)
        for row in rows for owner in [owners[row.budget_id]]
    ))  # fmt: skip


def _seen(row: BudgetAlert) -> str:
    if row.cleared_at is not None:
        return "已解除"
    return "待确认" if row.acknowledged_at is None else "已确认"


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
_NOBODY: Final = "at most 20,000 rows; whom they are about is not told."
_NO_MEMBERS: Final = "at most 20,000 rows: definitions, no sizes and no members."

for _export in (
    Export("/grant-jobs", "批量发放", "grant.read", GrantJobPageQuery, jobs, _WHOLE),
    Export("/recipient-lists", "发放名单", "grant.read", RecipientListPageQuery, lists, _NOBODY),
    Export("/facts/batches", "事实批次", "fact.read", FactBatchPageQuery, fact_batches, _NOBODY),
    Export("/budget-alerts", "预算提醒", "budget.read", BudgetAlertQuery, alerts, _WHOLE),
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
