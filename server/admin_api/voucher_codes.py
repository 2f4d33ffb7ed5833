"""Voucher codes in the console: batches, files of codes, and exports by two people."""

from __future__ import annotations

from server.admin_api.grants import UPLOADS
from server.admin_api.incentive_replies import created, outcome, signed
from server.admin_api.schemas.incentives import WriteQuery
from server.admin_api.schemas.voucher_codes import (
    CodeLineReply,
    CodesTakenReply,
    VoucherBatchPageReply,
    VoucherBatchQuery,
    VoucherBatchReply,
    VoucherBatchRequest,
    VoucherExportReply,
    VoucherExportRequest,
    VoucherExportsReply,
)
from server.incentives.codes.batches import BatchOrder, BatchView
from server.incentives.codes.errors import (
    NothingToExport,
    UploadReplaced,
    VoucherBatchNotFound,
    VoucherExportClosed,
    VoucherExportNotFound,
    VoucherFileEmpty,
    VoucherFileTooLong,
    VoucherStockShort,
)
from server.incentives.codes.exports import OPEN_FOR
from server.incentives.codes.models import VoucherExport
from server.incentives.errors import SecondPersonRequired, TemplateNotFound, WrongStatus
from server.kit.paging import cursor_after, cursor_number
from server.kit.sheets import SheetUnreadable
from server.web.request_id import HEADER as REQUEST_ID_HEADER
from server.web.routing import Call, Callers, Limit, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 兑换码")


@router.post(
    "/voucher-batches",
    summary="新建兑换码批次",
    body=VoucherBatchRequest,
    query=WriteQuery,
    replies={200: VoucherBatchReply, 201: VoucherBatchReply},
    caller=Callers.admin("code.edit"),
    errors=(TemplateNotFound, VoucherStockShort),
)
async def order_batch(call: Call, body: VoucherBatchRequest, query: WriteQuery) -> Reply:
    """Codes of ours are made within minutes; other batches wait for their file. None works before an approval. More
    codes than the template can still give are refused, here and there, unless `beyond_stock` says so."""
    order = BatchOrder(
        int(body.template_id), body.mode, body.document.strip(), body.count, body.prefix, body.beyond_stock
    )
    by = signed(call, query.simulate)
    return created(_batch(await call.services.voucher_batches.order(order, by)), by)


@router.get(
    "/voucher-batches",
    summary="兑换码批次列表",
    query=VoucherBatchQuery,
    replies={200: VoucherBatchPageReply},
    caller=Callers.admin("code.read"),
)
async def list_batches(call: Call, query: VoucherBatchQuery) -> Reply:
    """Newest first."""
    template = None if query.template_id is None else int(query.template_id)
    before_id = cursor_number(query.cursor)
    views = await call.services.voucher_batches.page(before_id, query.limit, template, query.status, query.text)
    following = cursor_after(views, query.limit, lambda row: row.row.id)
    return Reply.ok(VoucherBatchPageReply([_batch(view) for view in views], following))


@router.get(
    "/voucher-batches/<batch_id:int>",
    summary="兑换码批次进度",
    replies={200: VoucherBatchReply},
    caller=Callers.admin("code.read"),
    errors=(VoucherBatchNotFound,),
)
async def get_batch(call: Call, batch_id: int) -> Reply:
    """How many codes are there, and how many are somebody's."""
    return Reply.ok(_batch(await call.services.voucher_batches.get(batch_id)))


@router.post(
    "/voucher-batches/<batch_id:int>/codes",
    summary="上传兑换码",
    query=WriteQuery,
    replies={200: CodesTakenReply},
    caller=Callers.admin("code.edit"),
    errors=(
        VoucherBatchNotFound, WrongStatus, SheetUnreadable, VoucherFileEmpty, VoucherFileTooLong, UploadReplaced,
    ),
    limit=UPLOADS,
    upload=True,
)  # fmt: skip
async def upload_codes(call: Call, file: bytes, query: WriteQuery, batch_id: int) -> Reply:
    """The body is a CSV or XLSX file with one code per line, in the column headed code, 兑换码 or 券码, else in the
    first. An upload that was broken off is begun anew by the next one."""
    by = signed(call, query.simulate)
    taken = await call.services.voucher_batches.take(batch_id, file, by)
    lines = [CodeLineReply(line, reason) for line, reason in sorted(taken.lines)]
    reply = CodesTakenReply(_batch(BatchView(taken.row, 0)), taken.unreadable, taken.repeated, lines)
    return Reply.ok(outcome(reply, by))


