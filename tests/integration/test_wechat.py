"""The real WeChat client against the stand-in, over a real socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import httpx
import pytest
import pytest_asyncio

from server.kit.clock import Clock
from server.kit.errors import AppError
from server.kit.redis import Cache
from server.people.wechat import WeChat
from server.people.wechat.errors import (
    LoginCodeRejected,
    LoginCodeUsed,
    PhoneCodeRejected,
    WeChatBusy,
    WeChatMisconfigured,
    WeChatUnreachable,
    WeChatUserBlocked,
)
from server.sandbox.wechat.control import StandInControl

LOGIN = "/sns/jscode2session"
PHONE = "/wxa/business/getuserphonenumber"
TOKEN = "/cgi-bin/stable_token"

Opener = Callable[..., WeChat]


async def short_sleep(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.05))


@pytest_asyncio.fixture
async def open_wechat(wechat_sim: StandInControl, valkey: str) -> AsyncIterator[Opener]:
    opened: list[WeChat] = []
    caches: list[Cache] = []

    def open_one(
        *, cached: bool = True, secret: str | None = None, clock: Clock | None = None, base_url: str | None = None
    ) -> WeChat:
        cache = Cache(valkey if cached else None)
        caches.append(cache)
        opened.append(
            WeChat(
                wechat_sim.appid,
                secret or wechat_sim.secret,
                base_url or wechat_sim.base_url,
                cache,
                clock or Clock(),
                sleep=short_sleep,
            )
        )
        return opened[-1]

    yield open_one
    for one in opened:
        await one.aclose()
    for cache in caches:
        await cache.close()


@pytest.fixture
def wechat(open_wechat: Opener) -> WeChat:
    return open_wechat()


async def refused(call: Awaitable[object], error: type[AppError]) -> AppError:
    with pytest.raises(error) as caught:
        await call
    return caught.value


async def test_a_login_code_names_its_person_once(wechat: WeChat, wechat_sim: StandInControl) -> None:
    code = await wechat_sim.login_code("o-1", unionid="u-1")
    login = await wechat.code_to_session(code)
    assert (login.openid, login.unionid) == ("o-1", "u-1")
    assert not hasattr(login, "session_key")
    await refused(wechat.code_to_session(code), LoginCodeUsed)


async def test_a_person_without_a_union_id_logs_in(wechat: WeChat, wechat_sim: StandInControl) -> None:
    assert (await wechat.code_to_session(await wechat_sim.login_code("o-1"))).unionid is None


async def test_a_login_code_lives_five_minutes(wechat: WeChat, wechat_sim: StandInControl) -> None:
    code, late = await wechat_sim.login_code("o-1"), await wechat_sim.login_code("o-2")
    await wechat_sim.advance_clock(299)
    await wechat.code_to_session(code)
    await wechat_sim.advance_clock(2)
    await refused(wechat.code_to_session(late), LoginCodeRejected)


async def test_an_unknown_code_and_a_blocked_person_are_refused(wechat: WeChat, wechat_sim: StandInControl) -> None:
    await refused(wechat.code_to_session("nonsense"), LoginCodeRejected)
    await refused(wechat.code_to_session(await wechat_sim.login_code("o", blocked=True)), WeChatUserBlocked)


async def test_a_wrong_secret_is_our_fault_not_the_persons(open_wechat: Opener, wechat_sim: StandInControl) -> None:
    wechat = open_wechat(secret="another")
    await refused(wechat.code_to_session(await wechat_sim.login_code("o")), WeChatMisconfigured)


@pytest.mark.parametrize("fault", [{"reset": True}, {"malformed": True}, {"html502": True}, {"errcode": -1}])
async def test_a_login_is_never_tried_twice(
    wechat: WeChat, wechat_sim: StandInControl, fault: dict[str, object]
) -> None:
    code = await wechat_sim.login_code("o")
    await wechat_sim.fault(LOGIN, **fault)
    error = await refused(wechat.code_to_session(code), WeChatBusy if "errcode" in fault else WeChatUnreachable)
    assert error.retry_after_s == 1
    assert await wechat_sim.calls(LOGIN) == 1
    assert (await wechat.code_to_session(code)).openid == "o", "nothing is left broken behind the fault"


async def test_a_login_whose_answer_got_lost_wants_a_new_code(wechat: WeChat, wechat_sim: StandInControl) -> None:
    code = await wechat_sim.login_code("o")
    await wechat_sim.fault(LOGIN, reset=True, after=True)
    await refused(wechat.code_to_session(code), WeChatUnreachable)
    await refused(wechat.code_to_session(code), LoginCodeUsed)


async def test_a_slow_answer_is_given_up_and_not_asked_again(wechat: WeChat, wechat_sim: StandInControl) -> None:
    wechat._wire._http.timeout = httpx.Timeout(30, read=1)
    code = await wechat_sim.phone_code("o", "13800000000")
    await wechat_sim.fault(PHONE, delay_ms=3_000)
    await refused(wechat.phone_number(code), WeChatUnreachable)
    await asyncio.sleep(0.5)
    assert await wechat_sim.calls(PHONE) == 1


async def test_nobody_listening_is_a_clear_answer(open_wechat: Opener) -> None:
    wechat = open_wechat(base_url="http://127.0.0.1:9")
    await refused(wechat.code_to_session("x"), WeChatUnreachable)


async def test_a_phone_code_names_its_number_once(wechat: WeChat, wechat_sim: StandInControl) -> None:
    code = await wechat_sim.phone_code("o", "13800000000")
    assert await wechat.phone_number(code) == "13800000000"
    await refused(wechat.phone_number(code), PhoneCodeRejected)


async def test_many_calls_at_once_fetch_one_token(wechat: WeChat, wechat_sim: StandInControl) -> None:
    codes = [await wechat_sim.phone_code("o", f"1380000{n:04d}") for n in range(30)]
    await wechat_sim.fault(TOKEN, delay_ms=100)
    numbers = await asyncio.gather(*(wechat.phone_number(code) for code in codes))
    assert numbers == [f"1380000{n:04d}" for n in range(30)]
    assert await wechat_sim.calls(TOKEN) == 1


async def test_two_processes_share_one_token_through_redis(open_wechat: Opener, wechat_sim: StandInControl) -> None:
    first, second = open_wechat(), open_wechat()
    codes = [await wechat_sim.phone_code("o", "13800000000") for _ in range(4)]
    await wechat_sim.fault(TOKEN, delay_ms=60)
    await asyncio.gather(*(one.phone_number(code) for one, code in zip([first, second] * 2, codes, strict=True)))
    assert await wechat_sim.calls(TOKEN) == 1


async def test_without_redis_each_process_fetches_its_own(open_wechat: Opener, wechat_sim: StandInControl) -> None:
    for wechat in (open_wechat(cached=False), open_wechat(cached=False)):
        for _ in range(3):
            await wechat.phone_number(await wechat_sim.phone_code("o", "13800000000"))
    assert await wechat_sim.calls(TOKEN) == 2


async def test_a_killed_token_costs_one_more_call_and_nothing_else(wechat: WeChat, wechat_sim: StandInControl) -> None:
    await wechat.phone_number(await wechat_sim.phone_code("o", "13800000000"))
    await wechat_sim.kill_tokens()
    assert await wechat.phone_number(await wechat_sim.phone_code("o", "13800000001")) == "13800000001"
    assert await wechat_sim.calls(TOKEN) == 2
    assert await wechat_sim.calls(PHONE) == 3


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
async def test_a_token_that_is_always_refused_is_tried_exactly_twice(
    wechat: WeChat, wechat_sim: StandInControl, errcode: int
) -> None:
    await wechat_sim.fault(PHONE, times=50, errcode=errcode)
    await refused(wechat.phone_number(await wechat_sim.phone_code("o", "13800000000")), WeChatMisconfigured)
    assert await wechat_sim.calls(PHONE) == 2
    assert await wechat_sim.calls(TOKEN) == 2


async def test_a_stale_process_does_not_throw_away_a_newer_token(
    open_wechat: Opener, wechat_sim: StandInControl
) -> None:
    first, second = open_wechat(), open_wechat()
    for one in (first, second):
        await one.phone_number(await wechat_sim.phone_code("o", "13800000000"))
    await wechat_sim.kill_tokens()
    for one in (first, second):
        await one.phone_number(await wechat_sim.phone_code("o", "13800000000"))
    assert await wechat_sim.calls(TOKEN) == 2, "the second takes the token that the first had fetched"


async def test_a_busy_or_broken_token_route_is_asked_again_a_bounded_number_of_times(
    wechat: WeChat, wechat_sim: StandInControl
) -> None:
    code = await wechat_sim.phone_code("o", "13800000000")
    await wechat_sim.fault(TOKEN, errcode=-1)
    await wechat_sim.fault(TOKEN, reset=True)
    await wechat_sim.fault(TOKEN, html502=True)
    assert await wechat.phone_number(code) == "13800000000"
    assert await wechat_sim.calls(TOKEN) == 4


async def test_a_token_route_that_stays_busy_is_given_up_after_four_calls(
    wechat: WeChat, wechat_sim: StandInControl
) -> None:
    await wechat_sim.fault(TOKEN, times=50, errcode=-1)
    await refused(wechat.phone_number(await wechat_sim.phone_code("o", "13800000000")), WeChatBusy)
    assert await wechat_sim.calls(TOKEN) == 4


async def test_a_token_is_asked_for_again_before_it_ends_and_not_at_every_call(
    open_wechat: Opener, wechat_sim: StandInControl
) -> None:
    clock = Clock()
    wechat = open_wechat(clock=clock, cached=False)

    async def later(seconds: int) -> None:
        clock.offset += timedelta(seconds=seconds)
        await wechat_sim.advance_clock(seconds)
        await wechat.phone_number(await wechat_sim.phone_code("o", "13800000000"))

    await later(0)
    await later(6500)
    assert await wechat_sim.calls(TOKEN) == 1
    await later(200)
    await later(10)
    assert await wechat_sim.calls(TOKEN) == 2, (
        "the same token comes back in its last ten minutes; one question a minute"
    )
    await later(300)
    assert await wechat_sim.calls(TOKEN) == 3


@pytest.mark.parametrize("errcode", [45009, 45011])
async def test_a_quota_that_ran_out_is_not_asked_for_until_the_next_minute(
    open_wechat: Opener, wechat_sim: StandInControl, errcode: int
) -> None:
    clock = Clock()
    wechat = open_wechat(clock=clock)
    await wechat_sim.quota(LOGIN, 0, errcode)
    await refused(wechat.code_to_session(await wechat_sim.login_code("o")), WeChatBusy)
    error = await refused(wechat.code_to_session(await wechat_sim.login_code("o")), WeChatBusy)
    assert error.retry_after_s is not None
    assert 1 <= error.retry_after_s <= 60
    assert await wechat_sim.calls(LOGIN) == 1
    await wechat_sim.quota(LOGIN, 100, errcode)
    clock.offset += timedelta(seconds=60)
    assert (await wechat.code_to_session(await wechat_sim.login_code("o"))).openid == "o"


async def test_no_log_line_carries_a_secret(
    wechat: WeChat, wechat_sim: StandInControl, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        code = await wechat_sim.login_code("o-secret-person")
        await wechat_sim.fault(LOGIN, reset=True)
        await refused(wechat.code_to_session(code), WeChatUnreachable)
        await wechat.code_to_session(code)
        with pytest.raises(LoginCodeUsed) as caught:
            await wechat.code_to_session(code)
        await wechat.phone_number(await wechat_sim.phone_code("o", "13800000000"))
        token = await wechat._token.get()
    captured = capsys.readouterr()
    written = caplog.text + captured.out + captured.err + repr(caught.value) + repr(wechat.__dict__.get("_wire"))
    for secret in (wechat_sim.secret, token, code, "o-secret-person", "13800000000"):
        assert secret not in written
    assert "40163" in written
