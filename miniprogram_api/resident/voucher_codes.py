"""A resident types a code and has a coupon; a coupon shows a third party's code."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from miniprogram_api.resident.coupons import coupon_reply
from miniprogram_api.schemas.voucher_codes import ExchangedReply, ExchangeRequest, ExternalCodeReply
from server.incentives.codes.errors import NoExternalCode, VoucherCodeMistyped, VoucherCodeNotUsable
from server.incentives.errors import CouponNotFound
from server.web.idempotency import replayed_header
from server.web.routing import Call, Callers, Limit, Reply, Router
from wallet import statuses

router = Router(prefix="/api/mp/v1", tag="居民 · 电子券")

#: Every try, right or wrong; wrong ones are counted more closely by the room itself.
TRIES: Final = (
    Limit("voucher", per_minute=30, by="resident", setting="resident_per_minute"),
    Limit("voucher_device", per_minute=30, by="device", setting="resident_per_minute"),
)


@router.post(
    "/coupons/codes",
    summary="兑换码换券",
    body=ExchangeRequest,
    replies={201: ExchangedReply, 202: ExchangedReply},
    caller=Callers.resident,
    limit=TRIES,
    errors=(
        VoucherCodeNotUsable, VoucherCodeMistyped, statuses.CLOSED, statuses.SOLD_OUT, statuses.LIMIT_REACHED,
        statuses.OUTSIDE_WINDOW,
    ),
)  # fmt: skip
async def exchange(call: Call, body: ExchangeRequest) -> Reply:
    """A code becomes a coupon once, however many people type it. The same code again by the same resident tells of the
    same coupon, so no Idempotency-Key is needed. 202: the coupon is under way and comes within seconds under `id`."""
    done = await call.services.voucher_exchange.exchange(call.resident_id, body.code, call.remote_ip)
    reply = ExchangedReply(str(done.coupon_id), None if done.coupon is None else coupon_reply(done.coupon))
    return Reply(202 if done.coupon is None else 201, reply, replayed_header(done.replayed))


@router.post(
    "/coupons/<coupon_id:uuid>/external-code",
    summary="查看第三方券码",
    replies={200: ExternalCodeReply},
    caller=Callers.resident,
    errors=(CouponNotFound, NoExternalCode),
)
async def external_code(call: Call, coupon_id: UUID) -> Reply:
    """The third party's code that belongs to this coupon: the first look draws it, every other one shows the same. A
    POST, as a code in a URL or a cache would be read by others."""
    code = await call.services.voucher_exchange.external_code(call.resident_id, coupon_id)
    return Reply.ok(ExternalCodeReply(code), {"Cache-Control": "no-store"})
