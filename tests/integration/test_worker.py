"""The worker's steps on a real database: what a city's night does without anybody asking."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.config import Settings
from server.kit.db import transaction
from server.kit.outbox import emit
from server.people.residents import IDENTITY_BOUND
from server.sandbox.engines import Engines
from server.sandbox.environment import sandbox_environment
from server.sandbox.wechat.control import StandInControl
from server.services import close_services, open_worker
from server.worker import Worker
from tests.support.databases import Database
from tests.support.ledger import open_ledger
from tests.support.patience import until
from tests.support.sealing import open_sealed


@asynccontextmanager
async def working(engines: Engines, database: Database) -> AsyncIterator[Worker]:
    environment = sandbox_environment(
        engines.urls,
        database=database.name,
        wechat_base="http://127.0.0.1:9",
        appid=StandInControl.appid,
        app_secret=StandInControl.secret,
        realname_key=StandInControl.realname_key,
    ) | {"CHENGXIN_REDIS_URL": ""}
    values = {name.removeprefix("CHENGXIN_").lower(): value for name, value in environment.items()}
    services = await open_worker(Settings(**values))
    try:
        yield Worker(services)
    finally:
        await close_services(services)


async def test_a_coupon_past_its_day_is_booked_and_its_budgets_get_back_what_they_gave(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_ledger(fresh_database) as ledger:
        terms = await ledger.template(stock=10, fen=5_000, face_value_fen=500, valid_days=30, return_stock=True)
        resident = await ledger.resident()
        coupon = await ledger.coupon(resident, terms)
        assert (await ledger.left(terms.stock_budget), await ledger.left(terms.fen_budget)) == (9, 4_500)
        await ledger.move_clock(days=29)
        async with working(engines, fresh_database) as worker:
            assert await worker.expire() == 0
            await ledger.move_clock(days=2)
            assert await worker.expire() == 1
            assert await worker.expire() == 0
        assert (await ledger.coupon_row(resident, coupon))["state"] == "expired"
        assert (await ledger.left(terms.stock_budget), await ledger.left(terms.fen_budget)) == (10, 5_000)
        assert await ledger.broken() == []


async def test_what_a_redemption_left_in_reserve_goes_back_once_it_can_no_longer_be_voided(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_ledger(fresh_database) as ledger:
        terms = await ledger.template(
            fen=10_000, kind="discount", pay_bp=8_000, cap_fen=3_000, face_value_fen=0, void_window_s=600
        )
        redeemed = await ledger.redeemed(terms, amount=5_000)
        assert (redeemed.discount_fen, await ledger.left(terms.fen_budget)) == (1_000, 7_000)
        async with working(engines, fresh_database) as worker:
            assert await worker.expire() == 0
            await ledger.move_clock(minutes=11)
            assert await worker.expire() == 1
            assert await worker.expire() == 0
        assert await ledger.left(terms.fen_budget) == 9_000
        assert await ledger.broken() == []


async def test_the_coming_months_are_made_before_they_begin(engines: Engines, fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger, working(engines, fresh_database) as worker:
        assert await worker.upkeep() == 0
        await ledger.move_clock(days=62)
        assert await worker.upkeep() == 2
        assert await worker.upkeep() == 0


async def test_months_that_passed_while_nobody_made_them_are_made_too(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_ledger(fresh_database) as ledger, working(engines, fresh_database) as worker:
        terms = await ledger.template(fen=5_000, face_value_fen=500, valid_days=130)
        await ledger.coupon(await ledger.resident(), terms)
        await ledger.move_clock(days=250)
        assert await worker.upkeep() > 0
        assert await worker.expire() == 1
        assert await ledger.left(terms.fen_budget) == 5_000
        months = await ledger.owner.fetch("SELECT lower_id, upper_id FROM vault.journal_month ORDER BY month")
        assert [row["upper_id"] for row in months[:-1]] == [row["lower_id"] for row in months[1:]]


async def test_an_event_that_one_room_cannot_handle_holds_up_no_other_room(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_ledger(fresh_database) as ledger, working(engines, fresh_database) as worker:
        async with transaction() as tx:
            await emit(tx, IDENTITY_BOUND, "resident:x", {"resident_id": "no number"}, ledger.now())
            await emit(tx, "acceptor.changed", "acceptor:merchant:4", {"kind": "merchant", "id": "4"}, ledger.now())
        last = await ledger.owner.fetchval("SELECT max(txid) FROM event")

        async def everybody_went_on() -> bool:
            await worker.relay()
            reached = await ledger.owner.fetch("SELECT txid FROM event_cursor WHERE stream = 'house'")
            return len(reached) == 3 and all(row["txid"] > last for row in reached)

        await until("the event taken by every room", everybody_went_on)
        stumbled = await ledger.owner.fetch("SELECT kind, key, status, error FROM job")
        assert [tuple(row) for row in stumbled] == [("wallets", "resident:x", "due", "ValueError")]
        opened = await ledger.owner.fetch("SELECT open FROM vault.acceptor WHERE kind = 'merchant' AND id = 4")
        assert opened == [], "the house knows no such merchant, and the event was handled all the same"


async def test_the_journal_is_sealed_day_by_day_and_the_chain_goes_on_after_a_restart(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_sealed(fresh_database) as sealed:
        ledger = sealed.ledger
        first = ledger.today()

        async def has(rows: int, worker: Worker) -> bool:
            await worker.seal()
            return await ledger.owner.fetchval("SELECT coalesce(max(total_rows), 0) FROM vault.seal") == rows

        async def is_over(worker: Worker) -> bool:
            await worker.seal()
            return await sealed.seals.head(first) is not None

        await ledger.resident(points=5)
        async with working(engines, fresh_database) as worker:
            await until("the row's seal", lambda: has(1, worker))
            assert await worker.seal() == 0, "nothing is left to be done at once"
        await ledger.resident(points=6)
        await ledger.move_clock(days=1)
        async with working(engines, fresh_database) as worker:
            await until("the next row's seal", lambda: has(2, worker))
            await until("the day's head", lambda: is_over(worker))
        report = await sealed.prove()
        assert (report.found, report.rows) == ([], 2)
