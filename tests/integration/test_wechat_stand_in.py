"""The stand-in behaves as WeChat does, read off the bare answers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from click.testing import CliRunner

from server.people.realname import HttpRealNameVerifier, RealNameUnavailable
from server.sandbox.wechat.__main__ import main
from server.sandbox.wechat.control import StandInControl

RID = re.compile(r" rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$")


@pytest_asyncio.fixture
async def bare(wechat_sim: StandInControl) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=wechat_sim.base_url, trust_env=False) as client:
        yield client


def login(sim: StandInControl, code: str, **other: str) -> dict[str, str]:
    return {"appid": sim.appid, "secret": sim.secret, "js_code": code, "grant_type": "authorization_code"} | other


def token_request(sim: StandInControl, **other: object) -> dict[str, object]:
    return {"grant_type": "client_credential", "appid": sim.appid, "secret": sim.secret} | other


async def test_a_success_has_no_errcode_and_a_refusal_has_200_and_a_rid(
    bare: httpx.AsyncClient, wechat_sim: StandInControl
) -> None:
    code = await wechat_sim.login_code("o")
    done = await bare.get("/sns/jscode2session", params=login(wechat_sim, code))
    assert done.status_code == 200
    assert set(done.json()) == {"session_key", "openid"}
    again = await bare.get("/sns/jscode2session", params=login(wechat_sim, code))
    assert again.status_code == 200
    assert again.json()["errcode"] == 40163
    assert again.json()["errmsg"].startswith("code been used, ")
    assert RID.search(again.json()["errmsg"])


async def test_each_wrong_login_has_its_errcode(bare: httpx.AsyncClient, wechat_sim: StandInControl) -> None:
    seen = {}
    for name, wrong in {
        "appid": {"appid": "wx0"},
        "secret": {"secret": "x"},
        "grant_type": {"grant_type": "x"},
        "js_code": {"js_code": ""},
        "code": {},
    }.items():
        answer = await bare.get("/sns/jscode2session", params=login(wechat_sim, "never-minted", **wrong))
        seen[name] = answer.json()["errcode"]
    assert seen == {"appid": 40013, "secret": 40125, "grant_type": 40002, "js_code": 41008, "code": 40029}


async def test_a_new_login_replaces_the_session_key(bare: httpx.AsyncClient, wechat_sim: StandInControl) -> None:
    keys = set()
    for _ in range(2):
        code = await wechat_sim.login_code("o")
        keys.add((await bare.get("/sns/jscode2session", params=login(wechat_sim, code))).json()["session_key"])
    assert len(keys) == 2


async def test_a_form_is_a_data_format_error(bare: httpx.AsyncClient, wechat_sim: StandInControl) -> None:
    answer = await bare.post("/cgi-bin/stable_token", data=token_request(wechat_sim))
    assert answer.json()["errcode"] == 47001


async def test_the_stable_token_stays_the_same_until_five_minutes_before_its_end(
    bare: httpx.AsyncClient, wechat_sim: StandInControl
) -> None:
    async def ask() -> dict[str, object]:
        answer: dict[str, object] = (await bare.post("/cgi-bin/stable_token", json=token_request(wechat_sim))).json()
        return answer

    first = await ask()
    assert set(first) == {"access_token", "expires_in"}
    await wechat_sim.advance_clock(6890)
    assert (await ask())["access_token"] == first["access_token"]
    await wechat_sim.advance_clock(11)
    second = await ask()
    assert second["access_token"] != first["access_token"]
    old = await bare.post(f"/wxa/business/getuserphonenumber?access_token={first['access_token']}", json={"code": "x"})
    assert old.json()["errcode"] == 40029, "both tokens are good in the overlap"
    await wechat_sim.advance_clock(300)
    old = await bare.post(f"/wxa/business/getuserphonenumber?access_token={first['access_token']}", json={"code": "x"})
    assert old.json()["errcode"] == 42001


async def test_force_refresh_kills_the_old_token_and_is_rationed(
    bare: httpx.AsyncClient, wechat_sim: StandInControl
) -> None:
    async def ask(*, force: bool) -> dict[str, object]:
        body = token_request(wechat_sim, force_refresh=force)
        answer: dict[str, object] = (await bare.post("/cgi-bin/stable_token", json=body)).json()
        return answer

    first = await ask(force=False)
    forced = await ask(force=True)
    assert forced["access_token"] != first["access_token"]
    dead = await bare.post(f"/wxa/business/getuserphonenumber?access_token={first['access_token']}", json={"code": "x"})
    assert dead.json()["errcode"] == 40001
    assert (await ask(force=True))["errcode"] == 45011
    for _ in range(19):
        await wechat_sim.advance_clock(31)
        assert "access_token" in await ask(force=True)
    await wechat_sim.advance_clock(31)
    assert (await ask(force=True))["errcode"] == 45009


async def test_a_phone_code_belongs_to_its_openid(bare: httpx.AsyncClient, wechat_sim: StandInControl) -> None:
    token = (await bare.post("/cgi-bin/stable_token", json=token_request(wechat_sim))).json()["access_token"]
    route = f"/wxa/business/getuserphonenumber?access_token={token}"
    code = await wechat_sim.phone_code("mine", "13800000000")
    assert (await bare.post(route, json={"code": code, "openid": "other"})).json()["errcode"] == 43104
    done = (await bare.post(route, json={"code": code, "openid": "mine"})).json()
    assert done["errcode"] == 0
    assert done["phone_info"]["purePhoneNumber"] == "13800000000"
    assert done["phone_info"]["watermark"]["appid"] == wechat_sim.appid
    assert (await bare.post("/wxa/business/getuserphonenumber", json={"code": code})).json()["errcode"] == 41001


async def test_a_minutes_quota_runs_out_and_comes_back(bare: httpx.AsyncClient, wechat_sim: StandInControl) -> None:
    await wechat_sim.quota("/sns/jscode2session", 2, 45011)
    answers = [(await bare.get("/sns/jscode2session")).json()["errcode"] for _ in range(3)]
    assert answers == [40013, 40013, 45011]
    await wechat_sim.advance_clock(60)
    assert (await bare.get("/sns/jscode2session")).json()["errcode"] == 40013


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com"])
def test_it_listens_to_this_machine_only(host: str) -> None:
    done = CliRunner().invoke(main, ["--host", host, "--port", "0"])
    assert done.exit_code == 1
    assert "not a loopback address" in done.output


async def test_the_name_and_id_check_knows_registered_people(wechat_sim: StandInControl) -> None:
    await wechat_sim.register_people([("张三", "329900199001010017")])
    verifier = HttpRealNameVerifier(wechat_sim.base_url, wechat_sim.realname_key)
    try:
        assert await verifier.verify("张三", "329900199001010017") is True
        assert await verifier.verify("李四", "329900199001010017") is False
        assert await verifier.verify("张三", "329900199001010025") is False
    finally:
        await verifier.aclose()


async def test_a_wrong_key_or_a_broken_answer_is_an_outage_and_never_a_no(wechat_sim: StandInControl) -> None:
    path = "/realname/v1/check"
    await wechat_sim.register_people([("张三", "329900199001010017")])
    stranger = HttpRealNameVerifier(wechat_sim.base_url, "wrong")
    verifier = HttpRealNameVerifier(wechat_sim.base_url, wechat_sim.realname_key)
    try:
        with pytest.raises(RealNameUnavailable):
            await stranger.verify("张三", "329900199001010017")
        for fault in ({"malformed": True}, {"html502": True}, {"errcode": -1}):
            await wechat_sim.fault(path, **fault)
            with pytest.raises(RealNameUnavailable):
                await verifier.verify("张三", "329900199001010017")
        await wechat_sim.fault(path, reset=True)
        assert await verifier.verify("张三", "329900199001010017") is True, "a broken line is tried once more"
    finally:
        await stranger.aclose()
        await verifier.aclose()
