"""Somebody else's transactions hold what postings need: deadlocks, waits without end, another isolation level.

What is lost: nothing. A batch that loses a deadlock or waits too long is sent again item by item under the same ids; at
another isolation level than READ COMMITTED nothing is posted at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tests.support.databases import Database, connected
from tests.support.intents import INTENTS, PAYEE, Field, Mixture, settle
from tests.support.ledger import Ledger, open_ledger
from tests.support.patience import until
from tests.support.posters import Posters
from wallet import Vault, bucket_of

pytestmark = pytest.mark.fault

ROUNDS = 2 if INTENTS < 20_000 else 20
LOCK_WALLET = "SELECT FROM vault.wallet WHERE b = $1 AND owner = $2 FOR UPDATE"


@pytest_asyncio.fixture
async def ledger(fresh_database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(fresh_database) as ledger:
        yield ledger


async def deadlocks(ledger: Ledger) -> int:
    sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int(await ledger.owner.fetchval(sql))


async def test_deadlocks_forced_by_a_foreign_transaction_are_sent_again_and_lose_nothing(ledger: Ledger) -> None:
    field = await Field.laid_out(ledger)
    sorted_wallets = sorted((bucket_of(one), one) for one in field.residents)

    async def lock_in_reverse(mixture: Mixture) -> None:
        async with connected(ledger.database.superuser) as rival:
            # The rival looks for deadlocks so late that the lane is the one that is rolled back.
            await rival.execute("SET deadlock_timeout = '5min'; SET lock_timeout = 0")
            for n in range(ROUNDS):
                await mixture.reached((n + 0.2) / (ROUNDS + 1))
                async with rival.transaction():
                    for b, owner in reversed(sorted_wallets):
                        await rival.execute(LOCK_WALLET, b, owner)
                        await asyncio.sleep(0.01)

    async with Posters.started(ledger.database.app, ledger.database.worker) as posters:
        mixture = Mixture(field, posters, seed=31)
        await mixture.run(lock_in_reverse)

    async def seen() -> bool:
        return await deadlocks(ledger) > 0

    await until("a deadlock counted by PostgreSQL", seen)
    print(await settle(mixture, ledger.database), "; deadlocks", await deadlocks(ledger))


async def test_a_foreign_lock_on_a_budget_is_waited_for_and_given_up_and_loses_nothing(ledger: Ledger) -> None:
    field = await Field.laid_out(ledger)

    async def hold_budgets(mixture: Mixture) -> None:
        async with connected(ledger.database.owner) as rival:
            await mixture.reached(0.3)
            async with rival.transaction():
                await rival.execute("SELECT FROM vault.slot WHERE budget = ANY($1) FOR UPDATE", list(field.budgets))
                await told_to_wait(posters)

    async def told_to_wait(posters: Posters) -> None:
        async def seen() -> int:
            return posters.heard["in_flight"]

        await until("a caller told that his request is in flight", seen)

    async with Posters.started(ledger.database.app, ledger.database.worker) as posters:
        mixture = Mixture(field, posters, seed=32)
        await mixture.run(hold_budgets)
    print(await settle(mixture, ledger.database))


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_another_isolation_level_is_refused_in_words_and_nothing_is_written(ledger: Ledger, level: str) -> None:
    resident = await ledger.resident(points=50)
    campaign, terms = await ledger.campaign(points=5), await ledger.template()
    rows = await ledger.owner.fetchval("SELECT count(*) FROM vault.journal")
    roles, name = ("chengxin_app", "chengxin_worker"), ledger.database.name
    async with connected(ledger.database.superuser) as superuser:
        for role in roles:
            await superuser.execute(
                f"ALTER ROLE {role} IN DATABASE {name} SET default_transaction_isolation = '{level}'"
            )
        app = await Vault.connect(ledger.database.app, role="app")
        worker = await Vault.connect(ledger.database.worker, role="worker")
        try:
            for call in (
                app.spend(resident, ledger.id7(), points=5, payee=PAYEE),
                app.hold(resident, ledger.id7(), points=5, payee=PAYEE, life_s=60),
                ledger.claim(resident, terms, vault=app),
                worker.earn(resident, ledger.id8(), campaign, ledger.today()),
            ):
                with pytest.raises(asyncpg.InvalidTransactionStateError, match="READ COMMITTED only"):
                    await call
        finally:
            await app.close()
            await worker.close()
            for role in roles:
                await superuser.execute(f"ALTER ROLE {role} IN DATABASE {name} RESET default_transaction_isolation")
    assert await ledger.owner.fetchval("SELECT count(*) FROM vault.journal") == rows
    assert await ledger.balance(resident) == 50
    assert await ledger.broken() == []
