"""Public counters of coupons that add up."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct

from server.incentives.errors import TemplateNotFound
from server.web.routing import Call, Callers, Limit, Reply, Router

router = Router(prefix="/api/public/v1", tag="公开 · 库存")

_BY_ADDRESS: Final = Limit("public", per_minute=60, by="ip", setting="address_per_minute")
_SOON: Final = {"Cache-Control": "public, max-age=30"}


class StockReply(Struct, frozen=True):
    """Coupons of a template at one instant (`at`), which adds up:
    total = planned + topped_up − cut = left + claimed − returned, and claimed = issued + redeemed + expired + voided.
    `issued`: with residents and usable; `returned`: of the expired and voided ones those that another may claim.
    `available`: how many of those left can still be given, as the money of who pays for them reaches for no more; as
    many as are left where it does. Counts coupons, tells nothing about people."""

    template_id: str
    title: str
    status: str
    planned: int
    topped_up: int
    cut: int
    total: int
    left: int
    available: int
    claimed: int
    issued: int
    redeemed: int
    expired: int
    voided: int
    returned: int
    at: datetime


@router.get(
    "/coupon-templates/<template_id:int>/stock",
    summary="优惠券库存公示",
    replies={200: StockReply},
    caller=Callers.anonymous,
    limit=_BY_ADDRESS,
    errors=(TemplateNotFound,),
)
async def show_stock(call: Call, template_id: int) -> Reply:
    """What was planned and what became of every coupon, from the ledger, at most a minute old."""
    seen = await call.services.stock.of(template_id)
    stock = seen.stock
    return Reply.ok(
        StockReply(
            template_id=str(seen.template_id), title=seen.title, status=seen.status, planned=seen.planned,
            topped_up=stock.topped_up - seen.planned, cut=stock.cut, total=stock.topped_up - stock.cut, left=stock.left,
            available=seen.available, claimed=stock.claimed, issued=stock.issued, redeemed=stock.redeemed,
            expired=stock.expired, voided=stock.voided, returned=stock.returned, at=seen.at,
        ),
        _SOON,
    )  # fmt: skip
