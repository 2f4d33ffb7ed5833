"""A resident's coupons: claim or exchange, list, look at one."""

from __future__ import annotations

from datetime import date
from typing import Final
from uuid import UUID

from miniprogram_api.present import benefit_reply
from miniprogram_api.schemas.coupons import (
    ClaimReply,
    ClaimRequest,
    CouponCountsReply,
    CouponOverviewReply,
    CouponPageReply,
    CouponQuery,
    CouponReply,
)
from miniprogram_api.schemas.wallet import LotReply
from server.incentives.coupons import Coupon
from server.incentives.errors import ClaimedByLottery, CouponNotFound, GivenOnly, WaitingRoom
from server.kit.errors import InvalidField
from server.kit.paging import cursor_after, cursor_uuid, decode_cursor, encode_cursor
from server.web.idempotency import replayed_header
from server.web.routing import Call, Callers, Limit, Reply, Router
from wallet import Op, QueueFull

router = Router(prefix="/api/mp/v1", tag="居民 · 电子券")

#: Against those who claim for many: what a person may have is exact and in the terms, these only slow crowds (D17).
CLAIM_LIMITS: Final = (
    Limit("claim", by="resident", setting="resident_per_minute"),
    Limit("claim_device", by="device", setting="claim_device_per_minute"),
    Limit("claim_address", by="ip", setting="claim_address_per_minute"),
)

NEXT_SHOWN: Final = 3


@router.post(
    "/coupons",
    summary="领取或兑换电子券",
    body=ClaimRequest,
    replies={201: ClaimReply},
    caller=Callers.resident,
    idempotent=True,
    limit=CLAIM_LIMITS,
    errors=(WaitingRoom, ClaimedByLottery, GivenOnly),
    posts=Op.CLAIM,
    never=(QueueFull,),  # told as waiting_room
)
async def claim(call: Call, body: ClaimRequest) -> Reply:
    """Claims a coupon under the client's UUIDv7 (`Idempotency-Key`), which becomes the coupon's id; exchanges points
    for it when it has a price. The same key again answers the same. 503 waiting_room: nothing was done; come again
    after `Retry-After` with the same key."""
    assert call.idempotency_key is not None
    done, benefit = await call.services.coupons.claim(call.resident_id, call.idempotency_key, int(body.template_id))
    row = done.result
    return Reply.created(
        ClaimReply(
            id=str(row.coupon_id),
            state="issued",
            benefit=benefit_reply(benefit),
            price_points=row.price_points,
            points_after=row.points_after,
            usable_from=row.usable_from,
            expires_on=row.expires_on,
            claimed_at=row.at,
        ),
        replayed_header(done.replayed),
    )


@router.get(
    "/coupons", summary="我的电子券", query=CouponQuery, replies={200: CouponPageReply}, caller=Callers.resident
)
async def list_coupons(call: Call, query: CouponQuery) -> Reply:
    """The resident's coupons, newest first, or unused ones by their last day; one whose last day is over is expired,
    whether or not a job has booked it."""
    if query.order == "expiring":
        return await _list_expiring(call, query)
    before = cursor_uuid(query.cursor)
    rows = await call.services.coupons.page(call.resident_id, state=query.state, before=before, limit=query.limit)
    more = cursor_after(rows, query.limit, lambda row: row.row.id)
    return Reply.ok(CouponPageReply([coupon_reply(row) for row in rows], more))


async def _list_expiring(call: Call, query: CouponQuery) -> Reply:
    if query.state is not None:
        raise InvalidField(field="state")
    position = decode_cursor(query.cursor, str, str)
    try:
        after = None if position is None else (date.fromisoformat(str(position[0])), UUID(str(position[1])))
    except ValueError:
        raise InvalidField(field="cursor") from None
    rows = await call.services.coupons.expiring(call.resident_id, after=after, limit=query.limit)
    last = rows[-1].row if len(rows) == query.limit else None
    more = None if last is None else encode_cursor(last.expires_on.isoformat(), str(last.id))
    return Reply.ok(CouponPageReply([coupon_reply(row) for row in rows], more))


@router.get("/coupons/overview", summary="券包概览", replies={200: CouponOverviewReply}, caller=Callers.resident)
async def show_overview(call: Call) -> Reply:
    """How many coupons in each state, and what ends next: coupons and points."""
    counts = await call.services.coupons.counts(call.resident_id)
    soonest = await call.services.coupons.expiring(call.resident_id, after=None, limit=NEXT_SHOWN)
    wallet = await call.services.vault.read.wallet(call.resident_id)
    lot = wallet.lots[0] if wallet is not None and wallet.lots else None
    return Reply.ok(
        CouponOverviewReply(
            counts=CouponCountsReply(**{state: counts.get(state, 0) for state in CouponCountsReply.__struct_fields__}),
            next=[coupon_reply(row) for row in soonest],
            points=None if lot is None else LotReply(lot.expires_on, lot.points),
        )
    )


@router.get(
    "/coupons/<coupon_id:uuid>",
    summary="电子券详情",
    replies={200: CouponReply},
    caller=Callers.resident,
    errors=(CouponNotFound,),
)
async def show_coupon(call: Call, coupon_id: UUID) -> Reply:
    """One coupon of this resident; another's is not found."""
    return Reply.ok(coupon_reply(await call.services.coupons.get(call.resident_id, coupon_id)))


def coupon_reply(coupon: Coupon) -> CouponReply:
    """A coupon as its owner sees it."""
    row = coupon.row
    return CouponReply(
        id=str(row.id),
        state=row.state,
        benefit=benefit_reply(coupon.benefit),
        usable_from=row.usable_from,
        expires_on=row.expires_on,
        usable_now=row.usable_now,
        usable_at=row.usable_at,
        issued_at=row.issued_at,
        redeemed_at=row.redeemed_at,
    )
