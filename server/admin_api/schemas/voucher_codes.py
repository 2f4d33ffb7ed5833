"""Bodies of the console's routes for voucher codes. Ids are strings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from server.admin_api.schemas.incentives import EffectsReply

Id = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,17}$")]
Mode = Literal["platform", "uploaded", "external"]
Document = Annotated[str, Meta(min_length=1, max_length=100)]


class VoucherBatchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """mode platform: `count` codes are made, each beginning with `prefix`; uploaded: codes that others made, from a
    file, typed by residents; external: a third party's codes, from a file, one shown beside each coupon.
    `beyond_stock`: there may be more codes than the template has coupons left, as the first who come get them or a
    top-up is planned."""

    template_id: Id
    mode: Mode
    document: Document
    count: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    prefix: Annotated[str, Meta(pattern="^[2-9A-HJKMNP-Z]{0,6}$")] = ""
    beyond_stock: bool = False


class VoucherBatchQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`text`: a part of the document's number; `cursor` is the `next_cursor` of the page before."""

    template_id: Id | None = None
    status: Literal["making", "made", "ready", "stopped"] | None = None
    text: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class VoucherBatchReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A batch: `made` of `wanted` codes are there, `used` of them are somebody's. Its codes work while it is ready."""

    id: str
    template_id: str
    mode: Mode
    document: str
    prefix: str
    status: Literal["making", "made", "ready", "stopped"]
    wanted: int
    made: int
    used: int
    beyond_stock: bool
    created_by: str
    created_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    simulated: bool = False
    effects: EffectsReply | None = None


class VoucherBatchPageReply(Struct, frozen=True):
    items: list[VoucherBatchReply]
    next_cursor: str | None


class CodeLineReply(Struct, frozen=True):
    """A line that was not taken. reason: unreadable (no code that can be typed), repeated (stands in the file before,
    or in another batch)."""

    line: int
    reason: Literal["unreadable", "repeated"]


class CodesTakenReply(Struct, frozen=True, omit_defaults=True):
    """The batch, how many lines were not taken, and the first hundred of them."""

    batch: VoucherBatchReply
    unreadable: int
    repeated: int
    lines: list[CodeLineReply]
    simulated: bool = False
    effects: EffectsReply | None = None


class VoucherExportRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Why the codes leave the house; kept in the audit trail."""

    reason: Annotated[str, Meta(min_length=1, max_length=200)]


class VoucherExportReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """status: requested, approved (may be opened once, within a day, by who asked), opened or expired."""

    id: str
    batch_id: str
    reason: str
    status: Literal["requested", "approved", "opened", "expired"]
    requested_by: str
    requested_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    opened_at: datetime | None
    simulated: bool = False
    effects: EffectsReply | None = None


class VoucherExportsReply(Struct, frozen=True):
    items: list[VoucherExportReply]
