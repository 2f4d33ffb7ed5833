"""The counter's routes: verify a code, redeem the ticket, void a mistake, look at the shift."""

from __future__ import annotations

from uuid import UUID

from miniprogram_api.present import benefit_reply
from miniprogram_api.schemas.redemptions import (
    RedeemRequest,
    RedemptionReply,
    ShiftLineReply,
    ShiftPageReply,
    ShiftQuery,
    VerifyReply,
    VerifyRequest,
    VoidReply,
    VoidRequest,
)
from server.kit.paging import cursor_after, cursor_uuid
from server.scenes.counter import ShiftLine
from server.scenes.errors import CodeMalformed, TicketInvalid, TooManyFailures
from server.web.idempotency import replayed_header
from server.web.routing import Call, Callers, Limit, Reply, Router
from wallet import Op, statuses

router = Router(prefix="/api/mp/v1", tag="商户 · 核销")

COUNTER_LIMIT = Limit("counter", per_minute=600, setting="counter_per_minute")


@router.post(
    "/merchant/verifications",
    summary="验码",
    body=VerifyRequest,
    replies={200: VerifyReply},
    caller=Callers.counter,
    limit=COUNTER_LIMIT,
    errors=(CodeMalformed, TooManyFailures),
    posts=Op.CLAIM_CREDENTIAL,
    never=(statuses.NOT_VALID, statuses.MERCHANT_SUSPENDED, statuses.OUTSIDE_WINDOW),  # told as results
)
async def verify(call: Call, body: VerifyRequest) -> Reply:
    """Is this code usable here? Claims it for this terminal and answers with the benefit and a ticket. Unknown,
    forged, stale, used, revoked, another merchant's or store's and own codes all get the same `not_valid`."""
    found = await call.services.counter.verify(call.caller, body.code)
    benefit = benefit_reply(found.benefit) if found.benefit else None
    return Reply.ok(
        VerifyReply(
            found.result, benefit, found.ticket, found.expires_in_s, found.check, found.usable_at, found.message
        )
    )


@router.post(
    "/merchant/redemptions",
    summary="核销",
    body=RedeemRequest,
    replies={201: RedemptionReply},
    caller=Callers.counter,
    limit=COUNTER_LIMIT,
    errors=(TicketInvalid,),
    posts=Op.REDEEM,
    # A merchant is told of a frozen account as of a spent code; locks are of partners' orders.
    never=(statuses.ACCOUNT_FROZEN, statuses.LOCK_EXPIRED),
)
async def redeem(call: Call, body: RedeemRequest) -> Reply:
    """Redeems a ticket exactly once; the same ticket again answers the same receipt."""
    receipt = await call.services.counter.redeem(call.caller, body.ticket, body.order_amount_fen, body.order_no)
    return Reply.created(
        RedemptionReply(
            str(receipt.redemption_id),
            benefit_reply(receipt.benefit),
            receipt.order_no,
            receipt.order_amount_fen,
            receipt.discount_fen,
            receipt.platform_fen,
            receipt.sponsor_fen,
            receipt.merchant_fen,
            receipt.redeemed_at,
            receipt.void_until,
            receipt.check,
        ),
        replayed_header(receipt.replayed),
    )


@router.post(
    "/merchant/redemptions/<redemption_id:uuid>/void",
    summary="撤销核销",
    body=VoidRequest,
    replies={201: VoidReply},
    caller=Callers.counter,
    limit=COUNTER_LIMIT,
    posts=Op.VOID,
)
async def void(call: Call, body: VoidRequest, redemption_id: UUID) -> Reply:
    """Takes a redemption back inside its window: the coupon is the resident's again and the books are reversed. A
    second void answers the same as the first."""
    done = await call.services.counter.void(call.caller, redemption_id, body.reason.strip())
    return Reply.created(
        VoidReply(str(done.redemption_id), benefit_reply(done.benefit), done.voided_at, done.reason),
        replayed_header(done.replayed),
    )


@router.get(
    "/merchant/redemptions",
    summary="核销记录",
    query=ShiftQuery,
    replies={200: ShiftPageReply},
    caller=Callers.staff(),
)
async def list_redemptions(call: Call, query: ShiftQuery) -> Reply:
    """This store's redemptions, newest first, voided ones marked."""
    before = cursor_uuid(query.cursor)
    lines = await call.services.counter.shift(
        call.caller, business_date=query.business_date, before=before, limit=query.limit
    )
    more = cursor_after(lines, query.limit, lambda row: row.row.id)
    return Reply.ok(ShiftPageReply([line_reply(line) for line in lines], more))


def line_reply(line: ShiftLine) -> ShiftLineReply:
    """One redemption as its merchant sees it."""
    row = line.row
    return ShiftLineReply(
        id=str(row.id),
        benefit=benefit_reply(line.benefit),
        store_id=str(row.store_id),
        terminal_id=str(row.terminal_id),
        staff_id=None if row.staff_id is None else str(row.staff_id),
        order_no=row.order_no,
        order_amount_fen=row.order_amount_fen,
        discount_fen=row.discount_fen,
        platform_fen=row.platform_fen,
        sponsor_fen=row.sponsor_fen,
        merchant_fen=row.merchant_fen,
        business_date=row.business_date,
        redeemed_at=row.at,
        void_until=row.void_until,
        voided_at=row.voided_at,
        void_reason=row.void_reason,
    )
