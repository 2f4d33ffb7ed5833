"""People with the real clients of WeChat and of the real-name check, over real HTTP to the stand-in."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.kit.clock import Clock
from server.kit.redis import Cache
from server.people.errors import RealNameMismatch
from server.people.models import Identity, Resident
from server.people.realname import HttpRealNameVerifier, RealNameUnavailable
from server.people.wechat.client import WeChat
from server.people.wechat.errors import LoginCodeRejected, LoginCodeUsed, PhoneCodeRejected
from server.sandbox.wechat.control import StandInControl
from tests.support.people import Room, id_number, make_room


@pytest_asyncio.fixture
async def real(wechat_sim: StandInControl) -> AsyncIterator[Room]:
    wechat = WeChat(wechat_sim.appid, wechat_sim.secret, wechat_sim.base_url, Cache(None), Clock())
    real_name = HttpRealNameVerifier(wechat_sim.base_url, wechat_sim.realname_key)
    yield make_room(wechat, real_name)
    await wechat.aclose()
    await real_name.aclose()


async def test_a_person_logs_in_binds_the_name_and_releases_the_phone(real: Room, wechat_sim: StandInControl) -> None:
    openid, number = secrets.token_hex(14), id_number()
    await wechat_sim.register_people([("张三", number)])
    done = await real.sessions.log_in(await wechat_sim.login_code(openid))
    assert done.resident_id is None
    bound = await real.residents.bind_identity(done.identity_id, "张三", number)
    await real.residents.add_phone(done.identity_id, await wechat_sim.phone_code(openid, "13812340000"))
    again = await real.sessions.log_in(await wechat_sim.login_code(openid))
    assert (again.identity_id, again.resident_id) == (done.identity_id, bound.resident_id)
    profile = await real.residents.profile(again.identity_id)
    assert (profile.name, profile.id_number, profile.phone) == ("张三", number, "13812340000")


async def test_a_code_that_is_used_or_unknown_makes_no_identity(real: Room, wechat_sim: StandInControl) -> None:
    code = await wechat_sim.login_code(secrets.token_hex(14))
    done = await real.sessions.log_in(code)
    before = await Identity.all().count()
    with pytest.raises(LoginCodeUsed):
        await real.sessions.log_in(code)
    with pytest.raises(LoginCodeRejected):
        await real.sessions.log_in("nonsense")
    with pytest.raises(PhoneCodeRejected):
        await real.residents.add_phone(done.identity_id, "nonsense")
    assert await Identity.all().count() == before


async def test_a_name_the_service_does_not_know_or_cannot_check_binds_nobody(
    real: Room, wechat_sim: StandInControl
) -> None:
    done = await real.sessions.log_in(await wechat_sim.login_code(secrets.token_hex(14)))
    before = await Resident.all().count()
    number = id_number()
    await wechat_sim.register_people([("王五", number)])
    with pytest.raises(RealNameMismatch):
        await real.residents.bind_identity(done.identity_id, "张三", number)
    await wechat_sim.fault("/realname/v1/check", times=2, html502=True)
    with pytest.raises(RealNameUnavailable):
        await real.residents.bind_identity(done.identity_id, "王五", number)
    assert await Resident.all().count() == before
