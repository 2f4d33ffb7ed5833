"""News for a resident's phone: "your code was used", within a second."""

from __future__ import annotations

import msgspec

from miniprogram_api import present
from miniprogram_api.schemas.wallet import EventReply, EventsQuery, EventsReply
from server.scenes.counter import check_of
from server.web.routing import Call, Callers, Reply, Router
from wallet import Entry, Op

HEARTBEAT_S = 15
STREAM_LIFE_S = 300

router = Router(prefix="/api/mp/v1", tag="居民 · 通知")


@router.get("/events", summary="我的最新动态", query=EventsQuery, replies={200: EventsReply}, caller=Callers.resident)
async def events(call: Call, query: EventsQuery) -> Reply | None:
    """Waits for what happens to the wallet after `after` and answers at once when it does. With `Accept:
    text/event-stream` the same news come as a stream of server-sent events, with a heartbeat every 15 seconds, for
    five minutes."""
    news = call.services.news
    after = query.after
    if after is None:
        wallet = await call.services.vault.read.wallet(call.resident_id)
        after = wallet.seq if wallet else 0
    if "text/event-stream" in call.request.headers.get("accept", ""):
        await _stream(call, after)
        return None
    rows = await news.wait(call.resident_id, after_seq=after, timeout_s=max(query.wait_s, 0.01))
    return Reply.ok(EventsReply([event_reply(row) for row in rows], rows[-1].seq if rows else after))


async def _stream(call: Call, after: int) -> None:
    clock = call.services.clock
    ends_at = clock.unix() + STREAM_LIFE_S
    response = await call.request.respond(content_type="text/event-stream", headers={"Cache-Control": "no-store"})
    await response.send(f"retry: 1000\nid: {after}\n\n")
    while clock.unix() < ends_at and not call.services.news.released:
        rows = await call.services.news.wait(call.resident_id, after_seq=after, timeout_s=HEARTBEAT_S)
        if not rows:
            await response.send(": heartbeat\n\n")
        for row in rows:
            data = msgspec.json.encode(event_reply(row)).decode()
            await response.send(f"id: {row.seq}\nevent: {present.entry_kind(row)}\ndata: {data}\n\n")
            after = row.seq
    await response.eof()


def event_reply(row: Entry) -> EventReply:
    """A journal row as news."""
    return EventReply(
        seq=row.seq,
        kind=present.entry_kind(row),
        title=present.entry_title(row),
        coupon_id=str(row.coupon_id) if row.coupon_id else None,
        check=check_of(row.id) if row.op is Op.REDEEM else None,
        at=row.at,
    )
