"""What the peers get wrong under load, each by its name and number in the list of defects, over HTTP with real rushes.

The others of the list have their tests where their subject is:
    26, pretix, an expired card is spent: test_expired_points_cannot_be_spent_even_if_no_job_ran,
        test_a_coupon_is_redeemed_through_its_last_day_and_no_longer
    27, litemall, a refund revives an expired coupon:
        test_a_void_after_the_last_day_returns_a_coupon_that_is_expired_at_once,
        test_a_void_after_the_last_day_gives_back_a_coupon_with_the_templates_grace
    28, YD and Odoo, expiry reads everything at once: test_a_page_holds_as_many_wallets_as_was_set_and_no_more,
        test_a_job_that_is_killed_and_started_again_books_every_wallet_once, and `tests.bench expiry` for its memory
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from server.sandbox.phone import ResidentPhone, client_id
from tests.api.test_grant_routes import residents, upload
from tests.api.test_voucher_routes import batch_of, codes_of, typed
from tests.support.patience import until
from tests.support.play import Console, books_balance, rows, send
from tests.support.town import Town

RUSH = 64
ISSUED = 201
#: Answers that tell a client to send the same again.
AGAIN = ("budget_busy", "in_flight", "queue_full", "vault_unavailable")


async def claims(phones: list[ResidentPhone], template: str) -> Counter[str]:
    """What each of these claims, all at once and each under its own key, was answered."""

    async def claim(phone: ResidentPhone) -> str:
        key, code = {"Idempotency-Key": str(client_id())}, AGAIN[0]
        while code in AGAIN:
            answer = await send(phone, "POST", "/coupons", json={"template_id": template}, headers=key)
            code = "issued" if answer.status_code == ISSUED else str(answer.json()["error"]["code"])
        return code

    return Counter(await asyncio.gather(*(claim(phone) for phone in phones)))


async def stock_of(console: Console, template: str) -> dict[str, int]:
    """The coupons' budget as administrators see it."""
    view = await console.call("editor", "GET", f"/coupon-templates/{template}")
    return next({name: one[name] for name in ("total", "left", "reserved", "consumed")} for one in view["budgets"]
                if one["unit"] == "coupons")  # fmt: skip


async def coupons_of(town: Town, template: str) -> int:
    sql = "SELECT count(*) FROM vault.coupon c JOIN vault.coupon_terms t USING (terms) WHERE t.template = $1"
    return int((await rows(town, sql, int(template)))[0]["count"])


def limits(cap: int, action: str = "issue") -> list[dict[str, Any]]:
    return [{"action": action, "cap": cap}]


async def test_1_litemall_581_and_7_lilishop_and_11_medusa_a_first_rush_of_one_person_gets_what_the_limit_says(
    town: Town, console: Console
) -> None:
    """litemall: total 1, limit 1, 64 claims, 36 successes. lilishop: the cap never bites. Medusa: first use
    unchecked."""
    template, phone = await console.template("限领一张", stock=100, limits=limits(1)), await town.resident()
    assert await claims([phone] * RUSH, template) == {"issued": 1, "limit_reached": RUSH - 1}
    assert await stock_of(console, template) == {"total": 100, "left": 99, "reserved": 1, "consumed": 0}


async def test_12_shopware_11245_and_eventyay_1398_a_limit_of_three_is_three(town: Town, console: Console) -> None:
    template, phone = await console.template("限领三张", stock=100, limits=limits(3)), await town.resident()
    assert await claims([phone] * RUSH, template) == {"issued": 3, "limit_reached": RUSH - 3}


async def test_2_mall_134_and_3_crmeb_and_4_crmeb_java_no_count_is_lost_and_no_refusal_gives_a_coupon(
    town: Town, console: Console
) -> None:
    """mall: lost updates on stock. CRMEB: the rest is written from an old read. crmeb_java: the refusal is ignored."""
    template = await console.template("限量四十张", stock=40)
    phones = list(await asyncio.gather(*(town.resident() for _ in range(RUSH))))
    assert await claims(phones[:25], template) == {"issued": 25}
    assert await stock_of(console, template) == {"total": 40, "left": 15, "reserved": 25, "consumed": 0}
    assert await claims(phones[25:], template) == {"issued": 15, "sold_out": RUSH - 40}
    assert await stock_of(console, template) == {"total": 40, "left": 0, "reserved": 40, "consumed": 0}
    assert await coupons_of(town, template) == 40
    await books_balance(town)


