"""What the peers get wrong under load, each by its name and number in the list of defects, over HTTP with real rushes.

The others of the list have their tests where their subject is:
    6, YD: a batch grants more than is there            tests/integration/test_grants.py
    9, oscar #4580: a single-use voucher twice          tests/api/test_exactly_once.py
    26, pretix: an expired card is spent                tests/integration/test_vault_edges.py, test_vault_counter.py
    27, litemall: a refund revives an expired coupon    tests/integration/test_incentive_limits.py
    28, YD, Odoo: expiry reads everything at once       tests/integration/test_expiry.py, tests/bench/expiry.py
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from server.sandbox.phone import ResidentPhone, client_id
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
