"""Budgets in the console: what is left of them, and top-ups by two people."""

from __future__ import annotations

from uuid import UUID

from server.admin_api.incentive_replies import budget_reply, signed, top_up_reply
from server.admin_api.schemas.incentives import (
    BudgetDetailReply,
    BurnReply,
    RejectRequest,
    TopUpReply,
    TopUpRequest,
    WriteQuery,
)
from server.incentives.errors import BudgetNotFound, SecondPersonRequired, TopUpNotFound, WrongStatus
from server.web.idempotency import replayed_header
from server.web.routing import Call, Callers, Reply, Router
from wallet import statuses

router = Router(prefix="/api/admin/v1", tag="管理 · 预算")


@router.get(
    "/budgets/<budget_id:int>",
    summary="预算详情",
    replies={200: BudgetDetailReply},
    caller=Callers.admin("budget.read"),
    errors=(BudgetNotFound,),
)
async def get_budget(call: Call, budget_id: int) -> Reply:
    """Planned, total, left, reserved and consumed as the ledger has them now."""
    budgets = call.services.budgets
    state = await budgets.state(budget_id)
    campaign, template = (None if item is None else str(item) for item in (state.campaign_id, state.template_id))
    requests = [top_up_reply(request) for request in await budgets.requests(budget_id)]
    burn = await budgets.burn(state)
    speed = BurnReply(burn.per_day_7, burn.per_day, burn.empty_at)
    return Reply.ok(BudgetDetailReply(budget_reply(state), speed, campaign, template, requests))


@router.post(
    "/budgets/<budget_id:int>/top-ups",
    summary="申请追加预算",
    body=TopUpRequest,
    query=WriteQuery,
    replies={200: TopUpReply, 201: TopUpReply},
    caller=Callers.admin("budget.topup"),
    errors=(BudgetNotFound, WrongStatus, statuses.MISMATCH, statuses.ID_EXPIRED),
    idempotent=True,
)
async def request_top_up(call: Call, body: TopUpRequest, query: WriteQuery, budget_id: int) -> Reply:
    """The Idempotency-Key becomes the id of the entry; nothing is booked before somebody else approves. Simulated, the
    answer is 200 and the key stays free."""
    assert call.idempotency_key is not None
    request, replayed, effects = await call.services.budgets.request_top_up(
        budget_id, call.idempotency_key, body.amount, body.document.strip(), signed(call, query.simulate)
    )
    reply = top_up_reply(request, effects)
    return Reply.ok(reply) if query.simulate else Reply.created(reply, replayed_header(replayed))


@router.post(
    "/top-ups/<top_up_id:uuid>/approve",
    summary="批准追加预算",
    query=WriteQuery,
    replies={200: TopUpReply},
    caller=Callers.admin("budget.approve"),
    errors=(TopUpNotFound, WrongStatus, SecondPersonRequired),
)
async def approve_top_up(call: Call, query: WriteQuery, top_up_id: UUID) -> Reply:
    """By somebody else than who asked. Status `approved` means that the ledger follows within seconds."""
    return Reply.ok(top_up_reply(*await call.services.budgets.approve(top_up_id, signed(call, query.simulate))))


@router.post(
    "/top-ups/<top_up_id:uuid>/reject",
    summary="驳回追加预算",
    body=RejectRequest,
    query=WriteQuery,
    replies={200: TopUpReply},
    caller=Callers.admin("budget.approve"),
    errors=(TopUpNotFound, WrongStatus),
)
async def reject_top_up(call: Call, body: RejectRequest, query: WriteQuery, top_up_id: UUID) -> Reply:
    """With a comment, while nobody has approved it; nothing is booked. Who wants it still asks anew."""
    by = signed(call, query.simulate)
    return Reply.ok(top_up_reply(*await call.services.budgets.reject(top_up_id, body.comment, by)))


@router.post(
    "/top-ups/<top_up_id:uuid>/withdraw",
    summary="撤回追加预算申请",
    query=WriteQuery,
    replies={200: TopUpReply},
    caller=Callers.admin("budget.topup"),
    errors=(TopUpNotFound, WrongStatus),
)
async def withdraw_top_up(call: Call, query: WriteQuery, top_up_id: UUID) -> Reply:
    """By who asked for it, while nobody has approved it."""
    return Reply.ok(top_up_reply(*await call.services.budgets.withdraw(top_up_id, signed(call, query.simulate))))
