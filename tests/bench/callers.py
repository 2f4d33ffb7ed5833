"""Many callers in one Python process that post items through lanes, or each on a connection of its own.

`python -m tests.bench.callers <plan.json>`: reads {dsn, function, lanes (0: a call per item and a connection per
caller), first, batch, callers, seconds, items (a file of one JSON array)} and prints one JSON object. Every item must
be answered with done and no replay.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from wallet.items import Item
from wallet.lanes import Lanes

Post = Callable[[Item], Awaitable[tuple[int, bool]]]
Run = Callable[[list[Post]], Awaitable[None]]
SETTINGS = {"TimeZone": "UTC", "lock_timeout": "2000", "statement_timeout": "5000"}


async def call(post: Post, items: Iterator[Item], until: float, took_s: array[float], wrong: list[str]) -> None:
    """One caller: item after item."""
    for item in items:
        began = time.perf_counter()
        status, replayed = await post(item)
        ended = time.perf_counter()
        took_s.append(ended - began)
        if status or replayed:
            wrong.append(f"{item.op}: status {status}, replayed {replayed}")
        if ended > until:
            return


async def through_lanes(plan: dict[str, Any], run: Run) -> float:
    """All callers share the lanes; returns the items of a call on average."""
    lanes = Lanes(
        lambda: asyncpg.connect(plan["dsn"], server_settings=SETTINGS), plan["function"], first=plan["first"],
        count=plan["lanes"], queue=4096, batch=plan["batch"],
    )  # fmt: skip

    async def post(item: Item) -> tuple[int, bool]:
        answer = await lanes.post(item)
        return answer.status, answer.replayed

    await lanes.open()
    await run([post] * plan["callers"])
    await lanes.close()
    return lanes.counts.items / lanes.counts.calls


async def one_by_one(plan: dict[str, Any], run: Run) -> float:
    """Each caller sends one item a call on its own connection."""
    sql = f"SELECT n, status, replayed, answer FROM vault.{plan['function']}($1::smallint, $2::jsonb, $3::smallint)"
    connections = [await asyncpg.connect(plan["dsn"], server_settings=SETTINGS) for _ in range(plan["callers"])]

    def poster(number: int, connection: asyncpg.Connection) -> Post:
        async def post(item: Item) -> tuple[int, bool]:
            (row,) = await connection.fetch(sql, item.b, msgspec.json.encode([item]).decode(), number)
            return row["status"], row["replayed"]

        return post

    await run([poster(plan["first"] + number, one) for number, one in enumerate(connections)])
    for connection in connections:
        await connection.close()
    return 1.0


async def measure(plan: dict[str, Any], every: list[Item]) -> dict[str, Any]:
    """Runs the plan on its items."""
    items, took_s, wrong = iter(every), array("d"), list[str]()
    elapsed = cpu_s = 0.0

    async def run(posts: list[Post]) -> None:
        nonlocal elapsed, cpu_s
        start, cpu = time.perf_counter(), time.process_time()
        until = start + plan["seconds"]
        await asyncio.gather(*(call(post, items, until, took_s, wrong) for post in posts))
        elapsed, cpu_s = time.perf_counter() - start, time.process_time() - cpu

    way = through_lanes if plan["lanes"] else one_by_one
    batch = await way(plan, run)
    ordered = sorted(took_s)
    return {
        "answers": len(ordered),
        "seconds": elapsed,
        "per_second": len(ordered) / elapsed,
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[len(ordered) * 99 // 100],
        "batch": batch,
        "cpu_share": cpu_s / elapsed,
        "wrong": len(wrong),
        "strange": wrong[:3],
    }


if __name__ == "__main__":
    plan = json.loads(Path(sys.argv[1]).read_text())
    items = msgspec.json.decode(Path(plan["items"]).read_bytes(), type=list[Item])
    print(json.dumps(asyncio.run(measure(plan, items))))
