"""Subscribe messages: the real client against the stand-in's rules, over a real socket."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
import pytest_asyncio

from server.kit.clock import Clock
from server.kit.redis import Cache
from server.people.wechat import Delivery, WeChat
from server.sandbox.wechat import SANDBOX_TEMPLATES
from server.sandbox.wechat.control import StandInControl

SEND = "/cgi-bin/message/subscribe/send"
TOKEN = "/cgi-bin/stable_token"
TEMPLATE = next(iter(SANDBOX_TEMPLATES))
GOOD = {"thing1": "积分即将到期", "number2": "120", "date3": "2026年11月30日", "thing4": "请在到期日前使用"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def wechat(wechat_sim: StandInControl, clock: Clock) -> AsyncIterator[WeChat]:
    made = WeChat(wechat_sim.appid, wechat_sim.secret, wechat_sim.base_url, Cache(None), clock)
    yield made
    await made.aclose()


async def test_one_accept_is_one_message(wechat: WeChat, wechat_sim: StandInControl) -> None:
    assert await wechat_sim.subscribe("o-1", TEMPLATE, count=2) == 2
    outcomes = [await wechat.send_message("o-1", TEMPLATE, GOOD, page="pages/wallet/index") for _ in range(3)]
    assert outcomes == [Delivery.SENT, Delivery.SENT, Delivery.NO_GRANT]
    first, _ = await wechat_sim.messages()
    assert (first["touser"], first["template_id"], first["page"]) == ("o-1", TEMPLATE, "pages/wallet/index")
    assert first["data"]["number2"] == {"value": "120"}
    assert (await wechat_sim.counters())["errcodes"] == {"43101": 1}


async def test_somebody_who_asked_for_nothing_gets_nothing(wechat: WeChat, wechat_sim: StandInControl) -> None:
    await wechat_sim.login_code("o-1")
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.NO_GRANT
    assert await wechat_sim.messages() == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("thing1", "字" * 21),
        ("thing1", ""),
        ("thing1", "两\n行"),
        ("number2", "一百"),
        ("number2", "1" * 33),
        ("date3", "30.11.2026"),
        ("thing4", None),
        ("thing9", "没有这一项"),
    ],
)
async def test_a_value_that_its_keyword_cannot_hold_is_refused_and_costs_no_grant(
    wechat: WeChat, wechat_sim: StandInControl, key: str, value: str | None
) -> None:
    await wechat_sim.subscribe("o-1", TEMPLATE)
    wrong = {name: text for name, text in (GOOD | {key: value}).items() if text is not None}
    assert await wechat.send_message("o-1", TEMPLATE, wrong) is Delivery.REFUSED
    assert (await wechat_sim.counters())["errcodes"] == {"47003": 1}
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.SENT


@pytest.mark.parametrize("date", ["2026年1月1日", "2026-01-01", "2026年11月30日 09:00", "2026年1月1日~2026年1月31日"])
async def test_the_forms_of_a_day_that_the_document_names_are_taken(
    wechat: WeChat, wechat_sim: StandInControl, date: str
) -> None:
    await wechat_sim.subscribe("o-1", TEMPLATE)
    assert await wechat.send_message("o-1", TEMPLATE, GOOD | {"date3": date}) is Delivery.SENT


async def test_an_unknown_person_template_or_page_is_refused(wechat: WeChat, wechat_sim: StandInControl) -> None:
    await wechat_sim.subscribe("o-1", TEMPLATE)
    assert await wechat.send_message("o-nobody", TEMPLATE, GOOD) is Delivery.REFUSED
    assert await wechat.send_message("o-1", "no-such-template", GOOD) is Delivery.REFUSED
    assert await wechat.send_message("o-1", TEMPLATE, GOOD, page="/pages/index") is Delivery.REFUSED
    assert (await wechat_sim.counters())["errcodes"] == {"40003": 1, "40037": 1, "41030": 1}


async def test_a_refusal_is_http_200_with_a_rid(wechat_sim: StandInControl) -> None:
    async with httpx.AsyncClient(base_url=wechat_sim.base_url, trust_env=False) as http:
        answer = await http.post(SEND, params={"access_token": "x"}, json={})
        assert answer.status_code == 200
        assert answer.json()["errcode"] == 40001
        assert re.search(r"rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$", answer.json()["errmsg"])
        request = {"grant_type": "client_credential", "appid": wechat_sim.appid, "secret": wechat_sim.secret}
        token = (await http.post(TOKEN, json=request)).json()["access_token"]
        form = await http.post(SEND, params={"access_token": token}, data={"touser": "o"})
        assert form.json()["errcode"] == 47001


@pytest.mark.parametrize("errcode", [40001, 42001])
async def test_a_dead_token_costs_one_more_call_and_the_message_goes_out_once(
    wechat: WeChat, wechat_sim: StandInControl, errcode: int
) -> None:
    await wechat_sim.subscribe("o-1", TEMPLATE, count=3)
    await wechat_sim.fault(SEND, errcode=errcode)
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.SENT
    assert (await wechat_sim.calls(SEND), await wechat_sim.calls(TOKEN)) == (2, 2)
    assert len(await wechat_sim.messages()) == 1
    await wechat_sim.fault(SEND, times=2, errcode=errcode)
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.NOT_NOW, "twice is enough"


async def test_a_token_past_its_life_is_replaced(wechat: WeChat, wechat_sim: StandInControl) -> None:
    await wechat_sim.subscribe("o-1", TEMPLATE, count=2)
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.SENT
    await wechat_sim.advance_clock(7300)
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.SENT
    assert (await wechat_sim.counters())["errcodes"] == {"42001": 1}


async def test_a_used_up_quota_is_not_asked_again_until_the_next_minute(
    wechat: WeChat, wechat_sim: StandInControl, clock: Clock
) -> None:
    await wechat_sim.subscribe("o-1", TEMPLATE, count=2)
    await wechat_sim.quota(SEND, 0, 45009)
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.NOT_NOW
    await wechat_sim.quota(SEND, 100, 45009)
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.NOT_NOW
    assert await wechat_sim.calls(SEND) == 1
    clock.offset += timedelta(seconds=61)
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.SENT


async def test_busy_means_not_now(wechat: WeChat, wechat_sim: StandInControl) -> None:
    await wechat_sim.subscribe("o-1", TEMPLATE)
    await wechat_sim.fault(SEND, errcode=-1)
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.NOT_NOW


@pytest.mark.parametrize("fault", [{"reset": True}, {"malformed": True}, {"html502": True}])
async def test_after_a_lost_answer_nobody_knows_and_it_is_not_tried_again(
    wechat: WeChat, wechat_sim: StandInControl, fault: dict[str, bool]
) -> None:
    await wechat_sim.subscribe("o-1", TEMPLATE)
    await wechat_sim.fault(SEND, **fault, after=True)
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.UNKNOWN
    assert len(await wechat_sim.messages()) == 1
    assert await wechat_sim.calls(SEND) == 1


async def test_when_wechat_is_not_reached_the_message_certainly_did_not_go_out(
    wechat: WeChat, wechat_sim: StandInControl
) -> None:
    await wechat_sim.subscribe("o-1", TEMPLATE, count=2)
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.SENT
    wechat._wire._http.base_url = httpx.URL("http://127.0.0.1:9")
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.NOT_NOW
    await wechat._token.invalidate(await wechat._token.get())
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.NOT_NOW, "the token is not to be had either"


async def test_a_token_that_cannot_be_had_means_not_now(wechat: WeChat, wechat_sim: StandInControl) -> None:
    await wechat_sim.subscribe("o-1", TEMPLATE)
    await wechat_sim.fault(TOKEN, errcode=40125)
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.NOT_NOW
    assert await wechat_sim.calls(SEND) == 0
    assert await wechat.send_message("o-1", TEMPLATE, GOOD) is Delivery.SENT
