"""Segments in the console: made, changed, found, looked at by size."""

from __future__ import annotations

from server.admin_api.incentive_replies import created, outcome, signed
from server.admin_api.schemas.incentives import RevisionQuery, WriteQuery
from server.admin_api.schemas.segments import (
    DefinitionReply,
    SegmentCellReply,
    SegmentCopyRequest,
    SegmentPageQuery,
    SegmentPageReply,
    SegmentPreviewReply,
    SegmentReply,
    SegmentRequest,
    SegmentSnapshotReply,
    SegmentSnapshotsReply,
)
from server.incentives.errors import RevisionChanged
from server.incentives.segments.errors import SegmentNameTaken, SegmentNotFound, SegmentRefused
from server.incentives.segments.service import Cell, SegmentView
from server.incentives.segments.suppression import told_total
from server.kit.paging import cursor_after, cursor_number
from server.web.routing import Call, Callers, Limit, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 人群")


@router.post(
    "/segments",
    summary="新建人群",
    body=SegmentRequest,
    query=WriteQuery,
    replies={200: SegmentReply, 201: SegmentReply},
    caller=Callers.admin("segment.edit"),
    errors=(SegmentRefused, SegmentNameTaken),
)
async def create_segment(call: Call, body: SegmentRequest, query: WriteQuery) -> Reply:
    """By band, town, day of enrolment and own choices; age, sex, household registration and their like are refused."""
    by = signed(call, query.simulate)
    return created(_reply(await call.services.segments.create(body.name, body.definition, by)), by)


@router.get(
    "/segments",
    summary="人群列表",
    query=SegmentPageQuery,
    replies={200: SegmentPageReply},
    caller=Callers.admin("segment.read"),
)
async def list_segments(call: Call, query: SegmentPageQuery) -> Reply:
    """Newest first."""
    before_id = cursor_number(query.cursor)
    views = await call.services.segments.page(before_id, query.limit, query.search)
    following = cursor_after(views, query.limit, lambda row: row.row.id)
    return Reply.ok(SegmentPageReply([_reply(view) for view in views], following))


@router.get(
    "/segments/<segment_id:int>",
    summary="人群详情",
    replies={200: SegmentReply},
    caller=Callers.admin("segment.read"),
    errors=(SegmentNotFound,),
)
async def get_segment(call: Call, segment_id: int) -> Reply:
    """With its definition in Chinese."""
    return Reply.ok(_reply(await call.services.segments.get(segment_id)))


@router.put(
    "/segments/<segment_id:int>",
    summary="修改人群",
    body=SegmentRequest,
    query=RevisionQuery,
    replies={200: SegmentReply},
    caller=Callers.admin("segment.edit"),
    errors=(SegmentNotFound, SegmentRefused, SegmentNameTaken, RevisionChanged),
)
async def edit_segment(call: Call, body: SegmentRequest, query: RevisionQuery, segment_id: int) -> Reply:
    """Replaces the definition. Lists of members that were written down before stay as they are."""
    by = signed(call, query.simulate)
    view = await call.services.segments.edit(segment_id, body.name, body.definition, by, query.revision)
    return Reply.ok(outcome(_reply(view), by))


@router.post(
    "/segments/<segment_id:int>/copy",
    summary="复制人群",
    body=SegmentCopyRequest,
    query=WriteQuery,
    replies={200: SegmentReply, 201: SegmentReply},
    caller=Callers.admin("segment.edit"),
    errors=(SegmentNotFound, SegmentRefused, SegmentNameTaken),
)
async def copy_segment(call: Call, body: SegmentCopyRequest, query: WriteQuery, segment_id: int) -> Reply:
    """The same definition under another name."""
    by = signed(call, query.simulate)
    return created(_reply(await call.services.segments.copy(segment_id, body.name, by)), by)


@router.post(
    "/segments/<segment_id:int>/preview",
    summary="人群规模预览",
    replies={200: SegmentPreviewReply},
    caller=Callers.admin("segment.read"),
    errors=(SegmentNotFound,),
    limit=Limit("segment_preview", per_minute=30),
)
async def preview_segment(call: Call, segment_id: int) -> Reply:
    """By band and by town, small cells hidden. Who looked stays in the audit trail."""
    found = await call.services.segments.preview(segment_id, signed(call))
    floor = call.services.settings.small_cell
    return Reply.ok(SegmentPreviewReply(found.at, floor, found.size, _cells(found.bands), _cells(found.towns)))


@router.get(
    "/segments/<segment_id:int>/snapshots",
    summary="人群名单记录",
    replies={200: SegmentSnapshotsReply},
    caller=Callers.admin("segment.read"),
    errors=(SegmentNotFound,),
)
async def list_snapshots(call: Call, segment_id: int) -> Reply:
    """The newest twenty lists of members that were written down, and for what; never the members themselves."""
    await call.services.segments.get(segment_id)
    floor = call.services.settings.small_cell
    items = [
        SegmentSnapshotReply(
            str(row.id), row.used_for, row.revision, row.at, told_total(row.size, floor) if row.sealed_at else None,
            row.digest, row.sealed_at, row.keep_until, row.purged_at,
        )
        for row in await call.services.segment_snapshots.of_segment(segment_id)
    ]  # fmt: skip
    return Reply.ok(SegmentSnapshotsReply(items))


def _reply(view: SegmentView) -> SegmentReply:
    row, asks = view.row, view.definition
    return SegmentReply(
        str(row.id), row.name,
        DefinitionReply(
            list(asks.bands), list(asks.towns), list(asks.interests), asks.enrolled_from, asks.enrolled_until
        ),
        view.text, asks.personal, row.revision, str(row.created_by), row.created_at, str(row.changed_by),
        row.changed_at,
    )  # fmt: skip


def _cells(cells: list[Cell]) -> list[SegmentCellReply]:
    return [SegmentCellReply(cell.code, cell.name, cell.size) for cell in cells]
