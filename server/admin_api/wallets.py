"""One resident's wallet in the console: looked at for a stated purpose, frozen, refunded, its coupons voided."""

from __future__ import annotations

from uuid import UUID

from server.admin_api.schemas.wallets import (
    BalanceLookQuery,
    CouponVoidReply,
    EntriesLookQuery,
    FreezeOrderReply,
    FreezeRequest,
    HoldsLookQuery,
    RefundReply,
    RefundRequest,
    ResidentBalanceReply,
    ResidentWalletReply,
    UnfreezeRequest,
    VoidCouponRequest,
    WalletEntryPageReply,
    WalletEntryReply,
    WalletFreezeReply,
    WalletHoldPageReply,
    WalletHoldReply,
    WalletLookQuery,
    WalletLotReply,
)
from server.kit.errors import InvalidField
from server.kit.paging import cursor_after, cursor_number, cursor_uuid
from server.ledger_office.commands import Clerk, FreezeOrder
from server.web.idempotency import replayed_header
from server.web.routing import Call, Callers, Reply, Router
from wallet import STATUSES, Done, Entry, FreezeChanged, Lot, Op, statuses

router = Router(prefix="/api/admin/v1", tag="管理 · 积分账户")


@router.get(
    "/residents/<resident_id:int>/wallet",
    summary="居民积分账户",
    query=WalletLookQuery,
    replies={200: ResidentWalletReply},
    caller=Callers.admin("wallet.read"),
    errors=(statuses.WALLET_MISSING,),
)
async def show_wallet(call: Call, query: WalletLookQuery, resident_id: int) -> Reply:
    """The wallet now. The purpose is kept in the audit trail before the answer is given."""
    desk = call.services.wallet_desk
    look = await desk.look(resident_id, "wallet", query.purpose, query.reference, clerk_of(call))
    wallet = await look.wallet()
    freeze = wallet.freeze and WalletFreezeReply(
        wallet.freeze.kind, wallet.freeze.authority, wallet.freeze.reason, wallet.freeze.since, wallet.freeze.until
    )
    return Reply.ok(
        ResidentWalletReply(
            str(resident_id), wallet.points, wallet.held, _lots(wallet.lots),
            wallet.freeze.kind if wallet.freeze else "open", freeze, wallet.seq,
        )
    )  # fmt: skip


@router.get(
    "/residents/<resident_id:int>/wallet/balance",
    summary="居民某一时刻的积分",
    query=BalanceLookQuery,
    replies={200: ResidentBalanceReply},
    caller=Callers.admin("wallet.read"),
    errors=(statuses.WALLET_MISSING,),
)
async def show_balance(call: Call, query: BalanceLookQuery, resident_id: int) -> Reply:
    """How the wallet stood at an instant that is over, exact to the microsecond. The purpose is kept."""
    if not call.services.clock.is_over(query.at):
        raise InvalidField(field="at")
    desk = call.services.wallet_desk
    look = await desk.look(resident_id, "balance", query.purpose, query.reference, clerk_of(call))
    found = await look.balance_at(query.at)
    return Reply.ok(
        ResidentBalanceReply(
            str(resident_id), found.at, found.seq, found.points, found.held, found.expired_points, _lots(found.lots)
        )
    )


@router.get(
    "/residents/<resident_id:int>/wallet/entries",
    summary="居民积分明细",
    query=EntriesLookQuery,
    replies={200: WalletEntryPageReply},
    caller=Callers.admin("wallet.read"),
    errors=(statuses.WALLET_MISSING,),
)
async def list_entries(call: Call, query: EntriesLookQuery, resident_id: int) -> Reply:
    """The statement as it is booked, newest first. The purpose is kept for every page."""
    since, until = call.services.clock.span(query.first_day, query.last_day)
    desk = call.services.wallet_desk
    look = await desk.look(resident_id, "entries", query.purpose, query.reference, clerk_of(call))
    rows = await look.entries(
        before_seq=cursor_number(query.cursor),
        limit=query.limit,
        ops=None if query.op is None else [Op[query.op.upper()]],
        refused=query.refused,
        since=since,
        until=until,
    )
    more = cursor_after(rows, query.limit, lambda row: row.seq)
    return Reply.ok(WalletEntryPageReply([_entry(row) for row in rows], more))


@router.get(
    "/residents/<resident_id:int>/wallet/holds",
    summary="居民预扣中的积分",
    query=HoldsLookQuery,
    replies={200: WalletHoldPageReply},
    caller=Callers.admin("wallet.read"),
    errors=(statuses.WALLET_MISSING,),
)
async def list_holds(call: Call, query: HoldsLookQuery, resident_id: int) -> Reply:
    """Open holds, newest first. The purpose is kept."""
    before = cursor_uuid(query.cursor)
    desk = call.services.wallet_desk
    look = await desk.look(resident_id, "holds", query.purpose, query.reference, clerk_of(call))
    rows = await look.holds(before=before, limit=query.limit)
    items = [
        WalletHoldReply(str(row.id), row.points, str(row.payee), row.memo, row.at, row.until, row.lapsed)
        for row in rows
    ]
    return Reply.ok(WalletHoldPageReply(items, cursor_after(rows, query.limit, lambda row: row.id)))