async def test_5_crmeb_savecoupon_editing_a_running_coupon_under_load_never_raises_the_rest(
    town: Town, console: Console
) -> None:
    """CRMEB sets remain_count = total_count on every edit."""
    template = await console.template("边领边改", stock=60, limits=limits(60))
    phones = list(await asyncio.gather(*(town.resident() for _ in range(16))))
    seen: list[int] = []
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            seen.append((await stock_of(console, template))["left"])

    async def rush() -> Counter[str]:
        return sum([await claims(phones, template) for _ in range(5)], Counter())

    async def edit() -> None:
        now = datetime.now(UTC)
        span = {"starts_at": (now - timedelta(days=1)).isoformat(), "ends_at": (now + timedelta(days=30)).isoformat()}
        for fen in (301, 302, 303):
            body = {
                "title": f"边领边改{fen}", "document": "澄信办〔2026〕99号", "kind": "amount_off", "limits": limits(60),
                "face_value_fen": 299, "threshold_fen": fen, **span,
            }  # fmt: skip
            await console.call("editor", "POST", f"/coupon-templates/{template}/versions", body)
            await console.call("editor", "POST", f"/coupon-templates/{template}/submit")
            await console.call("approver", "POST", f"/coupon-templates/{template}/approve")

    watching = asyncio.create_task(watch())
    outcome, _ = await asyncio.gather(rush(), edit())
    done.set()
    await watching
    assert outcome == {"issued": 60, "sold_out": 20}
    assert seen == sorted(seen, reverse=True), "what is left only falls"
    assert await stock_of(console, template) == {"total": 60, "left": 0, "reserved": 60, "consumed": 0}
    view = await console.call("editor", "GET", f"/coupon-templates/{template}")
    assert (view["status"], view["version"]["number"]) == ("active", 4)
    await books_balance(town)


async def test_8_saleor_and_13_open_loyalty_points_and_coupon_change_hands_together_or_not_at_all(
    town: Town, console: Console
) -> None:
    """Saleor: checked, then locked, not checked again. Open Loyalty: the coupon first, its points in a later
    command."""
    template = await console.template("积分兑换", stock=100, price_points=25, limits=limits(100))
    phone = await town.resident(points=120)
    assert await claims([phone] * RUSH, template) == {"issued": 4, "insufficient_points": RUSH - 4}
    wallet = await phone.call("GET", "/wallet")
    assert (wallet["points"], await coupons_of(town, template)) == (20, 4)
    await books_balance(town)


async def test_10_vendure_4353_a_limit_holds_without_a_code_and_its_refusals_write_nothing(
    town: Town, console: Console
) -> None:
    """Vendure ignores the limit of promotions without a code, and keeps what a cancelled order used."""
    template = await console.template("每日一张", stock=5, limits=[{"action": "issue", "cap": 1, "period": "day"}])
    phones = list(await asyncio.gather(*(town.resident() for _ in range(3))))
    assert await claims(phones * 20, template) == {"issued": 3, "limit_reached": 57}
    assert await stock_of(console, template) == {"total": 5, "left": 2, "reserved": 3, "consumed": 0}


