"""The same request twice, or another one under its id, over several processes at once.

What is lost: nothing. An id is done once and always answered alike; what else is sent under it writes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from tests.support.databases import Database
from tests.support.intents import INTENTS, PAYEE, Field, Mixture, settle
from tests.support.ledger import Ledger, open_ledger
from tests.support.posters import Posters, Said

pytestmark = pytest.mark.fault


@pytest_asyncio.fixture
async def ledger(fresh_database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(fresh_database) as ledger:
        yield ledger
        assert await ledger.broken() == []


@pytest_asyncio.fixture
async def posters(fresh_database: Database) -> AsyncIterator[Posters]:
    async with Posters.started(fresh_database.app, fresh_database.worker, 3) as posters:
        yield posters


def asked(op: str, resident: int, id: UUID, **arguments: Any) -> dict[str, Any]:
    return {"op": op, "resident": resident, "id": str(id), "arguments": arguments}


async def at_once(posters: Posters, requests: list[dict[str, Any]]) -> list[Said]:
    return list(await asyncio.gather(*(posters.ask(n, request) for n, request in enumerate(requests))))


async def test_3_to_50_copies_in_flight_over_several_processes_are_done_once_and_answered_alike(
    ledger: Ledger, posters: Posters
) -> None:
    mixture = Mixture(
        await Field.laid_out(ledger, 10), posters, intents=INTENTS // 5, seed=11, copies=(3, 3, 3, 5, 10, 50)
    )
    await mixture.run()
    firsts = Counter(one.first for one in mixture.told.values())
    assert set(firsts) == {1}, f"expected one first answer for each id, all others replays; saw {dict(firsts)}"
    print(await settle(mixture, ledger.database))


async def test_other_bodies_and_operations_racing_under_one_id_write_one_row(ledger: Ledger, posters: Posters) -> None:
    terms = await ledger.template(price_points=5)
    for _ in range(10):
        resident, id = await ledger.resident(points=100), ledger.id7()
        rivals = [
            asked("spend", resident, id, points=5, payee=PAYEE),
            asked("spend", resident, id, points=6, payee=PAYEE),
            asked("spend", resident, id, points=5, payee=PAYEE + 1),
            asked("hold", resident, id, points=5, payee=PAYEE, life_s=60),
            asked("claim", resident, id, template_id=terms.template_id, terms_id=terms.id),
        ]
        said = await at_once(posters, rivals * 3)
        seen = Counter(one.get("refused", "replayed" if one.get("replayed") else "done") for one in said)
        assert seen == {"done": 1, "replayed": 2, "idempotency_mismatch": 12}, f"of 15 rivals under one id, saw {seen}"
        assert await ledger.rows(resident) == 2, "the top-up and one posting"


async def test_one_id_of_two_residents_is_two_requests_and_neither_sees_the_other(
    ledger: Ledger, posters: Posters
) -> None:
    residents, id = [await ledger.resident(points=10 * (n + 1)) for n in range(6)], ledger.id7()
    requests = [asked("spend", one, id, points=10 * (n + 1), payee=PAYEE) for n, one in enumerate(residents)]
    said = await at_once(posters, requests * 3)
    assert [one["done"]["owner"] for one in said] == residents * 3
    assert sum(not one["replayed"] for one in said) == 6
    assert [await ledger.balance(one) for one in residents] == [0] * 6


async def test_a_refusal_that_stays_is_answered_again_after_a_top_up_by_every_process(
    ledger: Ledger, posters: Posters
) -> None:
    terms = await ledger.template(price_points=50)
    for op, arguments in (
        ("spend", {"points": 50, "payee": PAYEE}),
        ("hold", {"points": 50, "payee": PAYEE, "life_s": 60}),
        ("claim", {"template_id": terms.template_id, "terms_id": terms.id}),
    ):
        resident, id = await ledger.resident(), ledger.id7()
        first = await posters.ask(0, asked(op, resident, id, **arguments))
        assert first == {"refused": "insufficient_points", "replayed": False}
        await ledger.earn(resident, await ledger.campaign(points=500))
        said = await at_once(posters, [asked(op, resident, id, **arguments)] * 12)
        assert said == [{"refused": "insufficient_points", "replayed": True}] * 12, f"{op}: saw {said}"
        assert await ledger.balance(resident) == 500 and await ledger.rows(resident) == 2
        fresh = await posters.ask(1, asked(op, resident, ledger.id7(), **arguments))
        assert "done" in fresh, f"{op} under a new id, saw {fresh}"


async def test_an_id_outside_its_window_is_never_executed_however_often_it_comes(
    ledger: Ledger, posters: Posters
) -> None:
    """Above all a request that was lost on its way and arrives two days later."""
    resident = await ledger.resident(points=100)
    done = asked("spend", resident, ledger.id7(), points=10, payee=PAYEE)
    lost = asked("spend", resident, ledger.id7(), points=10, payee=PAYEE)
    first = await posters.ask(0, done)
    await ledger.move_clock(hours=48, seconds=1)
    strays = [lost, *(asked("spend", resident, ledger.id7(**ago), points=10, payee=PAYEE) for ago in (
        {"hours": 72}, {"days": 400}, {"minutes": -6}, {"days": -40},
    ))]  # fmt: skip
    said = await at_once(posters, strays * 5)
    assert said == [{"refused": "idempotency_key_expired", "replayed": False}] * 25, f"saw {said}"
    assert await posters.ask(1, done) == first | {"replayed": True}, "what was done is answered at any age"
    assert await ledger.balance(resident) == 90 and await ledger.rows(resident) == 2