@router.post(
    "/residents/<resident_id:int>/wallet/freeze",
    summary="冻结积分账户",
    body=FreezeRequest,
    replies={201: FreezeOrderReply},
    caller=Callers.admin("ledger.write"),
    posts=Op.FREEZE,
    idempotent=True,
)
async def freeze(call: Call, body: FreezeRequest, resident_id: int) -> Reply:
    """By an authority's order, until an instant or until it is lifted; a later order replaces an earlier. What comes
    back to the resident (holds, voided coupons, refused redemptions) still comes back."""
    assert call.idempotency_key is not None
    order = FreezeOrder(body.kind, body.authority.strip(), body.reason.strip(), body.until)
    done = await call.services.wallet_desk.freeze(resident_id, call.idempotency_key, order, clerk_of(call))
    return _freeze_reply(call, resident_id, done)


@router.post(
    "/residents/<resident_id:int>/wallet/unfreeze",
    summary="解冻积分账户",
    body=UnfreezeRequest,
    replies={201: FreezeOrderReply},
    caller=Callers.admin("ledger.write"),
    posts=Op.UNFREEZE,
    idempotent=True,
)
async def unfreeze(call: Call, body: UnfreezeRequest, resident_id: int) -> Reply:
    """Points that campaigns owe from the time of the freeze follow within minutes."""
    assert call.idempotency_key is not None
    done = await call.services.wallet_desk.unfreeze(
        resident_id, call.idempotency_key, body.authority.strip(), body.reason.strip(), clerk_of(call)
    )
    return _freeze_reply(call, resident_id, done)


@router.post(
    "/residents/<resident_id:int>/wallet/refunds",
    summary="退还积分",
    body=RefundRequest,
    replies={201: RefundReply},
    caller=Callers.admin("ledger.write"),
    posts=Op.REFUND,
    idempotent=True,
)
async def refund(call: Call, body: RefundRequest, resident_id: int) -> Reply:
    """Gives back part or all of a spend, in all never more than was spent. Points go back to their own lots; what has
    expired meanwhile is renewed once."""
    assert call.idempotency_key is not None
    done = await call.services.wallet_desk.refund(
        resident_id, call.idempotency_key, UUID(body.posting_id), body.points, body.reason.strip(), clerk_of(call)
    )
    call.services.news.happened(resident_id)
    row = done.result
    return Reply.created(
        RefundReply(
            str(row.id), str(resident_id), str(row.posting_id), row.points, row.refunded_points, row.renewed_points,
            row.points_after, row.at,
        ),
        replayed_header(done.replayed),
    )  # fmt: skip


@router.post(
    "/residents/<resident_id:int>/coupons/<coupon_id:uuid>/void",
    summary="作废电子券",
    body=VoidCouponRequest,
    replies={201: CouponVoidReply},
    caller=Callers.admin("ledger.write"),
    posts=Op.VOID_COUPON,
    idempotent=True,
)
async def void_coupon(call: Call, body: VoidCouponRequest, resident_id: int, coupon_id: UUID) -> Reply:
    """Ends a coupon that was not used; its price goes back to the wallet, its reserve to the budgets."""
    assert call.idempotency_key is not None
    done = await call.services.wallet_desk.void_coupon(
        resident_id, call.idempotency_key, coupon_id, body.reason.strip(), clerk_of(call)
    )
    call.services.news.happened(resident_id)
    row = done.result
    return Reply.created(
        CouponVoidReply(str(row.id), str(resident_id), str(row.coupon_id), row.points, row.points_after, row.at),
        replayed_header(done.replayed),
    )


def clerk_of(call: Call) -> Clerk:
    """The administrator who asks."""
    assert call.caller.admin_id is not None
    return Clerk(call.caller.admin_id, call.request_id)


def _freeze_reply(call: Call, resident_id: int, done: Done[FreezeChanged]) -> Reply:
    call.services.news.happened(resident_id)
    row = done.result
    return Reply.created(
        FreezeOrderReply(
            str(row.id), str(resident_id), row.freeze, row.authority, row.reason, row.until, row.at  # type: ignore[arg-type]
        ),
        replayed_header(done.replayed),
    )  # fmt: skip


def _entry(row: Entry) -> WalletEntryReply:
    return WalletEntryReply(
        str(row.id), row.seq, row.op.name.lower(), STATUSES[row.status].code, row.points, row.points_after,  # type: ignore[arg-type]
        row.held, row.held_after, None if row.terms_id is None else str(row.terms_id),
        str(row.coupon_id) if row.coupon_id else None, row.at, row.detail,
    )  # fmt: skip


def _lots(lots: tuple[Lot, ...]) -> list[WalletLotReply]:
    return [WalletLotReply(lot.expires_on, lot.points) for lot in lots]
