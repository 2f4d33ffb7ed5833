"""Limits at places: exact at every place and in every period, whoever does it, whichever version of the terms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from msgspec import structs

from tests.support.databases import Database, connected
from tests.support.ledger import (
    CITY,
    COUNTER,
    OTHER_MERCHANT,
    OTHER_STORE,
    SECOND_TERMINAL,
    Ledger,
    open_ledger,
    post,
    refusal,
)
from tests.support.sabotage import TWO_CELLS
from wallet import Acceptor, CouponTerms, PlaceLimit, Refused, ScopedLimit, TermsConflict

NOON = datetime(2026, 12, 29, 12, tzinfo=CITY)  # a Tuesday


@pytest_asyncio.fixture
async def ledger(fresh_database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(fresh_database, lanes=2) as ledger:
        await ledger.stop_clock(NOON + timedelta(days=60))
        await ledger.owner.fetchval("SELECT vault.ensure_partitions(0, $1::date)", NOON.date())
        await ledger.restore_clock()
        yield ledger


def limit(scope: Any, action: Any, cap: int, **more: Any) -> ScopedLimit:
    return ScopedLimit(limit_id=more.pop("limit_id", "template:1"), scope=scope, action=action, cap=cap, **more)


async def redeem(ledger: Ledger, terms: CouponTerms, at: Acceptor = COUNTER, resident: int | None = None) -> Any:
    return (await ledger.redeem(await ledger.scanned(terms, resident, at), at)).result


async def counters(ledger: Ledger) -> dict[tuple[str, str, str], tuple[int, int]]:
    """(cap, left) of every counter by limit, place and period."""
    rows = await ledger.owner.fetch(
        "SELECT c.*, g.reserve + (SELECT sum(avail) FROM vault.slot s WHERE s.budget = c.budget)::bigint AS rest"
        " FROM vault.counter c JOIN vault.budget g USING (budget)"
    )
    return {(row["limit_id"], row["place"], str(row["period_start"])): (row["cap"], row["rest"]) for row in rows}


async def counted(doing: Any) -> bool:
    """Whether it was done; False: a limit was reached. Nothing else may be answered."""
    try:
        await doing
        return True
    except Refused as refused:
        assert refused.code == "limit_reached", refused
        return False


async def test_two_hundred_at_once_meet_a_cap_of_fifty_at_a_store_and_exactly_fifty_are_done(ledger: Ledger) -> None:
    terms = await ledger.template(scoped_limits=(limit("store", "redeem", 50, period="day"),))
    scanned = [await ledger.scanned(terms, at=SECOND_TERMINAL) for _ in range(200)]
    done = await asyncio.gather(*(counted(ledger.redeem(one, SECOND_TERMINAL)) for one in scanned))
    assert sum(done) == 50
    elsewhere = await redeem(ledger, terms, OTHER_STORE)
    assert elsewhere.store_id == OTHER_STORE.store_id
    places = {place: state for (_, place, _), state in (await counters(ledger)).items()}
    assert places == {"11": (50, 0), "12": (50, 49)}
    assert await ledger.broken() == []


async def test_two_hundred_claims_and_earnings_meet_the_cap_of_a_campaign_exactly(ledger: Ledger) -> None:
    terms = await ledger.template(scoped_limits=(limit("campaign", "issue", 77, period="week"),))
    earning = await ledger.campaign(
        points=7, scoped_limits=(limit("campaign", "earn", 777, measure="points", limit_id="campaign:1"),)
    )
    residents = [await ledger.resident() for _ in range(200)]
    claims = asyncio.gather(*(counted(ledger.claim(one, terms)) for one in residents))
    earnings = asyncio.gather(*(counted(ledger.earn(one, earning)) for one in residents))
    assert (sum(await claims), sum(await earnings)) == (77, 111)
    assert set((await counters(ledger)).values()) == {(77, 0), (777, 0)}
    assert await ledger.broken() == []


async def test_a_refusal_names_the_limit_and_writes_nothing_and_other_places_go_on(ledger: Ledger) -> None:
    await ledger.stop_clock(NOON)
    terms = await ledger.template(scoped_limits=(limit("merchant", "redeem", 1, period="month"),))
    first = await redeem(ledger, terms)
    resident = await ledger.resident()
    scanned, rows = await ledger.scanned(terms, resident), await ledger.rows(resident)
    with refusal("limit_reached") as refused:
        await ledger.redeem(scanned)
    name = "template:1/merchant/count/month"
    assert refused.value.limit == PlaceLimit(limit_id=name, place="1", period_start=NOON.date().replace(day=1))
    assert await ledger.rows(resident) == rows
    await redeem(ledger, terms, OTHER_MERCHANT)
    await ledger.app.void(first.id, acceptor=COUNTER, reason="x")
    assert (await ledger.redeem(scanned)).replayed is False, "the same ticket succeeds when there is room again"
    assert await ledger.broken() == []


async def test_towns_are_the_residents_for_issue_and_the_stores_for_redemptions(ledger: Ledger) -> None:
    limits = (limit("town", "issue", 2, limit_id="a"), limit("town", "redeem", 1, limit_id="b"))
    terms = await ledger.template(scoped_limits=limits)
    one, other, unknown = [await ledger.resident() for _ in range(3)]
    for _ in range(2):
        await ledger.claim(one, terms, town="东街")
        await ledger.claim(unknown, terms)
    for resident, town in ((other, "东街"), (other, None)):
        with refusal("limit_reached"):
            await ledger.claim(resident, terms, town=town)
    await ledger.claim(other, terms, town="西街")
    more = structs.replace(terms, id=ledger.number(), version=2, scoped_limits=limits[1:])
    await ledger.app.put_coupon_terms(more)
    await redeem(ledger, more, OTHER_STORE)
    with refusal("limit_reached"):  # another merchant's store in the same town
        await redeem(ledger, more, OTHER_MERCHANT)
    await redeem(ledger, more, COUNTER)
    assert {key[:2] for key in await counters(ledger)} == {
        ("a/town/count/total", "东街"), ("a/town/count/total", "西街"), ("a/town/count/total", ""),
        ("b/town/count/total", "北街"), ("b/town/count/total", "南街"),
    }  # fmt: skip
    assert await ledger.broken() == []


@pytest.mark.parametrize(
    ("measure", "expected"), [("count", 1), ("face_value_fen", 333), ("fen", 100)], ids=lambda value: str(value)
)
async def test_a_redemption_counts_what_it_saved_or_what_it_cost(ledger: Ledger, measure: str, expected: int) -> None:
    scoped = limit("store", "redeem", 1000, measure=measure)
    terms = await ledger.template(
        kind="discount", pay_bp=9000, cap_fen=500, platform_bp=1000, sponsor_bp=2000, scoped_limits=(scoped,)
    )
    redemption = await ledger.redeemed(terms, amount=3330)
    assert (redemption.discount_fen, redemption.platform_fen + redemption.sponsor_fen) == (333, 100)
    assert list((await counters(ledger)).values()) == [(1000, 1000 - expected)]
    assert await ledger.broken() == []


@pytest.mark.parametrize(
    ("measure", "expected"), [("count", 1), ("points", 30), ("face_value_fen", 1000), ("fen", 500)]
)
async def test_a_claim_counts_its_price_its_worth_or_what_is_reserved(
    ledger: Ledger, measure: str, expected: int
) -> None:
    scoped = limit("campaign", "issue", 5000, measure=measure, period="day")
    terms = await ledger.template(price_points=30, sponsor_bp=5000, scoped_limits=(scoped,))
    await ledger.claim(await ledger.resident(points=30), terms)
    assert list((await counters(ledger)).values()) == [(5000, 5000 - expected)]
    assert await ledger.broken() == []


async def test_a_day_a_week_and_a_month_begin_anew_and_a_late_fact_counts_on_its_own_day(ledger: Ledger) -> None:
    scoped = [limit("campaign", "earn", cap, limit_id="campaign:1", period=period) for period, cap in
              (("day", 2), ("week", 3), ("month", 4), ("total", 6))]  # fmt: skip
    terms = await ledger.campaign(points=1, scoped_limits=tuple(scoped))
    midnight = datetime(2027, 1, 1, tzinfo=CITY)  # a Friday, so the week goes on
    steps = [(NOON, "yyn"), (NOON + timedelta(days=1), "yn"), (midnight - timedelta(milliseconds=1), "n"),
             (midnight, "n"), (midnight + timedelta(days=3), "yyn"), (midnight + timedelta(days=4), "yn")]  # fmt: skip
    for at, expected in steps:
        await ledger.stop_clock(at)
        said = [await counted(ledger.earn(await ledger.resident(), terms)) for _ in expected]
        assert said == [letter == "y" for letter in expected], at
    await ledger.stop_clock(midnight + timedelta(days=30))
    assert not await counted(ledger.earn(await ledger.resident(), terms)), "six in all"
    later = await ledger.campaign(points=1, scoped_limits=(limit("campaign", "earn", 1, limit_id="c:2", period="day"),))
    for day in (NOON.date(), midnight.date()):
        assert await counted(ledger.earn(await ledger.resident(), later, on=day))
        assert not await counted(ledger.earn(await ledger.resident(), later, on=day))
    assert await ledger.broken() == []


async def test_a_void_on_the_next_day_gives_back_to_the_day_of_its_redemption(ledger: Ledger) -> None:
    await ledger.stop_clock(NOON)
    scoped = limit("store", "redeem", 1, period="day")
    terms = await ledger.template(void_window_s=7 * 86_400, scoped_limits=(scoped,))
    yesterday = await redeem(ledger, terms)
    await ledger.stop_clock(NOON + timedelta(days=1))
    today = await redeem(ledger, terms)
    await ledger.app.void(yesterday.id, acceptor=COUNTER, reason="x")
    with refusal("limit_reached"):
        await redeem(ledger, terms)
    name = "template:1/store/count/day"
    assert await counters(ledger) == {(name, "11", "2026-12-29"): (1, 1), (name, "11", "2026-12-30"): (1, 0)}
    await ledger.app.void(today.id, acceptor=COUNTER, reason="x")
    assert (await ledger.app.void(today.id, acceptor=COUNTER, reason="x")).replayed
    await redeem(ledger, terms)
    assert await ledger.broken() == []


async def test_an_expired_or_voided_coupon_gives_nothing_back(ledger: Ledger) -> None:
    await ledger.stop_clock(NOON)
    terms = await ledger.template(valid_days=1, return_stock=True, scoped_limits=(limit("campaign", "issue", 2),))
    one, other = await ledger.resident(), await ledger.resident()
    expiring, mistaken = await ledger.coupon(one, terms), await ledger.coupon(other, terms)
    await ledger.app.void_coupon(other, ledger.id7(), coupon_id=mistaken, reason="x", actor=1)
    await ledger.stop_clock(NOON + timedelta(days=2))
    await ledger.worker.expire_coupon(one, ledger.id8(), coupon_id=expiring)
    with refusal("limit_reached"):
        await ledger.claim(one, terms)
    assert await ledger.broken() == []


async def test_a_new_version_changes_running_counters_by_the_difference_and_never_below_what_is_used(
    ledger: Ledger,
) -> None:
    await ledger.stop_clock(NOON)
    terms = await ledger.template(scoped_limits=(limit("store", "redeem", 5, period="day"),))
    await redeem(ledger, terms)
    await ledger.stop_clock(NOON + timedelta(days=1))
    for _ in range(3):
        await redeem(ledger, terms)

    async def put(version: int, cap: int) -> None:
        changed = (limit("store", "redeem", cap, period="day"),)
        await ledger.app.put_coupon_terms(
            structs.replace(terms, id=ledger.number(), version=version, scoped_limits=changed)
        )

    name, day = "template:1/store/count/day", "2026-12-30"
    for version, (cap, state) in enumerate([(8, (8, 5)), (4, (4, 1)), (2, (3, 0)), (6, (6, 3))], start=2):
        await put(version, cap)
        assert (await counters(ledger))[name, "11", day] == state
        assert (await counters(ledger))[name, "11", "2026-12-29"] == (5, 4), "a period that is over stays as it was"
    await ledger.app.put_coupon_terms(terms)  # again: no change
    assert (await counters(ledger))[name, "11", day] == (6, 3)
    await redeem(ledger, terms, OTHER_STORE)  # older terms, but the cap of the newest
    assert (await counters(ledger))[name, "12", day] == (6, 5)
    entries = await ledger.owner.fetch("SELECT kind, actor FROM vault.budget_entry WHERE budget < 0")
    assert {tuple(row) for row in entries} == {("cap", None)}
    assert await ledger.broken() == []


async def test_counters_of_a_period_about_to_begin_are_opened_for_what_was_used_and_nobody_waits_after_midnight(
    ledger: Ledger,
) -> None:
    ahead, day, week = timedelta(hours=2), "template:1/store/count/day", "template:1/store/count/week"
    await ledger.stop_clock(NOON)
    scoped = [limit("store", "redeem", cap, period=name) for cap, name in ((5, "day"), (9, "week"), (50, "total"))]
    terms = await ledger.template(void_window_s=7 * 86_400, scoped_limits=tuple(scoped))
    await redeem(ledger, terms)
    taken_back = await redeem(ledger, terms, OTHER_STORE)
    await ledger.app.void(taken_back.id, acceptor=OTHER_STORE, reason="x")
    assert await ledger.worker.read.due_counters(ahead, 10) == []
    evening = NOON + timedelta(hours=11)
    await ledger.stop_clock(evening)
    [due] = await ledger.worker.read.due_counters(ahead, 10)
    assert due == PlaceLimit(limit_id=day, place="11", period_start=evening.date() + timedelta(days=1))
    await ledger.worker.open_counter(due)
    await ledger.worker.open_counter(due)
    assert await ledger.worker.read.due_counters(ahead, 10) == []
    await ledger.stop_clock(evening + timedelta(hours=1))
    stands = await counters(ledger)
    await redeem(ledger, terms)
    assert (await counters(ledger)).keys() == stands.keys(), "the first of the day opened nothing"
    assert (await counters(ledger))[day, "11", "2026-12-30"] == (5, 4)
    # A Sunday ends the week as well, with nothing used on that day.
    await ledger.stop_clock(evening + timedelta(days=5))
    assert [one.limit_id for one in await ledger.worker.read.due_counters(ahead, 10)] == [week]
    assert await ledger.broken() == []


async def test_a_claim_that_a_limit_refuses_takes_neither_stock_nor_other_counters(ledger: Ledger) -> None:
    limits = (limit("campaign", "issue", 100, limit_id="wide"), limit("town", "issue", 1, limit_id="tight"))
    terms = await ledger.template(stock=10, scoped_limits=limits)
    resident = await ledger.resident()
    await ledger.claim(resident, terms, town="东街")
    with refusal("limit_reached"):
        await ledger.claim(resident, terms, town="东街")
    left = {name: rest for (name, _, _), (_, rest) in (await counters(ledger)).items()}
    assert left == {"wide/campaign/count/total": 99, "tight/town/count/total": 0}
    assert await ledger.left(terms.stock_budget) == 9


async def test_a_lock_is_counted_without_a_scan_and_a_wrong_flag_passes_no_limit(ledger: Ledger) -> None:
    terms = await ledger.template(scoped_limits=(limit("store", "redeem", 1),))
    scanned = await ledger.scanned(terms)
    assert scanned.counted and not (await ledger.scanned(await ledger.template())).counted
    await ledger.redeem(structs.replace(scanned, counted=False))
    resident = await ledger.resident()
    coupon, lock = await ledger.coupon(resident, terms), ledger.id7()
    await ledger.app.lock_coupon(resident, lock, coupon_id=coupon, life_s=600, request_no="1", actor=9)
    with refusal("limit_reached"):
        await ledger.app.redeem_locked(
            owner=resident, id=ledger.id7(), void_id=ledger.id7(), coupon_id=coupon, lock_id=lock, acceptor=COUNTER,
            order_amount_fen=None,
        )  # fmt: skip
    # Who posts by hand and says nothing, or invents counters, is asked to look for them.
    raw = await ledger.scanned(terms)
    item = {
        "op": 3, "b": raw.owner & 1023, "owner": raw.owner, "id": raw.redemption_id, "hash": "\\xab",
        "credential": raw.credential_id, "merchant": 1, "store": 11, "terminal": 111, "staff": 1111,
        "ticket_expires_at": ledger.now() + timedelta(seconds=60),
    }  # fmt: skip
    forged = {"counted_on": ledger.today(), "counters": [5], "counter_slots": [0], "places": ["11"]}
    async with connected(ledger.database.app) as app:
        for extra in ({}, forged, {**forged, "counted": False}):
            assert await post(app, "post_batch", {**item, **extra}) == [(11, False, {"again": True})]
        answer = (await post(app, "post_batch", {**item, **forged, "counted": True}))[0]
        assert answer[0] in (11, 14) and "again" not in answer[2], answer
    assert await ledger.broken() == []


async def test_a_day_that_ends_between_look_up_and_decision_counts_on_the_day_of_the_decision(ledger: Ledger) -> None:
    terms = await ledger.template(scoped_limits=(limit("campaign", "issue", 1, period="day"),))
    await ledger.claim(await ledger.resident(), terms)
    # The decision's clock is a day ahead of the look-up's, as at midnight.
    await ledger.owner.execute(
        "CREATE OR REPLACE FUNCTION vault.today() RETURNS date LANGUAGE sql VOLATILE AS"
        " $$SELECT (vault.now() AT TIME ZONE vault.zone())::date - 1$$"
    )
    with refusal("budget_busy"):
        await ledger.claim(await ledger.resident(), terms)
    await ledger.owner.execute(
        "CREATE OR REPLACE FUNCTION vault.today() RETURNS date LANGUAGE sql VOLATILE AS"
        " $$SELECT (vault.now() AT TIME ZONE vault.zone())::date$$"
    )
    with refusal("limit_reached"):
        await ledger.claim(await ledger.resident(), terms)
    assert len(await counters(ledger)) == 1


async def test_staff_cannot_change_or_close_a_counter_and_only_known_limits_are_opened(ledger: Ledger) -> None:
    terms = await ledger.template(scoped_limits=(limit("campaign", "issue", 3),))
    await ledger.claim(await ledger.resident(), terms)
    budget = await ledger.owner.fetchval("SELECT budget FROM vault.counter")
    assert budget < 0
    entry = "SELECT vault.put_budget_entry($1, $2, 'topup', 5, 1, 2, 'x')"
    opening = "SELECT vault.open_counter($1, $2, '', '2027-01-01', 8::smallint)"
    async with connected(ledger.database.app) as app:
        assert await app.fetchval(entry, budget, ledger.id7()) == "invalid"
        assert await app.fetchval("SELECT vault.create_budget(-5, 'points', 8::smallint)") is False
        await app.fetchval("SELECT vault.set_budget_open($1, false)", budget)
        name = "template:1/campaign/count/total"
        for number, of in ((-7, "unknown"), (7, name), (None, name)):
            assert await app.fetchval(opening, number, of) is None
        assert await app.fetchval(opening, -7, name) == budget
    await ledger.claim(await ledger.resident(), terms)
    assert list((await counters(ledger)).values()) == [(3, 1)]
    assert await ledger.broken() == []


@pytest.mark.parametrize(
    ("scope", "action", "measure"),
    [
        ("merchant", "issue", "count"),
        ("store", "issue", "count"),
        ("campaign", "redeem", "points"),
        ("town", "earn", "fen"),
        ("campaign", "earn", "count"),
    ],
)
async def test_what_could_never_count_is_no_limit(ledger: Ledger, scope: str, action: str, measure: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="coupon_terms_scoped"):
        await ledger.template(scoped_limits=(limit(scope, action, 5, measure=measure),))


async def test_other_limits_under_the_same_id_are_other_terms(ledger: Ledger) -> None:
    terms = await ledger.template(scoped_limits=(limit("campaign", "issue", 5),))
    with pytest.raises(TermsConflict):
        await ledger.app.put_coupon_terms(structs.replace(terms, scoped_limits=(limit("campaign", "issue", 6),)))
    assert await ledger.owner.fetchval("SELECT cap FROM vault.limit_cap") == 5


async def test_a_counter_is_taken_to_its_last_unit_from_both_cells(fresh_database: Database) -> None:
    async with connected(fresh_database.owner) as owner:
        await owner.execute(TWO_CELLS)
    async with open_ledger(fresh_database, lanes=2) as ledger:
        terms = await ledger.template(scoped_limits=(limit("campaign", "issue", 61),))
        residents = [await ledger.resident(b=b + n) for n in range(50) for b in (5, 900)]
        done = [False] * len(residents)
        for _ in range(20):  # who is told that it is busy asks again
            answers = await asyncio.gather(
                *(ledger.claim(one, terms) for one, is_done in zip(residents, done, strict=True) if not is_done),
                return_exceptions=True,
            )
            asked = iter(answers)
            done = [is_done or not isinstance(next(asked), Exception) for is_done in done]
            if {str(one) for one in answers if isinstance(one, Exception)} <= {"limit_reached"}:
                break
        assert sum(done) == 61
        assert list((await counters(ledger)).values()) == [(61, 0)]
        assert await ledger.broken() == []
