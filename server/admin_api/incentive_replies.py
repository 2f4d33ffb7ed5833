"""How campaigns, templates and budgets leave for the console."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from server.admin_api.schemas.experiments import HoldOutBody, WithheldReply
from server.admin_api.schemas.incentives import (
    BudgetReply,
    CampaignReply,
    CampaignVersionReply,
    ChangeReply,
    CouponTemplateReply,
    CouponTemplateVersionReply,
    DifferenceReply,
    EffectsReply,
    FieldDifference,
    FundingReply,
    LimitBody,
    TopUpReply,
)
from server.admin_api.schemas.limit_use import LimitUseReply
from server.incentives.budgets import BudgetState
from server.incentives.campaigns import CampaignView
from server.incentives.changes import Effects
from server.incentives.commands import Signed
from server.incentives.counting import Counted
from server.incentives.course import Difference
from server.incentives.experiments.report import Withheld
from server.incentives.limits import Limit
from server.incentives.models import BudgetRequest, CampaignVersion, CouponTemplateVersion
from server.incentives.rules import Rule
from server.incentives.templates import TemplateView
from server.incentives.usable import usable_times
from server.web.routing import Call, Reply

R = TypeVar("R", bound=msgspec.Struct)


def signed(call: Call, simulate: bool = False) -> Signed:
    """Who asks, for the audit trail and the two-person rule."""
    assert call.caller.admin_id is not None
    return Signed(call.caller.admin_id, call.request_id, simulate)


def outcome(reply: R, by: Signed) -> R:
    """The reply of a write with what it would change, when it was only simulated."""
    if not by.simulate:
        return reply
    told = Effects([one for each in by.told for one in each.changes], [one for each in by.told for one in each.budgets])
    replaced: R = msgspec.structs.replace(reply, simulated=True, effects=effects_reply(told))
    return replaced


def created(reply: msgspec.Struct, by: Signed) -> Reply:
    """201 with what was made; 200 with what would be."""
    return Reply.ok(outcome(reply, by)) if by.simulate else Reply.created(reply)


def limits_of(bodies: list[LimitBody]) -> tuple[Limit, ...]:
    """Limits as the room takes them."""
    return tuple(Limit(one.cap, one.action, one.measure, one.period, one.scope) for one in bodies)


def budget_reply(state: BudgetState) -> BudgetReply:
    return BudgetReply(
        str(state.id), state.unit, state.planned, state.total, state.left, state.reserved, state.consumed, state.open  # type: ignore[arg-type]
    )  # fmt: skip


def campaign_reply(view: CampaignView, withheld: Withheld | None = None, used: Sequence[Counted] = ()) -> CampaignReply:
    draft = None if view.draft is None else campaign_version_reply(view.draft, view.draft_text)
    return CampaignReply(
        **_life(view), version=campaign_version_reply(view.version, view.terms_text), draft=draft,
        withheld=None if withheld is None else withheld_reply(withheld),
        limit_use=[_limit_use(one) for one in used] or None,
    )  # fmt: skip


def _limit_use(one: Counted) -> LimitUseReply:
    scope, cap = one.limit["scope"], one.limit["cap"]
    town = one.place if scope == "town" else None
    return LimitUseReply(scope, one.limit["period"], town, cap, one.used, max(0, cap - one.used))


def withheld_reply(withheld: Withheld) -> WithheldReply:
    return WithheldReply(withheld.awards, withheld.points, withheld.fen)


def template_reply(view: TemplateView) -> CouponTemplateReply:
    draft = None if view.draft is None else template_version_reply(view.draft, view.draft_text)
    return CouponTemplateReply(
        **_life(view), version=template_version_reply(view.version, view.terms_text), draft=draft
    )


def campaign_version_reply(version: CampaignVersion, text: str) -> CampaignVersionReply:
    return CampaignVersionReply(
        **_version(version, text), rule=msgspec.convert(version.rule, Rule), trigger=version.trigger,
        validity_months=version.validity_months,
        hold_out=msgspec.convert(version.hold_out, HoldOutBody | None),
    )  # fmt: skip


def template_version_reply(version: CouponTemplateVersion, text: str) -> CouponTemplateVersionReply:
    return CouponTemplateVersionReply(
        **_version(version, text), kind=version.kind, face_value_fen=version.face_value_fen, pay_bp=version.pay_bp,  # type: ignore[arg-type]
        cap_fen=version.cap_fen, threshold_fen=version.threshold_fen, platform_bp=version.platform_bp,
        sponsor_bp=version.sponsor_bp, merchant_bp=version.merchant_bp, price_points=version.price_points,
        starts_after_days=version.starts_after_days, valid_days=version.valid_days, valid_from=version.valid_from,
        valid_until=version.valid_until, windows=usable_times(version.windows),
        merchants=[str(item) for item in version.merchants], stores=[str(item) for item in version.stores],
        stacking_group=version.stacking_group, most_per_order=version.most_per_order, goods_name=version.goods_name,
        goods_quantity=version.goods_quantity, notice=version.notice, void_window_s=version.void_window_s,
        grace_days=version.grace_days, return_stock=version.return_stock, claimable=version.claimable,
        by_lottery=version.by_lottery,
    )  # fmt: skip


def difference_reply(found: Difference[Any]) -> DifferenceReply:
    return DifferenceReply(
        found.before.number, found.after.number, [FieldDifference(*one) for one in found.fields],
        found.before_text, found.after_text,
    )  # fmt: skip


def effects_reply(effects: Effects | None) -> EffectsReply | None:
    if effects is None:
        return None
    changes = [ChangeReply(one.what, one.id, one.field, one.before, one.after) for one in effects.changes]
    return EffectsReply(changes, [FundingReply(one.budget_id, one.unit, one.amount) for one in effects.budgets])  # type: ignore[arg-type]


def top_up_reply(request: BudgetRequest, effects: Effects | None = None) -> TopUpReply:
    return TopUpReply(
        str(request.id), str(request.budget_id), request.amount, request.document, request.status, request.reason,  # type: ignore[arg-type]
        str(request.requested_by), request.requested_at, _person(request.approved_by), request.approved_at,
        request.settled_at, effects is not None, effects_reply(effects),
    )  # fmt: skip


def _life(view: CampaignView | TemplateView) -> dict[str, Any]:
    row = view.row
    return {
        "id": str(row.id), "status": row.status, "revision": row.revision, "settling": row.pending is not None,
        "first_created_by": str(row.created_by), "created_at": row.created_at, "changed_at": row.changed_at,
        "activated_at": row.activated_at, "ended_at": row.ended_at, "end_reason": row.end_reason,
        "budgets": [budget_reply(state) for state in view.budgets],
        "simulated": view.effects is not None, "effects": effects_reply(view.effects),
    }  # fmt: skip


def _version(version: CampaignVersion | CouponTemplateVersion, text: str) -> dict[str, Any]:
    return {
        "version_id": str(version.id), "number": version.number, "version_status": version.status,
        "title": version.title, "document": version.document, "starts_at": version.starts_at,
        "ends_at": version.ends_at, "limits": msgspec.convert(version.limits, list[LimitBody]), "terms_text": text,
        "comment": version.comment, "created_by": str(version.created_by),
        "submitted_by": _person(version.submitted_by), "submitted_at": version.submitted_at,
        "approved_by": _person(version.approved_by), "approved_at": version.approved_at,
        "live_at": version.live_at, "superseded_at": version.superseded_at,
    }  # fmt: skip


def _person(admin_id: int | None) -> str | None:
    return None if admin_id is None else str(admin_id)
