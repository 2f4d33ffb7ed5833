"""Coupons without a counter: claim, exchange, expire, release. The books are proven each time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.ledger import COUNTER, Ledger, ledger, module_ledger, refusal
from tests.support.oracle_state import month_end

__all__ = ["ledger", "module_ledger"]


async def test_coupons_by_state_are_those_that_say_so(ledger: Ledger) -> None:
    resident, terms = await ledger.resident(), await ledger.template(valid_days=1)
    coupon = await ledger.coupon(resident, terms)
    await ledger.move_clock(days=2)

    async def shown(state: str | None) -> list[tuple[object, str]]:
        rows = await ledger.app.read.coupons(resident, state=state, before=None, limit=10)
        return [(row.id, row.state) for row in rows]

    assert await shown(None) == await shown("expired") == [(coupon, "expired")]
    assert await shown("issued") == []


async def test_an_exchange_spends_the_soonest_lots_first(ledger: Ledger) -> None:
    resident, id = await ledger.resident(), ledger.id7()
    for months, points in ((12, 50), (2, 30), (6, 20)):
        await ledger.earn(resident, await ledger.campaign(points=points, months=months))
    terms = await ledger.template(price_points=60)
    done = await ledger.claim(resident, terms, id=id)
    today = ledger.today()
    assert await ledger.lots(resident) == {month_end(today, 12): 40}
    assert done.result.points_after == 40
    assert await ledger.legs(resident, id) == {
        "d_avail": -60,
        "d_peer": 60,
        "c_stock": -1,
        "c_out": 1,
        "f_budget": -1000,
        "f_reserved": 1000,
    }
    row = await ledger.row(resident, id)
    assert row is not None and row["lots"] == (
        f'[["{month_end(today, 2)}", 30], ["{month_end(today, 6)}", 20], ["{month_end(today, 12)}", 10]]'
    )


async def test_a_free_claim_touches_no_points(ledger: Ledger) -> None:
    resident, id = await ledger.resident(), ledger.id7()
    terms = await ledger.template(stock=3)
    done = await ledger.claim(resident, terms, id=id)
    row = await ledger.row(resident, id)
    assert row is not None and (row["d_avail"], row["d_held"], row["d_peer"]) == (None, None, None)
    assert done.result.coupon_id == id and await ledger.left(terms.stock_budget) == 2
    coupon = await ledger.coupon_row(resident, id)
    assert (coupon["state"], coupon["reserved_fen"], coupon["expires_on"]) == (
        "issued",
        1000,
        ledger.today() + timedelta(30),
    )
    view = (await ledger.app.budgets([terms.fen_budget]))[terms.fen_budget]  # type: ignore[list-item]
    assert (view.reserved, view.consumed) == (1000, 0)


async def test_a_coupon_nobody_sponsors_touches_no_fen(ledger: Ledger) -> None:
    resident, id = await ledger.resident(), ledger.id7()
    await ledger.claim(resident, await ledger.template(sponsor_bp=0, fen_budget=None), id=id)
    assert await ledger.legs(resident, id) == {"c_stock": -1, "c_out": 1}


@pytest.mark.parametrize(
    ("changes", "reserved"),
    [
        ({"face_value_fen": 1001, "sponsor_bp": 5000}, 501),
        ({"face_value_fen": 333, "sponsor_bp": 3333}, 111),
        ({"kind": "discount", "pay_bp": 8000, "cap_fen": 2500, "sponsor_bp": 5000}, 1250),
        ({"sponsor_bp": 1}, 0),
        ({"face_value_fen": 5000, "sponsor_bp": 1}, 1),
    ],
)
async def test_a_claim_reserves_the_most_the_sponsor_can_owe(ledger: Ledger, changes: dict, reserved: int) -> None:
    resident = await ledger.resident()
    coupon = await ledger.coupon(resident, await ledger.template(**changes))
    assert (await ledger.coupon_row(resident, coupon))["reserved_fen"] == reserved


async def test_the_cap_belongs_to_the_template_and_not_to_its_version(ledger: Ledger) -> None:
    resident, first = await ledger.resident(), await ledger.template(per_person=1)
    second = await ledger.template(
        template_id=first.template_id, version=2, per_person=1, stock_budget=first.stock_budget
    )
    wider = await ledger.template(
        template_id=first.template_id, version=3, per_person=2, stock_budget=first.stock_budget
    )
    await ledger.claim(resident, first)
    with refusal("limit_reached"):
        await ledger.claim(resident, second)
    await ledger.claim(resident, wider)
    assert await ledger.broken() == []


@pytest.mark.parametrize(
    ("window", "answer"),
    [
        (("-1", "1"), None),
        (("1", "2"), "outside_window"),
        (("-2", "-1"), "outside_window"),
        ((None, "-1"), "outside_window"),
        (("-1", None), None),
    ],
)
async def test_claims_are_taken_inside_their_window_only(ledger: Ledger, window: tuple, answer: str | None) -> None:
    begin, end = (None if hours is None else ledger.now() + timedelta(hours=int(hours)) for hours in window)
    terms, resident = await ledger.template(claim_from=begin, claim_until=end), await ledger.resident()
    if answer is None:
        await ledger.claim(resident, terms)
    else:
        with refusal(answer):
            await ledger.claim(resident, terms)


async def test_a_coupon_ends_with_its_days_or_its_date_whichever_is_sooner(ledger: Ledger) -> None:
    resident, today = await ledger.resident(), ledger.today()
    for days, until, expected in ((30, None, 30), (30, 10, 10), (5, 10, 5), (0, 10, 10), (0, 0, 0)):
        valid_until = None if until is None else today + timedelta(days=until)
        coupon = await ledger.coupon(resident, await ledger.template(valid_days=days, valid_until=valid_until))
        assert (await ledger.coupon_row(resident, coupon))["expires_on"] == today + timedelta(days=expected)
    with refusal("outside_window"):
        await ledger.claim(resident, await ledger.template(valid_until=today - timedelta(days=1)))


@pytest.mark.parametrize("returned", [False, True], ids=["gone", "back in stock"])
async def test_a_coupon_expires_after_its_last_day_and_gives_back_what_it_held(ledger: Ledger, returned: bool) -> None:
    resident, terms = await ledger.resident(), await ledger.template(stock=100, valid_days=2, return_stock=returned)
    coupon = await ledger.coupon(resident, terms)
    fen, stock = await ledger.left(terms.fen_budget), await ledger.left(terms.stock_budget)
    with refusal("not_due"):
        await ledger.worker.expire_coupon(resident, ledger.id8(), coupon_id=coupon)
    await ledger.move_clock(days=3)
    id = ledger.id8()
    await ledger.worker.expire_coupon(resident, id, coupon_id=coupon)
    expected = {"c_out": -1, "f_budget": 1000, "f_reserved": -1000} | ({"c_stock": 1} if returned else {"c_gone": 1})
    assert await ledger.legs(resident, id) == expected
    assert await ledger.left(terms.fen_budget) == fen + 1000
    assert await ledger.left(terms.stock_budget) == stock + returned
    assert (await ledger.coupon_row(resident, coupon))["state"] == "expired"
    assert (await ledger.worker.expire_coupon(resident, id, coupon_id=coupon)).replayed
    with refusal("coupon_not_usable"):
        await ledger.worker.expire_coupon(resident, ledger.id8(), coupon_id=coupon)


async def test_what_the_last_coupon_gives_back_can_be_claimed_again(ledger: Ledger) -> None:
    resident, terms = await ledger.resident(), await ledger.template(stock=1, valid_days=1, return_stock=True)
    coupon = await ledger.coupon(resident, terms)
    with refusal("sold_out"):
        await ledger.claim(resident, terms)
    await ledger.move_clock(days=2)
    await ledger.app.close_budget(terms.stock_budget)
    await ledger.worker.expire_coupon(resident, ledger.id8(), coupon_id=coupon)
    await ledger.app.open_budget(terms.stock_budget)
    await ledger.claim(resident, terms)


async def test_what_a_redemption_left_in_reserve_is_released_after_the_void_window(ledger: Ledger) -> None:
    terms = await ledger.template(kind="discount", pay_bp=9000, cap_fen=5000, sponsor_bp=5000)
    scanned = await ledger.scanned(terms)
    done = await ledger.redeem(scanned, amount=10_000)
    assert (done.result.discount_fen, done.result.sponsor_fen) == (1000, 500)
    resident, coupon = scanned.owner, scanned.coupon_id
    with refusal("not_due"):
        await ledger.worker.release_subsidy(resident, ledger.id8(), coupon_id=coupon)
    await ledger.move_clock(seconds=1801)
    fen, id = await ledger.left(terms.fen_budget), ledger.id8()
    await ledger.worker.release_subsidy(resident, id, coupon_id=coupon)
    assert await ledger.legs(resident, id) == {"f_budget": 2000, "f_reserved": -2000}
    assert await ledger.left(terms.fen_budget) == fen + 2000
    with refusal("void_window_closed"):
        await ledger.app.void(done.result.id, acceptor=COUNTER, reason="too late")
    with refusal("coupon_not_usable"):
        await ledger.worker.release_subsidy(resident, ledger.id8(), coupon_id=coupon)
    view = (await ledger.app.budgets([terms.fen_budget]))[terms.fen_budget]  # type: ignore[list-item]
    assert (view.reserved, view.consumed, view.total) == (0, 500, view.left + 500)


async def test_the_last_units_are_taken_whole_whatever_slots_they_lie_in(ledger: Ledger) -> None:
    resident, terms = await ledger.resident(), await ledger.template(stock=33)
    for _ in range(33):
        await ledger.claim(resident, terms)
    with refusal("sold_out"):
        await ledger.claim(resident, terms)
    assert await ledger.left(terms.stock_budget) == 0
