"""News on a resident's phone over real HTTP: soon, in order, resumable, through whichever process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from miniprogram_api.resident import events
from server.sandbox.phone import CounterPhone, ResidentPhone
from tests.support.patience import PATIENCE_S
from tests.support.play import GYM_STORE, Shown, refused, send, show, ticket
from tests.support.town import Town

#: News are there a second after the redemption (D36), beside what the machine needs for a redemption itself. Without
#: their message it takes up to five seconds: of ROUNDS, one may be disturbed by whatever else the machine does.
SOON_S = 1.0
ROUNDS = 3


async def redeem(town: Town, counter: CounterPhone, shown: Shown) -> tuple[dict[str, Any], float]:
    """The receipt, and when the news are late: a second after it, and as long again as the redemption took. One
    connection means one process: the phones of the other one hear of it only because this one tells."""
    text = await ticket(counter, shown)
    started = time.monotonic()
    receipt = await counter.redeem(text)
    ended = time.monotonic()
    return receipt, ended + SOON_S + (ended - started)


async def waiting_phones(
    town: Town, resident: ResidentPhone, after: int, count: int
) -> list[asyncio.Task[tuple[float, Any]]]:
    """Long polls on connections of their own, so that both processes have some."""

    async def poll() -> tuple[float, Any]:
        async with httpx.AsyncClient(base_url=town.base_url, trust_env=False, timeout=120) as http:
            phone = ResidentPhone(http)
            phone.headers = resident.headers
            news = await phone.call("GET", f"/events?after={after}&wait_s=20")
            return time.monotonic(), news

    tasks = [asyncio.create_task(poll()) for _ in range(count)]
    await asyncio.sleep(0.5)
    return tasks


@asynccontextmanager
async def stream(town: Town, resident: ResidentPhone, after: int) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    """Server-sent events as a browser reads them: one dictionary of fields for each block."""
    headers = {**resident.headers, "Accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(base_url=town.base_url, trust_env=False, timeout=PATIENCE_S) as http,
        http.stream("GET", f"/api/mp/v1/events?after={after}", headers=headers) as answer,
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
        yield blocks(answer)


async def blocks(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
    block: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            block[name] = value
        elif block:
            yield block
            block = {}


async def test_every_waiting_phone_learns_of_a_redemption_within_a_second(town: Town) -> None:
    counter = await town.counter(GYM_STORE)
    lateness = [await all_phones_hear(town, counter, await show(town)) for _ in range(ROUNDS)]
    assert sorted(lateness)[1] < 0, lateness


async def all_phones_hear(town: Town, counter: CounterPhone, shown: Shown) -> float:
    """How much too late the last phone heard of a redemption, in seconds; negative when it was in time."""
    after = (await shown.resident.call("GET", "/wallet"))["seq"]
    phones = await waiting_phones(town, shown.resident, after, count=8)
    receipt, late_at = await redeem(town, counter, shown)
    heard = await asyncio.gather(*phones)
    for _, news in heard:
        (item,) = news["items"]
        assert (item["kind"], item["coupon_id"], item["check"]) == (
            "coupon_redeemed",
            shown.coupon_id,
            receipt["check"],
        )
        assert news["next_after"] == item["seq"] == after + 1
    return max(heard_at for heard_at, _ in heard) - late_at


async def test_news_come_in_order_and_after_resumes_without_a_gap(town: Town) -> None:
    counter = await town.counter(GYM_STORE)
    shown = await show(town)
    receipt = await counter.redeem(await ticket(counter, shown))
    await counter.void(receipt["id"], "退单")
    everything = await shown.resident.call("GET", "/events?after=0&wait_s=0")
    kinds = [item["kind"] for item in everything["items"]]
    assert kinds == ["earned", "earned", "coupon_claimed", "coupon_redeemed", "redemption_voided"]
    sequence = [item["seq"] for item in everything["items"]]
    assert sequence == list(range(1, len(sequence) + 1))
    for seq in sequence:
        later = await shown.resident.call("GET", f"/events?after={seq}&wait_s=0")
        assert later == {"items": everything["items"][seq:], "next_after": everything["next_after"]}
    now = await shown.resident.call("GET", "/events?wait_s=0")
    assert now == {"items": [], "next_after": sequence[-1]}


async def test_a_long_poll_without_news_answers_when_its_time_is_over(town: Town) -> None:
    resident = await town.resident()
    started = time.monotonic()
    news = await resident.call("GET", "/events?wait_s=1")
    assert news["items"] == []
    assert 0.9 < time.monotonic() - started < 15, "as long as it asked for, not as long as it may ask for"


async def test_the_stream_tells_each_redemption_within_a_second_and_can_be_taken_up_again(town: Town) -> None:
    counter = await town.counter(GYM_STORE)
    shown, lateness = await show(town), []
    for _ in range(ROUNDS):
        (handle,) = await shown.resident.show(shown.coupon_id)
        shown = Shown(shown.resident, shown.coupon_id, handle)
        after = (await shown.resident.call("GET", "/wallet"))["seq"]
        async with stream(town, shown.resident, after) as news:
            assert await anext(news) == {"retry": "1000", "id": str(after)}
            receipt, late_at = await redeem(town, counter, shown)
            first = await asyncio.wait_for(anext(news), PATIENCE_S)
            lateness.append(time.monotonic() - late_at)
            assert (first["event"], first["id"]) == ("coupon_redeemed", str(after + 1))
            assert json.loads(first["data"])["check"] == receipt["check"]
        await counter.void(receipt["id"], "退单")
        async with stream(town, shown.resident, int(first["id"])) as news:
            await anext(news)
            second = await asyncio.wait_for(anext(news), PATIENCE_S)
            assert (second["event"], second["id"]) == ("redemption_voided", str(after + 2))
    assert sorted(lateness)[1] < 0, lateness


async def test_a_quiet_stream_beats_so_that_nobody_on_the_way_cuts_it() -> None:
    """The form of a heartbeat is a comment line; the distance is below what proxies cut (60 s)."""
    assert events.HEARTBEAT_S <= 20


async def test_news_are_for_the_resident_alone(town: Town) -> None:
    counter = await town.counter(GYM_STORE)
    refused(await send(counter, "GET", "/events?wait_s=0"), 403, "forbidden")
    one, other = await show(town), await town.resident()
    seen = await other.call("GET", "/events?after=0&wait_s=0")
    assert one.coupon_id not in json.dumps(seen)
    refused(await send(other, "GET", "/events?after=-1"), 400, "invalid_field", "after")
    refused(await send(other, "GET", "/events?wait_s=26"), 400, "invalid_field", "wait_s")
    refused(await send(other, "GET", "/events?since=1"), 400, "unknown_field", "since")
