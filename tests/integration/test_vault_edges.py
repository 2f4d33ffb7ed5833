"""Edges of a posting: absurd fields, whole calls of them, items of one resident in one call, instants and settings."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from tests.support.databases import Database, connected
from tests.support.ledger import COUNTER, Ledger, open_ledger, post, refusal
from wallet import PersonLimit, Refused
from wallet.items import Op

HASH = "\\x01"
MONTHS = "SELECT vault.ensure_partitions(12, date '2026-12-01')"
LARGEST, SMALLEST = 2**63 - 1, -(2**63)


@pytest_asyncio.fixture
async def ledger(fresh_database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(fresh_database) as opened:
        yield opened
        assert await opened.broken() == []


@pytest_asyncio.fixture
async def app(fresh_database: Database) -> AsyncIterator[asyncpg.Connection]:
    async with connected(fresh_database.app) as connection:
        yield connection


def item(ledger: Ledger, op: Op, resident: int, **fields: Any) -> dict[str, Any]:
    return {"op": op, "b": resident & 1023, "owner": resident, "id": ledger.id7(), "hash": HASH, **fields}


def counter() -> dict[str, Any]:
    return {
        "merchant": COUNTER.merchant_id,
        "store": COUNTER.store_id,
        "terminal": COUNTER.terminal_id,
        "staff": COUNTER.staff_id,
    }


# -- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [Op.SPEND, Op.HOLD])
@pytest.mark.parametrize("points", [None, 0, -1, SMALLEST, LARGEST, 10**12 + 1])
async def test_an_amount_that_is_none_is_a_status(
    ledger: Ledger, app: asyncpg.Connection, op: Op, points: int | None
) -> None:
    resident = await ledger.resident(10)
    asked = item(ledger, op, resident, points=points, payee=5, life_s=60)
    fine = item(ledger, Op.SPEND, resident, points=1, payee=5)
    assert [status for status, _, _ in await post(app, "post_batch", asked, fine)] == [5, 0]
    assert await ledger.row(resident, asked["id"]) is None


@pytest.mark.parametrize(
    ("fields", "answer"),
    [({"until": "-infinity"}, 5), ({"until": "epoch"}, 5), ({"until": "infinity"}, 5), ({"until": None}, 0)],
)
async def test_a_freeze_until_an_instant_outside_every_calendar(
    ledger: Ledger, app: asyncpg.Connection, fields: dict[str, Any], answer: int
) -> None:
    resident = await ledger.resident(10)
    order = item(
        ledger, Op.FREEZE, resident, freeze_kind="debit_frozen", authority="court", reason="r", actor=1, **fields
    )
    spend = item(ledger, Op.SPEND, resident, points=1, payee=5)
    frozen, spent = await post(app, "post_batch", order, spend)
    assert (frozen[0], spent[0]) == (answer, 54 if answer == 0 else 0)


async def test_items_without_a_number_an_owner_or_anything_are_each_answered(
    ledger: Ledger, app: asyncpg.Connection
) -> None:
    resident = await ledger.resident(10)
    items = [
        {**item(ledger, Op.SPEND, resident, points=1, payee=5), "n": 0},
        {**item(ledger, Op.SPEND, resident, points=1, payee=5), "n": 0},
        item(ledger, Op.SPEND, resident, points=1, payee=5),
        {"op": Op.SPEND, "n": 1},
        {"op": Op.SPEND, "n": 2},
        {"n": 3},
        {},
        {"op": Op.CLAIM_CREDENTIAL, "n": 4},
        {"op": Op.VOID, "n": 5},
    ]
    rows = await app.fetch(
        "SELECT * FROM vault.post_batch(0::smallint, $1::jsonb, 0::smallint)", json.dumps(items, default=str)
    )
    assert sorted((-1 if row["n"] is None else row["n"], row["status"]) for row in rows) == [
        (-1, 0), (-1, 6), (0, 0), (0, 0), (1, 5), (2, 5), (3, 6), (4, 5), (5, 5),
    ]  # fmt: skip
    assert await ledger.balance(resident) == 7


async def test_a_call_takes_1024_items_and_no_more(ledger: Ledger, app: asyncpg.Connection) -> None:
    items = [item(ledger, Op.SPEND, 1 + k, points=1, payee=5) for k in range(1025)]
    assert [answer[0] for answer in await post(app, "post_batch", *items[:-1])] == [4] * 1024
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await post(app, "post_batch", *items)


@pytest.mark.parametrize("fields", [{"reason": "a\0b"}, {"reason": "\ud800"}, {"points": 2**63}, {"points": -(2**64)}])
async def test_what_the_database_cannot_read_is_refused_before_it_meets_others(
    ledger: Ledger, fields: dict[str, Any]
) -> None:
    resident = await ledger.resident(10)
    spent = await ledger.app.spend(resident, ledger.id7(), points=5, payee=7)
    asked = {"posting_id": spent.result.id, "points": 1, "reason": "x", **fields}
    with refusal("invalid_item"):
        await ledger.app.refund(resident, ledger.id7(), **asked)


async def test_the_look_up_of_an_id_goes_by_the_key_in_every_month(ledger: Ledger) -> None:
    plan = await ledger.owner.fetch(
        "EXPLAIN SELECT * FROM vault.journal WHERE b = 1::smallint AND owner = 1 AND id >= gen_random_uuid()"
        " AND id = gen_random_uuid()"
    )
    used = {name for row in plan for name in re.findall(r"using (journal_\w+)", row[0])}
    assert used and all(name.endswith("_pkey") for name in used), used


async def test_a_lock_named_like_a_showing_of_somebody_else_spends_nothing_of_his(ledger: Ledger) -> None:
    somebody = await ledger.resident()
    other = somebody + 1024
    await ledger.app.open_wallet(other)
    terms = await ledger.template()
    coupon, shown = await ledger.coupon(somebody, terms), await ledger.show(other, await ledger.coupon(other, terms))
    scanned = await ledger.scan(shown)
    await ledger.app.lock_coupon(somebody, shown.credential, coupon_id=coupon, life_s=60, request_no="r", actor=5)
    await ledger.app.redeem_locked(
        owner=somebody, id=ledger.id7(), void_id=ledger.id7(), coupon_id=coupon, lock_id=shown.credential,
        acceptor=COUNTER, order_amount_fen=None,
    )  # fmt: skip
    assert not (await ledger.redeem(scanned)).replayed
    assert await ledger.broken() == []


async def test_an_id_of_somebody_elses_redemption_is_refused_and_fails_no_neighbour(ledger: Ledger) -> None:
    terms, taken = await ledger.template(), ledger.id7()
    answers = []
    for _ in range(2):
        resident = await ledger.resident()
        coupon, lock = await ledger.coupon(resident, terms), ledger.id7()
        await ledger.app.lock_coupon(resident, lock, coupon_id=coupon, life_s=60, request_no="r", actor=5)
        asked = {"owner": resident, "id": taken, "void_id": ledger.id7(), "coupon_id": coupon, "lock_id": lock}
        try:
            await ledger.app.redeem_locked(**asked, acceptor=COUNTER, order_amount_fen=None)
        except Refused as refused:
            answers.append(refused.code)
        else:
            answers.append("done")
    assert answers == ["done", "invalid_item"]
    assert await ledger.broken() == []


async def test_a_coupon_claimed_in_the_same_call_cannot_be_voided_in_it(
    ledger: Ledger, app: asyncpg.Connection
) -> None:
    resident, terms = await ledger.resident(), await ledger.template()
    claim = item(ledger, Op.CLAIM, resident, terms=terms.id)
    void = item(ledger, Op.VOID_COUPON, resident, coupon=claim["id"], reason="x", actor=3)
    assert [answer[0] for answer in await post(app, "post_batch", claim, void)] == [0, 36]
    again = item(ledger, Op.VOID_COUPON, resident, coupon=claim["id"], reason="x", actor=3)
    assert [answer[0] for answer in await post(app, "post_batch", again)] == [0]


@pytest.mark.parametrize(
    "setting",
    [
        "IntervalStyle = sql_standard",
        "DateStyle = 'SQL, DMY'",
        "TimeZone = 'Pacific/Kiritimati'",
        "transform_null_equals = on",
        "enable_partition_pruning = off",
        "enable_nestloop = off",
        "plpgsql.variable_conflict = use_column",
        "plpgsql.extra_errors = 'all'",
        "extra_float_digits = -15",
        "search_path = pg_temp, public",
    ],
)
async def test_no_setting_of_a_session_changes_what_is_booked_or_replayed(
    ledger: Ledger, app: asyncpg.Connection, setting: str
) -> None:
    terms = await ledger.template(price_points=3)
    resident = await ledger.resident(10)
    await app.execute(f"SET {setting}")
    asked = item(ledger, Op.CLAIM, resident, terms=terms.id)
    first, again = await post(app, "post_batch", asked, asked)
    assert (first[0], first[1], again[0], again[1]) == (0, False, 0, True) and first[2] == again[2]
    assert first[2]["expires_on"] == (ledger.today() + timedelta(days=30)).isoformat()
    assert sum((await ledger.lots(resident)).values()) == 7


# -- one resident's items in one call ----------------------------------------------------------------------------------


async def test_what_one_call_did_is_found_by_the_next_items_of_the_same_resident(
    ledger: Ledger, app: asyncpg.Connection
) -> None:
    terms = await ledger.template(price_points=3)
    resident = await ledger.resident(100)
    hold = item(ledger, Op.HOLD, resident, points=20, payee=5, life_s=60)
    spend = item(ledger, Op.SPEND, resident, points=10, payee=5)
    claim = item(ledger, Op.CLAIM, resident, terms=terms.id)
    order = {"authority": "court", "reason": "r", "actor": 1}
    items = [
        hold,
        item(ledger, Op.CAPTURE, resident, posting=hold["id"], points=5),
        item(ledger, Op.RELEASE, resident, posting=hold["id"]),
        spend,
        item(ledger, Op.REFUND, resident, posting=spend["id"], points=4, reason="r"),
        item(ledger, Op.REFUND, resident, posting=spend["id"], points=7, reason="r"),
        claim,
        item(ledger, Op.LOCK_COUPON, resident, coupon=claim["id"], life_s=60, request_no="1", actor=1),
        item(ledger, Op.LOCK_COUPON, resident, coupon=claim["id"], life_s=60, request_no="2", actor=1),
        spend,
        {**spend, "hash": "\\x02"},
        item(ledger, Op.FREEZE, resident, freeze_kind="frozen", **order),
        item(ledger, Op.SPEND, resident, points=1, payee=5),
        item(ledger, Op.UNFREEZE, resident, **order),
        item(ledger, Op.SPEND, resident, points=1, payee=5),
    ]
    answers = await post(app, "post_batch", *items)
    assert [status for status, _, _ in answers] == [0, 0, 50, 0, 0, 52, 0, 0, 36, 0, 2, 0, 54, 0, 0]
    assert [place for place, (_, replayed, _) in enumerate(answers) if replayed] == [9]
    assert await ledger.balance(resident) == 100 - 5 - 6 - 3 - 1


async def test_a_scan_and_its_redemption_may_be_one_call_and_its_void_the_next(
    ledger: Ledger, app: asyncpg.Connection
) -> None:
    resident = await ledger.resident()
    showing = await ledger.show(resident, await ledger.coupon(resident, await ledger.template()))
    redemption = ledger.id7()
    who = {"b": resident & 1023, "owner": resident}
    scan = {"op": Op.CLAIM_CREDENTIAL, **who, "handle": showing.handle, "credential": showing.credential}
    scan |= {"code_ok": True, "redemption": redemption, "void": ledger.id7(), **counter()}
    redeem = item(ledger, Op.REDEEM, resident, credential=showing.credential, **counter())
    redeem |= {"id": redemption, "ticket_expires_at": ledger.now() + timedelta(minutes=5)}
    void = {"op": Op.VOID, **who, "redemption": redemption, "reason": "r", "hash": HASH, **counter()}
    first = await post(app, "post_batch", scan, redeem, redeem, void)
    assert [(status, replayed) for status, replayed, _ in first] == [(0, False), (0, False), (0, True), (38, False)]
    second = await post(app, "post_batch", void, void)
    assert [(status, replayed) for status, replayed, _ in second] == [(0, False), (0, True)]
    assert (await ledger.coupon_row(resident, showing.coupon))["state"] == "issued"


# -- instants ---------------------------------------------------------------------------------------------------------


async def test_a_day_begins_at_the_citys_midnight_for_a_limit_and_not_at_that_of_utc(ledger: Ledger) -> None:
    limit = PersonLimit(limit_id="template:day", action="issue", period="day", cap=1)
    terms = await ledger.template(person_limits=(limit,))
    resident = await ledger.resident()
    await ledger.stop_clock(datetime(2026, 12, 31, 15, tzinfo=UTC))
    await ledger.owner.execute(MONTHS)
    answers = []
    for at in (
        datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC),
        datetime(2026, 12, 31, 16, 0, 0, tzinfo=UTC),
        datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC),
        datetime(2027, 1, 1, 15, 59, 59, tzinfo=UTC),
        datetime(2027, 1, 1, 16, 0, 0, tzinfo=UTC),
    ):
        await ledger.stop_clock(at)
        try:
            await ledger.claim(resident, terms)
            answers.append(True)
        except Refused as refused:
            assert refused.code == "limit_reached"
            answers.append(False)
    assert answers == [True, True, False, False, True]


async def test_at_the_last_instant_of_its_window_a_redemption_is_voided_and_not_released(ledger: Ledger) -> None:
    terms = await ledger.template(threshold_fen=100, void_window_s=600)
    resident = await ledger.resident()
    coupon = await ledger.coupon(resident, terms)
    done = (await ledger.redeem(await ledger.scan(await ledger.show(resident, coupon)), amount=300)).result
    await ledger.stop_clock(done.void_until)
    with refusal("not_due"):
        await ledger.worker.release_subsidy(resident, ledger.id8(), coupon_id=coupon)
    await ledger.app.void(done.id, acceptor=COUNTER, reason="r")
    assert (await ledger.coupon_row(resident, coupon))["reserved_fen"] == 1000


async def test_refunds_in_parts_past_the_renewed_day_give_back_what_is_left_and_no_more(ledger: Ledger) -> None:
    await ledger.set_clock(datetime(2027, 1, 10, 4, tzinfo=UTC))
    await ledger.owner.execute(MONTHS)
    resident = await ledger.resident()
    await ledger.earn(resident, await ledger.campaign(points=100, months=1))
    await ledger.earn(resident, await ledger.campaign(points=100, months=24))
    spend = (await ledger.app.spend(resident, ledger.id7(), points=180, payee=4)).result.id

    async def refund(points: int) -> dict[date, int]:
        await ledger.app.refund(resident, ledger.id7(), posting_id=spend, points=points, reason="r")
        return await ledger.lots(resident)

    await ledger.set_clock(datetime(2027, 3, 16, 4, tzinfo=UTC))
    assert await refund(90) == {date(2027, 4, 30): 10, date(2029, 1, 31): 100}
    assert await refund(30) == {date(2027, 4, 30): 40, date(2029, 1, 31): 100}
    await ledger.set_clock(datetime(2027, 5, 20, 4, tzinfo=UTC))
    assert await refund(60) == {date(2029, 1, 31): 100}
    with refusal("refund_too_large"):
        await refund(1)


async def test_the_price_of_a_voided_coupon_comes_back_renewed_though_the_account_is_frozen(ledger: Ledger) -> None:
    await ledger.set_clock(datetime(2027, 1, 10, 4, tzinfo=UTC))
    await ledger.owner.execute(MONTHS)
    resident = await ledger.resident()
    await ledger.earn(resident, await ledger.campaign(points=100, months=1))
    coupon = await ledger.coupon(resident, await ledger.template(price_points=60, valid_days=300))
    await ledger.set_clock(datetime(2027, 4, 2, 4, tzinfo=UTC))
    await ledger.app.freeze(resident, ledger.id7(), kind="frozen", authority="court", reason="r", until=None, actor=1)
    done = await ledger.app.void_coupon(resident, ledger.id7(), coupon_id=coupon, reason="r", actor=1)
    assert done.result.points == done.result.points_after == 60
    assert await ledger.lots(resident) == {date(2027, 5, 31): 60}


async def test_a_lock_that_has_lapsed_stands_in_the_way_of_nothing(ledger: Ledger) -> None:
    terms = await ledger.template(return_stock=True)
    ends: dict[str, UUID] = {}
    resident = await ledger.resident()
    for end in ("show", "lock", "void", "expire"):
        ends[end] = await ledger.coupon(resident, terms)
        await ledger.app.lock_coupon(resident, ledger.id7(), coupon_id=ends[end], life_s=60, request_no=end, actor=1)
    await ledger.move_clock(seconds=61)
    await ledger.redeem(await ledger.scan(await ledger.show(resident, ends["show"])))
    await ledger.app.lock_coupon(resident, ledger.id7(), coupon_id=ends["lock"], life_s=60, request_no="2", actor=1)
    await ledger.app.void_coupon(resident, ledger.id7(), coupon_id=ends["void"], reason="r", actor=1)
    await ledger.move_clock(days=31)
    await ledger.worker.expire_coupon(resident, ledger.id8(), coupon_id=ends["expire"])
    states = [(await ledger.coupon_row(resident, coupon))["state"] for coupon in ends.values()]
    assert states == ["redeemed", "locked", "voided", "expired"]
