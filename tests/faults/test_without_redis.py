"""With the cache stopped, emptied or frozen in the middle, value moves as before; /readyz tells and recovers.

CHENGXIN_FAULT_REDEMPTIONS sets how often the main job is done while it is broken, once for each 500.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from server.sandbox.phone import CounterPhone, Refusal, ResidentPhone
from tests.support.fragile import Fragile
from tests.support.play import EVERYWHERE, GYM_STORE, Shown, books_balance, refused, send, until_state
from tests.support.storm import REDEMPTIONS
from tests.support.town import Town
from wallet.credentials import code_of

pytestmark = pytest.mark.fault

Step = Callable[[], Awaitable[None]]
TIMES = max(1, REDEMPTIONS // 500)
#: What the whole main job may take on a busy machine, with every call to the cache running into its timeout. Who waited
#: for a frozen cache would wait for ever.
MAIN_JOB_WITHIN_S = 60.0
#: News are waited for; a long poll that nobody wakes ends after NEWS_WAIT_S, with nothing.
NEWS_WITHIN_S, NEWS_WAIT_S = 15.0, 20
#: A health check that waited for a frozen cache would get no answer at all.
AT_ONCE_S = 15.0
#: More than two processes let through in one minute; and in the minute before, when the tests began at its end.
ATTEMPTS = 125
#: Well formed, and nobody's.
UNKNOWN = code_of("81", 0, bytes(20), 0)


@pytest_asyncio.fixture(autouse=True)
async def whole_again(fragile: Fragile) -> AsyncIterator[None]:
    yield
    pid = fragile.valkey.pid()
    if pid is not None:
        fragile.freeze_cache(frozen=False)
    await fragile.start_cache()
    await fragile.until_status("ready")
    await books_balance(fragile.town)


async def main_job(fragile: Fragile, between: Step) -> float:
    """Log-in, earning, claim; then `between`; then `redeem_and_void`, as often as is asked for. Answers the seconds
    that the slowest took."""
    town = fragile.town
    resident, counter = await town.resident(), await town.counter(GYM_STORE)
    coupon = await resident.claim(town.templates[EVERYWHERE])
    await between()
    return max([await redeem_and_void(town, resident, counter, coupon) for _ in range(TIMES)])


async def redeem_and_void(town: Town, resident: ResidentPhone, counter: CounterPhone, coupon: dict[str, Any]) -> float:
    """Scan, redemption with news, void, another log-in and earning; the seconds it took."""
    started = time.monotonic()
    (handle,) = await resident.show(coupon["id"])
    shown = Shown(resident, coupon["id"], handle)
    found = await counter.verify(shown.code())
    assert found["result"] == "usable"
    after = (await resident.call("GET", "/wallet"))["seq"]
    news = asyncio.create_task(resident.call("GET", f"/events?after={after}&wait_s={NEWS_WAIT_S}"))
    await asyncio.sleep(0.2)
    receipt = await counter.redeem(found["ticket"])
    told = await asyncio.wait_for(news, NEWS_WITHIN_S)
    assert [item["kind"] for item in told["items"]] == ["coupon_redeemed"]
    assert await counter.redeem(found["ticket"]) == receipt
    await counter.void(receipt["id"], "退单")
    await until_state(resident, coupon["id"], "issued")
    newcomer: CounterPhone = await town.counter(GYM_STORE)
    assert (await newcomer.call("GET", "/merchant/redemptions"))["items"][0]["id"] == receipt["id"]
    await town.resident()
    return time.monotonic() - started


async def test_all_goes_on_while_the_cache_is_stopped(fragile: Fragile) -> None:
    await fragile.until_status("ready")
    assert await main_job(fragile, fragile.stop_cache) < MAIN_JOB_WITHIN_S
    await fragile.until_status("degraded")
    code, body = await fragile.readiness()
    assert (code, body["checks"]["cache"], body["checks"]["database"]) == (200, "unreachable", "ok")
    await main_job(fragile, fragile.start_cache)
    await fragile.until_status("ready")


async def test_all_goes_on_while_the_cache_is_emptied_again_and_again(fragile: Fragile) -> None:
    enough = asyncio.Event()

    async def flush_until_enough() -> int:
        times = 0
        while not enough.is_set():
            await fragile.flush_cache()
            times += 1
            await asyncio.sleep(0.02)
        return times

    flushing = asyncio.create_task(flush_until_enough())
    try:
        assert await main_job(fragile, fragile.flush_cache) < MAIN_JOB_WITHIN_S
    finally:
        enough.set()
        times = await flushing
    assert times > 1
    await fragile.until_status("ready")


async def test_all_goes_on_while_the_cache_is_frozen(fragile: Fragile) -> None:
    async def freeze() -> None:
        fragile.freeze_cache(frozen=True)

    assert await main_job(fragile, freeze) < MAIN_JOB_WITHIN_S
    await fragile.until_status("degraded")
    fragile.freeze_cache(frozen=False)
    await fragile.until_status("ready")


async def test_wrong_codes_are_limited_without_a_cache_as_well(fragile: Fragile) -> None:
    await fragile.stop_cache()
    counter = await fragile.town.counter(GYM_STORE)
    answers = []
    for _ in range(ATTEMPTS):
        if "too_many_failures" in answers:
            break
        try:
            answers.append((await counter.verify(UNKNOWN))["result"])
        except Refusal as refusal:
            answers.append(str(refusal.code))
    assert "too_many_failures" in answers, f"two processes of 30 failures a minute each let {ATTEMPTS} through"
    blocked = await send(counter, "POST", "/merchant/verifications", json={"code": UNKNOWN})
    if blocked.status_code == 429:
        refused(blocked, 429, "too_many_failures")
        assert int(blocked.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
async def test_health_answers_fast_while_the_cache_is_frozen(fragile: Fragile, path: str) -> None:
    fragile.freeze_cache(frozen=True)
    started = time.monotonic()
    assert (await fragile.town.http.get(path)).status_code == 200
    assert time.monotonic() - started < AT_ONCE_S
