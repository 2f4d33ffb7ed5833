"""`make bench`: redemptions and verifications over HTTP beside pgbench of the same call, in turn; medians and ratios.

Prints one `name value unit` line per figure and writes bench.json. A round with one unexpected answer makes the
bench fail. CHENGXIN_BENCH_SECONDS (of a round, 8), CHENGXIN_BENCH_ROUNDS (3) and CHENGXIN_BENCH_CONNECTIONS (64)
change its size.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from server.sandbox.engines import Engines
from server.sandbox.house import prepare_database
from tests.bench.ground import Ground, HttpServer
from tests.bench.rivals import Pgbench, RoundInvalid
from tests.support.databases import Database
from tests.support.stock import market_stock
from tests.support.town import settle

SECONDS = float(os.environ.get("CHENGXIN_BENCH_SECONDS", "8"))
ROUNDS = int(os.environ.get("CHENGXIN_BENCH_ROUNDS", "3"))
CONNECTIONS = int(os.environ.get("CHENGXIN_BENCH_CONNECTIONS", "64"))
WARM_UP_S = 1.0
DATABASE = "chengxin"
LANES_OFF = {"CHENGXIN_LANES": "16", "CHENGXIN_LANE_BATCH": "1"}
UNITS = {"per_second": "/s", "p50_ms": "ms", "p99_ms": "ms", "batch": "items", "ratio": "x"}
#: figure = median of the first over median of the second
RATIOS = {
    "http_redemption_to_pgbench": ("http_redemption", "pgbench_redemption"),
    "http_redemption_lanes_off_to_pgbench": ("http_redemption_lanes_off", "pgbench_redemption"),
    "http_verification_to_pgbench": ("http_verification", "pgbench_verification"),
}


async def measure(ground: Ground, lanes_on: HttpServer, lanes_off: HttpServer) -> dict[str, dict[str, list[float]]]:
    """Every kind of round in turn, ROUNDS times, after a short warm-up of each."""
    kinds = {
        "pgbench_redemption": lambda seconds: ground.pgbench_round("redemption", seconds),
        "http_redemption": lambda seconds: ground.redemptions(lanes_on, seconds),
        "http_redemption_lanes_off": lambda seconds: ground.redemptions(lanes_off, seconds),
        "pgbench_verification": lambda seconds: ground.pgbench_round("verification", seconds),
        "http_verification": lambda seconds: ground.verifications(lanes_on, seconds),
        "empty_route": lambda seconds: ground.empty_route(lanes_on, seconds),
    }
    for start in kinds.values():
        await start(WARM_UP_S)
    rounds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(1, ROUNDS + 1):
        for name, start in kinds.items():
            found = await start(SECONDS)
            sys.stderr.write(f"round {number} {name}: {found['per_second']:.0f}/s\n")
            for figure, value in found.items():
                rounds[name][figure].append(value)
    return rounds


def figures(rounds: dict[str, dict[str, list[float]]]) -> dict[str, tuple[float, str]]:
    """Name to value and unit: the medians, then the ratios."""
    found = {
        f"{name}_{figure}": (round(median(values), 3), UNITS.get(figure, "cpus"))
        for name, by_figure in rounds.items()
        for figure, values in by_figure.items()
    }
    for name, (ours, theirs) in RATIOS.items():
        ratio = median(rounds[ours]["per_second"]) / median(rounds[theirs]["per_second"])
        found[f"{name}_ratio"] = (round(ratio, 3), UNITS["ratio"])
    return found


async def bench(folder: Path) -> tuple[dict[str, tuple[float, str]], dict[str, dict[str, list[float]]]]:
    """Engines, a house with the city, a second server without lanes; measured, then all of it ended."""
    engines = Engines(folder / "engines")
    urls = await asyncio.to_thread(engines.start)
    try:
        await prepare_database(urls, DATABASE)
        database, extra = Database.at(urls, DATABASE), {"CHENGXIN_ACCESS_TTL_S": "3600"}
        async with settle(urls, database, folder=folder / "house", redis_url=urls.redis, extra=extra) as town:
            lanes_on = HttpServer(town.house.port, town.house.processes["serve"].pid)
            async with HttpServer.beside(town, LANES_OFF) as lanes_off:
                pgbench = Pgbench(engines.postgres_bin, urls, DATABASE, folder)
                ground = Ground(
                    await market_stock(town), pgbench, database, folder, CONNECTIONS, engines.postgres.pid() or 0
                )
                rounds = await measure(ground, lanes_on, lanes_off)
                await ground.prove()
    finally:
        await asyncio.to_thread(engines.destroy)
    found = figures(rounds)
    return found, rounds


def main() -> int:
    """0, or 1 when a round was invalid."""
    argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="chengxin-bench-") as folder:
        try:
            found, rounds = asyncio.run(bench(Path(folder)))
        except RoundInvalid as invalid:
            sys.stderr.write(f"the bench is invalid: {invalid}\n")
            return 1
    report = {
        "figures": {name: {"value": value, "unit": unit} for name, (value, unit) in found.items()},
        "rounds": rounds,
        "seconds": SECONDS,
        "connections": CONNECTIONS,
        "cpus": os.cpu_count(),
        "at": time.strftime("%FT%TZ", time.gmtime()),
    }
    Path("bench.json").write_text(json.dumps(report, indent=1) + "\n")
    for name, (value, unit) in found.items():
        print(f"{name} {value} {unit}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
