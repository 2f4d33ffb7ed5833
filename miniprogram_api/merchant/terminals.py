"""Terminals of a merchant: created by a manager, enrolled by the machine, revoked at once."""

from __future__ import annotations

from miniprogram_api.schemas.staff import PageQuery
from miniprogram_api.schemas.terminals import (
    CreateTerminalRequest,
    EnrolledReply,
    EnrolmentReply,
    EnrolRequest,
    TerminalPageReply,
    TerminalReply,
    TerminalSessionReply,
    TerminalSessionRequest,
)
from server.merchants.errors import (
    EnrolmentRejected,
    MerchantSuspended,
    RoleTooLow,
    StoreClosed,
    StoreNotFound,
    TerminalNotFound,
    TerminalRevoked,
    TerminalSecretRejected,
)
from server.merchants.views import TerminalView
from server.web.routing import Call, Callers, Limit, Reply, Router

router = Router(prefix="/api/mp/v1", tag="商户 · 终端")


@router.post(
    "/merchant/terminals",
    summary="新增终端",
    body=CreateTerminalRequest,
    replies={201: EnrolmentReply},
    caller=Callers.staff("owner", "manager"),
    errors=(RoleTooLow, StoreNotFound, StoreClosed, MerchantSuspended),
    limit=Limit("terminal_create", per_minute=30, by="session"),
)
async def create(call: Call, body: CreateTerminalRequest) -> Reply:
    """A pending terminal and its one-use enrolment code, valid for fifteen minutes."""
    issued = await call.services.merchants.terminals.create(
        call.caller,
        store_id=int(body.store_id),
        kind=body.kind,
        label=body.label.strip(),
        request_id=call.request_id,
    )
    return Reply.created(EnrolmentReply(terminal_reply(issued.terminal), issued.code, issued.expires_at))


@router.post(
    "/merchant/terminals/enrol",
    summary="登记终端",
    body=EnrolRequest,
    replies={201: EnrolledReply},
    caller=Callers.anonymous,
    errors=(EnrolmentRejected, StoreClosed, MerchantSuspended),
    limit=Limit("terminal_enrol", per_minute=10, by="ip"),
)
async def enrol(call: Call, body: EnrolRequest) -> Reply:
    """The machine that sends the code is the terminal from now on."""
    enrolled = await call.services.merchants.terminals.enrol(body.enrolment_code, request_id=call.request_id)
    return Reply.created(EnrolledReply(terminal_reply(enrolled.terminal), enrolled.secret))


@router.post(
    "/merchant/terminals/session",
    summary="终端换取令牌",
    body=TerminalSessionRequest,
    replies={201: TerminalSessionReply},
    caller=Callers.anonymous,
    errors=(TerminalSecretRejected, TerminalRevoked),
    limit=Limit("terminal_session", per_minute=60, by="ip"),
)
async def open_session(call: Call, body: TerminalSessionRequest) -> Reply:
    """Exchange the terminal's secret for a token of ten minutes."""
    token = await call.services.merchants.access.open_terminal(body.terminal_secret)
    return Reply.created(
        TerminalSessionReply(
            access_token=token.access_token,
            token_type="Bearer",  # noqa: S106 the name of the scheme
            expires_at=token.expires_at,
            server_time=call.services.clock.now(),
            terminal=terminal_reply(token.terminal),
        )
    )


@router.get(
    "/merchant/terminals",
    summary="终端列表",
    query=PageQuery,
    replies={200: TerminalPageReply},
    caller=Callers.staff("owner", "manager", "auditor"),
    errors=(RoleTooLow,),
)
async def list_terminals(call: Call, query: PageQuery) -> Reply:
    """The terminals of the stores the caller may see."""
    page = await call.services.merchants.terminals.page(call.caller, cursor=query.cursor, limit=query.limit)
    return Reply.ok(TerminalPageReply([terminal_reply(item) for item in page.items], page.next_cursor))


@router.post(
    "/merchant/terminals/<terminal_id:int>/revoke",
    summary="停用终端",
    replies={200: TerminalReply},
    caller=Callers.staff("owner", "manager"),
    errors=(TerminalNotFound, RoleTooLow),
    tells_vault=True,
)
async def revoke(call: Call, terminal_id: int) -> Reply:
    """The terminal accepts nothing from now on. Doing it twice answers the same."""
    revoked = await call.services.merchants.terminals.revoke(call.caller, terminal_id, request_id=call.request_id)
    return Reply.ok(terminal_reply(revoked))


def terminal_reply(terminal: TerminalView) -> TerminalReply:
    """A terminal as the back office shows it, without its secret."""
    return TerminalReply(
        id=str(terminal.id),
        store_id=str(terminal.store_id),
        kind=terminal.kind,
        label=terminal.label,
        staff_id=None if terminal.staff_id is None else str(terminal.staff_id),
        status=terminal.status,
        created_at=terminal.created_at,
        enrolled_at=terminal.enrolled_at,
    )
