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

from tests.support.databases import ROOT, Database, connected
from tests.support.ledger import Ledger, open_ledger
from tests.support.sabotage import TWO_CELLS

BATCHES = int(os.environ.get("CHENGXIN_MIXED_BATCHES", "1200"))
PROCESSES, CLIENTS, RESIDENTS = 2, 32, 16
PHASES = 2
#: Every one of these must have been seen to succeed, or the mixture is not what it claims to be.
OPERATIONS = (
    "claim", "redeem", "redeem_locked", "void", "void_coupon", "expire_coupon", "spend", "refund", "hold", "capture",
    "release", "earn", "adjust", "expire_points", "freeze", "lay_out",
)  # fmt: skip


@pytest_asyncio.fixture(params=["one cell", "two cells"])
async def ledger(fresh_database: Database, request: pytest.FixtureRequest) -> AsyncIterator[Ledger]:
    if request.param == "two cells":
        async with connected(fresh_database.owner) as owner:
            await owner.execute(TWO_CELLS)
    async with open_ledger(fresh_database) as ledger:
        yield ledger


async def crossing(ledger: Ledger) -> tuple[list[int], list[int]]:
    """Templates whose stock and fen budgets are each other's in the opposite order; (template ids, budget ids)."""
    low, middle, high = [await ledger.budget(unit, 10**7) for unit in ("fen", "coupons", "fen")]
    last = await ledger.budget("coupons", 10**7)
    pairs = ((middle, low), (middle, high), (last, low), (last, high))
    templates = [
        await ledger.template(
            stock_budget=stock, fen_budget=fen, price_points=n, valid_days=20, return_stock=n % 2 == 0,
            void_window_s=0 if n == 3 else 3600, per_person=10**9,
        )
        for n, (stock, fen) in enumerate(pairs)
    ]  # fmt: skip
    return [terms.id for terms in templates], [low, middle, high, last]


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
    templates, budgets = await crossing(ledger)
    campaigns = [await ledger.campaign(points=100, total=10**8, months=1, per_person=10**9) for _ in range(3)]
    residents = [await ledger.resident(points=500, b=1023 * n // (RESIDENTS - 1)) for n in range(RESIDENTS)]
    found = []
    for phase in range(PHASES):
        plans = [
            {
                "app": ledger.database.app, "worker": ledger.database.worker, "lane": 2 * number,
                "batches": BATCHES // (PROCESSES * PHASES), "seed": phase * PROCESSES + number, "residents": residents,
                "templates": templates, "campaigns": campaigns, "budgets": budgets, "clients": CLIENTS,
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
