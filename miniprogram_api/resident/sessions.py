"""Log-in of residents with WeChat."""

from __future__ import annotations

from miniprogram_api.schemas.sessions import LoginRequest, RefreshRequest, SessionReply, TokenReply
from server.people.errors import RefreshTokenInvalid, RefreshTokenReused, SessionRevoked
from server.people.wechat.errors import (
    LoginCodeRejected,
    LoginCodeUsed,
    WeChatBusy,
    WeChatMisconfigured,
    WeChatUnreachable,
    WeChatUserBlocked,
)
from server.web.routing import Call, Callers, Limit, Reply, Router

router = Router(prefix="/api/mp/v1", tag="居民 · 会话")


@router.post(
    "/sessions",
    summary="微信登录",
    body=LoginRequest,
    replies={201: SessionReply},
    caller=Callers.anonymous,
    errors=(
        LoginCodeRejected,
        LoginCodeUsed,
        WeChatUserBlocked,
        WeChatBusy,
        WeChatUnreachable,
        WeChatMisconfigured,
    ),
    limit=Limit("login", per_minute=30, by="ip", setting="login_per_minute"),
)
async def log_in(call: Call, body: LoginRequest) -> Reply:
    """Exchange a `wx.login` code for an access token (10 minutes) and a refresh token."""
    done = await call.services.sessions.log_in(body.code)
    return Reply.created(
        SessionReply(
            access_token=done.tokens.access_token,
            refresh_token=done.tokens.refresh_token,
            token_type="Bearer",  # noqa: S106 the name of the scheme
            expires_at=done.tokens.expires_at,
            refresh_expires_at=done.tokens.refresh_expires_at,
            server_time=call.services.clock.now(),
            bound=done.resident_id is not None,
        )
    )


@router.post(
    "/sessions/refresh",
    summary="刷新登录凭据",
    body=RefreshRequest,
    replies={200: TokenReply},
    caller=Callers.anonymous,
    errors=(RefreshTokenInvalid, RefreshTokenReused, SessionRevoked),
    limit=Limit("refresh", per_minute=600, by="ip"),
)
async def refresh(call: Call, body: RefreshRequest) -> Reply:
    """Exchange a refresh token for its successor; the same one within 30 seconds gets the same successor."""
    tokens = await call.services.sessions.refresh(body.refresh_token, aud="resident")
    return Reply.ok(
        TokenReply(
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            token_type="Bearer",  # noqa: S106 the name of the scheme
            expires_at=tokens.expires_at,
            refresh_expires_at=tokens.refresh_expires_at,
            server_time=call.services.clock.now(),
        )
    )


@router.delete("/sessions/current", summary="退出登录", replies={204: None}, caller=Callers.identity)
async def log_out(call: Call) -> Reply:
    """End this session. Its access token is refused at once here and within a second everywhere."""
    await call.services.sessions.log_out(call.caller.session_id)
    return Reply.nothing()


@router.delete("/sessions", summary="退出所有设备", replies={204: None}, caller=Callers.identity)
async def log_out_everywhere(call: Call) -> Reply:
    """End every session of this person and kill every code shown on any phone."""
    if call.caller.identity_id is not None:
        await call.services.sessions.log_out_everywhere(call.caller.identity_id)
    return Reply.nothing()
