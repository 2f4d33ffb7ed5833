"""The counter: scan, redeem, void. Who may, what it costs whom, and until when. The books are proven each time."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from tests.support.ledger import (
    CITY,
    COUNTER,
    OTHER_MERCHANT,
    OTHER_STORE,
    SECOND_TERMINAL,
    Ledger,
    ledger,
    module_ledger,
    refusal,
)
from wallet import Acceptor

__all__ = ["ledger", "module_ledger"]


async def test_a_scan_claims_the_showing_for_one_terminal_and_moves_nothing(ledger: Ledger) -> None:
    resident = await ledger.resident()
    showing = await ledger.show(resident, await ledger.coupon(resident, await ledger.template()))
    first = await ledger.scan(showing)
    assert (first.owner, first.credential_id, first.coupon_id) == (resident, showing.credential, showing.coupon)
    again = await ledger.scan(showing)
    assert again == first
    with refusal("not_valid"):
        await ledger.scan(showing, SECOND_TERMINAL)
    assert await ledger.last_scan(showing) == "claimed_elsewhere"
    assert await ledger.rows(resident) == 1


async def test_a_redemption_moves_the_coupon_and_books_the_sponsor_share_to_the_merchant(ledger: Ledger) -> None:
    terms = await ledger.template(face_value_fen=1001, sponsor_bp=5000)
    scanned = await ledger.scanned(terms)
    done = await ledger.redeem(scanned)
    result = done.result
    assert (result.id, result.discount_fen, result.sponsor_fen) == (scanned.redemption_id, 1001, 501)
    assert await ledger.legs(scanned.owner, result.id) == {
        "c_out": -1,
        "c_used": 1,
        "f_reserved": -501,
        "f_payable": 501,
    }
    row = await ledger.row(scanned.owner, result.id)
    assert row is not None and (row["peer"], row["takes"], row["ref"]) == (1, None, scanned.coupon_id)
    coupon = await ledger.coupon_row(scanned.owner, scanned.coupon_id)
    assert (coupon["state"], coupon["redemption_id"], coupon["reserved_fen"]) == ("redeemed", result.id, 0)


@pytest.mark.parametrize(
    ("terms", "amount", "discount", "sponsor"),
    [
        ({"kind": "discount", "pay_bp": 8500, "cap_fen": 5000, "sponsor_bp": 10_000}, 9990, 1499, 1499),  # 1498.5
        ({"kind": "discount", "pay_bp": 8500, "cap_fen": 5000, "sponsor_bp": 3333}, 9989, 1498, 499),  # 1498.35, 499.28
        ({"kind": "discount", "pay_bp": 5000, "cap_fen": 700, "sponsor_bp": 5000}, 1399, 700, 350),  # 699.5
        ({"kind": "discount", "pay_bp": 5000, "cap_fen": 700, "sponsor_bp": 5000}, 1_000_000, 700, 350),
        ({"kind": "discount", "pay_bp": 9999, "cap_fen": 700, "sponsor_bp": 10_000}, 1, 0, 0),
        ({"kind": "discount", "pay_bp": 0, "cap_fen": 700, "sponsor_bp": 1}, 500, 500, 0),
        ({"threshold_fen": 5000, "sponsor_bp": 5000, "face_value_fen": 999}, 5000, 999, 500),  # 499.5
        ({"threshold_fen": 100, "sponsor_bp": 5000}, 300, 300, 150),
        ({"sponsor_bp": 0, "fen_budget": None}, None, 1000, 0),
        ({"kind": "exchange", "sponsor_bp": 2500, "face_value_fen": 1002}, None, 1002, 251),  # 250.5
    ],
)
async def test_a_discount_is_rounded_half_up_to_the_fen_and_capped(
    ledger: Ledger, terms: dict, amount: int | None, discount: int, sponsor: int
) -> None:
    result = await ledger.redeemed(await ledger.template(**terms), amount=amount)
    assert (result.discount_fen, result.sponsor_fen, result.order_amount_fen) == (discount, sponsor, amount)


async def test_a_wrong_amount_may_be_corrected_with_the_same_ticket(ledger: Ledger) -> None:
    scanned = await ledger.scanned(await ledger.template(threshold_fen=5000))
    for amount, answer in (
        (None, "order_amount_required"),
        (4999, "below_threshold"),
        (0, "order_amount_required"),
        (-5, "order_amount_required"),
        (10**12, "order_amount_required"),
    ):
        with refusal(answer):
            await ledger.redeem(scanned, amount=amount)
    assert await ledger.rows(scanned.owner) == 1
    assert not (await ledger.redeem(scanned, amount=5000)).replayed
    plain = await ledger.scanned(await ledger.template())
    with refusal("order_amount_refused"):
        await ledger.redeem(plain, amount=5000)
    await ledger.redeem(plain)


async def test_another_merchant_gets_nothing_from_a_code_and_does_not_burn_it(ledger: Ledger) -> None:
    resident = await ledger.resident()
    showing = await ledger.show(resident, await ledger.coupon(resident, await ledger.template(merchants=(1, 3))))
    for _ in range(7):
        with refusal("not_valid"):
            await ledger.scan(showing, OTHER_MERCHANT)
    assert await ledger.last_scan(showing) == "wrong_merchant"
    scanned = await ledger.scan(showing)
    with refusal("ticket_foreign"):
        await ledger.redeem(scanned, OTHER_MERCHANT)
    with refusal("ticket_foreign"):
        await ledger.redeem(scanned, SECOND_TERMINAL)
    await ledger.redeem(scanned)


async def test_nobody_accepts_a_code_of_their_own(ledger: Ledger) -> None:
    resident = await ledger.resident()
    showing = await ledger.show(resident, await ledger.coupon(resident, await ledger.template()))
    with refusal("not_valid"):
        await ledger.scan(showing, own=resident)
    assert await ledger.last_scan(showing) == "own_code"
    await ledger.scan(showing, own=resident + 1)


async def test_five_wrong_codes_kill_a_handle_and_four_do_not(ledger: Ledger) -> None:
    resident = await ledger.resident()
    coupon = await ledger.coupon(resident, await ledger.template())
    lucky, dead = await ledger.show(resident, coupon), await ledger.show(resident, coupon)
    for showing, tries in ((lucky, 4), (dead, 5)):
        for _ in range(tries):
            with refusal("not_valid"):
                await ledger.scan(showing, code_ok=False)
    with refusal("not_valid"):
        await ledger.scan(dead)
    assert await ledger.last_scan(dead) == "revoked"
    await ledger.scan(lucky)


async def test_an_unknown_handle_says_no_more_than_a_wrong_code(ledger: Ledger) -> None:
    from tests.support.ledger import Showing

    with refusal("not_valid"):
        await ledger.scan(Showing(1, ledger.id7(), 10**10 + 1, ledger.id7()))


async def test_a_showing_dies_of_age_of_burning_of_log_out_and_of_use(ledger: Ledger) -> None:
    resident = await ledger.resident()
    coupon = await ledger.coupon(resident, await ledger.template())
    old, burnt, revoked = [await ledger.show(resident, coupon, ttl_s=ttl) for ttl in (60, 600, 600)]
    assert await ledger.app.burn_credential(resident, burnt.credential)
    assert not await ledger.app.burn_credential(resident, burnt.credential)
    assert not await ledger.app.burn_credential(resident + 1024, revoked.credential)
    await ledger.move_clock(seconds=61)
    claimed = await ledger.scan(revoked)
    with refusal("not_valid"):
        await ledger.scan(old)
    assert await ledger.last_scan(old) == "expired"
    await ledger.app.bump_epoch(resident)
    for showing, reason in ((old, "revoked"), (burnt, "revoked"), (revoked, "revoked")):
        with refusal("not_valid"):
            await ledger.scan(showing)
        assert await ledger.last_scan(showing) == reason
    with refusal("credential_spent"):
        await ledger.redeem(claimed)
    fresh = await ledger.show(resident, coupon)
    await ledger.redeem(await ledger.scan(fresh))
    with refusal("not_valid"):
        await ledger.scan(fresh)
    assert await ledger.last_scan(fresh) == "used"


async def test_two_showings_of_one_coupon_give_one_redemption(ledger: Ledger) -> None:
    resident = await ledger.resident()
    coupon = await ledger.coupon(resident, await ledger.template())
    first, second = [await ledger.scan(await ledger.show(resident, coupon)) for _ in range(2)]
    await ledger.redeem(first)
    with refusal("coupon_not_usable"):
        await ledger.redeem(second)
    with refusal("coupon_not_usable"):
        await ledger.show(resident, coupon)


async def test_a_taken_handle_is_left_out_and_drawn_again(ledger: Ledger) -> None:
    resident = await ledger.resident()
    showing = await ledger.show(resident, await ledger.coupon(resident, await ledger.template()))
    issued = await ledger.app.issue_credentials(
        resident, showing.coupon, [ledger.id7(), ledger.id7()], [showing.handle, showing.handle + 1], [600, 600]
    )
    assert [one.handle for one in issued] == [showing.handle + 1]


@pytest.mark.parametrize(
    ("kind", "id"), [("merchant", 1), ("store", 11), ("terminal", 111), ("staff", 1111)], ids=lambda value: str(value)
)
async def test_whoever_is_suspended_accepts_nothing_at_once(ledger: Ledger, kind: str, id: int) -> None:
    resident = await ledger.resident()
    coupon = await ledger.coupon(resident, await ledger.template())
    scanned, waiting = await ledger.scan(await ledger.show(resident, coupon)), await ledger.show(resident, coupon)
    done = await ledger.redeemed(await ledger.template())
    store = 11 if kind in ("store", "terminal") else None
    await ledger.app.set_acceptor(kind, id, 1, store, False)  # type: ignore[arg-type]
    for refused in (
        lambda: ledger.redeem(scanned),
        lambda: ledger.scan(waiting),
        lambda: ledger.app.void(done.id, acceptor=COUNTER, reason="wrong"),
    ):
        with refusal("merchant_suspended"):
            await refused()
    await ledger.app.set_acceptor(kind, id, 1, store, True)  # type: ignore[arg-type]
    await ledger.redeem(scanned)


async def test_an_unattended_gate_needs_no_staff_and_a_made_up_place_is_refused(ledger: Ledger) -> None:
    gate = Acceptor(1, 11, 111, None)
    terms, resident = await ledger.template(), await ledger.resident()
    await ledger.redeem(await ledger.scanned(terms, resident, gate), gate)
    made_up = ((1, 21, 111, 1111), (1, 11, 211, 1111), (1, 11, 111, 2111), (9, 11, 111, None))
    for place in (Acceptor(*numbers) for numbers in made_up):
        with refusal("merchant_suspended"):
            await ledger.scanned(terms, resident, place)


async def test_a_ticket_ends_by_the_clock_of_the_vault(ledger: Ledger) -> None:
    scanned = await ledger.scanned(await ledger.template())
    with refusal("ticket_expired"):
        await ledger.redeem(scanned, ticket_s=-1)
    await ledger.redeem(scanned)


async def test_a_coupon_is_redeemed_through_its_last_day_and_no_longer(ledger: Ledger) -> None:
    noon = datetime.combine(ledger.today() + timedelta(days=1), datetime.min.time(), CITY) + timedelta(hours=12)
    await ledger.set_clock(noon)
    resident, terms = await ledger.resident(), await ledger.template(valid_days=1)
    early, late = [await ledger.coupon(resident, terms) for _ in range(2)]
    await ledger.set_clock(noon + timedelta(hours=35, minutes=59))
    await ledger.redeem(await ledger.scan(await ledger.show(resident, early)))
    scanned, waiting = await ledger.scan(await ledger.show(resident, late)), await ledger.show(resident, late)
    await ledger.move_clock(minutes=2)
    with refusal("coupon_expired"):
        await ledger.redeem(scanned)
    with refusal("not_valid"):
        await ledger.scan(waiting)
    with refusal("coupon_expired"):
        await ledger.show(resident, late)


async def test_the_business_date_is_the_day_in_the_city(ledger: Ledger) -> None:
    midnight = datetime.combine(ledger.today() + timedelta(days=1), datetime.min.time(), CITY)
    dates: list[date] = []
    for at in (midnight - timedelta(minutes=1), midnight + timedelta(minutes=1)):
        await ledger.set_clock(at)
        result = await ledger.redeemed(await ledger.template())
        dates.append(await ledger.owner.fetchval("SELECT business_date FROM vault.redemption WHERE id = $1", result.id))
    assert dates == [midnight.date() - timedelta(days=1), midnight.date()]


async def test_a_void_is_the_exact_negative_and_the_coupon_can_be_used_again(ledger: Ledger) -> None:
    scanned = await ledger.scanned(await ledger.template(sponsor_bp=4000))
    redeemed = (await ledger.redeem(scanned)).result
    voided = (await ledger.app.void(redeemed.id, acceptor=SECOND_TERMINAL, reason="wrong order")).result
    there, back = [await ledger.legs(scanned.owner, id) for id in (redeemed.id, voided.id)]
    assert back == {leg: -value for leg, value in there.items()} and there["f_payable"] == 400
    row = await ledger.row(scanned.owner, voided.id)
    assert row is not None and row["ref"] == redeemed.id and row["d_avail"] is None
    coupon = await ledger.coupon_row(scanned.owner, scanned.coupon_id)
    assert (coupon["state"], coupon["redemption_id"], coupon["reserved_fen"]) == ("issued", None, 400)
    receipt = await ledger.redeem(scanned)
    assert receipt.replayed and receipt.result == redeemed
    again = await ledger.redeem(await ledger.scan(await ledger.show(scanned.owner, scanned.coupon_id)))
    assert again.result.id != redeemed.id and not again.replayed


async def test_a_void_is_taken_until_its_window_closes_and_replayed_for_ever(ledger: Ledger) -> None:
    terms = await ledger.template(void_window_s=600)
    first, second = await ledger.redeemed(terms), await ledger.redeemed(terms)
    await ledger.set_clock(first.void_until - timedelta(seconds=2))
    done = await ledger.app.void(first.id, acceptor=COUNTER, reason="in time")
    await ledger.set_clock(second.void_until + timedelta(seconds=1))
    with refusal("void_window_closed"):
        await ledger.app.void(second.id, acceptor=COUNTER, reason="too late")
    await ledger.move_clock(days=3)
    again = await ledger.app.void(first.id, acceptor=COUNTER, reason="in time")
    assert again.replayed and again.result == done.result


async def test_a_void_is_refused_to_others_and_without_a_reason(ledger: Ledger) -> None:
    done = await ledger.redeemed(await ledger.template())
    for acceptor, reason, answer in (
        (OTHER_MERCHANT, "x", "redemption_not_found"),
        (OTHER_STORE, "x", "wrong_store"),
        (COUNTER, "", "invalid_item"),
        (COUNTER, "x" * 201, "invalid_item"),
    ):
        with refusal(answer):
            await ledger.app.void(done.id, acceptor=acceptor, reason=reason)
    with refusal("redemption_not_found"):
        await ledger.app.void(ledger.id7(), acceptor=COUNTER, reason="x")
    await ledger.app.void(done.id, acceptor=COUNTER, reason="x" * 200)


@pytest.mark.parametrize(("grace", "days_left"), [(0, 0), (3, 3)])
async def test_days_of_grace_lengthen_a_returned_coupon(ledger: Ledger, grace: int, days_left: int) -> None:
    noon = datetime.combine(ledger.today() + timedelta(days=1), datetime.min.time(), CITY) + timedelta(hours=12)
    await ledger.set_clock(noon)
    resident = await ledger.resident()
    scanned = await ledger.scanned(await ledger.template(valid_days=1, grace_days=grace), resident)
    redeemed = (await ledger.redeem(scanned)).result
    await ledger.set_clock(redeemed.void_until - timedelta(seconds=5))
    today = ledger.today()
    voided = (await ledger.app.void(redeemed.id, acceptor=COUNTER, reason="x")).result
    assert voided.expires_on == max(today + timedelta(days=1), today + timedelta(days=days_left))


async def test_a_void_after_the_last_day_returns_a_coupon_that_is_expired_at_once(ledger: Ledger) -> None:
    evening = datetime.combine(ledger.today() + timedelta(days=2), datetime.min.time(), CITY) - timedelta(minutes=5)
    await ledger.set_clock(evening)
    terms = await ledger.template(valid_days=0, valid_until=evening.date())
    scanned = await ledger.scanned(terms)
    redeemed = (await ledger.redeem(scanned)).result
    await ledger.move_clock(minutes=10)
    voided = await ledger.app.void(redeemed.id, acceptor=COUNTER, reason="after midnight")
    assert voided.result.state == "expired"
    assert (await ledger.app.void(redeemed.id, acceptor=COUNTER, reason="again")).result == voided.result
    with refusal("coupon_not_usable"):
        await ledger.show(scanned.owner, scanned.coupon_id)
    view = (await ledger.app.budgets([terms.fen_budget]))[terms.fen_budget]  # type: ignore[list-item]
    assert (view.reserved, view.consumed) == (0, 0)
