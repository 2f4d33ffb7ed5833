"""Reading the audit trail: newest first, by filters, never changing it."""

from __future__ import annotations

from datetime import datetime

from server.kit.audit import AuditEntry


async def entries(
    *,
    before_id: int | None,
    limit: int,
    actor_kind: str | None = None,
    actor_id: str | None = None,
    action: str | None = None,
    object_kind: str | None = None,
    object_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[AuditEntry]:
    """Up to `limit` entries with an id below `before_id`, newest first; a filter that is None lets all through."""
    wanted = {
        "id__lt": before_id, "actor_kind": actor_kind, "actor_id": actor_id, "action": action,
        "object_kind": object_kind, "object_id": object_id, "at__gte": since, "at__lt": until,
    }  # fmt: skip
    chosen = {name: value for name, value in wanted.items() if value is not None}
    return await AuditEntry.filter(**chosen).order_by("-id").limit(limit)
