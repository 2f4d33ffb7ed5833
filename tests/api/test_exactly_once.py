"""Many at once over real HTTP, through both worker processes: exactly as much happens as may happen."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import httpx

from server.sandbox.phone import CounterPhone, Refusal, ResidentPhone, client_id
from tests.support.play import (
    EVERYWHERE,
    GYM_STORE,
    NOODLE_STORE,
    NOODLES,
    SCARCE,
    Shown,
    books_balance,
    owner,
    rows,
    send,
    show,
    somebody_waits_for,
    ticket,
    until_state,
)
from tests.support.town import Town

MANY, STOCK = 64, 10


async def on_own_connections(
    town: Town, phone: ResidentPhone | CounterPhone, path: str, body: object, count: int = MANY
) -> list[httpx.Response]:
    """The same request `count` times at once, each on a connection of its own."""

    async def one() -> httpx.Response:
        async with httpx.AsyncClient(base_url=town.base_url, trust_env=False, timeout=120) as http:
            return await http.post(f"/api/mp/v1{path}", json=body, headers=phone.headers)

    answers = await asyncio.gather(*(one() for _ in range(count)))
    for answer in answers:
        await town.shown.keep(answer)
    return list(answers)


def one_new_and_the_rest_replayed(answers: list[httpx.Response]) -> None:
    assert Counter(answer.status_code for answer in answers) == {201: len(answers)}, answers[0].text
    new = [answer for answer in answers if "Idempotency-Replayed" not in answer.headers]
    assert len(new) == 1, f"{len(new)} answers claim to be the first"
    assert {answer.text for answer in answers} == {new[0].text}


async def hang_up_while_the_vault_works(
    town: Town, phone: ResidentPhone | CounterPhone, path: str, body: object, owner_id: int, **headers: str
) -> None:
    """Sends a request over a raw socket and resets the connection while the wallet is locked: nobody hears of it."""
    content = json.dumps(body).encode()
    lines = [f"POST /api/mp/v1{path} HTTP/1.1", f"Host: 127.0.0.1:{town.house.port}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in {**phone.headers, **headers}.items()]
    async with owner(town) as connection, connection.transaction():
        await connection.execute("SELECT FROM vault.wallet WHERE owner = $1 FOR UPDATE", owner_id)
        _, writer = await asyncio.open_connection("127.0.0.1", town.house.port)
        writer.write("\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content)
        await writer.drain()
        await somebody_waits_for(connection)
        writer.transport.abort()
        await asyncio.sleep(0.1)


async def test_64_residents_claim_from_a_stock_of_10_and_exactly_10_get_one(town: Town) -> None:
    residents = await asyncio.gather(*(town.resident() for _ in range(MANY)))
    template = town.templates[SCARCE]

    async def claim(resident: ResidentPhone) -> str:
        try:
            return str((await resident.claim(template))["state"])
        except Refusal as refusal:
            assert refusal.status == 409, refusal.body
            return str(refusal.code)

    outcomes = Counter(await asyncio.gather(*(claim(resident) for resident in residents)))
    assert outcomes == {"issued": STOCK, "sold_out": MANY - STOCK}
    wallets = await asyncio.gather(*(resident.call("GET", "/wallet") for resident in residents))
    assert Counter(wallet["points"] for wallet in wallets) == {100: STOCK, 120: MANY - STOCK}
    sql = "SELECT count(*) FROM vault.coupon c JOIN vault.coupon_terms t USING (terms) WHERE t.template = $1"
    assert await rows(town, sql, int(template)) == [{"count": STOCK}]
    await books_balance(town)


async def test_64_claims_under_one_key_are_one_coupon(town: Town) -> None:
    resident = await town.resident()
    key = client_id()
    body = {"template_id": town.templates[EVERYWHERE]}
    answers = await asyncio.gather(
        *(send(resident, "POST", "/coupons", json=body, headers={"Idempotency-Key": str(key)}) for _ in range(MANY))
    )
    one_new_and_the_rest_replayed(list(answers))
    assert len((await resident.call("GET", "/coupons"))["items"]) == 1


async def test_64_redemptions_and_64_voids_of_one_ticket_are_one_of_each(town: Town) -> None:
    counter = await town.counter(NOODLE_STORE)
    shown = await show(town, NOODLES)
    body = {"ticket": await ticket(counter, shown), "order_amount_fen": 2_500}
    answers = await on_own_connections(town, counter, "/merchant/redemptions", body)
    one_new_and_the_rest_replayed(answers)
    receipt = answers[0].json()
    found = await rows(town, "SELECT id, sponsor_fen FROM vault.redemption WHERE coupon_id = $1::uuid", shown.coupon_id)
    assert [(str(row["id"]), row["sponsor_fen"]) for row in found] == [(receipt["id"], 1_000)]

    path = f"/merchant/redemptions/{receipt['id']}/void"
    voids = await on_own_connections(town, counter, path, {"reason": "顾客退单"})
    one_new_and_the_rest_replayed(voids)
    found = await rows(town, "SELECT id FROM vault.redemption_void WHERE redemption_id = $1::uuid", receipt["id"])
    assert len(found) == 1
    assert (await shown.resident.call("GET", f"/coupons/{shown.coupon_id}"))["state"] == "issued"
    again = await send(counter, "POST", "/merchant/redemptions", json=body)
    assert (again.status_code, again.json()) == (201, receipt), "the receipt stays the receipt after a void"
    await books_balance(town)


async def test_one_code_scanned_by_many_terminals_at_once_is_usable_at_one(town: Town) -> None:
    shown = await show(town)
    counters = [
        await town.counter(store)
        for store in (GYM_STORE, NOODLE_STORE, "暨阳影城（示例）万象店", "邻里家政（示例）南闸服务站")
    ]
    found = await asyncio.gather(*(counter.verify(shown.code()) for counter in counters for _ in range(8)))
    usable = {one["check"] for one in found if one["result"] == "usable"}
    assert Counter(one["result"] for one in found) == {"usable": 8, "not_valid": 24}
    assert len(usable) == 1, "the same terminal was given one redemption"


async def test_a_client_that_hangs_up_loses_nothing_and_its_retry_replays(town: Town) -> None:
    counter, resident = await town.counter(GYM_STORE), await town.resident()
    owner_id = int((await resident.call("GET", "/me"))["resident_id"])
    key, claim = str(client_id()), {"template_id": town.templates[EVERYWHERE]}
    await hang_up_while_the_vault_works(town, resident, "/coupons", claim, owner_id, **{"Idempotency-Key": key})
    await until_state(resident, key, "issued")
    again = await send(resident, "POST", "/coupons", json=claim, headers={"Idempotency-Key": key})
    assert (again.status_code, again.headers["Idempotency-Replayed"], again.json()["id"]) == (201, "true", key)

    (handle,) = await resident.show(key)
    body = {"ticket": await ticket(counter, Shown(resident, key, handle))}
    await hang_up_while_the_vault_works(town, counter, "/merchant/redemptions", body, owner_id)
    await until_state(resident, key, "redeemed")
    again = await send(counter, "POST", "/merchant/redemptions", json=body)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    path = f"/merchant/redemptions/{again.json()['id']}/void"
    await hang_up_while_the_vault_works(town, counter, path, {"reason": "退单"}, owner_id)
    await until_state(resident, key, "issued")
    again = await send(counter, "POST", path, json={"reason": "退单"})
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    await books_balance(town)