async def test_6_yd_updatetakecount_a_batch_grant_never_gives_more_than_there_are(town: Town, console: Console) -> None:
    """YD guards `take_count < total_count` and then adds the whole batch; its limit per person is counted and then
    inserted."""
    template = await console.template("批量发放五张", claimable=False, stock=5, limits=limits(1))
    people = await residents(town, 8)
    lines = "resident_id\n" + "".join(f"{id}\n" for _, id in people)
    lists = [(await upload(console, lines.encode(), f"名单{n}")).json()["recipient_list"]["id"] for n in range(2)]
    jobs = []
    for one in lists:  # the same people twice, at once
        body = {"template_id": template, "list_id": one, "document": "澄信办〔2026〕99号", "per_second": 1000}
        jobs.append(str((await console.call("editor", "POST", "/grant-jobs", body))["id"]))
    await asyncio.gather(*(console.call("approver", "POST", f"/grant-jobs/{job}/approve") for job in jobs))

    async def finished() -> list[dict[str, Any]] | None:
        seen = [(await console.call("auditor", "GET", f"/grant-jobs/{job}"))["job"] for job in jobs]
        return seen if all(one["status"] == "finished" and not one["under_way"] for one in seen) else None

    done = await until("both jobs finished", finished)
    assert sum(one["posted"] for one in done) == await coupons_of(town, template) == 5
    assert sum(one["refused"] for one in done) == 11
    assert await stock_of(console, template) == {"total": 5, "left": 0, "reserved": 5, "consumed": 0}
    each = "SELECT max(n) FROM (SELECT count(*) AS n FROM vault.coupon JOIN vault.coupon_terms t USING (terms) WHERE"
    assert (await rows(town, f"{each} t.template = $1 GROUP BY owner) x", int(template)))[0]["max"] == 1
    await books_balance(town)


async def test_8_saleor_many_codes_of_one_limit_give_what_it_says_and_a_loser_keeps_his_code(
    town: Town, console: Console
) -> None:
    """Saleor sums the use over all codes and locks one of them; who loses the race is refunded and keeps the order."""
    template = await console.template("十码三券", claimable=False, stock=3)
    codes = await codes_of(console, await batch_of(console, template, 10, beyond_stock=True))
    phones = [phone for phone, _ in await residents(town, 10)]
    answers = await asyncio.gather(*(typed(phone, code) for phone, code in zip(phones, codes, strict=True)))
    seen = ["issued" if one.status_code == ISSUED else one.json()["error"]["code"] for one in answers]
    assert Counter(seen) == {"issued": 3, "sold_out": 7}
    assert await coupons_of(town, template) == 3
    (budget,) = await rows(town, "SELECT id FROM budget WHERE template_id = $1 AND unit = 'coupons'", int(template))
    (fen,) = await rows(town, "SELECT id FROM budget WHERE template_id = $1 AND unit = 'fen'", int(template))
    for id, amount in ((budget["id"], 1), (fen["id"], 300)):
        await top_up(console, str(id), amount)
    loser, other = [place for place, code in enumerate(seen) if code == "sold_out"][:2]
    assert (await typed(phones[other], codes[loser])).status_code == ISSUED, "the code is free for whoever types it"
    await books_balance(town)


async def test_9_oscar_4580_a_single_use_voucher_is_used_once(town: Town, console: Console) -> None:
    """oscar counts the applications of a SINGLE_USE voucher and then records one more."""
    template = await console.template("一码一券", claimable=False, stock=50)
    (code,) = await codes_of(console, await batch_of(console, template, 1))
    phones = [phone for phone, _ in await residents(town, 8)]
    answers = await asyncio.gather(*(typed(phone, code) for phone in phones for _ in range(RUSH // 8)))
    given = {one.json()["id"] for one in answers if one.status_code == ISSUED}
    assert len(given) == await coupons_of(town, template) == 1
    others = {one.json()["error"]["code"] for one in answers if one.status_code != ISSUED}
    assert others <= {"voucher_code_not_usable", "rate_limited"}  # who tries too often is slowed down
    assert (await stock_of(console, template))["left"] == 49
    await books_balance(town)


async def top_up(console: Console, budget: str, amount: int) -> None:
    """More of a budget, by two people."""
    headers = {"Idempotency-Key": str(client_id()), "Authorization": f"Bearer {await console.token('director')}"}
    answer = await console.town.http.post(
        f"/api/admin/v1/budgets/{budget}/top-ups", json={"amount": amount, "document": "追加"}, headers=headers
    )
    assert answer.status_code == ISSUED, answer.text
    await console.call("approver", "POST", f"/top-ups/{answer.json()['id']}/approve")
