"""The whole house in its own processes answers over real HTTP."""

from __future__ import annotations

import httpx

from server.sandbox.wechat.control import StandInControl


async def test_a_running_house_is_ready_and_logs_a_person_in_through_wechat(
    client: httpx.AsyncClient, wechat_sim: StandInControl
) -> None:
    assert (await client.get("/readyz")).status_code == 200
    answer = await client.post("/api/mp/v1/sessions", json={"code": await wechat_sim.login_code("o-first")})
    assert answer.status_code == 201, answer.text
    again = await client.post("/api/mp/v1/sessions", json={"code": "nonsense"})
    assert again.status_code == 400, again.text
    assert again.json()["error"]["code"] == "login_code_rejected"
