"""Lists of grant jobs, batches of voucher codes, segments and lotteries as tables for an office.

They hold what the lists in the console hold: no resident, no code, no size of a segment.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, TypeVar

from server.admin_api.schemas.grants import GrantJobPageQuery
from server.admin_api.schemas.lotteries import LotteryPageQuery
from server.admin_api.schemas.segments import SegmentPageQuery
from server.admin_api.schemas.voucher_codes import VoucherBatchQuery
from server.admin_api.tables import Format, send_table
from server.incentives.codes.batches import BatchView
from server.incentives.errors import ExportTooLarge
from server.incentives.grants.models import GrantJob
from server.incentives.listing import EXPORT_MAX, PAGE, WORDS, city_time
from server.incentives.lottery.models import Lottery
from server.incentives.lottery.service import LotteryService
from server.incentives.segments.service import SegmentService, SegmentView
from server.kit.workbook import XLSX, Cell
from server.web.routing import Call, Callers, Limit, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 导出")

Row = TypeVar("Row")
_LIMIT: Final = Limit("export", per_minute=10)
#: Codes as an office reads them.
_WORDS: Final = WORDS | {
    "requested": "待审批", "running": "发放中", "finished": "已完成", "cancelled": "已取消",
    "making": "生成中", "made": "待审批", "ready": "可使用", "stopped": "已停用",
    "platform": "平台码", "uploaded": "上传码", "external": "第三方码",
    "published": "已公布", "closed": "已截止", "drawn": "已开奖",
}  # fmt: skip
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


@router.get(
    "/grant-jobs/export/csv", summary="导出批量发放列表（CSV）", query=GrantJobPageQuery, replies={200: bytes},
    caller=Callers.admin("grant.read"), errors=(ExportTooLarge,), limit=_LIMIT, content_type="text/csv",
)  # fmt: skip
async def export_jobs_csv(call: Call, query: GrantJobPageQuery) -> None:
    """The list as CSV, at most 20,000 rows; `cursor` and `limit` say nothing here."""
    await _send_jobs(call, query, "csv")


@router.get(
    "/grant-jobs/export/xlsx", summary="导出批量发放列表（XLSX）", query=GrantJobPageQuery, replies={200: bytes},
    caller=Callers.admin("grant.read"), errors=(ExportTooLarge,), limit=_LIMIT, content_type=XLSX,
)  # fmt: skip
async def export_jobs_xlsx(call: Call, query: GrantJobPageQuery) -> None:
    """The list as XLSX, at most 20,000 rows; `cursor` and `limit` say nothing here."""
    await _send_jobs(call, query, "xlsx")


@router.get(
    "/voucher-batches/export/csv", summary="导出兑换码批次列表（CSV）", query=VoucherBatchQuery, replies={200: bytes},
    caller=Callers.admin("code.read"), errors=(ExportTooLarge,), limit=_LIMIT, content_type="text/csv",
)  # fmt: skip
async def export_batches_csv(call: Call, query: VoucherBatchQuery) -> None:
    """The list as CSV, at most 20,000 rows; codes leave by exports of their own, approved by two people."""
    await _send_batches(call, query, "csv")


@router.get(
    "/voucher-batches/export/xlsx", summary="导出兑换码批次列表（XLSX）", query=VoucherBatchQuery, replies={200: bytes},
    caller=Callers.admin("code.read"), errors=(ExportTooLarge,), limit=_LIMIT, content_type=XLSX,
)  # fmt: skip
async def export_batches_xlsx(call: Call, query: VoucherBatchQuery) -> None:
    """The list as XLSX, at most 20,000 rows; codes leave by exports of their own, approved by two people."""
    await _send_batches(call, query, "xlsx")


@router.get(
    "/segments/export/csv", summary="导出人群列表（CSV）", query=SegmentPageQuery, replies={200: bytes},
    caller=Callers.admin("segment.read"), errors=(ExportTooLarge,), limit=_LIMIT, content_type="text/csv",
)  # fmt: skip
async def export_segments_csv(call: Call, query: SegmentPageQuery) -> None:
    """The list as CSV, at most 20,000 rows: definitions, no sizes and no members."""
    await _send_segments(call, query, "csv")


@router.get(
    "/segments/export/xlsx", summary="导出人群列表（XLSX）", query=SegmentPageQuery, replies={200: bytes},
    caller=Callers.admin("segment.read"), errors=(ExportTooLarge,), limit=_LIMIT, content_type=XLSX,
)  # fmt: skip
async def export_segments_xlsx(call: Call, query: SegmentPageQuery) -> None:
    """The list as XLSX, at most 20,000 rows: definitions, no sizes and no members."""
    await _send_segments(call, query, "xlsx")


@router.get(
    "/lotteries/export/csv", summary="导出抽奖列表（CSV）", query=LotteryPageQuery, replies={200: bytes},
    caller=Callers.admin("lottery.read"), errors=(ExportTooLarge,), limit=_LIMIT, content_type="text/csv",
)  # fmt: skip
async def export_lotteries_csv(call: Call, query: LotteryPageQuery) -> None:
    """The list as CSV, at most 20,000 rows; `cursor` and `limit` say nothing here."""
    await _send_lotteries(call, query, "csv")


@router.get(
    "/lotteries/export/xlsx", summary="导出抽奖列表（XLSX）", query=LotteryPageQuery, replies={200: bytes},
    caller=Callers.admin("lottery.read"), errors=(ExportTooLarge,), limit=_LIMIT, content_type=XLSX,
)  # fmt: skip
async def export_lotteries_xlsx(call: Call, query: LotteryPageQuery) -> None:
    """The list as XLSX, at most 20,000 rows; `cursor` and `limit` say nothing here."""
    await _send_lotteries(call, query, "xlsx")


async def _send_jobs(call: Call, query: GrantJobPageQuery, format: Format) -> None:
    async def page(before_id: int | None, limit: int) -> list[GrantJob]:
        template = None if query.template_id is None else int(query.template_id)
        found: list[GrantJob] = await call.services.grant_jobs.page(
            before_id, limit, query.status, template, query.text
        )
        return found

    rows = await _all(page, lambda row: row.id)
    await _send(call, "grant-jobs", format, _JOBS, [
        (str(row.id), str(row.template_id), _id(row.list_id), _id(row.segment_id), row.document, row.note,
         _told(row.status), row.why, row.recipients, row.owed, row.posted, row.refused, str(row.created_by),
         row.created_at, _id(row.approved_by), row.approved_at, row.ended_at) for row in rows
    ])  # fmt: skip


async def _send_batches(call: Call, query: VoucherBatchQuery, format: Format) -> None:
    async def page(before_id: int | None, limit: int) -> list[BatchView]:
        template = None if query.template_id is None else int(query.template_id)
        found: list[BatchView] = await call.services.voucher_batches.page(
            before_id, limit, template, query.status, query.text
        )
        return found

    views = await _all(page, lambda view: view.row.id)
    await _send(call, "voucher-batches", format, _BATCHES, [
        (str(row.id), str(row.template_id), _told(row.mode), row.document, row.prefix, _told(row.status), row.wanted,
         row.made, view.used, str(row.created_by), row.created_at, _id(row.approved_by), row.approved_at)
        for view in views for row in [view.row]
    ])  # fmt: skip


async def _send_segments(call: Call, query: SegmentPageQuery, format: Format) -> None:
    async def page(before_id: int | None, limit: int) -> list[SegmentView]:
        segments: SegmentService = call.services.segments
        return await segments.page(before_id, limit, query.search)

    views = await _all(page, lambda view: view.row.id)
    await _send(call, "segments", format, _SEGMENTS, [
        (str(row.id), row.name, view.text, row.revision, str(row.created_by), row.created_at,
         str(row.changed_by), row.changed_at) for view in views for row in [view.row]
    ])  # fmt: skip


async def _send_lotteries(call: Call, query: LotteryPageQuery, format: Format) -> None:
    async def page(before_id: int | None, limit: int) -> list[Lottery]:
        lotteries: LotteryService = call.services.lotteries
        return await lotteries.page(before_id, limit, query.status, query.text)

    rows = await _all(page, lambda row: row.id)
    await _send(call, "lotteries", format, _LOTTERIES, [
        (str(row.id), row.title, row.document, _told(row.status), row.opens_at, row.closes_at,
         row.draw_at, row.entries, row.tickets, row.winners, str(row.created_by), _id(row.published_by),
         row.published_at, row.cancel_reason, _id(row.second_of), call.services.lotteries.text(row))
        for row in rows
    ])  # fmt: skip


async def _all(page: Callable[[int | None, int], Awaitable[list[Row]]], id_of: Callable[[Row], int]) -> list[Row]:
    """Every row of a list, newest first. Raises ExportTooLarge."""
    rows: list[Row] = []
    while found := await page(id_of(rows[-1]) if rows else None, PAGE):
        rows += found
        if len(rows) > EXPORT_MAX:
            raise ExportTooLarge
    return rows


async def _send(
    call: Call, name: str, format: Format, headings: Sequence[str], rows: Sequence[Sequence[Cell | datetime]]
) -> None:
    zone = call.services.clock.zone

    async def lines() -> AsyncIterator[Sequence[Cell]]:
        yield headings
        for row in rows:
            yield [city_time(cell, zone) if isinstance(cell, datetime) else cell for cell in row]

    await send_table(call, name, format, lines())


def _told(code: str) -> str:
    return _WORDS.get(code, code)


def _number(id: str | None) -> int | None:
    return None if id is None else int(id)


def _id(value: int | None) -> str | None:
    return None if value is None else str(value)
