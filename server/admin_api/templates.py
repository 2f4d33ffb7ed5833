"""Coupon templates in the console: draft, review, a second person, and their course."""

from __future__ import annotations

from server.admin_api.incentive_replies import signed, template_reply
from server.admin_api.schemas.incentives import (
    CouponTemplatePageReply,
    CouponTemplateReply,
    CouponTemplateRequest,
    CoursePageQuery,
    RevisionQuery,
)
from server.incentives.commands import TemplateDraft
from server.incentives.errors import (
    AlreadyLive,
    AlreadyOver,
    RevisionChanged,
    SecondPersonRequired,
    StillSettling,
    TemplateNotFound,
    WrongStatus,
)
from server.kit.paging import decode_cursor, encode_cursor
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 优惠券模板")


@router.post(
    "/coupon-templates",
    summary="新建优惠券模板草稿",
    body=CouponTemplateRequest,
    replies={201: CouponTemplateReply},
    caller=Callers.admin("template.edit"),
)
async def create_template(call: Call, body: CouponTemplateRequest) -> Reply:
    """A draft; it costs nothing until somebody else activates it."""
    return Reply.created(template_reply(await call.services.templates.create(_draft(body), signed(call))))


@router.get(
    "/coupon-templates",
    summary="优惠券模板列表",
    query=CoursePageQuery,
    replies={200: CouponTemplatePageReply},
    caller=Callers.admin("template.read"),
)
async def list_templates(call: Call, query: CoursePageQuery) -> Reply:
    """Newest first."""
    position = decode_cursor(query.cursor, int)
    before_id = int(position[0]) if position else None
    views = await call.services.templates.page(before_id, query.limit, query.status)
    following = encode_cursor(views[-1].row.id) if len(views) == query.limit else None
    return Reply.ok(CouponTemplatePageReply([template_reply(view) for view in views], following))


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
    errors=(TemplateNotFound, AlreadyLive, RevisionChanged),
)
async def edit_template(call: Call, body: CouponTemplateRequest, query: RevisionQuery, template_id: int) -> Reply:
    """Replaces the draft; one under review goes back to draft, and whoever edits may not approve."""
    view = await call.services.templates.edit(template_id, _draft(body), signed(call), query.revision)
    return Reply.ok(template_reply(view))


@router.post(
    "/coupon-templates/<template_id:int>/submit",
    summary="提交审核",
    replies={200: CouponTemplateReply},
    caller=Callers.admin("template.edit"),
    errors=(TemplateNotFound, WrongStatus),
)
async def submit_template(call: Call, template_id: int) -> Reply:
    """From draft to review."""
    return Reply.ok(template_reply(await call.services.templates.submit(template_id, signed(call))))


@router.post(
    "/coupon-templates/<template_id:int>/activate",
    summary="批准并启用",
    query=RevisionQuery,
    replies={200: CouponTemplateReply},
    caller=Callers.admin("template.activate"),
    errors=(TemplateNotFound, WrongStatus, SecondPersonRequired, RevisionChanged, AlreadyOver),
)
async def activate_template(call: Call, query: RevisionQuery, template_id: int) -> Reply:
    """By somebody else than the last editor. Status `activating` means that the ledger follows within seconds."""
    return Reply.ok(template_reply(await call.services.templates.activate(template_id, signed(call), query.revision)))


@router.post(
    "/coupon-templates/<template_id:int>/pause",
    summary="暂停",
    replies={200: CouponTemplateReply},
    caller=Callers.admin("template.activate"),
    errors=(TemplateNotFound, WrongStatus, StillSettling),
)
async def pause_template(call: Call, template_id: int) -> Reply:
    """At once; coupons already claimed stay usable."""
    return Reply.ok(template_reply(await call.services.templates.pause(template_id, signed(call))))


@router.post(
    "/coupon-templates/<template_id:int>/resume",
    summary="恢复",
    replies={200: CouponTemplateReply},
    caller=Callers.admin("template.activate"),
    errors=(TemplateNotFound, WrongStatus, StillSettling, AlreadyOver),
)
async def resume_template(call: Call, template_id: int) -> Reply:
    """After a pause."""
    return Reply.ok(template_reply(await call.services.templates.resume(template_id, signed(call))))


@router.post(
    "/coupon-templates/<template_id:int>/end",
    summary="结束",
    replies={200: CouponTemplateReply},
    caller=Callers.admin("template.activate"),
    errors=(TemplateNotFound, WrongStatus, StillSettling),
)
async def end_template(call: Call, template_id: int) -> Reply:
    """For good, before its time."""
    return Reply.ok(template_reply(await call.services.templates.end(template_id, signed(call))))


def _draft(body: CouponTemplateRequest) -> TemplateDraft:
    return TemplateDraft(
        title=body.title.strip(), document=body.document.strip(), kind=body.kind, stock=body.stock,
        starts_at=body.starts_at, ends_at=body.ends_at, face_value_fen=body.face_value_fen, pay_bp=body.pay_bp,
        cap_fen=body.cap_fen, threshold_fen=body.threshold_fen, sponsor_bp=body.sponsor_bp,
        price_points=body.price_points, per_person=body.per_person, per_person_period=body.per_person_period,
        valid_days=body.valid_days, valid_until=body.valid_until, merchants=tuple(int(item) for item in body.merchants),
        void_window_s=body.void_window_s, grace_days=body.grace_days, return_stock=body.return_stock,
        budget_fen=body.budget_fen, claimable=body.claimable,
    )  # fmt: skip
