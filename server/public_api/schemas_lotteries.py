"""Bodies of the public lottery routes. Hashes are lower-case hex, codes anonymous."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from server.incentives.lottery.models import Lottery
from server.incentives.lottery.published import Announcement, Prize, WinnerLine


class PublicLotteryReply(Struct, frozen=True, kw_only=True):
    """A lottery as far as it has come. `announcement` is the first line of the published file, byte for byte: keep it,
    or `commitment`, before the draw. `digest`, `entries` and `tickets` come with the list after the closing, `beacon`
    when two people have read the outside number, `secret` with the draw. `second_of`: the lottery whose undelivered
    prizes are drawn once more."""

    id: str
    title: str
    status: Literal["published", "closed", "drawn", "cancelled"]
    rules: str
    opens_at: datetime
    closes_at: datetime
    draw_at: datetime
    max_tickets: int
    prizes: list[Prize]
    beacon_source: str | None
    commitment: str
    announcement: str
    published_at: datetime
    cancelled_at: datetime | None
    cancel_reason: str
    closed_at: datetime | None
    entries: int | None
    tickets: int | None
    digest: str | None
    beacon: str | None
    drawn_at: datetime | None
    secret: str | None
    winners: int | None
    second_of: str | None


class LotteryListReply(Struct, frozen=True):
    items: list[PublicLotteryReply]
    next_cursor: str | None


class WinnerPageReply(Struct, frozen=True):
    """Winners in order of rank and place; `ticket` is the number of the ticket that won."""

    items: list[WinnerLine]
    next_cursor: str | None


class NotGivenReply(Struct, frozen=True):
    """A prize that could not be given, for good. `reason`: the code of why, such as `limit_reached`: the winner has as
    many of its kind as one may have."""

    rank: int
    place: int
    code: str
    reason: str


class DeliveryReply(Struct, frozen=True):
    """How many prizes were given, are under way, could not be given; `items` are the last of these."""

    given: int
    pending: int
    not_given: int
    items: list[NotGivenReply]
    next_cursor: str | None


class PublicPageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


def public_lottery(row: Lottery) -> PublicLotteryReply:
    """A lottery as anybody may see it; its rules are those of the announcement."""
    said = msgspec.json.decode(row.announcement, type=Announcement)
    return PublicLotteryReply(
        id=said.id, title=said.title, status=row.status, rules=said.rules, opens_at=said.opens_at,  # type: ignore[arg-type]
        closes_at=said.closes_at, draw_at=said.draw_at, max_tickets=said.max_tickets, prizes=said.prizes,
        beacon_source=said.beacon, commitment=said.commitment, announcement=row.announcement,
        published_at=said.published_at, cancelled_at=row.cancelled_at, cancel_reason=row.cancel_reason,
        closed_at=row.closed_at, entries=row.entries, tickets=row.tickets, digest=_hex(row.digest),
        beacon=row.beacon if row.beacon_confirmed_by else None, drawn_at=row.drawn_at, secret=_hex(row.secret),
        winners=row.winners, second_of=said.second_of,
    )  # fmt: skip


def _hex(hashed: bytes | None) -> str | None:
    return None if hashed is None else hashed.hex()
