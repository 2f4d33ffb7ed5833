"""A resident's points: the wallet and its statement."""

from __future__ import annotations

from miniprogram_api import present
from miniprogram_api.schemas.wallet import EntryPageReply, EntryQuery, EntryReply, LotReply, WalletReply
from server.kit.paging import decode_cursor, encode_cursor
from server.web.routing import Call, Callers, Reply, Router
from wallet import Entry
from wallet.errors import Refused
from wallet.statuses import WALLET_MISSING

router = Router(prefix="/api/mp/v1", tag="居民 · 积分钱包")


@router.get(
    "/wallet", summary="我的积分", replies={200: WalletReply}, caller=Callers.resident, errors=(WALLET_MISSING,)
)
async def show_wallet(call: Call) -> Reply:
    """Spendable points, their lots by expiry, soonest first."""
    wallet = await call.services.vault.read.wallet(call.resident_id)
    if wallet is None:
        raise Refused(WALLET_MISSING)
    lots = [LotReply(lot.expires_on, lot.points) for lot in wallet.lots]
    return Reply.ok(WalletReply(wallet.points, wallet.held, lots, lots[0] if lots else None, wallet.seq))


@router.get(
    "/wallet/entries",
    summary="积分与优惠券明细",
    query=EntryQuery,
    replies={200: EntryPageReply},
    caller=Callers.resident,
)
async def list_entries(call: Call, query: EntryQuery) -> Reply:
    """The statement, newest first: every line with the balance after it."""
    position = decode_cursor(query.cursor, int)
    before = int(position[0]) if position else None
    rows = await call.services.vault.read.entries(call.resident_id, before_seq=before, limit=query.limit)
    more = encode_cursor(rows[-1].seq) if len(rows) == query.limit else None
    return Reply.ok(EntryPageReply([entry_reply(row) for row in rows], more))


def entry_reply(row: Entry) -> EntryReply:
    """A statement line as a person reads it."""
    return EntryReply(
        id=str(row.id),
        seq=row.seq,
        kind=present.entry_kind(row),
        title=present.entry_title(row),
        points=row.points,
        points_after=row.points_after,
        coupon_id=str(row.coupon_id) if row.coupon_id else None,
        at=row.at,
    )
