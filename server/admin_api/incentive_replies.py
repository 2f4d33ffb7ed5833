"""How campaigns, templates and budgets leave for the console."""

from __future__ import annotations

from typing import Any

from server.admin_api.schemas.incentives import BudgetReply, CampaignReply, CouponTemplateReply, TopUpReply
from server.incentives.budgets import BudgetState
from server.incentives.campaigns import CampaignView
from server.incentives.commands import Signed
from server.incentives.models import BudgetRequest
from server.incentives.templates import TemplateView
from server.web.routing import Call


def signed(call: Call) -> Signed:
    """Who asks, for the audit trail and the two-person rule."""
    assert call.caller.admin_id is not None
    return Signed(call.caller.admin_id, call.request_id)


def budget_reply(state: BudgetState) -> BudgetReply:
    return BudgetReply(
        str(state.id), state.unit, state.planned, state.total, state.left, state.reserved, state.consumed, state.open  # type: ignore[arg-type]
    )  # fmt: skip


def campaign_reply(view: CampaignView) -> CampaignReply:
    row = view.row
    return CampaignReply(**_course(view), trigger=row.trigger, points=row.points, validity_months=row.validity_months)


def template_reply(view: TemplateView) -> CouponTemplateReply:
    row = view.row
    return CouponTemplateReply(
        **_course(view), version=row.version, kind=row.kind, face_value_fen=row.face_value_fen, pay_bp=row.pay_bp,  # type: ignore[arg-type]
        cap_fen=row.cap_fen, threshold_fen=row.threshold_fen, sponsor_bp=row.sponsor_bp, price_points=row.price_points,
        valid_days=row.valid_days, valid_until=row.valid_until, merchants=[str(item) for item in row.merchants],
        void_window_s=row.void_window_s, grace_days=row.grace_days, return_stock=row.return_stock,
        claimable=row.claimable,
    )  # fmt: skip


def top_up_reply(request: BudgetRequest) -> TopUpReply:
    return TopUpReply(
        str(request.id), str(request.budget_id), request.amount, request.document, request.status, request.reason,  # type: ignore[arg-type]
        str(request.requested_by), request.requested_at, _person(request.approved_by), request.approved_at,
        request.settled_at,
    )  # fmt: skip


def _course(view: CampaignView | TemplateView) -> dict[str, Any]:
    row = view.row
    return {
        "id": str(row.id), "title": row.title, "document": row.document, "status": row.status,
        "revision": row.revision, "starts_at": row.starts_at, "ends_at": row.ends_at, "per_person": row.per_person,
        "per_person_period": row.per_person_period, "terms_text": view.terms_text,
        "created_by": str(row.created_by), "created_at": row.created_at,
        "changed_at": row.changed_at, "activated_by": _person(row.activated_by), "activated_at": row.activated_at,
        "ended_at": row.ended_at, "end_reason": row.end_reason,
        "budgets": [budget_reply(state) for state in view.budgets],
    }  # fmt: skip


def _person(admin_id: int | None) -> str | None:
    return None if admin_id is None else str(admin_id)
