"""Ids: replays, other bodies, old and future ids, whose id opens which door, and which refusals stay refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from server.kit.ids import uuid7, uuid8
from tests.support.databases import connected
from tests.support.ledger import COUNTER, JOB_KEY, Ledger, ledger, module_ledger, post, refusal
from wallet import Refused

__all__ = ["ledger", "module_ledger"]

HASH = "\\x" + "ab" * 32


@pytest_asyncio.fixture
async def app(ledger: Ledger) -> AsyncIterator[asyncpg.Connection]:
    async with connected(ledger.database.app) as connection:
        yield connection


async def test_a_claim_again_under_its_id_is_the_same_answer_and_no_second_coupon(ledger: Ledger) -> None:
    resident, terms, id = await ledger.resident(points=100), await ledger.template(price_points=10), ledger.id7()
    first = await ledger.claim(resident, terms, id=id)
    again = await ledger.claim(resident, terms, id=id)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.result == first.result
    assert await ledger.balance(resident) == 90 and await ledger.rows(resident) == 2


async def test_one_id_for_another_body_is_refused_and_writes_nothing(ledger: Ledger) -> None:
    resident, id = await ledger.resident(), ledger.id7()
    await ledger.claim(resident, await ledger.template(), id=id)
    with refusal("idempotency_mismatch"):
        await ledger.claim(resident, await ledger.template(), id=id)
    scanned = await ledger.scanned(await ledger.template(threshold_fen=100))
    await ledger.redeem(scanned, amount=5000)
    with refusal("idempotency_mismatch"):
        await ledger.redeem(scanned, amount=5001)
    assert await ledger.rows(resident) == 1


async def test_an_id_is_a_residents_own(ledger: Ledger) -> None:
    one, other, terms, id = await ledger.resident(), await ledger.resident(), await ledger.template(), ledger.id7()
    assert not (await ledger.claim(one, terms, id=id)).replayed
    assert not (await ledger.claim(other, terms, id=id)).replayed


async def test_one_id_cannot_serve_two_operations(ledger: Ledger, app: asyncpg.Connection) -> None:
    resident, terms = await ledger.resident(), await ledger.template()
    coupon = await ledger.coupon(resident, terms)
    row = await ledger.row(resident, coupon)
    assert row is not None
    item = {"op": 3, "b": resident & 1023, "owner": resident, "id": coupon, "hash": "\\x" + row["hash"].hex()}
    assert [one[0] for one in await post(app, "post_batch", item)] == [2]


@pytest.mark.parametrize(
    ("ago", "answer"),
    [
        ({"hours": 47, "minutes": 59}, None),
        ({"hours": 48, "minutes": 1}, "idempotency_key_expired"),
        ({"minutes": -4}, None),
        ({"minutes": -6}, "idempotency_key_expired"),
        ({"days": 400}, "idempotency_key_expired"),
        ({"days": -400}, "idempotency_key_expired"),
        ({"days": 365 * 50}, "idempotency_key_expired"),
    ],
    ids=str,
)
async def test_an_id_is_taken_inside_its_window_only(ledger: Ledger, ago: dict[str, float], answer: str | None) -> None:
    resident, terms = await ledger.resident(), await ledger.template()
    if answer is None:
        await ledger.claim(resident, terms, id=ledger.id7(**ago))
        return
    with refusal(answer):
        await ledger.claim(resident, terms, id=ledger.id7(**ago))
    assert await ledger.rows(resident) == 0


async def test_a_replay_needs_no_window(ledger: Ledger) -> None:
    resident, terms, id = await ledger.resident(), await ledger.template(), ledger.id7()
    first = await ledger.claim(resident, terms, id=id)
    await ledger.move_clock(days=60)
    again = await ledger.claim(resident, terms, id=id)
    assert again.replayed and again.result == first.result


async def test_the_door_of_the_app_takes_version_7_only_and_the_workers_8_only(ledger: Ledger) -> None:
    resident, terms = await ledger.resident(), await ledger.template()
    campaign = await ledger.campaign()
    for id in (uuid4(), ledger.id8()):
        with pytest.raises(Refused) as refused:
            await ledger.claim(resident, terms, id=id)
        assert refused.value.code in ("operation_not_permitted", "idempotency_key_expired")
    for id in (uuid4(), ledger.id7()):
        with refusal("operation_not_permitted"):
            await ledger.earn(resident, campaign, id=id)
    assert await ledger.rows(resident) == 0


async def test_a_client_cannot_occupy_the_id_of_a_job(ledger: Ledger) -> None:
    resident, terms, campaign = await ledger.resident(), await ledger.template(), await ledger.campaign(points=9)
    job = uuid8(ledger.now(), "identity_bound", "42", JOB_KEY)
    with refusal("operation_not_permitted"):
        await ledger.claim(resident, terms, id=job)
    assert (await ledger.earn(resident, campaign, id=job)).result.points == 9


async def test_a_job_may_be_late_but_not_before_the_first_month(ledger: Ledger) -> None:
    resident, campaign = await ledger.resident(), await ledger.campaign()
    await ledger.earn(resident, campaign, id=ledger.id8(days=20))
    with refusal("idempotency_key_expired"):
        await ledger.earn(resident, campaign, id=ledger.id8(days=200))


async def test_a_month_without_a_partition_is_an_old_id_and_never_an_exception(ledger: Ledger) -> None:
    resident, terms = await ledger.resident(), await ledger.template()
    campaign = await ledger.campaign()
    await ledger.move_clock(days=300)
    with refusal("idempotency_key_expired"):
        await ledger.claim(resident, terms)
    with refusal("idempotency_key_expired"):
        await ledger.earn(resident, campaign)
    assert await ledger.worker.ensure_partitions(3) > 0
    assert await ledger.worker.ensure_partitions(3) == 0
    await ledger.earn(resident, campaign)
    with refusal("idempotency_key_expired"):
        await ledger.claim(resident, terms, id=UUID(int=(1 << 128) - 1 & ~(0xF << 76) | 7 << 76))
    with refusal("idempotency_key_expired"):
        await ledger.claim(resident, terms, id=UUID(int=7 << 76 | 2 << 62))


async def test_short_of_points_stays_refused_after_a_top_up(ledger: Ledger) -> None:
    resident, terms, id = await ledger.resident(points=5), await ledger.template(price_points=10), ledger.id7()
    with refusal("insufficient_points"):
        await ledger.claim(resident, terms, id=id)
    row = await ledger.row(resident, id)
    assert row is not None and (row["st"], row["seq"], await ledger.legs(resident, id)) == (10, 2, {})
    await ledger.earn(resident, await ledger.campaign(points=50))
    with pytest.raises(Refused, match="insufficient_points") as refused:
        await ledger.claim(resident, terms, id=id)
    assert refused.value.replayed
    assert await ledger.balance(resident) == 55
    await ledger.claim(resident, terms)
    with refusal("idempotency_mismatch"):
        await ledger.claim(resident, await ledger.template(), id=id)


async def test_refusals_that_may_pass_do_not_stay(ledger: Ledger) -> None:
    resident, other = await ledger.resident(), await ledger.resident()
    sold_out = await ledger.template(stock=0, per_person=1)
    id = ledger.id7()
    with refusal("sold_out"):
        await ledger.claim(resident, sold_out, id=id)
    await ledger.app.close_budget(sold_out.stock_budget)
    with refusal("terms_closed"):
        await ledger.claim(resident, sold_out, id=id)
    await ledger.app.open_budget(sold_out.stock_budget)
    await ledger.top_up(sold_out.stock_budget, 2)
    assert not (await ledger.claim(resident, sold_out, id=id)).replayed
    limited = ledger.id7()
    with refusal("limit_reached"):
        await ledger.claim(resident, sold_out, id=limited)
    wider = await ledger.template(
        template_id=sold_out.template_id, version=2, per_person=2, stock_budget=sold_out.stock_budget
    )
    assert not (await ledger.claim(resident, wider, id=limited)).replayed
    assert await ledger.rows(resident) == 2 and await ledger.rows(other) == 0


async def test_either_empty_or_closed_budget_refuses_a_claim_whole(ledger: Ledger) -> None:
    resident, terms = await ledger.resident(points=100), await ledger.template(fen=1500, price_points=10)
    await ledger.claim(resident, terms)
    with refusal("sold_out"):
        await ledger.claim(resident, terms)
    await ledger.app.close_budget(terms.fen_budget)  # type: ignore[arg-type]
    with refusal("terms_closed"):
        await ledger.claim(resident, terms)
    assert await ledger.left(terms.stock_budget) == 999 and await ledger.balance(resident) == 90
    campaign_budget = await ledger.budget("points", 50)
    campaign = await ledger.campaign(points=60, budget=campaign_budget)
    with refusal("sold_out"):
        await ledger.earn(resident, campaign)
    await ledger.app.close_budget(campaign_budget)
    with refusal("terms_closed"):
        await ledger.earn(resident, campaign)


async def test_unknown_wallets_and_terms_are_told_apart(ledger: Ledger) -> None:
    resident, terms = await ledger.resident(), await ledger.template()
    with refusal("wallet_not_open"):
        await ledger.claim(999_999_999, terms)
    with refusal("wallet_not_open"):
        await ledger.earn(999_999_999, await ledger.campaign())
    with refusal("terms_not_found"):
        await ledger.app.claim(resident, ledger.id7(), template_id=1, terms_id=2**40)
    with refusal("terms_not_found"):
        await ledger.earn(resident, 2**40)


async def test_every_replay_wins_over_whatever_changed_since(ledger: Ledger) -> None:
    resident, campaign = await ledger.resident(points=100), await ledger.campaign(per_person=1)
    terms = await ledger.template(price_points=10, per_person=1, stock=1, claim_until=ledger.now() + timedelta(hours=1))
    earn_id, claim_id = ledger.id8(), ledger.id7()
    day = ledger.today()
    earned = await ledger.earn(resident, campaign, id=earn_id)
    claimed = await ledger.claim(resident, terms, id=claim_id)
    showing = await ledger.show(resident, claim_id)
    scanned = await ledger.scan(showing)
    redeemed = await ledger.redeem(scanned)
    voided = await ledger.app.void(redeemed.result.id, acceptor=COUNTER, reason="x")

    await ledger.app.close_budget(terms.stock_budget)
    await ledger.app.bump_epoch(resident)
    await ledger.app.set_acceptor("merchant", 1, 1, None, False)
    await ledger.move_clock(days=40)
    await ledger.worker.expire_coupon(resident, ledger.id8(), coupon_id=claim_id)
    try:
        again: list[Any] = [
            await ledger.earn(resident, campaign, id=earn_id, on=day),
            await ledger.claim(resident, terms, id=claim_id),
            await ledger.redeem(scanned, ticket_s=-(10**6)),
            await ledger.app.void(redeemed.result.id, acceptor=COUNTER, reason="another reason"),
        ]
    finally:
        await ledger.app.set_acceptor("merchant", 1, 1, None, True)
    assert all(one.replayed for one in again)
    assert [one.result for one in again] == [one.result for one in (earned, claimed, redeemed, voided)]


async def test_a_half_made_item_is_answered_and_not_thrown(ledger: Ledger, app: asyncpg.Connection) -> None:
    resident = await ledger.resident()
    b, id, terms = resident & 1023, ledger.id7(), (await ledger.template()).id
    claim = {"op": 2, "b": b, "owner": resident, "id": id, "hash": HASH, "terms": terms}
    counter = {"merchant": 1, "store": 11, "terminal": 111}
    answers = await post(
        app,
        "post_batch",
        {},
        {"op": 2},
        {**claim, "b": (b + 1) % 1024},
        {**claim, "b": None},
        {**claim, "id": None},
        {**claim, "hash": None},
        {**claim, "terms": None},
        {**claim, "op": 99},
        {**claim, "op": 1},
        {**claim, "op": 7},
        {"op": 20},
        {"op": 20, "b": b, "owner": resident, "handle": -1, "redemption": id, "void": id, **counter},
        {"op": 3, "b": b, "owner": resident, "id": id, "hash": HASH},
        {"op": 4},
        {"op": 4, "b": b, "owner": resident, "redemption": id},
        {**claim, "takes": [[1, 1, -5]], "slot_a": 77, "slot_b": 9},
    )
    assert [status for status, _, _ in answers] == [6, 5, 5, 5, 5, 5, 15, 6, 6, 6, 5, 20, 39, 5, 38, 0]
    assert await post(app, "post_batch") == []
    assert await ledger.rows(resident) == 1


async def test_a_claim_at_the_turn_of_a_month_lands_in_the_month_of_its_id(ledger: Ledger) -> None:
    now = ledger.now()
    first = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=now.tzinfo)
    await ledger.set_clock(first + timedelta(seconds=2))
    resident, terms = await ledger.resident(), await ledger.template()
    before, after = uuid7(first - timedelta(milliseconds=1)), uuid7(first)
    for id in (before, after):
        await ledger.claim(resident, terms, id=id)
    months = await ledger.owner.fetch(
        "SELECT tableoid::regclass::text AS t FROM vault.journal WHERE owner = $1 ORDER BY id", resident
    )
    assert [row["t"] for row in months] == [f"vault.journal_{now:%Y%m}", f"vault.journal_{first:%Y%m}"]
