"""Coupons that are given, in the console: lists of recipients, and jobs that give each of them one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from server.admin_api.incentive_replies import created, outcome, signed
from server.admin_api.schemas.grants import (
    GrantJobDetailReply,
    GrantJobPageQuery,
    GrantJobPageReply,
    GrantJobReply,
    GrantJobRequest,
    GrantPlanReply,
    LineReply,
    RecipientListPageQuery,
    RecipientListPageReply,
    RecipientListQuery,
    RecipientListReply,
    RefusedReply,
    SimulateQuery,
    TakenReply,
)
from server.admin_api.schemas.incentives import WriteQuery
from server.incentives.errors import SecondPersonRequired, TemplateNotFound, WrongStatus
from server.incentives.grants.errors import (
    GrantJobNotFound,
    RecipientListEmpty,
    RecipientListNotFound,
    RecipientListNotReady,
    SegmentGiftNotOpen,
    SegmentTooSmall,
    TemplateNotLive,
)
from server.incentives.grants.jobs import JobView, Order
from server.incentives.grants.models import GrantJob, RecipientList
from server.incentives.segments.errors import SegmentNotFound
from server.kit.paging import cursor_after, cursor_number
from server.kit.sheets import SheetUnreadable
from server.web.routing import Call, Callers, Limit, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 发放")

UPLOADS: Final = Limit("upload", per_minute=20)


@router.post(
    "/recipient-lists",
    summary="上传发放名单",
    query=RecipientListQuery,
    replies={200: TakenReply, 201: TakenReply},
    caller=Callers.admin("grant.edit"),
    errors=(SheetUnreadable, RecipientListEmpty),
    limit=UPLOADS,
    upload=True,
)
async def upload_list(call: Call, file: bytes, query: RecipientListQuery) -> Reply:
    """The body is a CSV or XLSX file with one resident id per line, in the column headed resident_id or 居民编号, else
    in the first. Who does not take part is left out."""
    by = signed(call, query.simulate)
    taken = await call.services.recipient_lists.take(query.name.strip(), file, by)
    lines = [LineReply(line, reason) for line, reason in sorted(taken.lines)]
    return created(TakenReply(_list_reply(taken.row), lines), by)


@router.get(
    "/recipient-lists",
    summary="发放名单列表",
    query=RecipientListPageQuery,
    replies={200: RecipientListPageReply},
    caller=Callers.admin("grant.read"),
)
async def list_lists(call: Call, query: RecipientListPageQuery) -> Reply:
    """Newest first; who is on a list is not shown."""
    before_id = cursor_number(query.cursor)
    rows = await call.services.recipient_lists.page(before_id, query.limit, query.status, query.text)
    following = cursor_after(rows, query.limit, lambda row: row.id)
    return Reply.ok(RecipientListPageReply([_list_reply(row) for row in rows], following))


@router.get(
    "/recipient-lists/<list_id:int>",
    summary="发放名单详情",
    replies={200: RecipientListReply},
    caller=Callers.admin("grant.read"),
    errors=(RecipientListNotFound,),
)
async def get_list(call: Call, list_id: int) -> Reply:
    """How many are on it, and how many lines were not taken."""
    return Reply.ok(_list_reply(await call.services.recipient_lists.get(list_id)))


@router.post(
    "/grant-jobs",
    summary="申请批量发放",
    body=GrantJobRequest,
    query=SimulateQuery,
    replies={201: GrantJobReply, 200: GrantPlanReply},
    caller=Callers.admin("grant.edit"),
    errors=(
        TemplateNotFound,
        TemplateNotLive,
        RecipientListNotFound,
        RecipientListNotReady,
        SegmentNotFound,
        SegmentTooSmall,
        SegmentGiftNotOpen,
    ),
)
async def order_job(call: Call, body: GrantJobRequest, query: SimulateQuery) -> Reply:
    """Nothing is given before somebody else approves. With `simulate=true` it is only told what it would take (200)."""
    chosen, segment = (None if id is None else int(id) for id in (body.list_id, body.segment_id))
    order = Order(
        int(body.template_id), chosen, body.per_second, body.document.strip(), body.note.strip(), segment
    )  # fmt: skip
    if query.simulate:
        plan = await call.services.grant_jobs.plan(order, signed(call))
        return Reply.ok(GrantPlanReply(**asdict(plan)))
    return Reply.created(job_reply(call, (await call.services.grant_jobs.order(order, signed(call))).row))


@router.get(
    "/grant-jobs",
    summary="批量发放列表",
    query=GrantJobPageQuery,
    replies={200: GrantJobPageReply},
    caller=Callers.admin("grant.read"),
)
async def list_jobs(call: Call, query: GrantJobPageQuery) -> Reply:
    """Newest first."""
    template = None if query.template_id is None else int(query.template_id)
    before_id = cursor_number(query.cursor)
    rows = await call.services.grant_jobs.page(before_id, query.limit, query.status, template, query.text)
    following = cursor_after(rows, query.limit, lambda row: row.id)
    return Reply.ok(GrantJobPageReply([job_reply(call, row) for row in rows], following))


@router.get(
    "/grant-jobs/<job_id:int>",
    summary="批量发放进度",
    replies={200: GrantJobDetailReply},
    caller=Callers.admin("grant.read"),
    errors=(GrantJobNotFound,),
)
async def get_job(call: Call, job_id: int) -> Reply:
    """How far it has come, and why some were refused."""
    return Reply.ok(_detail(call, await call.services.grant_jobs.get(job_id)))


@router.post(
    "/grant-jobs/<job_id:int>/approve",
    summary="批准批量发放",
    query=WriteQuery,
    replies={200: GrantJobDetailReply},
    caller=Callers.admin("grant.approve"),
    errors=(GrantJobNotFound, WrongStatus, SecondPersonRequired, SegmentGiftNotOpen),
)
async def approve_job(call: Call, query: WriteQuery, job_id: int) -> Reply:
    """By somebody else than who ordered it; it starts within seconds."""
    by = signed(call, query.simulate)
    return Reply.ok(outcome(_detail(call, await call.services.grant_jobs.approve(job_id, by)), by))


@router.post(
    "/grant-jobs/<job_id:int>/pause",
    summary="暂停批量发放",
    query=WriteQuery,
    replies={200: GrantJobDetailReply},
    caller=Callers.admin("grant.approve"),
    errors=(GrantJobNotFound, WrongStatus),
)
async def pause_job(call: Call, query: WriteQuery, job_id: int) -> Reply:
    """After the page under way."""
    by = signed(call, query.simulate)
    return Reply.ok(outcome(_detail(call, await call.services.grant_jobs.pause(job_id, by)), by))


@router.post(
    "/grant-jobs/<job_id:int>/resume",
    summary="继续批量发放",
    query=WriteQuery,
    replies={200: GrantJobDetailReply},
    caller=Callers.admin("grant.approve"),
    errors=(GrantJobNotFound, WrongStatus),
)
async def resume_job(call: Call, query: WriteQuery, job_id: int) -> Reply:
    """Where it stopped."""
    by = signed(call, query.simulate)
    return Reply.ok(outcome(_detail(call, await call.services.grant_jobs.resume(job_id, by)), by))


@router.post(
    "/grant-jobs/<job_id:int>/cancel",
    summary="取消批量发放",
    query=WriteQuery,
    replies={200: GrantJobDetailReply},
    caller=Callers.admin("grant.edit"),
    errors=(GrantJobNotFound, WrongStatus),
)
async def cancel_job(call: Call, query: WriteQuery, job_id: int) -> Reply:
    """For good, after the page under way; coupons already given stay."""
    by = signed(call, query.simulate)
    return Reply.ok(outcome(_detail(call, await call.services.grant_jobs.cancel(job_id, by)), by))


def job_reply(call: Call, row: GrantJob) -> GrantJobReply:
    """A job as the console shows it."""
    return GrantJobReply(
        id=str(row.id), template_id=str(row.template_id), per_second=row.per_second,
        list_id=None if row.list_id is None else str(row.list_id),
        segment_id=None if row.segment_id is None else str(row.segment_id),
        document=row.document, note=row.note, status=row.status, why=row.why,  # type: ignore[arg-type]
        recipients=call.services.grant_jobs.told_recipients(row), owed=row.owed, posted=row.posted,
        refused=row.refused, under_way=row.owed - row.posted - row.refused,
        created_by=str(row.created_by), created_at=row.created_at,
        approved_by=None if row.approved_by is None else str(row.approved_by), approved_at=row.approved_at,
        ended_at=row.ended_at,
    )  # fmt: skip


def _detail(call: Call, view: JobView) -> GrantJobDetailReply:
    reasons = [RefusedReply(reason, count) for reason, count in sorted(view.reasons.items())]
    return GrantJobDetailReply(job_reply(call, view.row), reasons)


def _list_reply(row: RecipientList) -> RecipientListReply:
    return RecipientListReply(
        id=str(row.id), name=row.name, status=row.status, taken=row.taken, unknown=row.unknown,  # type: ignore[arg-type]
        repeated=row.repeated, unreadable=row.unreadable, created_by=str(row.created_by), created_at=row.created_at,
    )  # fmt: skip
