"""Bodies of the console's lottery routes. Ids are strings, instants carry their zone."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from server.admin_api.schemas.incentives import Document, EffectsReply, Instant, Title
from server.incentives.lottery.deliveries import Deliveries, Delivery

TemplateId = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,17}$")]
LotteryStatus = Literal["draft", "in_review", "published", "closed", "drawn", "cancelled", "discarded"]


class PrizeBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`count` coupons of a template for the winners of `rank`; ranks go 1, 2, 3 …"""

    rank: Annotated[int, Meta(ge=1, le=20)]
    name: Annotated[str, Meta(min_length=1, max_length=40)]
    template_id: TemplateId
    count: Annotated[int, Meta(ge=1, le=1_000_000)]


class LotteryRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`max_tickets`: of one person; `self_entry`: residents may enter themselves with one ticket, otherwise campaigns
    alone give tickets; `beacon_source`: an outside public number of after the closing that goes into the draw, named
    exactly enough to be looked up, such as 「福彩3D 2026年12月1日开奖号码（三位数字）」."""

    title: Title
    document: Document
    opens_at: Instant
    closes_at: Instant
    draw_at: Instant
    prizes: Annotated[list[PrizeBody], Meta(min_length=1, max_length=20)]
    max_tickets: Annotated[int, Meta(ge=1, le=50)] = 1
    self_entry: bool = True
    beacon_source: Annotated[str, Meta(max_length=200)] = ""


class LotteryReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A lottery and how far it has come. Hashes are lower-case hex; `secret` is null before the draw. `entries` and
    `tickets` are known when the entries are closed and counted (`listed_at`); `owed_at`: when every prize was written
    down to be given. `second_of`: whose undelivered prizes these are; `carried_at`: when its entries were all there."""

    id: str
    title: str
    document: str
    status: LotteryStatus
    revision: int
    opens_at: datetime
    closes_at: datetime
    draw_at: datetime
    max_tickets: int
    self_entry: bool
    beacon_source: str
    prizes: list[PrizeBody]
    rules: str
    created_by: str
    created_at: datetime
    changed_at: datetime
    published_by: str | None
    published_at: datetime | None
    commitment: str | None
    second_of: str | None
    carried_at: datetime | None
    cancelled_by: str | None
    cancelled_at: datetime | None
    cancel_reason: str
    closed_at: datetime | None
    listed_at: datetime | None
    digest: str | None
    entries: int | None
    tickets: int | None
    beacon: str | None
    beacon_by: str | None
    beacon_confirmed_by: str | None
    drawn_at: datetime | None
    secret: str | None
    winners: int | None
    owed_at: datetime | None
    simulated: bool = False
    effects: EffectsReply | None = None


class LotteryPageReply(Struct, frozen=True):
    items: list[LotteryReply]
    next_cursor: str | None


class LotteryPageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`text`: a part of the title or the document's number. Without a `status`, discarded drafts are left out."""

    status: LotteryStatus | None = None
    text: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class SecondDrawRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`closes_at`: when the list is closed and published; everything else follows from the first draw."""

    document: Document
    closes_at: Instant
    draw_at: Instant
    beacon_source: Annotated[str, Meta(max_length=200)] = ""


class DeliveryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    state: Literal["pending", "given", "refused"] | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class DeliveryPageReply(Struct, frozen=True):
    """What became of the prizes, by rank and place. `reason`: the vault's code for why a prize is not given (yet):
    `sold_out` waits for a top-up, what is refused stays so and may be drawn once more."""

    summary: Deliveries
    items: list[Delivery]
    next_cursor: str | None


class CancelRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`reason` is published."""

    reason: Annotated[str, Meta(min_length=1, max_length=200)]


class BeaconRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The outside number as it was announced by its source."""

    value: Annotated[str, Meta(min_length=1, max_length=100)]
