"""Who the administrators are, as other answers name them by id only."""

from __future__ import annotations

from server.admin_api.schemas.administrators import AdministratorListReply, AdministratorReply
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 会话")


@router.get(
    "/administrators",
    summary="管理员名单",
    replies={200: AdministratorListReply},
    caller=Callers.admin("admin.read"),
)
async def list_administrators(call: Call) -> Reply:
    """Every account by id, closed ones included. Accounts are made and closed by `chengxin`'s commands."""
    return Reply.ok(
        AdministratorListReply(
            [
                AdministratorReply(
                    str(one.id), one.username, one.display_name, list(one.roles), one.created_at, one.disabled_at
                )
                for one in await call.services.administrators.listed()
            ]
        )
    )
