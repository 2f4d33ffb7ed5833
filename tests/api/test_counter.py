"""At the counter over real HTTP: who may scan, redeem and take back what, where and for how long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from server.kit.crypto import Keyring
from server.sandbox.phone import CounterPhone, Phone, read_picture
from server.scenes.tickets import TicketOffice
from tests.support.play import (
    GYM_STORE,
    NOODLE_STORE,
    NOODLES,
    OTHER_GYM_STORE,
    OTHER_NOODLE_STORE,
    Console,
    books_balance,
    refused,
    rows,
    send,
    show,
    ticket,
)
from tests.support.town import Town
from wallet.credentials import code_of

NOT_VALID = {
    "result": "not_valid", "benefit": None, "ticket": None, "expires_in": None, "check": None, "usable_at": None,
    "message": None,
}  # fmt: skip
REDEEM = "/merchant/redemptions"


@pytest_asyncio.fixture(scope="module")
async def counter(town: Town) -> CounterPhone:
    return await town.counter(GYM_STORE)


@pytest_asyncio.fixture(scope="module", autouse=True)
async def books(town: Town) -> AsyncIterator[None]:
    yield
    await books_balance(town)


def redemption_in(town: Town, text: str) -> Any:
    return TicketOffice(Keyring.parse(town.settings.ticket_keys)).open(text)


async def recruit(town: Town, store_name: str, role: str = "cashier") -> tuple[CounterPhone, CounterPhone, str, str]:
    """The manager of a store, a fresh member of its staff, that member's openid and staff id."""
    manager = await town.counter(store_name, "manager")
    body = {"role": role, "display_name": "新来的", "store_id": town.stores[store_name]}
    invited = await manager.call("POST", "/merchant/staff/invitations", body)
    _, _, openid = await town.person()
    joined = await manager.call(
        "POST", "/merchant/staff/join",
        {"code": await town.control.login_code(openid), "invitation_code": invited["invitation_code"]},
    )  # fmt: skip
    phone = CounterPhone(town.http)
    await phone.log_in(await town.control.login_code(openid), town.stores[store_name])
    return manager, phone, openid, joined["id"]


async def machine(town: Town, manager: CounterPhone, store_name: str, kind: str) -> tuple[str, CounterPhone]:
    """A terminal enrolled by its code: its id, and the machine with its own token."""
    made = await manager.call(
        "POST", "/merchant/terminals", {"store_id": town.stores[store_name], "kind": kind, "label": "一号"}
    )
    enrolled = await manager.call("POST", "/merchant/terminals/enrol", {"enrolment_code": made["enrolment_code"]})
    opened = await manager.call("POST", "/merchant/terminals/session", {"terminal_secret": enrolled["terminal_secret"]})
    phone = CounterPhone(town.http)
    phone.headers = {"Authorization": f"Bearer {opened['access_token']}"}
    return made["terminal"]["id"], phone


async def test_a_re_scan_at_the_same_terminal_gives_the_same_redemption(town: Town, counter: CounterPhone) -> None:
    shown = await show(town)
    first, second = await ticket(counter, shown), await ticket(counter, shown)
    assert redemption_in(town, first).redemption_id == redemption_in(town, second).redemption_id
    receipt = await counter.redeem(second)
    assert await counter.redeem(first) == receipt


async def test_a_code_claimed_at_one_terminal_is_not_valid_at_another(town: Town, counter: CounterPhone) -> None:
    shown = await show(town)
    await ticket(counter, shown)
    other = await town.counter(OTHER_GYM_STORE)
    assert await other.verify(shown.code()) == NOT_VALID


async def test_a_ticket_counts_only_at_the_terminal_that_scanned(town: Town, counter: CounterPhone) -> None:
    shown = await show(town)
    text = await ticket(counter, shown)
    for store in (OTHER_GYM_STORE, NOODLE_STORE):
        other = await town.counter(store)
        refused(await send(other, "POST", REDEEM, json={"ticket": text}), 403, "ticket_foreign")
    assert (await counter.redeem(text))["discount_fen"] == 300


