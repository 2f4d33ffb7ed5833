"""A resident's points: the wallet, its statement, how it stood at any instant, and open holds."""

from __future__ import annotations

from miniprogram_api import present
from miniprogram_api.schemas.wallet import (
    BalanceQuery,
    BalanceReply,
    EntryPageReply,
    EntryQuery,
    EntryReply,
    ExpiringReply,
    FreezeReply,
    HoldPageReply,
    HoldQuery,
    HoldReply,
    LookPageReply,
    LookQuery,
    LookReply,
    LotReply,
    WalletReply,
)
from server.kit.errors import InvalidField
from server.kit.paging import cursor_after, cursor_number, cursor_uuid
from server.notices.wording import leads_of
from server.web.routing import Call, Callers, Reply, Router
from wallet import Entry, Freeze
from wallet.errors import Refused
from wallet.statuses import WALLET_MISSING

router = Router(prefix="/api/mp/v1", tag="居民 · 积分钱包")


@router.get(
    "/wallet", summary="我的积分", replies={200: WalletReply}, caller=Callers.resident, errors=(WALLET_MISSING,)
)
async def show_wallet(call: Call) -> Reply:
    """Spendable points, their lots by expiry, soonest first, what ends soon, and whether the account is frozen."""
    wallet = await call.services.vault.read.wallet(call.resident_id)
    if wallet is None:
        raise Refused(WALLET_MISSING)
    lots = [LotReply(lot.expires_on, lot.points) for lot in wallet.lots]
    leads = leads_of(call.services.settings.notice_points_days)
    return Reply.ok(
        WalletReply(
            points=wallet.points,
            held_points=wallet.held,
            lots=lots,
            next_expiry=lots[0] if lots else None,
            expiring=[ExpiringReply(days, wallet.expiring(days)) for days in leads],
            status=wallet.freeze.kind if wallet.freeze else "open",
            freeze=_freeze_reply(wallet.freeze),
            seq=wallet.seq,
        )
    )


@router.get(
    "/wallet/entries",
    summary="积分与优惠券明细",
    query=EntryQuery,
    replies={200: EntryPageReply},
    caller=Callers.resident,
    errors=(WALLET_MISSING,),
)
async def list_entries(call: Call, query: EntryQuery) -> Reply:
    """The statement, newest first: every line with the balances after it. Kept for good, old months included."""
    ops, refused = present.entry_filter(query.kind)
    since, until = call.services.clock.span(query.first_day, query.last_day)
    rows = await call.services.vault.read.entries(
        call.resident_id,
        before_seq=cursor_number(query.cursor),
        limit=query.limit,
        ops=ops,
        refused=refused,
        since=since,
        until=until,
    )
    if not rows:
        await _must_be_open(call)
    more = cursor_after(rows, query.limit, lambda row: row.seq)
    return Reply.ok(EntryPageReply([entry_reply(row) for row in rows], more))


@router.get(
    "/wallet/balance",
    summary="某一时刻的积分",
    query=BalanceQuery,
    replies={200: BalanceReply},
    caller=Callers.resident,
    errors=(WALLET_MISSING,),
)
async def show_balance(call: Call, query: BalanceQuery) -> Reply:
    """How the wallet stood at an instant, exact to the microsecond. An instant that is not over yet is refused."""
    if not call.services.clock.is_over(query.at):
        raise InvalidField(field="at")
    found = await call.services.vault.read.balance_at(call.resident_id, query.at)
    if found is None:
        raise Refused(WALLET_MISSING)
    lots = [LotReply(lot.expires_on, lot.points) for lot in found.lots]
    return Reply.ok(BalanceReply(found.at, found.seq, found.points, found.held, found.expired_points, lots))


@router.get(
    "/wallet/holds",
    summary="预扣中的积分",
    query=HoldQuery,
    replies={200: HoldPageReply},
    caller=Callers.resident,
    errors=(WALLET_MISSING,),
)
async def list_holds(call: Call, query: HoldQuery) -> Reply:
    """Points that are set aside now, newest first, with the instant by which unused ones come back."""
    before = cursor_uuid(query.cursor)
    rows = await call.services.vault.read.holds(call.resident_id, before=before, limit=query.limit)
    if not rows:
        await _must_be_open(call)
    items = [HoldReply(str(row.id), row.points, row.memo, row.at, row.until, row.lapsed) for row in rows]
    return Reply.ok(HoldPageReply(items, cursor_after(rows, query.limit, lambda row: row.id)))


@router.get(
    "/wallet/looks", summary="谁查看过我的积分", query=LookQuery, replies={200: LookPageReply}, caller=Callers.resident
)
async def list_looks(call: Call, query: LookQuery) -> Reply:
    """Every look of an administrator at this wallet, newest first, with its purpose (G20)."""
    rows = await call.services.wallet_desk.looks(
        call.resident_id, before_id=cursor_number(query.cursor), limit=query.limit
    )
    items = [LookReply(row.at, row.what, row.purpose) for row in rows]
    return Reply.ok(LookPageReply(items, cursor_after(rows, query.limit, lambda row: row.id)))


async def _must_be_open(call: Call) -> None:
    """Nothing to list may mean that there is no wallet yet. Raises wallet_not_open then."""
    if await call.services.vault.read.wallet(call.resident_id) is None:
        raise Refused(WALLET_MISSING)


def entry_reply(row: Entry) -> EntryReply:
    """A statement line as a person reads it."""
    return EntryReply(
        id=str(row.id),
        seq=row.seq,
        kind=present.entry_kind(row),
        title=present.entry_title(row),
        points=row.points,
        points_after=row.points_after,
        held_points=row.held,
        held_points_after=row.held_after,
        coupon_id=str(row.coupon_id) if row.coupon_id else None,
        at=row.at,
    )


def _freeze_reply(freeze: Freeze | None) -> FreezeReply | None:
    if freeze is None:
        return None
    return FreezeReply(freeze.kind, freeze.authority, freeze.reason, freeze.since, freeze.until)
