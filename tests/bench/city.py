"""`make bench-city`: the same calls on a city of a million residents and 20 million transfers, and on a small town of
ten thousand beside it, in turn (D43).

Prints one `name value unit` line per figure and writes bench-city.json. CHENGXIN_CITY_RESIDENTS (1,000,000),
CHENGXIN_CITY_COUPONS (300,000 that are out already), CHENGXIN_CITY_LOTS (1,000,000 past their day),
CHENGXIN_BENCH_SECONDS (of a round, here 8) and CHENGXIN_BENCH_ROUNDS (3) change its size. Needs about 40 GB of disk and
12 GB of memory at full size.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from server.sandbox.engines import Engines
from server.sandbox.house import prepare_database
from tests.bench.__main__ import CONNECTIONS, ROUNDS, WARM_UP_S, Values, keep, report
from tests.bench.expiry import FLAT_OUT, Expiry
from tests.bench.folk import Folk
from tests.bench.ground import Ground, HttpServer, end_worker
from tests.bench.history import FIRST_RESIDENT, MONTHS, PER_MONTH, lay_in_history
from tests.bench.rivals import Pgbench, RoundInvalid
from tests.bench.rounds import Rounds, Start
from tests.support.databases import Database, connected
from tests.support.stock import market_stock
from tests.support.town import Town, settle
from wallet.items import Item, Op

SECONDS = float(os.environ.get("CHENGXIN_BENCH_SECONDS", "8"))
CITY = int(os.environ.get("CHENGXIN_CITY_RESIDENTS", "1000000"))
SMALL = min(10_000, CITY)
COUPONS = int(os.environ.get("CHENGXIN_CITY_COUPONS", "300000"))
LOTS = int(os.environ.get("CHENGXIN_CITY_LOTS", "1000000"))
#: So many residents have a session and exchange points; everybody's wallet and coupons are used.
WITH_SESSION = 5_000
COUPONS_AT_ONCE = 50_000
BYTES_PER_RESIDENT = 40_000
SETTINGS = {
    "max_connections": "300", "shared_buffers": "6GB", "max_wal_size": "24GB", "checkpoint_timeout": "30min",
    "maintenance_work_mem": "1GB", "work_mem": "64MB", "autovacuum": "off",
}  # fmt: skip
RATIOS = {
    f"{kind}_city_to_small": (f"city_{kind}", f"small_{kind}")
    for kind in ("http_redemption", "http_exchange", "pgbench_redemption", "pgbench_spend", "lanes_spend")
}


@dataclass
class Place:
    """A house on a database with a history, and the rounds that run there."""

    name: str
    database: Database
    town: Town
    ground: Ground
    rounds: Rounds
    server: HttpServer
    kinds: dict[str, Start]


def say(began: float, what: str) -> None:
    """Where a long run is."""
    sys.stderr.write(f"{time.monotonic() - began:.0f} s: {what}\n")


@asynccontextmanager
async def place(engines: Engines, folder: Path, name: str, residents: int, began: float) -> AsyncIterator[Place]:
    """Makes a place with so many residents, each with 20 transfers, and ends its house afterwards."""
    urls, database = engines.urls, Database.at(engines.urls, name)
    await prepare_database(urls, name)
    own = folder / name
    own.mkdir()
    extra = {"CHENGXIN_ACCESS_TTL_S": "3600"}
    async with settle(urls, database, folder=own, redis_url=urls.redis, extra=extra) as town:
        await end_worker(town)
        await lay_in_history(database, residents, lambda month: say(began, f"{name}: month {month} of {MONTHS}"))
        owners = range(FIRST_RESIDENT, FIRST_RESIDENT + residents)
        step = max(1, residents // WITH_SESSION)
        folk = await Folk.settle(database, town.settings, owners[::step], spread=1)
        stock = await market_stock(town, owners, folk.counter)
        for _ in range(0, COUPONS * residents // CITY, COUPONS_AT_ONCE):
            await stock.lay_in(min(COUPONS_AT_ONCE, residents), claimed=True)
        async with connected(database.superuser) as connection:
            await connection.execute("SET statement_timeout = 0; SET maintenance_work_mem = '1GB'")
            await connection.execute("VACUUM (ANALYZE)")
        say(began, f"{name}: {residents} residents are there")
        pgbench = Pgbench(engines.postgres_bin, urls, name, own)
        ground = Ground(pgbench, database, own, CONNECTIONS, engines.postgres.pid() or 0)
        await ground.calm()
        # No checkpoint before every round: the whole pages that it brings into the WAL are spread over half an hour in
        # a city's day, and would be most of a round's WAL where wallets are many.
        ground.calming = False
        rounds = Rounds(ground, stock, folk)
        server = HttpServer(town.house.port, town.house.processes["serve"].pid)
        yield Place(name, database, town, ground, rounds, server, kinds_of(name, rounds, folk, server, owners))


def kinds_of(name: str, rounds: Rounds, folk: Folk, server: HttpServer, owners: Sequence[int]) -> dict[str, Start]:
    """What is compared: redemptions and spending of everybody, exchanges of those with a session."""

    def spends(count: int) -> list[Item]:
        return folk.spend_items(count, owners)

    return {
        f"{name}_pgbench_redemption": rounds.pgbench_redemptions(f"{name}_pgbench_redemption"),
        f"{name}_http_redemption": rounds.redemptions(f"{name}_http_redemption", server),
        f"{name}_http_exchange": rounds.claims(f"{name}_http_exchange", server, [folk.exchange]),
        f"{name}_pgbench_spend": rounds.pgbench_items(f"{name}_pgbench_spend", Op.SPEND, spends),
        f"{name}_lanes_spend": rounds.callers(f"{name}_lanes_spend", Op.SPEND, spends),
    }


async def compare(city: Place, small: Place, began: float) -> Values:
    """Each kind in the city and in the small town, in turn."""
    pairs = list(zip(city.kinds.items(), small.kinds.items(), strict=True))
    every = [kind for pair in pairs for kind in pair]
    for _, start in every:
        await start(WARM_UP_S * 3)
    values: Values = defaultdict(lambda: defaultdict(list))
    for number in range(1, ROUNDS + 1):
        for name, start in every if number % 2 else reversed(every):
            keep(values, name, await start(SECONDS))
            say(began, f"round {number} {name} {values[name]['per_second'][-1]:.0f}/s")
    return values


async def sizes(city: Place) -> Values:
    """Bytes of a transfer in the months of the history."""
    values: Values = defaultdict(lambda: defaultdict(list))
    sql = """SELECT sum(pg_table_size(c.oid))::float8 / sum(c.reltuples), sum(pg_indexes_size(c.oid))::float8
               / sum(c.reltuples) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = 'vault.journal'::regclass AND c.reltuples >= $1"""
    table, indexes = await city.ground.row(sql, float(PER_MONTH * CITY // 2))
    keep(values, "city_transfer", {"table_bytes": table, "index_bytes": indexes})
    return values


async def breakage(city: Place, began: float) -> Values:
    """A million lots past their day, booked flat out, with paced redemptions in the middle of it."""
    values: Values = defaultdict(lambda: defaultdict(list))
    job = Expiry(city.database, city.town.house.environment)
    await job.lay_in(LOTS)
    async with connected(city.database.superuser) as connection:
        await connection.execute("SET statement_timeout = 0")
        await connection.execute("ANALYZE")
    say(began, f"{LOTS} lots are past their day")
    live = city.rounds.redemptions("redemption_during_expiry", city.server, half_of="city_http_redemption")
    since = await city.ground.mark()
    booking = asyncio.create_task(job.book(LOTS, since, FLAT_OUT))
    keep(values, "redemption_during_expiry", await live(2 * SECONDS))
    keep(values, "expiry_of_a_city", await booking)
    return values


async def bench(folder: Path, began: float) -> Values:
    """The whole comparison; the books of both places must balance afterwards."""
    engines = Engines(folder / "engines", settings=SETTINGS)
    await asyncio.to_thread(engines.start)
    try:
        async with (
            place(engines, folder, "city", CITY, began) as city,
            place(engines, folder, "small", SMALL, began) as small,
        ):
            values = await compare(city, small, began)
            values |= await sizes(city)
            values |= await breakage(city, began)
            say(began, "check-ledger")
            for one in (small, city):
                await one.ground.prove()
            say(began, "the books balance")
    finally:
        await asyncio.to_thread(engines.destroy)
    return values


def main() -> int:
    """0, or 1 when a round was invalid."""
    began = time.monotonic()
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < CITY * BYTES_PER_RESIDENT:
        sys.stderr.write(f"{CITY} residents need {CITY * BYTES_PER_RESIDENT >> 30} GB of disk, {free >> 30} are free\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="chengxin-city-") as folder:
        try:
            values = asyncio.run(bench(Path(folder), began))
        except RoundInvalid as invalid:
            sys.stderr.write(f"the bench is invalid: {invalid}\n")
            return 1
    took_s = round(time.monotonic() - began)
    report(values, Path("bench-city.json"), RATIOS, seconds=SECONDS, connections=CONNECTIONS, took_s=took_s)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
