"""What attached months cost: earnings and their replays with few months in the journal and with many, in turn.

`python -m tests.bench.months` prints the figures. Rates are of both databases in the same minute, so that their ratio
says something on a busy machine too; `best_ms` is the fastest of many calls alone, which other load hardly touches.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from uuid import UUID

import asyncpg

from server.kit.ids import uuid8
from server.sandbox.engines import Engines, EngineUrls
from tests.support import databases
from tests.support.databases import Database
from tests.support.ledger import JOB_KEY, open_ledger

#: A new installation has the last month, this one and three more.
FEW, MANY = 5, 40
RESIDENTS, STORED, CONNECTIONS, CALLS = 2_000, 8_000, 4, 100
BATCHES = (1, 64)
CALL = (
    "SELECT count(*) FILTER (WHERE status = 0 AND replayed = $3)"
    " FROM vault.post_internal(0::smallint, $1::jsonb, $2::smallint)"
)


@dataclass
class Side:
    """One database: its worker's connections, and earnings that are stored in every month it has."""

    connections: list[asyncpg.Connection]
    residents: list[int]
    campaign: int
    stored: list[dict[str, object]]
    number: int = 0

    def item(self, id: UUID, owner: int) -> dict[str, object]:
        return {
            "op": 1,
            "b": owner & 1023,
            "owner": owner,
            "id": str(id),
            "hash": "\\xab",
            "terms": self.campaign,
            "earned_on": f"{datetime.now(UTC).date()}",
        }

    def fresh(self, count: int) -> list[dict[str, object]]:
        """Earnings of now, never posted before."""
        self.number += count
        numbers = range(self.number - count, self.number)
        now = datetime.now(UTC)
        return [
            self.item(uuid8(now, "bench", str(n), JOB_KEY), self.residents[n % len(self.residents)]) for n in numbers
        ]


async def measure_months(urls: EngineUrls, folder: Path, *, seconds: float = 3, rounds: int = 3) -> dict[str, float]:
    """Postings and replays a second with `FEW` and `MANY` attached months, one and 64 a call, their ratios, and the
    fastest call of each kind in milliseconds.

    Raises `RuntimeError` when an answer is not what the round is about.
    """
    template = await databases.template(urls, folder)
    found: dict[str, list[float]] = defaultdict(list)
    made: list[tuple[Database, Side, int]] = []
    try:
        for months in (FEW, MANY):
            database = await databases.clone(urls, template)
            made.append((database, await _prepare(database, months), months))
        for _ in range(rounds):
            for batch in BATCHES:
                for replay in (False, True):
                    for _, side, months in made:
                        name = f"{'replays' if replay else 'postings'}_of_{batch}_with_{months}_months"
                        found[f"{name}_best_ms"].append(await _best_ms(side, batch, replay))
                        found[name].append(await _round(side, batch, replay, seconds))
    finally:
        for database, side, _ in made:
            for connection in side.connections:
                await connection.close()
            await databases.drop(urls, database.name)
    figures = {name: min(values) if name.endswith("ms") else median(values) for name, values in found.items()}
    for batch in BATCHES:
        for kind in ("postings", "replays"):
            name = f"{kind}_of_{batch}"
            figures[f"{name}_ratio"] = figures[f"{name}_with_{MANY}_months"] / figures[f"{name}_with_{FEW}_months"]
    return figures


async def _prepare(database: Database, months: int) -> Side:
    async with open_ledger(database) as ledger:
        await ledger.owner.execute(
            "SELECT vault.ensure_partitions(3, (min(month) - make_interval(months => $1 - count(*)::integer))::date)"
            " FROM vault.journal_month",
            months,
        )
        if await ledger.owner.fetchval("SELECT count(*) FROM vault.journal_month") != months:
            raise RuntimeError(f"a new database has more than {months} months already")
        residents = [await ledger.resident() for _ in range(RESIDENTS)]
        campaign = await ledger.campaign(points=1, total=10**12, per_person=10**6)
    connections = [await asyncpg.connect(database.worker) for _ in range(CONNECTIONS)]
    side = Side(connections, residents, campaign, [])
    rows = await connections[0].fetch(
        "SELECT month FROM vault.journal_month WHERE month <= vault.today() ORDER BY month"
    )
    for n in range(STORED):
        month = rows[n % len(rows)]["month"]
        at = datetime(month.year, month.month, 1, tzinfo=UTC) + timedelta(minutes=n)
        owner = residents[random.randrange(len(residents))]
        side.stored.append(side.item(uuid8(at, "stored", str(n), JOB_KEY), owner))
    for at_once in range(0, STORED, 64):
        items = side.stored[at_once : at_once + 64]
        if await _call(connections[0], items, replay=False) != len(items):
            raise RuntimeError("an earning of an older month was not booked")
    random.shuffle(side.stored)
    return side


async def _call(connection: asyncpg.Connection, items: list[dict[str, object]], *, replay: bool, lane: int = 0) -> int:
    numbered = json.dumps([{"n": n, **item} for n, item in enumerate(items)])
    return int(await connection.fetchval(CALL, numbered, lane, replay))


async def _best_ms(side: Side, batch: int, replay: bool) -> float:
    source, fastest = cycle(side.stored), float("inf")
    for _ in range(CALLS):
        items = list(islice(source, batch)) if replay else side.fresh(batch)
        begun = time.perf_counter()
        await _call(side.connections[0], items, replay=replay)
        fastest = min(fastest, time.perf_counter() - begun)
    return fastest * 1000


async def _round(side: Side, batch: int, replay: bool, seconds: float) -> float:
    source = cycle(side.stored)
    until = time.perf_counter() + seconds

    async def caller(lane: int, connection: asyncpg.Connection) -> int:
        done = 0
        while time.perf_counter() < until:
            items = list(islice(source, batch)) if replay else side.fresh(batch)
            if await _call(connection, items, replay=replay, lane=lane) != batch:
                raise RuntimeError(f"not every one of {batch} was {'replayed' if replay else 'booked'}")
            done += batch
        return done

    begun = time.perf_counter()
    done = sum(await asyncio.gather(*(caller(lane, each) for lane, each in enumerate(side.connections))))
    return done / (time.perf_counter() - begun)


async def _main() -> None:
    engines = Engines(databases.FOLDER, valkey=False)
    engines.start()
    try:
        for name, value in (await measure_months(engines.urls, engines.folder)).items():
            unit = "ms" if name.endswith("ms") else "" if name.endswith("ratio") else "/s"
            sys.stdout.write(f"{name} {value:.{2 if unit != '/s' else 0}f} {unit}\n")
    finally:
        engines.stop()


if __name__ == "__main__":
    asyncio.run(_main())
