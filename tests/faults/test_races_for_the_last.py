"""Who ends a hold first, and who gets the last units of a budget.

What is lost: nothing. One wins, everybody else is told so; what is held is the open holds; a budget gives all it has
and not a point more, and nobody is told "sold out" while there is enough.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from tests.support.databases import Database
from tests.support.intents import INTENTS, PAYEE
from tests.support.ledger import Ledger, open_ledger
from tests.support.patience import until
from tests.support.posters import Posters
from wallet import Refused, Vault

pytestmark = pytest.mark.fault

HOLDS = INTENTS // 15
LIFE_S = 2


@pytest_asyncio.fixture(scope="module")
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(database) as ledger:
        yield ledger


async def ended(call: Any) -> str:
    try:
        return f"done {type((await call).result).__name__}"
    except Refused as refused:
        return refused.code


async def lapsed(vault: Vault, ledger: Ledger, resident: int, hold: UUID) -> str:
    """What the job that lets holds lapse does: it comes too early, and comes again."""

    async def over() -> str:
        said = await ended(vault.release(resident, ledger.id8(), hold_id=hold))
        return "" if said == "not_due" else said

    return await until("the end of a hold's life", over)


async def test_of_a_capture_a_release_and_the_end_of_its_life_exactly_one_ends_a_hold(ledger: Ledger) -> None:
    other = await Vault.connect(ledger.database.app, role="app", first_lane=3, pool_max=2)
    chance = random.Random(5)

    async def race(resident: int) -> Counter[str]:
        hold = ledger.id7()
        await ledger.app.hold(resident, hold, points=7, payee=PAYEE, life_s=LIFE_S)
        meet_s = chance.choice((LIFE_S - 1.5, LIFE_S))

        async def together(call: Any) -> str:
            await asyncio.sleep(meet_s + chance.uniform(-0.05, 0.05))
            return await call()

        return Counter(
            await asyncio.gather(
                together(lambda: ended(ledger.app.capture(resident, ledger.id7(), hold_id=hold))),
                together(lambda: ended(other.capture(resident, ledger.id7(), hold_id=hold, points=3))),
                together(lambda: ended(other.release(resident, ledger.id7(), hold_id=hold))),
                lapsed(ledger.worker, ledger, resident, hold),
            )
        )

    try:
        residents = [await ledger.resident(points=10) for _ in range(HOLDS)]
        said = await asyncio.gather(*(race(one) for one in residents))
    finally:
        await other.close()
    for one in said:
        won = sum(count for answer, count in one.items() if answer.startswith("done"))
        assert won == 1 and set(one) <= {"done Captured", "done Released", "hold_not_found", "hold_expired"}, one
    assert len({answer for one in said for answer in one if answer.startswith("done")}) == 2, "both ends happened"
    ends = await ledger.owner.fetch(
        "SELECT owner, count(*) AS n FROM vault.journal WHERE op IN (10, 11) AND st = 0 AND owner = ANY($1::bigint[])"
        " GROUP BY owner",
        residents,
    )
    assert {row["owner"]: row["n"] for row in ends} == dict.fromkeys(residents, 1)
    left = (
        "SELECT count(*), (SELECT sum(points_held) FROM vault.wallet WHERE owner = ANY($1::bigint[])) FROM vault.hold"
    )
    assert tuple(await ledger.owner.fetchrow(left, residents)) == (0, 0)
    assert await ledger.broken() == []


@pytest.mark.parametrize(("op", "total", "each"), [("earn", 407, 10), ("claim", 37, 1), ("claim", 1, 1)])
async def test_the_last_units_of_a_budget_go_to_exactly_as_many_as_there_are(
    ledger: Ledger, op: str, total: int, each: int
) -> None:
    if op == "earn":
        budget = await ledger.budget("points", total)
        arguments: dict[str, Any] = {
            "terms_id": await ledger.campaign(points=each, budget=budget), "earned_on": str(ledger.today()),
        }  # fmt: skip
    else:
        terms = await ledger.template(stock=total)
        budget, arguments = terms.stock_budget, {"template_id": terms.template_id, "terms_id": terms.id}
    residents = [await ledger.resident() for _ in range(60)]
    async with Posters.started(ledger.database.app, ledger.database.worker, 3) as posters:

        async def one(n: int) -> tuple[float, float, str]:
            await asyncio.sleep(n % 10 / 50)
            id = ledger.id8() if op == "earn" else ledger.id7()
            request = {"op": op, "resident": residents[n], "id": str(id), "arguments": arguments}
            began = time.monotonic()
            said = await posters.ask(n, request)
            return began, time.monotonic(), said.get("refused", "done" if "done" in said else str(said))

        answers = await asyncio.gather(*(one(n) for n in range(len(residents))))
    seen = Counter(answer for *_, answer in answers)
    assert seen == {"done": total // each, "sold_out": 60 - total // each}, f"of a budget of {total}, saw {seen}"
    assert await ledger.left(budget) == total % each
    last_granted = max(began for began, _, answer in answers if answer == "done")
    first_refused = min(over for _, over, answer in answers if answer == "sold_out")
    assert last_granted < first_refused, "somebody was told sold out, and somebody who asked later was served"
    assert await ledger.broken() == []
