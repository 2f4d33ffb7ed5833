"""Points without a counter: earned, spent, past their day; budgets and terms. The books are proven each time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from msgspec import structs

from tests.support.ledger import CITY, Ledger, ledger, module_ledger, refusal
from tests.support.oracle_state import month_end
from wallet import EarnTerms, PersonLimit

__all__ = ["ledger", "module_ledger"]


def earning(id: int, budget: int, points: int) -> EarnTerms:
    limit = PersonLimit(limit_id=f"campaign:{id}", cap=1, action="earn")
    return EarnTerms(id=id, points_budget=budget, points=points, validity_months=12, person_limits=(limit,))


async def test_an_earn_may_give_fewer_points_than_its_terms_allow_and_never_more(ledger: Ledger) -> None:
    budget, id = await ledger.budget("points", 1000), ledger.id8()
    limit = PersonLimit(limit_id=f"campaign:{id}", cap=90, action="earn", measure="points", period="month")
    terms = await ledger.campaign(points=70, budget=budget, person_limits=(limit,))
    resident, worker, today = await ledger.resident(), ledger.worker, ledger.today()
    done = await worker.earn(resident, id, terms, today, 25)
    again = await worker.earn(resident, id, terms, today, 25)
    assert (done.result.points, done.result.points_after, again.replayed, again.result) == (25, 25, True, done.result)
    for other in (26, None):
        with refusal("idempotency_mismatch"):
            await worker.earn(resident, id, terms, today, other)
    for impossible in (0, -1, 71):
        with refusal("invalid_item"):
            await worker.earn(resident, ledger.id8(), terms, today, impossible)
    with refusal("limit_reached"):
        await worker.earn(resident, ledger.id8(), terms, today, 66)
    await worker.earn(resident, ledger.id8(), terms, today, 65)
    assert (await worker.budgets([budget]))[budget].left == 910


async def test_an_earn_moves_points_from_the_budget_into_the_lot_of_a_month_end(ledger: Ledger) -> None:
    resident, budget, id = await ledger.resident(), await ledger.budget("points", 1000), ledger.id8()
    done = await ledger.earn(resident, await ledger.campaign(points=70, months=6, budget=budget), id=id)
    expiry = month_end(ledger.today(), 6)
    assert (done.result.points, done.result.points_after, done.result.seq, done.replayed) == (70, 70, 1, False)
    assert done.result.expires_on == expiry
    assert await ledger.legs(resident, id) == {"d_avail": 70, "d_peer": -70}
    assert await ledger.lots(resident) == {expiry: 70}
    view = (await ledger.app.budgets([budget]))[budget]
    assert (view.total, view.left, view.consumed, view.open) == (1000, 930, 70, True)


@pytest.mark.parametrize(
    ("earned", "months", "expiry"),
    [
        ("2027-01-31", 1, "2027-02-28"),
        ("2027-01-01", 13, "2028-02-29"),
        ("2027-10-15", 24, "2029-10-31"),
        ("2027-12-31", 2, "2028-02-29"),
    ],
)
async def test_the_lot_ends_with_the_month_whatever_the_day(
    ledger: Ledger, earned: str, months: int, expiry: str
) -> None:
    await ledger.set_clock(datetime(2027, 12, 31, 4, tzinfo=UTC))
    await ledger.worker.ensure_partitions(3)
    resident = await ledger.resident()
    if date.fromisoformat(expiry) < ledger.today():
        with refusal("outside_window"):
            await ledger.earn(resident, await ledger.campaign(months=months), on=date.fromisoformat(earned))
        return
    await ledger.earn(resident, await ledger.campaign(months=months), on=date.fromisoformat(earned))
    assert list(await ledger.lots(resident)) == [date.fromisoformat(expiry)]


async def test_two_earns_of_one_month_share_a_lot_and_buckets_stay_sorted(ledger: Ledger) -> None:
    resident = await ledger.resident()
    for months, points in ((12, 5), (3, 7), (12, 11), (6, 13)):
        await ledger.earn(resident, await ledger.campaign(points=points, months=months))
    today = ledger.today()
    lots = await ledger.lots(resident)
    assert lots == {month_end(today, 3): 7, month_end(today, 6): 13, month_end(today, 12): 16}
    assert list(lots) == sorted(lots)


async def test_expired_points_cannot_be_spent_even_if_no_job_ran(ledger: Ledger) -> None:
    await ledger.set_clock(datetime.combine(month_end(ledger.today(), 0), datetime.min.time(), CITY))
    resident = await ledger.resident()
    await ledger.earn(resident, await ledger.campaign(points=100, months=1))
    last_day = month_end(ledger.today(), 1)
    terms = await ledger.template(price_points=40)
    await ledger.set_clock(datetime.combine(last_day, datetime.min.time(), CITY) + timedelta(hours=23, minutes=59))
    await ledger.claim(resident, terms)
    await ledger.move_clock(minutes=2)
    assert ledger.today() == last_day + timedelta(days=1)
    with refusal("insufficient_points"):
        await ledger.claim(resident, terms)
    assert await ledger.balance(resident) == 60
    wallet = await ledger.app.read.wallet(resident)
    assert wallet is not None and (wallet.points, wallet.lots) == (0, ())


async def test_an_earn_books_points_past_their_day_as_a_row_of_their_own(ledger: Ledger) -> None:
    resident = await ledger.resident()
    await ledger.earn(resident, await ledger.campaign(points=100, months=1))
    await ledger.earn(resident, await ledger.campaign(points=30, months=5))
    await ledger.move_clock(days=95)
    await ledger.worker.ensure_partitions(3)
    id = ledger.id8()
    done = await ledger.earn(resident, await ledger.campaign(points=7, months=1), id=id)
    assert (done.result.seq, done.result.points_after) == (3, 37)
    booked = await ledger.owner.fetchrow("SELECT * FROM vault.journal WHERE owner = $1 AND op = 7", resident)
    assert (booked["seq"], booked["d_avail"], booked["d_peer"], booked["avail_after"], booked["ref"]) == (
        4,
        -100,
        100,
        37,
        id,
    )
    assert sum((await ledger.lots(resident)).values()) == 37
    again = await ledger.earn(resident, done.result.terms, id=id)
    assert again.replayed and again.result == done.result and await ledger.rows(resident) == 4


async def test_two_years_of_monthly_earning_fit_the_wallet(ledger: Ledger) -> None:
    resident, terms = await ledger.resident(), await ledger.campaign(points=1, months=24)
    start = ledger.today()
    await ledger.move_clock(days=760)
    await ledger.worker.ensure_partitions(0)
    for months in range(26):
        day, today = month_end(start, months - 1), ledger.today()
        if day <= today and month_end(day, 24) >= today:
            await ledger.earn(resident, terms, on=day)
    assert 24 <= len(await ledger.lots(resident)) <= 26


async def test_nobody_earns_for_tomorrow_or_for_points_already_expired(ledger: Ledger) -> None:
    resident, terms = await ledger.resident(), await ledger.campaign(months=1)
    with refusal("invalid_item"):
        await ledger.earn(resident, terms, on=ledger.today() + timedelta(days=1))
    with refusal("outside_window"):
        await ledger.earn(resident, terms, on=ledger.today() - timedelta(days=70))
    assert await ledger.rows(resident) == 0


async def test_a_person_earns_and_claims_up_to_the_cap_and_no_further(ledger: Ledger) -> None:
    resident, other = await ledger.resident(), await ledger.resident()
    campaign, template = await ledger.campaign(per_person=2), await ledger.template(per_person=1)
    for _ in range(2):
        await ledger.earn(resident, campaign)
    await ledger.claim(resident, template)
    for refused in (lambda: ledger.earn(resident, campaign), lambda: ledger.claim(resident, template)):
        with refusal("limit_reached"):
            await refused()
    await ledger.earn(other, campaign)
    await ledger.claim(other, template)
    assert await ledger.rows(resident) == 3


async def test_a_budget_changes_by_entries_of_two_people_only(ledger: Ledger) -> None:
    from wallet import BudgetRefused

    budget = await ledger.budget("points", 100)
    entry = await ledger.top_up(budget, 50)
    await ledger.app.budget_entry(budget, entry, "topup", 50, 1, 2, "doc 1")
    await ledger.top_up(budget, 30, kind="cut")
    assert await ledger.left(budget) == 120
    for refused in (
        (entry, "topup", 51, 1, 2),
        (ledger.id7(), "topup", 5, 1, 1),
        (ledger.id7(), "cut", 121, 1, 2),
        (ledger.id7(), "topup", 0, 1, 2),
        (ledger.id7(), "gift", 5, 1, 2),
        (ledger.id7(), "cut", -5, 1, 2),
    ):
        with pytest.raises(BudgetRefused):
            await ledger.app.budget_entry(budget, *refused, "doc 1")  # type: ignore[arg-type]
    assert await ledger.left(budget) == 120


async def test_terms_are_written_once(ledger: Ledger) -> None:
    from wallet import TermsConflict

    terms = await ledger.template()
    await ledger.app.put_coupon_terms(terms)
    with pytest.raises(TermsConflict):
        await ledger.app.put_coupon_terms(structs.replace(terms, face_value_fen=2000))
    budget = await ledger.budget("points", 10)
    await ledger.worker.put_earn_terms(earning(terms.id, budget, 5))
    await ledger.worker.put_earn_terms(earning(terms.id, budget, 5))
    with pytest.raises(TermsConflict):
        await ledger.worker.put_earn_terms(earning(terms.id, budget, 6))


async def test_terms_cannot_draw_on_a_budget_of_another_unit(ledger: Ledger) -> None:
    from wallet import TermsConflict

    points, fen = await ledger.budget("points", 1000), await ledger.budget("fen", 1000)
    with pytest.raises(TermsConflict):
        await ledger.worker.put_earn_terms(earning(ledger.number(), fen, 5))
    with pytest.raises(TermsConflict):
        await ledger.template(stock_budget=points)
    with pytest.raises(TermsConflict):
        await ledger.template(fen_budget=points)
