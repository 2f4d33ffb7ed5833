"""Log-in of staff with WeChat, at one store."""

from __future__ import annotations

from miniprogram_api.schemas.merchant_sessions import StaffLoginRequest, StaffSessionReply, StoreReply
from miniprogram_api.schemas.sessions import RefreshRequest, TokenReply
from server.merchants.errors import NotStaffHere, StoreClosed
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

router = Router(prefix="/api/mp/v1", tag="商户 · 会话")


@router.post(
    "/merchant/sessions",
    summary="店员登录",
    body=StaffLoginRequest,
    replies={201: StaffSessionReply},
    caller=Callers.anonymous,
    errors=(
        NotStaffHere,
        StoreClosed,
        LoginCodeRejected,
        LoginCodeUsed,
        WeChatUserBlocked,
        WeChatBusy,
        WeChatUnreachable,
        WeChatMisconfigured,
    ),
    limit=Limit("login", per_minute=30, by="ip", setting="login_per_minute"),
)
async def log_in(call: Call, body: StaffLoginRequest) -> Reply:
    """Exchange a `wx.login` code for a session at one store; the phone is a terminal of that store from then on."""
    done = await call.services.merchants.access.log_in(body.code, int(body.store_id), request_id=call.request_id)
    return Reply.created(
        StaffSessionReply(
            access_token=done.tokens.access_token,
            refresh_token=done.tokens.refresh_token,
            token_type="Bearer",  # noqa: S106 the name of the scheme
            expires_at=done.tokens.expires_at,
            refresh_expires_at=done.tokens.refresh_expires_at,
            server_time=call.services.clock.now(),
            staff_id=str(done.staff_id),
            role=done.role,
            merchant_id=str(done.merchant_id),
            merchant_name=done.merchant_name,
            merchant_status=done.merchant_status,
            store=StoreReply(str(done.store.id), done.store.town, done.store.name, done.store.status),
            terminal_id=str(done.terminal.id),
        )
    )


@router.post(
    "/merchant/sessions/refresh",
    summary="刷新店员登录凭据",
    body=RefreshRequest,
    replies={200: TokenReply},
    caller=Callers.anonymous,
    errors=(RefreshTokenInvalid, RefreshTokenReused, SessionRevoked),
    limit=Limit("refresh", per_minute=60, by="ip"),
)
async def refresh(call: Call, body: RefreshRequest) -> Reply:
    """Exchange a refresh token for its successor; the same one within 30 seconds gets the same successor."""
    tokens = await call.services.sessions.refresh(body.refresh_token, aud="merchant")
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


@router.delete("/merchant/sessions/current", summary="店员退出登录", replies={204: None}, caller=Callers.staff())
async def log_out(call: Call) -> Reply:
    """End this session. Its access token is refused at once here and within a second everywhere."""
    await call.services.sessions.log_out(call.caller.session_id)
    return Reply(status=204)
