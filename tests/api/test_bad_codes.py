"""Codes, tickets and amounts at a counter that cannot be: all refused, and none costs the resident anything."""

from __future__ import annotations

import json
import time
from typing import Any

from server.sandbox.phone import CounterPhone, client_id
from tests.support.play import (
    BOOK_STORE,
    BOOKS,
    NOODLE_STORE,
    NOODLES,
    Shown,
    refused,
    send,
    show,
    ticket,
)
from tests.support.town import Town
from tests.support.visits import books, counter, resident, shown
from wallet.credentials import code_of, luhn_digit

__all__ = ["books", "counter", "resident", "shown"]


VERIFY, REDEEM = "/merchant/verifications", "/merchant/redemptions"


NOBODYS = "019a0000-0000-7000-8000-000000000000"


async def test_what_is_not_twenty_digits_of_ours_is_malformed(counter: CounterPhone, shown: Shown) -> None:
    good = shown.code()
    full_width = "".join(chr(ord(digit) + 0xFEE0) for digit in good)
    arabic = "".join(chr(ord(digit) - 48 + 0x660) for digit in good)
    wrong_luhn = good[:-1] + str((int(good[-1]) + 1) % 10)
    other_prefix = "82" + good[2:-1]
    swapped = good[:5] + good[6] + good[5] + good[7:]
    other_prefix += str(luhn_digit(other_prefix))
    codes = [good[:-1], good + "0", full_width, arabic, wrong_luhn, other_prefix, " " + good[1:],
             "-" + good[1:], "1e19", "0x" + good[2:], "https://a.cn/", good[:10] + "\n" + good[11:]]  # fmt: skip
    codes += [swapped] if good[5] != good[6] and {good[5], good[6]} != {"0", "9"} else []
    for code in codes:
        refused(await send(counter, "POST", VERIFY, json={"code": code}), 400, "code_malformed", "code")
    refused(await send(counter, "POST", VERIFY, json={"code": ""}), 400, "invalid_field", "code")
    refused(await send(counter, "POST", VERIFY, json={"code": int(good)}), 400, "invalid_field", "code")
    assert (await counter.verify(good))["result"] == "usable", "none of them cost the code anything"


async def test_stale_foreign_unknown_and_used_codes_get_one_and_the_same_answer(
    town: Town, counter: CounterPhone
) -> None:
    one, books_only, used, burnt = await show(town), await show(town, BOOKS), await show(town), await show(town)
    await counter.redeem(await ticket(counter, used))
    await burnt.resident.call("POST", f"/credentials/{burnt.handle.credential_id}/burn", {"reason": "left"})
    handle = one.handle
    codes = {
        "stale": one.code(-90), "ahead": one.code(90),
        "forged": code_of(handle.prefix, handle.handle, bytes(20), time.time()),
        "unknown": code_of(handle.prefix, (handle.handle + 1) % 10**10, handle.seed, time.time()),
        "another merchant's": books_only.code(), "used": used.code(), "burnt": burnt.code(),
    }  # fmt: skip
    answers = {}
    for name, code in codes.items():
        answer = await send(counter, "POST", VERIFY, json={"code": code})
        assert answer.status_code == 200, (name, answer.text)
        answers[name] = answer.content
    assert len(set(answers.values())) == 1, answers
    assert json.loads(answers["stale"])["result"] == "not_valid"
    assert (await counter.verify(one.code()))["result"] == "usable"
    right = await town.counter(BOOK_STORE)
    assert (await right.verify(books_only.code()))["result"] == "usable", "the wrong merchant did not burn it"


async def test_order_amounts_are_asked_for_exactly_when_the_terms_need_them(town: Town, counter: CounterPhone) -> None:
    noodles = await town.counter(NOODLE_STORE)
    text = await ticket(noodles, await show(town, NOODLES))

    async def tries(phone: CounterPhone, ticket: str, amount: Any) -> Any:
        return await send(phone, "POST", REDEEM, json={"ticket": ticket, "order_amount_fen": amount})

    refused(await send(noodles, "POST", REDEEM, json={"ticket": text}), 422, "order_amount_required")
    refused(await tries(noodles, text, 1_999), 409, "below_threshold")
    for amount in (0, -1, 10**11 + 1, 10**18, 10**40, 2_000.5, "2000", True, [], {}):
        refused(await tries(noodles, text, amount), 400, "invalid_field", "order_amount_fen")
    assert (await tries(noodles, text, 2_000)).status_code == 201, "no refusal cost the ticket anything"
    refused(await tries(noodles, text, 2_001), 422, "idempotency_mismatch")
    plain = await ticket(counter, await show(town))
    refused(await tries(counter, plain, 5_000), 422, "order_amount_refused")
    assert (await send(counter, "POST", REDEEM, json={"ticket": plain})).status_code == 201


async def test_tickets_and_redemption_ids_that_are_not_ours_are_refused(
    town: Town, counter: CounterPhone, shown: Shown
) -> None:
    text = await ticket(counter, await show(town))
    middle = len(text) // 2
    turned = text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]
    for wrong in ("x", text[:-3], text + "AAAA", turned, "凭据", shown.code(), "." * 200):
        refused(await send(counter, "POST", REDEEM, json={"ticket": wrong}), 400, "ticket_invalid")
    for unknown in (NOBODYS, str(client_id()), shown.coupon_id):
        refused(
            await send(counter, "POST", f"{REDEEM}/{unknown}/void", json={"reason": "x"}), 404, "redemption_not_found"
        )
    refused(await send(counter, "POST", f"{REDEEM}/nonsense/void", json={"reason": "x"}), 404, "route_not_found")
    receipt = await counter.redeem(text)
    for reason in ("", "   ", "长" * 201, 1, None):
        answer = await send(counter, "POST", f"{REDEEM}/{receipt['id']}/void", json={"reason": reason})
        refused(answer, 400, "invalid_field", "reason")
