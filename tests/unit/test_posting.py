"""What a posting does when the vault asks for room or for counters: how often, for how much, and when it gives up.

The wire and the pool answer as a test wants; what the vault itself does is tested in tests/integration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec
import pytest

from tests.support.wires import Wire, claim, opened
from wallet import Refused, statuses
from wallet.cells import Cells
from wallet.items import Item, PlaceLimit, Refill
from wallet.lanes import Lanes
from wallet.posting import Done, Poster

BUDGET, AMOUNT, SLOTS = 5, 3, 16
#: The largest amount that vault.rebalance takes.
VAULT_TAKES = 10**15
MONTHLY = PlaceLimit(limit_id="L1/store/count/month", place="7", period_start=date(2026, 3, 1))
WEEKLY = PlaceLimit(limit_id="L2/campaign/count/week", place="", period_start=date(2026, 3, 2))
ROOM = Refill(budget=BUDGET, amount=AMOUNT)
LOOK = Refill()


class Given(msgspec.Struct):
    """What a posting that is done answers here."""

    points: int


class Pool:
    """The pool of a vault whose budgets hold `holds`; remembers what was laid out and opened."""

    def __init__(self, holds: int | None) -> None:
        self.holds = holds
        self.laid: list[tuple[int, int, int]] = []
        self.opened: list[tuple[Any, ...]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, sql: str, *args: Any) -> list[tuple[int | None]]:
        if "vault.open_counter" in sql:
            self.opened.append(args)
            return [(None,)]
        assert "vault.rebalance" in sql
        self.laid.append(args)
        await self.gate.wait()
        return [(self.holds,)]


class House:
    """A poster on one lane, and what it stands on."""

    def __init__(self, wire: Wire, pool: Pool, lanes: Lanes) -> None:
        self.wire, self.pool, self.lanes = wire, pool, lanes
        self.poster = Poster(pool, Cells([0] * 1024, lambda _: lanes), SLOTS)  # type: ignore[arg-type]

    async def post(self, item: Item | None = None) -> Done[Given]:
        return await self.poster._post(item or claim(7), Given)


async def house(answers: Callable[[Any], tuple[int, str | None]], *, holds: int | None, batch: int = 100) -> House:
    wire = Wire(answers=answers)
    return House(wire, Pool(holds), await opened(wire, batch=batch))


def wants(*asked: Refill) -> Callable[[Any], tuple[int, str | None]]:
    """Asks for each of these in turn, then is done."""
    left = list(asked)

    def answer(_: Any) -> tuple[int, str | None]:
        if left:
            return statuses.REFILL.number, msgspec.json.encode(left.pop(0)).decode()
        return statuses.DONE.number, '{"points": 3}'

    return answer


async def test_a_posting_that_is_done_is_sent_once_and_lays_out_nothing() -> None:
    at = await house(wants(), holds=0)
    done = await at.post()
    assert (done.result.points, done.replayed) == (3, False)
    assert (len(at.wire.batches), at.pool.laid) == (1, [])


@pytest.mark.parametrize(("asked", "served"), [(3, True), (4, False)])
async def test_a_budget_is_laid_out_three_times_and_gathered_from_the_second(asked: int, served: bool) -> None:
    at = await house(wants(*[ROOM] * asked), holds=1000)
    if served:
        assert (await at.post()).result.points == 3
    else:
        with pytest.raises(Refused) as refused:
            await at.post()
        assert refused.value.code == "budget_busy"
    first = (BUDGET, AMOUNT, claim(7).b)
    assert at.pool.laid == [first, *[(BUDGET, VAULT_TAKES, claim(7).b)] * 2], "first what it asked for"
    assert len(at.wire.batches) == 4


async def test_each_budget_has_its_own_three_times() -> None:
    rooms = [Refill(budget=budget, amount=AMOUNT) for budget in (1, 2) for _ in range(3)]
    at = await house(wants(*rooms), holds=1000)
    assert (await at.post()).result.points == 3
    assert [budget for budget, _, _ in at.pool.laid] == [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(("asked", "served"), [(4, True), (5, False)])
async def test_counters_are_looked_for_and_opened_four_times(asked: int, served: bool) -> None:
    wanted = [LOOK, Refill(missing=(MONTHLY, WEEKLY)), LOOK, Refill(missing=(MONTHLY,)), LOOK]
    at = await house(wants(*wanted[:asked]), holds=0)
    item = claim(7)
    if served:
        await at.post(item)
    else:
        with pytest.raises(Refused, match="budget_busy"):
            await at.post(item)
    assert [args[1:] for args in at.pool.opened] == [
        (one.limit_id, one.place, one.period_start, SLOTS) for one in (MONTHLY, WEEKLY, MONTHLY)
    ]
    assert all(args[0] < 0 for args in at.pool.opened), "counters are numbered below every budget of a campaign"
    assert item.counted
    assert (at.pool.laid, len(at.wire.batches)) == ([], 5)


async def test_counters_and_room_are_asked_for_apart() -> None:
    at = await house(wants(*[LOOK] * 4, *[ROOM] * 3), holds=1000)
    assert (await at.post()).result.points == 3


@pytest.mark.parametrize(
    ("holds", "limit", "code"),
    [
        (AMOUNT - 1, None, "sold_out"), (AMOUNT - 1, MONTHLY, "limit_reached"),
        (0, None, "sold_out"), (None, None, "sold_out"), (AMOUNT, None, None), (AMOUNT, MONTHLY, None),
    ],
)  # fmt: skip
async def test_who_wants_more_than_the_whole_holds_is_told_so(
    holds: int | None, limit: PlaceLimit | None, code: str | None
) -> None:
    at = await house(wants(Refill(budget=BUDGET, amount=AMOUNT, limit=limit)), holds=holds)
    if code is None:
        assert (await at.post()).result.points == 3
        return
    with pytest.raises(Refused) as refused:
        await at.post()
    assert (refused.value.code, refused.value.limit, len(at.wire.batches)) == (code, limit, 1)


async def test_a_budget_that_is_not_there_has_not_even_one() -> None:
    at = await house(wants(Refill(budget=BUDGET, amount=1)), holds=None)
    with pytest.raises(Refused, match="sold_out"):
        await at.post()


def once_each(_: Any = None) -> Callable[[Any], tuple[int, str | None]]:
    """Asks every owner for room once."""
    seen: set[int] = set()

    def answer(item: Any) -> tuple[int, str | None]:
        if item["owner"] not in seen:
            seen.add(item["owner"])
            return statuses.REFILL.number, msgspec.json.encode(ROOM).decode()
        return statuses.DONE.number, '{"points": 3}'

    return answer


async def test_what_asks_while_a_budget_is_laid_out_shares_the_next_time_which_is_large_enough_for_all() -> None:
    at = await house(once_each(), holds=1000)
    at.pool.gate.clear()
    first = asyncio.create_task(at.post(claim(0)))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(at.post(claim(1024 * n))) for n in range(1, 8)]
    await asyncio.sleep(0.1)
    at.pool.gate.set()
    await asyncio.gather(first, *others)
    # A quarter of what it is asked for is what the vault sees to: seven of 3 are 21, and 6 × 4 the least beyond it.
    assert [wanted for _, wanted, _ in at.pool.laid] == [AMOUNT, 6]
    assert at.poster._layings == {}, "who has been served is forgotten"


async def test_a_long_queue_counts_as_two_calls() -> None:
    at = await house(once_each(), holds=1000, batch=10)
    at.wire.gate.clear()
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(at.post(claim(1024 * n))) for n in range(200)]
    await asyncio.sleep(0.01)
    limit = at.lanes.batch_limit
    assert 3 * limit < at.lanes.depth
    at.wire.gate.set()
    await asyncio.gather(*waiting)
    assert at.pool.laid[0][1] == -(-AMOUNT * 2 * limit // 4)


async def test_while_a_budget_is_laid_out_nobody_of_its_terms_goes_first_but_everybody_else() -> None:
    def answer(item: Any) -> tuple[int, str | None]:
        if item["terms"] == 1 and not asked:
            asked.append(item["owner"])
            return statuses.REFILL.number, msgspec.json.encode(ROOM).decode()
        return statuses.DONE.number, '{"points": 3}'

    asked: list[int] = []
    at = await house(answer, holds=1000)
    at.pool.gate.clear()
    first = asyncio.create_task(at.post(claim(0, 1)))
    await asyncio.sleep(0.01)
    later, other = asyncio.create_task(at.post(claim(1024, 1))), asyncio.create_task(at.post(claim(2048, 2)))
    await asyncio.sleep(0.01)
    assert (first.done(), later.done(), other.done()) == (False, False, True)
    at.pool.gate.set()
    await asyncio.gather(first, later)
    sent = [item["owner"] for batch in at.wire.batches for item in batch if item["terms"] == 1]
    assert sent == [0, 0, 1024]


async def test_who_asked_first_is_before_who_was_waiting_when_the_answer_came() -> None:
    at = await house(once_each(), holds=1000, batch=1)
    at.wire.gate.clear()
    waiting = [asyncio.create_task(at.post(claim(1024 * n, 1))) for n in range(3)]
    await asyncio.sleep(0.01)
    at.wire.gate.set()
    await asyncio.gather(*waiting)
    assert [item["owner"] for batch in at.wire.batches for item in batch] == [0, 0, 1024, 1024, 2048, 2048]


async def test_while_counters_are_opened_others_of_the_terms_go_on() -> None:
    def answer(item: Any) -> tuple[int, str | None]:
        if item["owner"] == 0 and not item.get("counted"):
            return statuses.REFILL.number, msgspec.json.encode(Refill(missing=(MONTHLY,))).decode()
        return statuses.DONE.number, '{"points": 3}'

    at = await house(answer, holds=0)
    opening, fetch = asyncio.Event(), at.pool.fetch

    async def slow(sql: str, *args: Any) -> Any:
        await opening.wait()
        return await fetch(sql, *args)

    at.pool.fetch = slow  # type: ignore[method-assign]
    first = asyncio.create_task(at.post(claim(0, 1)))
    await asyncio.sleep(0.01)
    assert (await asyncio.wait_for(at.post(claim(1024, 1)), 5)).result.points == 3
    assert not first.done()
    opening.set()
    assert (await first).result.points == 3


async def test_a_limit_that_the_vault_itself_found_reached_is_named() -> None:
    said = msgspec.json.encode(WEEKLY).decode()
    at = await house(lambda _: (statuses.LIMIT_REACHED.number, said), holds=0)
    with pytest.raises(Refused) as refused:
        await at.post()
    assert (refused.value.code, refused.value.limit) == ("limit_reached", WEEKLY)
    at = await house(lambda _: (statuses.LIMIT_REACHED.number, None), holds=0)
    with pytest.raises(Refused) as refused:
        await at.post()
    assert (refused.value.code, refused.value.limit) == ("limit_reached", None)


async def test_what_postgresql_cannot_read_is_refused_before_it_is_sent() -> None:
    at = await house(wants(), holds=0)
    with pytest.raises(Refused, match="invalid_item"):
        await at.post(claim(2**63))
    assert at.wire.batches == []
