"""Budgets as administrators see them: equal to the ledger under load, alerts once, and the end of what stays empty."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from server.incentives import watch
from server.incentives.commands import Signed
from server.incentives.coupons import CouponService
from server.incentives.errors import AlertNotFound
from server.incentives.limits import Limit
from server.incentives.models import BudgetAlert, BudgetDay
from server.incentives.watch import BudgetWatch
from server.kit.clock import Clock
from server.kit.db import fetch
from server.kit.ids import uuid7
from tests.support.databases import Database
from tests.support.incentives import CHECKER, MAKER, House, opened_house, per_person
from wallet import Refused
from wallet.audit import prove


@pytest_asyncio.fixture
async def house(fresh_database: Database) -> AsyncIterator[House]:
    async with opened_house(fresh_database) as house:
        yield house


def watching(house: House, clock: Clock | None = None) -> BudgetWatch:
    return BudgetWatch(
        vault=house.worker, clock=clock or house.clock, thresholds=(50, 80, 95), ends_after=timedelta(hours=24),
        end_campaign=house.campaigns.end_exhausted, end_template=house.templates.end_exhausted,
    )  # fmt: skip


async def claimed(house: House, template: int, count: int, first: int = 1) -> None:
    coupons = CouponService(vault=house.app, templates=house.templates)
    for resident in range(first, first + count):
        await house.app.open_wallet(resident)
        await coupons.claim(resident, uuid7(house.clock.now()), template)


async def raised(budget: int) -> list[tuple[int, int, bool]]:
    rows = await BudgetAlert.filter(budget_id=budget).order_by("threshold_percent")
    return [(row.threshold_percent, row.times, row.cleared_at is None) for row in rows]


async def test_an_alert_is_raised_once_cleared_by_a_top_up_and_raised_again(house: House) -> None:
    view = await house.live_template(price_points=0, sponsor_bp=0, stock=10)
    budget, look = view.budgets[0].id, watching(house)
    await claimed(house, view.row.id, 4)
    assert await look.step() == 0
    await claimed(house, view.row.id, 4, 5)
    assert (await look.step(), await look.step()) == (2, 0)
    assert await raised(budget) == [(50, 1, True), (80, 1, True)]
    alert = await BudgetAlert.get(budget_id=budget, threshold_percent=80)
    assert (alert.used, alert.total) == (8, 10)
    pretended, effects = await watch.acknowledge(alert.id, Signed(1, "r", simulate=True), house.clock)
    assert (pretended.acknowledged_by, effects is not None) == (1, True)
    seen, _ = await watch.acknowledge(alert.id, MAKER, house.clock)
    again, _ = await watch.acknowledge(alert.id, CHECKER, house.clock)
    assert (seen.acknowledged_by, again.acknowledged_by) == (1, 1)
    assert [one.id for one in await watch.alerts(None, 10, "acknowledged")] == [alert.id]
    owner = (await watch.owners([alert.budget_id]))[alert.budget_id]
    assert (owner.unit, owner.campaign_id, owner.template_id) == ("coupons", None, view.row.id)
    assert owner.title == view.version.title
    key = uuid7(house.clock.now())
    await house.budgets.request_top_up(budget, key, 10, "追加", MAKER)
    await house.budgets.approve(key, CHECKER)
    await look.step()
    assert await raised(budget) == [(50, 1, False), (80, 1, False)]
    await claimed(house, view.row.id, 8, 20)
    assert await look.step() == 2
    assert await raised(budget) == [(50, 2, True), (80, 2, True)]
    assert (await BudgetAlert.get(id=alert.id)).acknowledged_by is None
    with pytest.raises(AlertNotFound):
        await watch.acknowledge(999_999, MAKER, house.clock)


async def test_what_stays_empty_for_a_day_ends_unless_a_top_up_is_asked_for(house: House) -> None:
    empty, asked, full = [await house.live_template(price_points=0, sponsor_bp=0, stock=2) for _ in range(3)]
    for view in (empty, asked):
        await claimed(house, view.row.id, 2)
    await watching(house).step()
    assert await raised(empty.budgets[0].id) == [(50, 1, True), (80, 1, True), (95, 1, True), (100, 1, True)]
    await house.budgets.request_top_up(asked.budgets[0].id, uuid7(house.clock.now()), 5, "追加", MAKER)
    for hours, status in ((23, "active"), (25, "ended")):
        later = Clock()
        later.follow(house.clock.now() + timedelta(hours=hours))
        await watching(house, later).step()
        assert (await house.templates.get(empty.row.id)).row.status == status
    ended = (await house.templates.get(empty.row.id)).row
    assert ended.end_reason == "budget_exhausted"
    assert {(await house.templates.get(view.row.id)).row.status for view in (asked, full)} == {"active"}


async def test_money_that_the_platform_pays_is_empty_when_it_does_not_reach_for_one_more(house: House) -> None:
    view = await house.live_template(
        kind="amount_off", face_value_fen=1_000, pay_bp=0, cap_fen=0, price_points=0, platform_bp=10_000, sponsor_bp=0,
        stock=10, budget_fen=2_500,
    )  # fmt: skip
    await claimed(house, view.row.id, 2)
    await watching(house).step()
    coupons, fen = sorted(view.budgets, key=lambda one: one.unit)
    assert (100, 1, True) in await raised(fen.id) and await raised(coupons.id) == []


async def test_the_speed_of_a_budget_is_what_was_used_a_day_and_tells_when_it_will_be_empty(house: House) -> None:
    view = await house.live_template(price_points=0, sponsor_bp=0, stock=100)
    budget, today = view.budgets[0].id, house.clock.today()
    await claimed(house, view.row.id, 21)
    await watching(house).step()
    for days, used in ((13, 0), (9, 5), (7, 7)):
        await BudgetDay.create(budget_id=budget, day=today - timedelta(days=days), used=used)
    burn = await house.budgets.burn(await house.budgets.state(budget))
    assert (burn.per_day_7, burn.per_day) == (2.0, 1.5)
    assert burn.empty_at is not None
    assert abs(burn.empty_at - house.clock.now() - timedelta(days=39.5)) < timedelta(minutes=5)


_LEDGER = """
SELECT g.budget, sum(CASE e.kind WHEN 'cut' THEN -e.amount ELSE e.amount END)::bigint AS total,
  (SELECT g.reserve + sum(s.avail) FROM vault.slot s WHERE s.budget = g.budget)::bigint AS left
