"""Log-in of administrators: password and one-time code."""

from __future__ import annotations

from server.admin_api.schemas.sessions import (
    AdminLoginRequest,
    AdminRefreshRequest,
    AdminSessionReply,
    AdminTokenReply,
)
from server.people.errors import (
    AdminLoginLocked,
    AdminLoginRefused,
    RefreshTokenInvalid,
    RefreshTokenReused,
    SessionRevoked,
)
from server.web.routing import Call, Callers, Limit, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 会话")


@router.post(
    "/sessions",
    summary="管理员登录",
    body=AdminLoginRequest,
    replies={201: AdminSessionReply},
    caller=Callers.anonymous,
    errors=(AdminLoginRefused, AdminLoginLocked),
    limit=Limit("admin_login", per_minute=30, by="ip", setting="login_per_minute"),
)
async def log_in(call: Call, body: AdminLoginRequest) -> Reply:
    """Check password and one-time code. One answer for whatever was wrong; growing delays after failures."""
    done = await call.services.administrators.log_in(
        body.username, body.password, body.totp, remote_ip=call.remote_ip, request_id=call.request_id
    )
    return Reply.created(
        AdminSessionReply(
            access_token=done.tokens.access_token,
            refresh_token=done.tokens.refresh_token,
            token_type="Bearer",  # noqa: S106 the name of the scheme
            expires_at=done.tokens.expires_at,
            refresh_expires_at=done.tokens.refresh_expires_at,
            administrator_id=str(done.administrator_id),
            display_name=done.display_name,
            roles=list(done.roles),
            scopes=sorted(done.scopes),
        )
    )


@router.post(
    "/sessions/refresh",
    summary="刷新管理员登录凭据",
    body=AdminRefreshRequest,
    replies={200: AdminTokenReply},
    caller=Callers.anonymous,
    errors=(RefreshTokenInvalid, RefreshTokenReused, SessionRevoked),
    limit=Limit("refresh", per_minute=60, by="ip"),
)
async def refresh(call: Call, body: AdminRefreshRequest) -> Reply:
    """Exchange a refresh token for its successor. The session ends twelve hours after its log-in."""
    tokens = await call.services.sessions.refresh(body.refresh_token, aud="admin")
    return Reply.ok(
        AdminTokenReply(
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            token_type="Bearer",  # noqa: S106 the name of the scheme
            expires_at=tokens.expires_at,
            refresh_expires_at=tokens.refresh_expires_at,
        )
    )


@router.delete("/sessions/current", summary="管理员退出登录", replies={204: None}, caller=Callers.admin())
async def log_out(call: Call) -> Reply:
    """End this session."""
    await call.services.sessions.log_out(call.caller.session_id)
    return Reply.nothing()
