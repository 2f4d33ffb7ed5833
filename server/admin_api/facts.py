"""Facts that people bring, in the console: files of outside systems, and what administrators grant."""

from __future__ import annotations

from typing import Final

from server.admin_api.incentive_replies import effects_reply, signed
from server.admin_api.schemas.facts import (
    FactBatchPageQuery,
    FactBatchPageReply,
    FactBatchReply,
    FactGrantRequest,
    FactImportQuery,
    FactImportReply,
    FactLineReply,
)
from server.admin_api.schemas.incentives import WriteQuery
from server.incentives.errors import SecondPersonRequired, WrongStatus
from server.incentives.grants.errors import RecipientListNotFound, RecipientListNotReady
from server.incentives.intake.batches import BatchView, FactOrder
from server.incentives.intake.errors import (
    FactBatchEmpty,
    FactBatchNotFound,
    FactColumnsUnfit,
    FactRecipientUnknown,
)
from server.kit.paging import cursor_after, cursor_number
from server.kit.sheets import SheetUnreadable
from server.web.routing import Call, Callers, Limit, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 事实")

UPLOADS: Final = Limit("upload", per_minute=20)


@router.post(
    "/facts/imports",
    summary="导入外部系统的事实",
    query=FactImportQuery,
    replies={200: FactImportReply, 201: FactImportReply},
    caller=Callers.admin("fact.edit"),
    errors=(SheetUnreadable, FactColumnsUnfit, FactBatchEmpty),
    limit=UPLOADS,
    upload=True,
)
async def import_facts(call: Call, file: bytes, query: FactImportQuery) -> Reply:
    """The body is a CSV or XLSX file whose first row names its columns: resident_id (居民编号) or id_number (身份证号),
    source_id (来源编号), occurred_at (发生时间) and what the kind of fact carries. Who does not take part is left out.
    Nothing is told before somebody else approves. Simulated, the answer is 200."""
    view, lines = await call.services.fact_files.take(
        query.kind, query.source, query.document.strip(), file, signed(call, query.simulate)
    )
    reply = FactImportReply(_batch(view), [FactLineReply(*one) for one in lines])
    return Reply.ok(reply) if query.simulate else Reply.created(reply)


@router.post(
    "/facts/grants",
    summary="申请授予或导入名单",
    body=FactGrantRequest,
    query=WriteQuery,
    replies={200: FactBatchReply, 201: FactBatchReply},
    caller=Callers.admin("fact.edit"),
    errors=(FactRecipientUnknown, RecipientListNotFound, RecipientListNotReady),
)
async def grant_facts(call: Call, body: FactGrantRequest, query: WriteQuery) -> Reply:
    """The fact happens, for one resident or for a list, when somebody else approves it. Simulated, the answer is
    200."""
    resident, chosen = (None if id is None else int(id) for id in (body.resident_id, body.list_id))
    order = FactOrder(body.kind, body.document.strip(), body.occasion.strip(), resident, chosen)
    reply = _batch(await call.services.fact_batches.order(order, signed(call, query.simulate)))
    return Reply.ok(reply) if query.simulate else Reply.created(reply)


@router.get(
    "/facts/batches",
    summary="事实批次列表",
    query=FactBatchPageQuery,
    replies={200: FactBatchPageReply},
    caller=Callers.admin("fact.read"),
)
async def list_batches(call: Call, query: FactBatchPageQuery) -> Reply:
    """Newest first; whom a batch is about is not shown."""
    views = await call.services.fact_batches.page(
        cursor_number(query.cursor), query.limit, query.status, query.kind, query.text
    )
    following = cursor_after(views, query.limit, lambda row: row.row.id)
    return Reply.ok(FactBatchPageReply([_batch(view) for view in views], following))


@router.get(
    "/facts/batches/<batch_id:int>",
    summary="事实批次详情",
    replies={200: FactBatchReply},
    caller=Callers.admin("fact.read"),
    errors=(FactBatchNotFound,),
)
async def get_batch(call: Call, batch_id: int) -> Reply:
    """How far it has come."""
    return Reply.ok(_batch(await call.services.fact_batches.get(batch_id)))


@router.post(
    "/facts/batches/<batch_id:int>/approve",
    summary="批准事实批次",
    query=WriteQuery,
    replies={200: FactBatchReply},
    caller=Callers.admin("fact.approve"),
    errors=(FactBatchNotFound, WrongStatus, SecondPersonRequired),
)
async def approve_batch(call: Call, query: WriteQuery, batch_id: int) -> Reply:
    """By somebody else than who wrote it down; campaigns judge within seconds."""
    return Reply.ok(_batch(await call.services.fact_batches.approve(batch_id, signed(call, query.simulate))))


@router.post(
    "/facts/batches/<batch_id:int>/cancel",
    summary="取消事实批次",
    query=WriteQuery,
    replies={200: FactBatchReply},
    caller=Callers.admin("fact.edit"),
    errors=(FactBatchNotFound, WrongStatus),
)
async def cancel_batch(call: Call, query: WriteQuery, batch_id: int) -> Reply:
    """For good, after the page under way; what was told stays told."""
    return Reply.ok(_batch(await call.services.fact_batches.cancel(batch_id, signed(call, query.simulate))))


def _batch(view: BatchView) -> FactBatchReply:
    row = view.row
    return FactBatchReply(
        id=str(row.id), kind=row.kind, source=row.source, occasion=row.occasion,  # type: ignore[arg-type]
        list_id=None if row.list_id is None else str(row.list_id), document=row.document, status=row.status,  # type: ignore[arg-type]
        taken=row.taken, unknown=row.unknown, repeated=row.repeated, unreadable=row.unreadable,
        mistimed=row.mistimed, told=row.told, campaigns=view.campaigns,
        created_by=str(row.created_by), created_at=row.created_at,
        approved_by=None if row.approved_by is None else str(row.approved_by), approved_at=row.approved_at,
        ended_at=row.ended_at, simulated=view.effects is not None, effects=effects_reply(view.effects),
    )  # fmt: skip
