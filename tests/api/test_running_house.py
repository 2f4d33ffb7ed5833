"""The whole house in its own processes answers over real HTTP."""

from __future__ import annotations

from tests.support.town import Town


async def test_a_running_house_is_ready_and_logs_a_person_in_through_wechat(town: Town) -> None:
    assert (await town.http.get("/readyz")).status_code == 200
    answer = await town.http.post("/api/mp/v1/sessions", json={"code": await town.control.login_code("o-first")})
    assert answer.status_code == 201, answer.text
    again = await town.http.post("/api/mp/v1/sessions", json={"code": "nonsense"})
    assert again.status_code == 400, again.text
    assert again.json()["error"]["code"] == "login_code_rejected"