async def test_an_expired_ticket_is_refused_and_the_code_can_be_scanned_again(
    town: Town, counter: CounterPhone
) -> None:
    office = TicketOffice(Keyring.parse(town.settings.ticket_keys))
    shown = await show(town)
    text = await ticket(counter, shown)
    late = office.seal(replace(office.open(text), expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    refused(await send(counter, "POST", REDEEM, json={"ticket": late}), 409, "ticket_expired")
    receipt = await counter.redeem(await ticket(counter, shown))
    assert await counter.redeem(late) == receipt, "a replay is answered whatever time it is"


async def test_a_redemption_is_taken_back_once_and_the_coupon_can_be_used_again(
    town: Town, counter: CounterPhone
) -> None:
    shown = await show(town)
    receipt = await counter.redeem(await ticket(counter, shown))
    path = f"{REDEEM}/{receipt['id']}/void"
    first = await send(counter, "POST", path, json={"reason": "输错了"})
    second = await send(counter, "POST", path, json={"reason": "另一个理由"})
    assert (first.status_code, "Idempotency-Replayed" in first.headers) == (201, False)
    assert (second.status_code, second.headers["Idempotency-Replayed"], second.text) == (201, "true", first.text)
    assert first.json()["reason"] == "输错了"
    assert await counter.verify(shown.code()) == NOT_VALID, "the old code stays used"
    (handle,) = await shown.resident.show(shown.coupon_id)
    again = await counter.redeem(await ticket(counter, replace(shown, handle=handle)))
    assert again["id"] != receipt["id"]
    refused_again = await send(counter, "POST", path, json={"reason": "再来"})
    assert refused_again.text == first.text, "the first redemption's void is what it was"


async def test_after_the_void_window_a_redemption_stands(town: Town, console: Console, counter: CounterPhone) -> None:
    template = await console.template("不可撤销券", void_window_s=0)
    resident = await town.resident(points=0)
    coupon = await resident.claim(template)
    (handle,) = await resident.show(coupon["id"])
    found = await counter.verify(read_picture(await resident.picture(handle.credential_id)))
    receipt = await counter.redeem(found["ticket"])
    refused(
        await send(counter, "POST", f"{REDEEM}/{receipt['id']}/void", json={"reason": "太晚"}),
        409,
        "void_window_closed",
    )


async def test_another_store_cannot_void_and_another_merchant_does_not_find_the_redemption(
    town: Town, counter: CounterPhone
) -> None:
    receipt = await counter.redeem(await ticket(counter, await show(town)))
    path, body = f"{REDEEM}/{receipt['id']}/void", {"reason": "不是我的"}
    refused(await send(await town.counter(OTHER_GYM_STORE), "POST", path, json=body), 403, "wrong_store")
    refused(await send(await town.counter(NOODLE_STORE), "POST", path, json=body), 404, "redemption_not_found")


async def test_the_shift_list_shows_this_stores_redemptions_page_by_page(town: Town) -> None:
    counter, elsewhere = await town.counter(OTHER_NOODLE_STORE), await town.counter(NOODLE_STORE)
    resident = await town.resident()
    shown = [await show(town, NOODLES, resident=resident) for _ in range(2)]
    receipts = [await counter.redeem(await ticket(counter, one), 3_000) for one in shown]
    await counter.void(receipts[0]["id"], "退单")
    first = await counter.call("GET", f"{REDEEM}?limit=1")
    second = await counter.call("GET", f"{REDEEM}?limit=1&cursor={first['next_cursor']}")
    lines = first["items"] + second["items"]
    assert [line["id"] for line in lines] == [receipts[1]["id"], receipts[0]["id"]]
    assert [line["void_reason"] for line in lines] == [None, "退单"]
    assert [(line["order_amount_fen"], line["discount_fen"], line["sponsor_fen"]) for line in lines] == [
        (3_000, 1_000, 1_000)
    ] * 2
    day = lines[0]["business_date"]
    assert len((await counter.call("GET", f"{REDEEM}?business_date={day}"))["items"]) >= 2
    assert (await counter.call("GET", f"{REDEEM}?business_date=2020-01-01"))["items"] == []
    there = {line["id"] for line in (await elsewhere.call("GET", f"{REDEEM}?limit=100"))["items"]}
    assert not there & {one["id"] for one in receipts}


async def test_a_suspended_merchant_reads_and_replays_and_does_nothing_else(town: Town, console: Console) -> None:
    store = "邻里家政（示例）南闸服务站"
    counter = await town.counter(store)
    done, open_one, unseen = [await show(town) for _ in range(3)]
    done_ticket = await ticket(counter, done)
    receipt = await counter.redeem(done_ticket)
    open_ticket = await ticket(counter, open_one)
    merchant = next(
        row for row in (await console.call("merchants", "GET", "/merchants?limit=100"))["items"] if row["name"] in store
    )
    await console.call("merchants", "POST", f"/merchants/{merchant['id']}/suspend", {"reason": "投诉核查"})
    try:
        refused(await send(counter, "POST", REDEEM, json={"ticket": open_ticket}), 403, "merchant_suspended")
        assert await counter.verify(unseen.code()) == NOT_VALID | {"result": "merchant_suspended"}
        assert await counter.redeem(done_ticket) == receipt
        assert (await counter.call("GET", REDEEM))["items"][0]["id"] == receipt["id"]
        refused(
            await send(counter, "POST", f"{REDEEM}/{receipt['id']}/void", json={"reason": "退"}),
            403,
            "merchant_suspended",
        )
    finally:
        await console.call("merchants", "POST", f"/merchants/{merchant['id']}/reopen", {"reason": "核查结束"})
    assert (await counter.redeem(open_ticket))["discount_fen"] == 300
    assert (await counter.verify(unseen.code()))["result"] == "usable", "nothing was burnt by the refusal"


async def test_revoked_staff_redeem_nothing_from_that_moment(town: Town) -> None:
    manager, cashier, _, staff_id = await recruit(town, GYM_STORE)
    text = await ticket(cashier, await show(town))
    await manager.call("POST", f"/merchant/staff/{staff_id}/revoke")
    answer = await send(cashier, "POST", REDEEM, json={"ticket": text})
    assert answer.status_code in (401, 403), answer.text
    assert answer.json()["error"]["code"] in (
        "staff_revoked",
        "merchant_suspended",
        "session_revoked",
        "terminal_revoked",
    ), answer.text
    redemption = redemption_in(town, text).redemption_id
    assert await rows(town, "SELECT id FROM vault.redemption WHERE id = $1", redemption) == []


async def test_a_gate_redeems_with_its_own_token_alone_until_it_is_revoked(town: Town) -> None:
    manager = await town.counter(GYM_STORE, "manager")
    terminal_id, gate = await machine(town, manager, GYM_STORE, "gate")
    receipt = await gate.redeem(await ticket(gate, await show(town)))
    line = next(line for line in (await manager.call("GET", REDEEM))["items"] if line["id"] == receipt["id"])
    assert (line["terminal_id"], line["staff_id"]) == (terminal_id, None)
    text = await ticket(gate, await show(town))
    await manager.call("POST", f"/merchant/terminals/{terminal_id}/revoke")
    answer = await send(gate, "POST", REDEEM, json={"ticket": text})
    assert answer.status_code == 403, answer.text
    assert answer.json()["error"]["code"] in ("terminal_revoked", "merchant_suspended"), answer.text


async def test_a_pc_needs_a_staff_session_beside_its_own_token(town: Town) -> None:
    manager = await town.counter(GYM_STORE, "manager")
    terminal_id, pc = await machine(town, manager, GYM_STORE, "pc")
    refused(await send(pc, "POST", "/merchant/verifications", json={"code": "1" * 20}), 403, "staff_session_required")
    cashier = await town.counter(GYM_STORE)
    cashier.headers["X-Terminal-Token"] = pc.headers["Authorization"].removeprefix("Bearer ")
    receipt = await cashier.redeem(await ticket(cashier, await show(town)))
    line = next(line for line in (await manager.call("GET", REDEEM))["items"] if line["id"] == receipt["id"])
    assert line["terminal_id"] == terminal_id
    assert line["staff_id"] is not None


async def test_staff_cannot_redeem_their_own_code(town: Town) -> None:
    _, cashier, openid, _ = await recruit(town, GYM_STORE)
    name, number, _ = await town.person()
    resident = await town.resident(points=0)
    await resident.log_in(await town.control.login_code(openid))
    await resident.bind(name, number)
    await resident.wait_for_points(120)
    shown = await show(town, resident=resident)
    assert await cashier.verify(shown.code()) == NOT_VALID
    assert (await (await town.counter(NOODLE_STORE)).verify(shown.code()))["result"] == "usable", "somebody else may"


async def test_five_wrong_codes_kill_the_handle(town: Town, counter: CounterPhone) -> None:
    spared, shown = await show(town), await show(town)
    for one, wrong in ((spared, 4), (shown, 5)):
        for number in range(wrong):
            digits = code_of(one.handle.prefix, one.handle.handle, bytes([number]) * 20, 0)
            assert await counter.verify(digits) == NOT_VALID
    assert (await counter.verify(spared.code()))["result"] == "usable"
    assert await counter.verify(shown.code()) == NOT_VALID
    (handle,) = await shown.resident.show(shown.coupon_id)
    assert (await counter.verify(replace(shown, handle=handle).code()))["result"] == "usable", "the coupon stays"


@pytest.mark.parametrize("reason", ["screenshot", "left"])
async def test_a_burnt_code_is_dead_and_the_coupon_lives(town: Town, counter: CounterPhone, reason: str) -> None:
    shown = await show(town)
    path = f"/credentials/{shown.handle.credential_id}/burn"
    assert await shown.resident.call("POST", path, {"reason": reason}) == {"burnt": True}
    assert await shown.resident.call("POST", path, {"reason": reason}) == {"burnt": False}
    assert await counter.verify(shown.code()) == NOT_VALID
    picture = await send(
        shown.resident, "POST", f"/credentials/{shown.handle.credential_id}/picture", json={"format": "svg"}
    )
    refused(picture, 409, "credential_not_open")
    (handle,) = await shown.resident.show(shown.coupon_id)
    assert (await counter.verify(replace(shown, handle=handle).code()))["result"] == "usable"


async def test_logging_out_everywhere_kills_the_codes_that_are_shown_and_the_tickets_for_them(
    town: Town, counter: CounterPhone
) -> None:
    name, number, openid = await town.person()
    resident = await town.resident(points=0)
    await resident.log_in(await town.control.login_code(openid))
    await resident.bind(name, number)
    await resident.wait_for_points(120)
    scanned, unscanned = await show(town, resident=resident), await show(town, resident=resident)
    text = await ticket(counter, scanned)
    await resident.call("DELETE", "/sessions")
    assert await counter.verify(unscanned.code()) == NOT_VALID
    refused(await send(counter, "POST", REDEEM, json={"ticket": text}), 409, "credential_spent")
    await resident.log_in(await town.control.login_code(openid))
    (handle,) = await resident.show(unscanned.coupon_id)
    assert (await counter.verify(replace(unscanned, handle=handle).code()))["result"] == "usable"


async def test_spares_work_without_a_network_and_using_one_uses_the_coupon(town: Town, counter: CounterPhone) -> None:
    shown = await show(town)
    handles = await shown.resident.show(shown.coupon_id, count=5)
    assert len({one.handle for one in handles}) == 5
    spare = replace(shown, handle=handles[3])
    receipt = await counter.redeem(await ticket(counter, spare))
    assert receipt["discount_fen"] == 300
    for other in (shown, *(replace(shown, handle=one) for one in handles)):
        assert await counter.verify(other.code()) == NOT_VALID
    refused(
        await send(shown.resident, "POST", "/credentials", json={"subject": {"kind": "coupon", "id": shown.coupon_id}}),
        409, "coupon_not_usable",
    )  # fmt: skip


async def test_every_code_of_the_step_before_and_after_is_taken_and_older_ones_are_not(
    town: Town, counter: CounterPhone
) -> None:
    for shift_s, result in ((-30, "usable"), (30, "usable"), (0, "usable"), (-90, "not_valid"), (90, "not_valid")):
        shown = await show(town)
        assert (await counter.verify(shown.code(shift_s)))["result"] == result, shift_s


async def test_an_auditor_sees_and_redeems_nothing(town: Town) -> None:
    auditor: Phone = await town.counter(GYM_STORE, "auditor")
    refused(await send(auditor, "POST", "/merchant/verifications", json={"code": "1" * 20}), 403, "forbidden")
    refused(await send(auditor, "POST", REDEEM, json={"ticket": "x"}), 403, "forbidden")
    assert (await auditor.call("GET", REDEEM))["items"] is not None
