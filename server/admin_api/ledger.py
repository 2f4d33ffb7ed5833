"""The ledger in the console: corrections of balances by two people, and accounts without a limit."""

from __future__ import annotations

from uuid import UUID

from server.admin_api.schemas.wallets import (
    AccountQuery,
    AccountReply,
    AdjustmentPageReply,
    AdjustmentQuery,
    AdjustmentReply,
    AdjustmentRequest,
    RejectRequest,
)
from server.admin_api.wallets import clerk_of
from server.kit.errors import InvalidField
from server.kit.paging import cursor_after, cursor_uuid
from server.ledger_office.commands import AdjustmentDraft
from server.ledger_office.errors import AdjustmentDecided, AdjustmentNotFound
from server.ledger_office.models import Adjustment
from server.web.idempotency import replayed_header
from server.web.routing import Call, Callers, Reply, Router
from wallet import statuses

router = Router(prefix="/api/admin/v1", tag="管理 · 账务")


@router.post(
    "/adjustments",
    summary="申请积分更正",
    body=AdjustmentRequest,
    replies={201: AdjustmentReply},
    caller=Callers.admin("ledger.write"),
    errors=(statuses.MISMATCH, statuses.ID_EXPIRED, statuses.WALLET_MISSING),
    idempotent=True,
)
async def request_adjustment(call: Call, body: AdjustmentRequest) -> Reply:
    """The Idempotency-Key becomes the request's id. Nothing moves before somebody else approves."""
    assert call.idempotency_key is not None
    draft = AdjustmentDraft(
        int(body.resident_id), body.points, body.reason.strip(), body.document.strip(), body.validity_months
    )
    row, replayed = await call.services.adjustments.request(call.idempotency_key, draft, clerk_of(call))
    return Reply.created(_adjustment(row), replayed_header(replayed))


@router.get(
    "/adjustments",
    summary="积分更正列表",
    query=AdjustmentQuery,
    replies={200: AdjustmentPageReply},
    caller=Callers.admin("ledger.read"),
)
async def list_adjustments(call: Call, query: AdjustmentQuery) -> Reply:
    """Newest first."""
    before = cursor_uuid(query.cursor)
    rows = await call.services.adjustments.page(
        status=query.status,
        resident_id=None if query.resident_id is None else int(query.resident_id),
        before=before,
        limit=query.limit,
    )
    more = cursor_after(rows, query.limit, lambda row: row.id)
    return Reply.ok(AdjustmentPageReply([_adjustment(row) for row in rows], more))


@router.get(
    "/adjustments/<adjustment_id:uuid>",
    summary="积分更正详情",
    replies={200: AdjustmentReply},
    caller=Callers.admin("ledger.read"),
    errors=(AdjustmentNotFound,),
)
async def get_adjustment(call: Call, adjustment_id: UUID) -> Reply:
    """One request and what became of it."""
    return Reply.ok(_adjustment(await call.services.adjustments.get(adjustment_id)))


@router.post(
    "/adjustments/<adjustment_id:uuid>/approve",
    summary="批准积分更正",
    replies={200: AdjustmentReply},
    caller=Callers.admin("ledger.approve"),
    errors=(AdjustmentNotFound, AdjustmentDecided, statuses.TWO_PEOPLE),
)
async def approve_adjustment(call: Call, adjustment_id: UUID) -> Reply:
    """By somebody else than who asked. Status `approved`: the ledger follows within seconds."""
    return Reply.ok(_adjustment(await call.services.adjustments.approve(adjustment_id, clerk_of(call))))


@router.post(
    "/adjustments/<adjustment_id:uuid>/reject",
    summary="驳回积分更正",
    body=RejectRequest,
    replies={200: AdjustmentReply},
    caller=Callers.admin("ledger.approve"),
    errors=(AdjustmentNotFound, AdjustmentDecided, statuses.TWO_PEOPLE),
)
async def reject_adjustment(call: Call, body: RejectRequest, adjustment_id: UUID) -> Reply:
    """By somebody else than who asked, for good."""
    row = await call.services.adjustments.reject(adjustment_id, body.reason.strip(), clerk_of(call))
    return Reply.ok(_adjustment(row))


@router.get(
    "/accounts",
    summary="无限额账户余额",
    query=AccountQuery,
    replies={200: AccountReply},
    caller=Callers.admin("ledger.read"),
)
async def show_account(call: Call, query: AccountQuery) -> Reply:
    """What expired unused, what was paid for coupons or to payees, corrections, and what sponsors owe merchants: exact
    at the moment of asking."""
    accounts = call.services.wallet_desk.accounts
    needed = {"breakage": ("first_day", "last_day"), "adjustment": ()}.get(query.kind, ("account_id",))
    for name in ("account_id", "first_day", "last_day"):
        if (getattr(query, name) is None) == (name in needed):
            raise InvalidField(field=name)
    if query.first_day is not None and query.last_day is not None:
        if query.last_day < query.first_day:
            raise InvalidField(field="last_day")
        balance = await accounts.breakage(query.first_day, query.last_day)
    else:
        balance = await accounts.balance(query.kind, int(query.account_id or 0))
    unit = "fen" if query.kind == "merchant_payable" else "points"
    return Reply.ok(AccountReply(query.kind, query.account_id, query.first_day, query.last_day, unit, balance))  # type: ignore[arg-type]


def _adjustment(row: Adjustment) -> AdjustmentReply:
    return AdjustmentReply(
        id=str(row.id),
        resident_id=str(row.resident_id),
        points=row.points,
        reason=row.reason,
        document=row.document,
        validity_months=row.validity_months,
        status=row.status,  # type: ignore[arg-type]
        requested_by=str(row.requested_by),
        requested_at=row.requested_at,
        decided_by=None if row.decided_by is None else str(row.decided_by),
        decided_at=row.decided_at,
        decision_note=row.decision_note,
        posting_id=None if row.vault_id is None else str(row.vault_id),
        answer=row.answer,
        points_after=row.points_after,
        expires_on=row.expires_on,
        settled_at=row.settled_at,
    )
