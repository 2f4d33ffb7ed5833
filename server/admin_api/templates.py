"""Coupon templates in the console: draft, review, a second person, and their course."""

from __future__ import annotations

from server.admin_api.course_routes import Desk, add_course
from server.admin_api.incentive_replies import limits_of, signed, template_reply, template_version_reply
from server.admin_api.schemas.incentives import (
    CouponTemplatePageReply,
    CouponTemplateReply,
    CouponTemplateRequest,
    CouponTemplateVersionsReply,
    RevisionQuery,
    TemplatePageQuery,
    TemplateSearchQuery,
    WriteQuery,
)
from server.admin_api.tables import PER_BUDGET, Export, Table, add_exports, cursor_of, position_of
from server.incentives.commands import ONE_EACH, WHOLE_BP, TemplateDraft
from server.incentives.errors import (
    AlreadyLive,
    BudgetFixed,
    DraftOpen,
    LimitNeverGives,
    LimitNotCounted,
    PlaceUnknown,
    RevisionChanged,
    TemplateNotFound,
    WrongStatus,
)
from server.incentives.listing import table
from server.incentives.search import Search
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 优惠券模板")
UNFIT = (LimitNotCounted, LimitNeverGives, PlaceUnknown)


@router.post(
    "/coupon-templates",
    summary="新建优惠券模板草稿",
    body=CouponTemplateRequest,
    query=WriteQuery,
    replies={200: CouponTemplateReply, 201: CouponTemplateReply},
    caller=Callers.admin("template.edit"),
    errors=UNFIT,
)
async def create_template(call: Call, body: CouponTemplateRequest, query: WriteQuery) -> Reply:
    """A draft; it costs nothing until somebody else approves it. Simulated, the answer is 200."""
    reply = template_reply(await call.services.templates.create(_draft(body), signed(call, query.simulate)))
    return Reply.ok(reply) if query.simulate else Reply.created(reply)


@router.get(
    "/coupon-templates",
    summary="优惠券模板列表",
    query=TemplatePageQuery,
    replies={200: CouponTemplatePageReply},
    caller=Callers.admin("template.read"),
)
async def list_templates(call: Call, query: TemplatePageQuery) -> Reply:
    """By filters, newest first unless another order is asked for."""
    views, following = await call.services.templates.search(_search(query), position_of(query.cursor), query.limit)
    return Reply.ok(CouponTemplatePageReply([template_reply(view) for view in views], cursor_of(following)))


async def templates(call: Call, query: TemplateSearchQuery) -> Table:
    """A row for each budget of each that was found."""
    return await table(call.services.templates, _search(query))


add_exports(
    router,
    Export("/coupon-templates", "优惠券模板", "template.read", TemplateSearchQuery, templates, PER_BUDGET),
)


@router.get(
    "/coupon-templates/<template_id:int>",
    summary="优惠券模板详情",
    replies={200: CouponTemplateReply},
    caller=Callers.admin("template.read"),
    errors=(TemplateNotFound,),
)
async def get_template(call: Call, template_id: int) -> Reply:
    """With its budgets as the ledger has them now."""
    return Reply.ok(template_reply(await call.services.templates.get(template_id)))


@router.put(
    "/coupon-templates/<template_id:int>",
    summary="修改优惠券模板草稿",
    body=CouponTemplateRequest,
    query=RevisionQuery,
    replies={200: CouponTemplateReply},
    caller=Callers.admin("template.edit"),
    errors=(TemplateNotFound, AlreadyLive, WrongStatus, RevisionChanged, BudgetFixed, *UNFIT),
)
async def edit_template(call: Call, body: CouponTemplateRequest, query: RevisionQuery, template_id: int) -> Reply:
    """Replaces the version that is worked on; one under review goes back to draft, and whoever edits may not
    approve."""
    view = await call.services.templates.edit(template_id, _draft(body), signed(call, query.simulate), query.revision)
    return Reply.ok(template_reply(view))


@router.post(
    "/coupon-templates/<template_id:int>/versions",
    summary="新建优惠券模板版本",
    body=CouponTemplateRequest,
    query=WriteQuery,
    replies={200: CouponTemplateReply, 201: CouponTemplateReply},
    caller=Callers.admin("template.edit"),
    errors=(TemplateNotFound, WrongStatus, DraftOpen, BudgetFixed, *UNFIT),
)
async def revise_template(call: Call, body: CouponTemplateRequest, query: WriteQuery, template_id: int) -> Reply:
    """A change of what runs: a draft beside it that goes through the same review. Its budgets are left out; only
    top-ups change them. Coupons keep the version under which they were claimed. Simulated, the answer is 200."""
    view = await call.services.templates.revise(template_id, _draft(body), signed(call, query.simulate))
    return Reply.ok(template_reply(view)) if query.simulate else Reply.created(template_reply(view))


def _search(query: TemplateSearchQuery) -> Search:
    return Search(
        status=query.status, what=query.kind, text=query.text, since=query.since, until=query.until,
        created_by=None if query.created_by is None else int(query.created_by), sort=query.sort,
    )  # fmt: skip


def _sponsor_bp(body: CouponTemplateRequest) -> int:
    """What the sponsor bears: by default what platform and merchant leave."""
    if body.sponsor_bp is not None:
        return body.sponsor_bp
    return max(0, WHOLE_BP - body.platform_bp - (body.merchant_bp or 0))


def _draft(body: CouponTemplateRequest) -> TemplateDraft:
    return TemplateDraft(
        title=body.title.strip(), document=body.document.strip(), kind=body.kind, stock=body.stock,
        starts_at=body.starts_at, ends_at=body.ends_at, face_value_fen=body.face_value_fen, pay_bp=body.pay_bp,
        cap_fen=body.cap_fen, threshold_fen=body.threshold_fen, platform_bp=body.platform_bp,
        sponsor_bp=_sponsor_bp(body), merchant_bp=body.merchant_bp, price_points=body.price_points,
        limits=ONE_EACH if body.limits is None else limits_of(body.limits), starts_after_days=body.starts_after_days,
        valid_days=body.valid_days, valid_from=body.valid_from, valid_until=body.valid_until,
        windows=tuple(body.windows), merchants=tuple(int(item) for item in body.merchants),
        stores=tuple(int(item) for item in body.stores), stacking_group=body.stacking_group,
        most_per_order=body.most_per_order, goods_name=body.goods_name.strip(), goods_quantity=body.goods_quantity,
        notice=body.notice.strip(),
        void_window_s=body.void_window_s, grace_days=body.grace_days, return_stock=body.return_stock,
        budget_fen=body.budget_fen, claimable=body.claimable,
        by_lottery=body.by_lottery,
    )  # fmt: skip


add_course(
    Desk(
        router,
        "/coupon-templates",
        "template_id",
        "template",
        "优惠券模板",
        TemplateNotFound,
        CouponTemplateReply,
        CouponTemplateVersionsReply,
        lambda call: call.services.templates,
        template_reply,
        template_version_reply,
    )
)
