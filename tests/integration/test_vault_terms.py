"""What coupon terms promise beside the price: shares to the fen, one order's coupons, times, nobody else's coupon."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from server.incentives.effects import paid_fen
from server.incentives.rules.windows import CHINA
from server.incentives.working_days import tell
from tests.support.databases import Database, connected
from tests.support.ledger import CITY, COUNTER, OTHER_MERCHANT, Ledger, open_ledger, refusal
from tests.support.oracle_coupons import borne
from tests.support.oracle_state import city_day
from wallet import CouponTerms, Refused, UsableWindow, Vault

LUNCH = UsableWindow(day="workday", from_minute=660, until_minute=810)


@pytest_asyncio.fixture
async def ledger(fresh_database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(fresh_database) as opened:
        yield opened
        assert await opened.broken() == []


# -- shares -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_the_three_parts_of_every_discount_add_up_and_what_is_paid_never_falls(ledger: Ledger, seed: int) -> None:
    chance = random.Random(seed)
    platform = chance.choice([0, 1, 3333, 5000, chance.randint(0, 10_000)])
    sponsor = min(10_000 - platform, chance.choice([0, 1, 3333, 3334, chance.randint(0, 10_000)]))
    terms = await ledger.template(platform_bp=platform, sponsor_bp=sponsor, face_value_fen=100)
    largest = 10**11
    rows = await ledger.owner.fetch(
        """SELECT d.fen, f.* FROM vault.coupon_terms t, generate_series(0, 20000) n,
             LATERAL (SELECT CASE WHEN n < 15000 THEN n ELSE $2::bigint - (20000 - n) * 7919 END AS fen) d,
             LATERAL vault.funding_of(t.platform_bp, t.sponsor_bp, t.merchant_bp, d.fen) f
           WHERE t.terms = $1 ORDER BY 1""",
        terms.id,
        largest,
    )
    paid = -1
    for row in rows:
        parts = (row["platform_fen"], row["sponsor_fen"], row["merchant_fen"])
        assert sum(parts) == row["fen"] and min(parts) >= 0
        assert parts == borne(terms, row["fen"])
        assert row["paid_fen"] == parts[0] + parts[1] >= paid
        assert row["paid_fen"] == paid_fen(row["fen"], platform, sponsor), "what the house says is what the vault does"
        paid = row["paid_fen"]


async def test_what_the_claim_reserves_covers_the_dearest_order(ledger: Ledger) -> None:
    shares = {"platform_bp": 3333, "sponsor_bp": 3334}
    terms = await ledger.template(kind="discount", pay_bp=5000, cap_fen=1000, face_value_fen=0, **shares)
    for amount in (1, 1999, 2000, 10**9):
        result = await ledger.redeemed(terms, amount=amount)
        parts = (result.platform_fen, result.sponsor_fen, result.merchant_fen)
        assert parts == borne(terms, result.discount_fen)
    assert (await ledger.app.budgets([terms.fen_budget or 0]))[terms.fen_budget or 0].reserved == 4 * 667 - (
        1 + 667 + 667 + 667
    )


# -- orders -----------------------------------------------------------------------------------------------------------


async def codes(ledger: Ledger, terms: CouponTerms, resident: int, count: int, at: Any = COUNTER) -> list[Any]:
    return [await ledger.scanned(terms, resident, at) for _ in range(count)]


async def outcome(work: Any) -> str:
    try:
        await work
    except Refused as refused:
        return refused.code
    return "done"


@pytest.mark.parametrize("most", [1, 3])
async def test_mall_1003_one_order_is_discounted_as_often_as_allowed_however_many_coupons_race(
    ledger: Ledger, most: int
) -> None:
    terms = await ledger.template(stacking_group="meal", most_per_order=most)
    resident = await ledger.resident()
    scanned = await codes(ledger, terms, resident, 12)
    answers = await asyncio.gather(*(outcome(ledger.redeem(one, order_no="A-1")) for one in scanned))
    assert sorted(answers) == sorted(["done"] * most + ["not_stackable"] * (12 - most))
    others = [outcome(ledger.redeem(one, order_no="A-2")) for one, said in zip(scanned, answers, strict=True)
              if said != "done"]  # fmt: skip
    assert (await asyncio.gather(*others)).count("done") == min(most, 12 - most)


async def test_mall_1002_coupons_never_save_more_than_the_order_costs(ledger: Ledger) -> None:
    resident = await ledger.resident()
    half = await ledger.template(kind="discount", pay_bp=5000, cap_fen=10_000, face_value_fen=0)
    ten = await ledger.template(face_value_fen=1000)
    first, (second, third) = await codes(ledger, half, resident, 1), await codes(ledger, ten, resident, 2)
    assert (await ledger.redeem(first[0], amount=1200, order_no="7")).result.discount_fen == 600
    assert (await ledger.redeem(second, order_no="7")).result.discount_fen == 600
    with refusal("not_stackable"):
        await ledger.redeem(third, order_no="7")
    assert (await ledger.redeem(third, order_no="8")).result.discount_fen == 1000


async def test_an_order_is_one_persons_at_one_shop(ledger: Ledger) -> None:
    terms = await ledger.template(stacking_group="meal")
    resident, neighbour = await ledger.resident(), await ledger.resident()
    for who, at in ((resident, COUNTER), (neighbour, COUNTER), (resident, OTHER_MERCHANT)):
        await ledger.redeem((await codes(ledger, terms, who, 1, at))[0], at, order_no="7")
    with refusal("not_stackable"):
        await ledger.redeem((await codes(ledger, terms, resident, 1))[0], order_no="7")


async def test_the_same_ticket_for_another_order_is_another_request(ledger: Ledger) -> None:
    terms = await ledger.template(stacking_group="meal")
    scanned = await ledger.scanned(terms)
    first = await ledger.redeem(scanned, order_no="7")
    assert (await ledger.redeem(scanned, order_no="7")).result == first.result
    with refusal("idempotency_mismatch"):
        await ledger.redeem(scanned, order_no="8")


# -- times ------------------------------------------------------------------------------------------------------------


async def next_of(ledger: Ledger, terms: CouponTerms, first: date, last: date, at: datetime) -> datetime | None:
    found: datetime | None = await ledger.owner.fetchval(
        "SELECT vault.usable_next($1, $2, $3, $4)", terms.id, first, last, at
    )
    return found


async def test_the_next_usable_instant_is_the_first_at_which_it_can_be_used(ledger: Ledger) -> None:
    assert await tell(ledger.worker, date(2026, 9, 1)) > 0
    assert await tell(ledger.worker, date(2026, 9, 1)) == 0
    windows = (LUNCH, UsableWindow(weekdays=(6,), day="holiday", until_minute=30))
    terms = await ledger.template(windows=windows)
    first, last = date(2026, 9, 20), date(2026, 10, 12)

    def usable(at: datetime) -> bool:
        day, minute = at.date(), at.hour * 60 + at.minute
        works = CHINA.is_workday(day)
        lunch = works and 660 <= minute < 810
        return first <= day <= last and (lunch or (not works and day.isoweekday() == 6 and minute < 30))

    quarter = timedelta(minutes=15)
    at = datetime(2026, 10, 13, 6, tzinfo=CITY)
    wanted: datetime | None = None
    checked = 0
    while at > datetime(2026, 9, 17, tzinfo=CITY):
        wanted = at if usable(at) else wanted
        if at.hour % 3 == 0 or usable(at) != usable(at - quarter):
            assert await next_of(ledger, terms, first, last, at) == wanted
            checked += 1
        at -= quarter
    assert checked > 200


async def test_a_day_that_nobody_published_is_judged_by_its_weekday(ledger: Ledger) -> None:
    terms = await ledger.template(windows=(LUNCH,), valid_days=900)
    await ledger.set_clock(datetime(2026, 12, 31, 20, tzinfo=CITY))
    resident = await ledger.resident()
    coupon = await ledger.coupon(resident, terms)
    seen = await ledger.app.read.coupon(resident, coupon)
    assert seen is not None and not seen.usable_now
    assert seen.usable_at == datetime(2027, 1, 1, 11, tzinfo=CITY)  # a Friday, and surely a holiday once it is known
    await ledger.worker.put_calendar_year(2027, [date(2027, 1, 1)], [])
    again = await ledger.app.read.coupon(resident, coupon)
    assert again is not None and again.usable_at == datetime(2027, 1, 4, 11, tzinfo=CITY)


async def test_a_coupon_tells_when_it_can_be_used(ledger: Ledger) -> None:
    resident = await ledger.resident()
    always = await ledger.coupon(resident, await ledger.template())
    later = await ledger.coupon(resident, await ledger.template(starts_after_days=3, valid_days=1))
    never = await ledger.coupon(
        resident, await ledger.template(valid_days=1, windows=(UsableWindow(weekdays=(ledger.today().isoweekday(),),
                                        until_minute=1),))
    )  # fmt: skip
    seen = {one.id: one for one in await ledger.app.read.coupons(resident, state=None, before=None, limit=9)}
    assert seen[always].usable_now and seen[always].usable_from == ledger.today()
    assert not seen[later].usable_now and seen[later].usable_from == ledger.today() + timedelta(days=3)
    assert seen[later].usable_at is not None and city_day(seen[later].usable_at) == seen[later].usable_from
    assert seen[never].usable_at is None or seen[never].usable_now  # the first minute of the day is over, or is now


async def test_only_the_worker_says_on_which_days_one_works(ledger: Ledger, fresh_database: Database) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ledger.app.put_calendar_year(2027, [], [])
    async with connected(fresh_database.app) as app:
        for attack in (
            "DELETE FROM vault.calendar_day",
            "INSERT INTO vault.calendar_day VALUES ('2027-01-01', 'holiday')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await app.execute(attack)


# -- whose, and until when --------------------------------------------------------------------------------------------


async def test_no_operation_moves_a_coupon_from_one_person_to_another(ledger: Ledger, fresh_database: Database) -> None:
    residents = ("owner", "resident_id")
    for name, operation in inspect.getmembers(Vault, inspect.iscoroutinefunction):
        named = [one for one in inspect.signature(operation).parameters if one in residents]
        assert len(named) <= 1, f"{name} is about two people"
    for role in (fresh_database.app, fresh_database.worker):
        async with connected(role) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("UPDATE vault.coupon SET owner = owner + 1024")
    giver, taker = await ledger.resident(b=5), await ledger.resident(b=5)
    coupon = await ledger.coupon(giver, await ledger.template())
    with refusal("coupon_not_usable"):
        await ledger.app.issue_credentials(taker, coupon, [ledger.id7()], [1], [60])
    with refusal("coupon_not_usable"):
        await ledger.app.lock_coupon(taker, ledger.id7(), coupon_id=coupon, life_s=60, request_no="1", actor=1)
    assert await ledger.app.read.coupon(taker, coupon) is None


async def test_pretix_transact_medusa_6653_nothing_past_its_day_is_used_though_no_job_ever_ran(ledger: Ledger) -> None:
    resident = await ledger.resident()
    await ledger.earn(resident, await ledger.campaign(points=500, months=1))
    terms = await ledger.template(valid_days=1)
    scanned = await ledger.scanned(terms, resident)
    coupon = await ledger.coupon(resident, terms)
    await ledger.move_clock(days=70)
    with refusal("insufficient_points"):
        await ledger.app.spend(resident, ledger.id7(), points=1, payee=7)
    with refusal("(idempotency_key_expired|coupon_expired)"):
        await ledger.redeem(scanned, ticket_s=10**7)
    with refusal("coupon_expired"):
        await ledger.app.issue_credentials(resident, coupon, [ledger.id7()], [1], [60])


@pytest.mark.parametrize(("grace_days", "state"), [(0, "expired"), (3, "issued")])
async def test_litemall_refund_lilishop_recovery_a_coupon_that_comes_back_late_is_what_its_terms_say(
    ledger: Ledger, grace_days: int, state: str
) -> None:
    terms = await ledger.template(valid_days=1, void_window_s=30 * 86_400, grace_days=grace_days)
    done = await ledger.redeemed(terms)
    await ledger.move_clock(days=10)
    back = (await ledger.app.void(done.id, acceptor=COUNTER, reason="退单")).result
    assert back.state == state
    assert back.expires_on == (
        ledger.today() + timedelta(days=3) if grace_days else city_day(done.at) + timedelta(days=1)
    )


def test_the_oracle_splits_by_itself() -> None:
    terms = CouponTerms(
        id=1, template_id=1, version=1, kind="amount_off", stock_budget=1, fen_budget=1, price_points=0,
        face_value_fen=1, pay_bp=0, cap_fen=0, threshold_fen=0, platform_bp=3333, sponsor_bp=3333, merchant_bp=3334,
        person_limits=(), valid_days=1, valid_until=None, merchants=(), void_window_s=0, return_stock=False,
        claim_from=None, claim_until=None,
    )  # fmt: skip
    assert [borne(terms, fen) for fen in (0, 1, 2, 998)] == [(0, 0, 0), (0, 0, 1), (1, 0, 1), (333, 332, 333)]