FROM vault.budget g JOIN vault.budget_entry e ON e.budget = g.budget
WHERE g.budget = ANY($1::bigint[]) GROUP BY g.budget
"""


async def test_a_budget_view_is_the_ledger_at_every_moment_of_a_rush(house: House, fresh_database: Database) -> None:
    limits = (*per_person(50, action="issue"), Limit(1_000, "issue", scope="campaign"))
    view = await house.live_template(price_points=0, stock=300, limits=limits)
    budgets = [one.id for one in view.budgets]
    coupons = CouponService(vault=house.app, templates=house.templates)
    people = range(1, 17)
    await asyncio.gather(*(house.app.open_wallet(one) for one in people))
    seen: list[dict[str, tuple[int, int, int, int]]] = []
    places: list[tuple[int, int, int, int]] = []
    done = asyncio.Event()

    async def look() -> None:
        while not done.is_set():
            states = (await house.templates.get(view.row.id)).budgets
            seen.append({one.unit: (one.total, one.left, one.reserved, one.consumed) for one in states})
            counted = (await house.app.budgets(await counters())).values()
            places.extend((one.total, one.left, one.reserved, one.consumed) for one in counted)

    async def counters() -> list[int]:
        return [row["budget"] for row in await fetch("SELECT budget FROM vault.counter")]

    async def claim(resident: int) -> None:
        for _ in range(25):
            try:
                await coupons.claim(resident, uuid7(house.clock.now()), view.row.id)
            except Refused as refusal:
                assert refusal.code in ("sold_out", "budget_busy"), refusal.code

    looking = asyncio.create_task(look())
    await asyncio.gather(*(claim(one) for one in people))
    done.set()
    await looking
    for moment in seen:
        assert all(total == left + reserved + consumed for total, left, reserved, consumed in moment.values()), moment
        _, left, out, used = moment["coupons"]
        assert moment["fen"] == (600_000, 2_000 * left, 2_000 * out, 2_000 * used), "each coupon holds its money"
    assert all((total, reserved) == (1_000, 0) and left + used == total for total, left, reserved, used in places)
    everything = [*budgets, *await counters()]
    ledger = {row["budget"]: (row["total"], row["left"]) for row in await fetch(_LEDGER, everything)}
    assert sorted(ledger.values()) == [(300, 0), (1_000, 700), (600_000, 0)]
    states = (await house.templates.get(view.row.id)).budgets
    assert {one.id: (one.total, one.left) for one in states} == {one: ledger[one] for one in budgets}
    for seen_by in (await house.app.budget_levels(everything), await house.app.budgets(everything)):
        assert {one: (level.total, level.left) for one, level in seen_by.items()} == ledger
    await watching(house).step()
    burns = [await house.budgets.burn(one) for one in states]
    assert {one.id: burn.per_day for one, burn in zip(states, burns, strict=True)} == {
        one.id: float(one.reserved + one.consumed) for one in states
    }, "what the first day used is its speed"
    assert all(burn.empty_at is not None for burn in burns)
    assert len(seen) > 3
    assert [one for one in await prove(fresh_database.worker) if one.broken] == []