@router.post(
    "/voucher-batches/<batch_id:int>/approve",
    summary="批准兑换码批次",
    query=WriteQuery,
    replies={200: VoucherBatchReply},
    caller=Callers.admin("code.approve"),
    errors=(VoucherBatchNotFound, WrongStatus, SecondPersonRequired, VoucherStockShort),
)
async def approve_batch(call: Call, query: WriteQuery, batch_id: int) -> Reply:
    """By somebody else than who ordered or uploaded it; from here on its codes work."""
    by = signed(call, query.simulate)
    return Reply.ok(outcome(_batch(await call.services.voucher_batches.approve(batch_id, by)), by))


@router.post(
    "/voucher-batches/<batch_id:int>/stop",
    summary="停用兑换码批次",
    query=WriteQuery,
    replies={200: VoucherBatchReply},
    caller=Callers.admin("code.approve"),
    errors=(VoucherBatchNotFound, WrongStatus),
)
async def stop_batch(call: Call, query: WriteQuery, batch_id: int) -> Reply:
    """None of its codes works any more, for good; coupons they became stay."""
    by = signed(call, query.simulate)
    return Reply.ok(outcome(_batch(await call.services.voucher_batches.stop(batch_id, by)), by))


@router.post(
    "/voucher-batches/<batch_id:int>/exports",
    summary="申请导出兑换码",
    body=VoucherExportRequest,
    query=WriteQuery,
    replies={200: VoucherExportReply, 201: VoucherExportReply},
    caller=Callers.admin("code.export"),
    errors=(VoucherBatchNotFound, NothingToExport, WrongStatus),
)
async def request_export(call: Call, body: VoucherExportRequest, query: WriteQuery, batch_id: int) -> Reply:
    """Nothing leaves the house before somebody else approves."""
    by = signed(call, query.simulate)
    row = await call.services.voucher_exports.request(batch_id, body.reason.strip(), by)
    return created(_export(call, row), by)


@router.get(
    "/voucher-batches/<batch_id:int>/exports",
    summary="兑换码导出记录",
    replies={200: VoucherExportsReply},
    caller=Callers.admin("code.read"),
)
async def list_exports(call: Call, batch_id: int) -> Reply:
    """The newest hundred requests: who asked, who approved, when it was opened."""
    return Reply.ok(
        VoucherExportsReply([_export(call, row) for row in await call.services.voucher_exports.page(batch_id)])
    )


@router.post(
    "/voucher-exports/<export_id:int>/approve",
    summary="批准导出兑换码",
    query=WriteQuery,
    replies={200: VoucherExportReply},
    caller=Callers.admin("code.approve"),
    errors=(VoucherExportNotFound, WrongStatus, SecondPersonRequired),
)
async def approve_export(call: Call, query: WriteQuery, export_id: int) -> Reply:
    """By somebody else than who asked; it may be opened once within a day."""
    by = signed(call, query.simulate)
    return Reply.ok(outcome(_export(call, await call.services.voucher_exports.approve(export_id, by)), by))


@router.post(
    "/voucher-exports/<export_id:int>/file",
    summary="下载兑换码文件",
    replies={200: bytes},
    caller=Callers.admin("code.export"),
    errors=(VoucherExportNotFound, VoucherExportClosed),
    limit=Limit("export", per_minute=10),
    content_type="text/csv",
)
async def open_export(call: Call, export_id: int) -> Reply | None:
    """The codes as CSV, streamed, to who asked, once: a POST, as it uses up the approval."""
    pieces = await call.services.voucher_exports.open(export_id, signed(call))
    response = await call.request.respond(
        content_type="text/csv; charset=utf-8",
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="vouchers-{export_id}.csv"',
            REQUEST_ID_HEADER: call.request_id,
        },
    )
    async for piece in pieces:
        await response.send(piece)
    await response.eof()
    return None


def _batch(view: BatchView) -> VoucherBatchReply:
    row = view.row
    return VoucherBatchReply(
        id=str(row.id), template_id=str(row.template_id), mode=row.mode, document=row.document, prefix=row.prefix,  # type: ignore[arg-type]
        status=row.status, wanted=row.wanted, made=row.made, used=view.used, beyond_stock=row.beyond_stock,  # type: ignore[arg-type]
        created_by=str(row.created_by), created_at=row.created_at,
        approved_by=None if row.approved_by is None else str(row.approved_by),
        approved_at=row.approved_at,
    )  # fmt: skip


def _export(call: Call, row: VoucherExport) -> VoucherExportReply:
    status = "requested"
    if row.opened_at is not None:
        status = "opened"
    elif row.approved_at is not None:
        status = "approved" if call.services.clock.now() - row.approved_at < OPEN_FOR else "expired"
    return VoucherExportReply(
        id=str(row.id), batch_id=str(row.batch_id), reason=row.reason, status=status,  # type: ignore[arg-type]
        requested_by=str(row.requested_by), requested_at=row.requested_at,
        approved_by=None if row.approved_by is None else str(row.approved_by), approved_at=row.approved_at,
        opened_at=row.opened_at,
    )  # fmt: skip
