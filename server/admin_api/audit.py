"""The audit trail in the console."""

from __future__ import annotations

from server.admin_api.schemas.audit import AuditEntryReply, AuditPageReply, AuditQuery
from server.kit import audit_trail
from server.kit.paging import cursor_after, cursor_number
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 审计")


@router.get(
    "/audit-entries",
    summary="操作记录",
    query=AuditQuery,
    replies={200: AuditPageReply},
    caller=Callers.admin("audit.read"),
)
async def list_audit_entries(call: Call, query: AuditQuery) -> Reply:
    """Newest first; every administrative change with its before and after."""
    rows = await audit_trail.entries(
        before_id=cursor_number(query.cursor), limit=query.limit, actor_kind=query.actor_kind,
        actor_id=query.actor_id, action=query.action, object_kind=query.object_kind, object_id=query.object_id,
        since=query.since, until=query.until,
    )  # fmt: skip
    items = [
        AuditEntryReply(
            str(row.id), row.at, row.actor_kind, row.actor_id, row.action, row.object_kind, row.object_id, row.before,
            row.after, row.request_id,
        )
        for row in rows
    ]  # fmt: skip
    return Reply.ok(AuditPageReply(items, cursor_after(rows, query.limit, lambda row: row.id)))
