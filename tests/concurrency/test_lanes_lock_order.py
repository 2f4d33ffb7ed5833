"""Deadlock freedom by lock order: wallets, then slots, each sorted, by whoever comes (D4, D7).

Several processes with several lanes each, as the application and as the worker, post mixed batches over a few wallets
and templates whose budgets cross, while budgets are laid out anew; then the clock moves on, so that points and coupons
expire, and they do it again. PostgreSQL and the lanes must not have seen one deadlock. CHENGXIN_MIXED_BATCHES says how
many calls are made; `make faults` sets 100,000.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec import structs, to_builtins

from tests.support.databases import ROOT, Database, connected
from tests.support.ledger import Ledger, open_ledger
from tests.support.patience import until
from tests.support.sabotage import TWO_CELLS
from wallet import CouponTerms, ScopedLimit

BATCHES = int(os.environ.get("CHENGXIN_MIXED_BATCHES", "1200"))
PROCESSES, CLIENTS, RESIDENTS = 2, 32, 16
PHASES = 2
#: Every one of these must have been seen to succeed, or the mixture is not what it claims to be.
OPERATIONS = (
    "claim", "redeem", "redeem_locked", "void", "void_coupon", "expire_coupon", "spend", "refund", "hold", "capture",
    "release", "earn", "adjust", "expire_points", "freeze", "lay_out", "change_caps",
)  # fmt: skip


@pytest_asyncio.fixture(params=["one cell", "two cells"])
async def ledger(fresh_database: Database, request: pytest.FixtureRequest) -> AsyncIterator[Ledger]:
    if request.param == "two cells":
        async with connected(fresh_database.owner) as owner:
            await owner.execute(TWO_CELLS)
    async with open_ledger(fresh_database) as ledger:
        yield ledger


def limits(template: int) -> tuple[ScopedLimit, ...]:
    """Wide limits at places: a template's own, and one that it shares with every second other."""
    own, shared = f"template:{template}", f"campaign:{template % 2}"
    return (
        ScopedLimit(limit_id=own, scope="town", action="issue", period="day", cap=10**7),
        ScopedLimit(limit_id=shared, scope="campaign", action="issue", cap=10**7),
        ScopedLimit(limit_id=own, scope="store", action="redeem", period="week", cap=10**7),
        ScopedLimit(limit_id=shared, scope="campaign", action="redeem", period="month", cap=10**7),
    )


async def crossing(ledger: Ledger) -> tuple[list[CouponTerms], list[int]]:
    """Terms whose stock and fen budgets are each other's in the opposite order, with limits; and the budgets."""
    low, middle, high = [await ledger.budget(unit, 10**7) for unit in ("fen", "coupons", "fen")]
    last = await ledger.budget("coupons", 10**7)
    pairs = ((middle, low), (middle, high), (last, low), (last, high))
    templates = [
        await ledger.template(
            stock_budget=stock, fen_budget=fen, price_points=n, valid_days=20, return_stock=n % 2 == 0,
            void_window_s=0 if n == 3 else 3600, per_person=10**9, scoped_limits=limits(n),
        )
        for n, (stock, fen) in enumerate(pairs)
    ]  # fmt: skip
    return templates, [low, middle, high, last]


async def process(folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    file = folder / f"plan-{plan['seed']}.json"
    file.write_text(json.dumps(plan))
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.mixing", str(file), cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await running.communicate()
    assert running.returncode == 0, err.decode()[-2000:]
    found: dict[str, Any] = json.loads(out)
    return found


async def test_mixed_batches_of_every_operation_from_several_processes_never_deadlock(
    ledger: Ledger, tmp_path: Path
) -> None:
    terms, budgets = await crossing(ledger)
    campaigns = [await ledger.campaign(points=100, total=10**8, months=1, per_person=10**9) for _ in range(3)]
    residents = [await ledger.resident(points=500, b=1023 * n // (RESIDENTS - 1)) for n in range(RESIDENTS)]
    found = []
    for phase in range(PHASES):
        plans = [
            {
                "app": ledger.database.app, "worker": ledger.database.worker, "lane": 2 * number,
                "batches": BATCHES // (PROCESSES * PHASES), "seed": phase * PROCESSES + number, "residents": residents,
                "templates": [one.id for one in terms], "terms": to_builtins(terms), "campaigns": campaigns,
                "budgets": budgets, "clients": CLIENTS,
            }
            for number in range(PROCESSES)
        ]  # fmt: skip
        found += await asyncio.gather(*(process(tmp_path, plan) for plan in plans))
        await ledger.move_clock(days=45)
    ended = sum((Counter(one["ended"]) for one in found), Counter())
    assert [one["failed"] for one in found] == [[]] * len(found)
    assert sum(one["deadlocks"] + one["failures"] for one in found) == 0, found
    seen = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await ledger.owner.fetchval(seen) == 0
    assert {name for name in OPERATIONS if not ended[f"{name}: done"]} == set(), ended
    # How much one call carries depends on how fast the machine answers the last one; the fewest, with two cells: 0.49.
    assert min(one["mixed"] for one in found) > 0.25, "many calls must carry several items"
    assert sum(one["calls"] for one in found) >= BATCHES - PROCESSES * PHASES
    assert await ledger.broken() == []


async def test_new_caps_and_a_posting_lock_counters_in_the_same_order(fresh_database: Database) -> None:
    """The limit that comes first by its name has the counter that comes last by its number."""
    async with open_ledger(fresh_database) as ledger, connected(fresh_database.owner) as first:
        both = [ScopedLimit(limit_id=f"limit:{n}", scope="campaign", action="issue", cap=50) for n in (1, 2)]
        terms = await ledger.template(scoped_limits=tuple(both))
        for number, limit in ((-1, both[0]), (-2, both[1])):
            name = f"{limit.limit_id}/campaign/count/total"
            opened = "SELECT vault.open_counter($1, $2, '', vault.today(), 1::smallint)"
            assert await ledger.owner.fetchval(opened, number, name) == number
        resident = await ledger.resident()

        async def waiting(count: int) -> None:
            seen = (
                "SELECT count(DISTINCT l.pid) = $1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                " WHERE a.datname = current_database() AND NOT l.granted"
            )
            await until(f"{count} wait", lambda: ledger.owner.fetchval(seen, count))

        async with first.transaction():
            await first.execute("SELECT FROM vault.slot WHERE budget = -1 FOR UPDATE")
            wider = tuple(structs.replace(one, cap=70) for one in both)
            new = structs.replace(terms, id=ledger.number(), version=2, scoped_limits=wider)
            putting = asyncio.create_task(ledger.app.put_coupon_terms(new))
            await waiting(1)
            claiming = asyncio.create_task(ledger.claim(resident, terms))
            await waiting(2)
        await asyncio.gather(putting, claiming)
        seen = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert await ledger.owner.fetchval(seen) == 0
        assert {row["cap"] for row in await ledger.owner.fetch("SELECT cap FROM vault.counter")} == {70}
        assert await ledger.broken() == []
