"""`make bench`: what the house does over HTTP and in its lanes beside pgbench of the same calls, in turn; medians and
ratios.

Prints one `name value unit` line per figure and writes bench.json. A round with one unexpected answer makes the
bench fail. CHENGXIN_BENCH_SECONDS (of a round, 6), CHENGXIN_BENCH_ROUNDS (3), CHENGXIN_BENCH_CONNECTIONS (64),
CHENGXIN_BENCH_LOTS (20,000), CHENGXIN_BENCH_GRANTS (20,000), CHENGXIN_BENCH_CROWD (50,000), CHENGXIN_BENCH_CODES and
CHENGXIN_BENCH_PEOPLE (1,000,000) change its size; arguments choose kinds of rounds by the beginning of their names.
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
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from server.sandbox.engines import Engines
from server.sandbox.house import prepare_database
from tests.bench.codes import Codes
from tests.bench.expiry import FLAT_OUT, Expiry
from tests.bench.folk import FIRST_RESIDENT, Folk
from tests.bench.grants import Grants
from tests.bench.ground import Ground, HttpServer, Round, end_worker
from tests.bench.lottery import lotteries
from tests.bench.people import People
from tests.bench.rivals import Pgbench, RoundInvalid
from tests.bench.rounds import Rounds, Start
from tests.bench.rules import judgements
from tests.bench.rush import Rush
from tests.support.databases import Database
from tests.support.stock import market_stock
from tests.support.town import Town, settle
from wallet.items import Op

SECONDS = float(os.environ.get("CHENGXIN_BENCH_SECONDS", "6"))
ROUNDS = int(os.environ.get("CHENGXIN_BENCH_ROUNDS", "3"))
CONNECTIONS = int(os.environ.get("CHENGXIN_BENCH_CONNECTIONS", "64"))
LOTS = int(os.environ.get("CHENGXIN_BENCH_LOTS", "20000"))
PEOPLE = int(os.environ.get("CHENGXIN_BENCH_PEOPLE", "1000000"))
CODES = int(os.environ.get("CHENGXIN_BENCH_CODES", "1000000"))
GRANTS = int(os.environ.get("CHENGXIN_BENCH_GRANTS", "20000"))
CROWD = int(os.environ.get("CHENGXIN_BENCH_CROWD", "50000"))
RESIDENTS = 1000
WARM_UP_S = 1.0
DATABASE = "chengxin"
LANES_OFF = {"CHENGXIN_LANES": "16", "CHENGXIN_LANE_BATCH": "1"}
UNITS = {
    "per_second": "/s", "p50_ms": "ms", "p99_ms": "ms", "batch": "items", "ratio": "x", "peak_mib": "MiB",
    "answers_per_second": "/s", "sold_out_per_second": "/s", "sold_out_p50_ms": "ms", "sold_out_p99_ms": "ms",
    "waiting_answers": "answers", "overtaken_requests": "requests", "table_bytes": "B",
    "index_bytes": "B", "wal_bytes": "B",
}  # fmt: skip
#: figure = median of the first over median of the second
RATIOS = {
    "http_redemption_to_pgbench": ("http_redemption", "pgbench_redemption"),
    "http_redemption_lanes_off_to_pgbench": ("http_redemption_lanes_off", "pgbench_redemption"),
    "http_verification_to_pgbench": ("http_verification", "pgbench_verification"),
    "http_claim_hot_to_spread": ("http_claim_hot", "http_claim_spread"),
    "rush_to_pgbench": ("rush", "pgbench_claim"),
    "http_exchange_to_pgbench": ("http_exchange", "pgbench_exchange"),
    "lanes_spend_to_pgbench": ("lanes_spend", "pgbench_spend"),
    "lanes_earn_to_pgbench": ("lanes_earn", "pgbench_earn"),
    "lanes_spend_to_single": ("lanes_spend", "single_spend"),
    "segment_to_select": ("segment", "segment_select"),
    "segment_preview_to_select": ("segment_preview", "segment_select"),
    "lottery_draw_to_select": ("lottery_draw", "lottery_select"),
    "grant_job_to_pgbench": ("grant_job", "pgbench_grant"),
    "grant_job_to_one_lane": ("grant_job", "one_lane_grant"),
    "codes_to_copy": ("codes", "codes_copy"),
}

Values = dict[str, dict[str, list[float]]]


def kinds_of(rounds: Rounds, folk: Folk, lanes_on: HttpServer, lanes_off: HttpServer) -> dict[str, Start]:
    """Every kind of round by its name, in the order of a turn."""

    def claims(count: int) -> list[Any]:
        return folk.claim_items(folk.hot, count)

    def exchanges(count: int) -> list[Any]:
        return folk.claim_items(folk.exchange, count)

    return {
        "pgbench_redemption": rounds.pgbench_redemptions("pgbench_redemption"),
        "http_redemption": rounds.redemptions("http_redemption", lanes_on),
        "http_redemption_lanes_off": rounds.redemptions("http_redemption_lanes_off", lanes_off),
        "http_redemption_at_half": rounds.redemptions("http_redemption_at_half", lanes_on, half_of="http_redemption"),
        "pgbench_verification": rounds.pgbench_verifications("pgbench_verification"),
        "http_verification": rounds.verifications("http_verification", lanes_on),
        "http_claim_hot": rounds.claims("http_claim_hot", lanes_on, [folk.hot]),
        "http_claim_spread": rounds.claims("http_claim_spread", lanes_on, folk.spread),
        "pgbench_claim": rounds.pgbench_items("pgbench_claim", Op.CLAIM, claims),
        "pgbench_exchange": rounds.pgbench_items("pgbench_exchange", Op.CLAIM, exchanges),
        "http_exchange": rounds.claims("http_exchange", lanes_on, [folk.exchange]),
        "pgbench_spend": rounds.pgbench_items("pgbench_spend", Op.SPEND, folk.spend_items),
        "lanes_spend": rounds.callers("lanes_spend", Op.SPEND, folk.spend_items),
        "one_lane_spend": rounds.callers("one_lane_spend", Op.SPEND, folk.spend_items, lanes=1),
        "single_spend": rounds.callers("single_spend", Op.SPEND, folk.spend_items, lanes=0),
        "pgbench_earn": rounds.pgbench_items("pgbench_earn", Op.EARN, folk.earn_items, "worker"),
        "lanes_earn": rounds.callers("lanes_earn", Op.EARN, folk.earn_items, "worker"),
        "pgbench_grant": rounds.pgbench_items("pgbench_grant", Op.CLAIM, folk.grant_items, "worker"),
        "one_lane_grant": rounds.callers("one_lane_grant", Op.CLAIM, folk.grant_items, "worker", lanes=1),
        "empty_route": rounds.empty_route(lanes_on),
        "rule_judgements": judgements,
    }


async def measure(kinds: Mapping[str, Start], values: Values) -> None:
    """Every kind of round in turn, ROUNDS times, after a short warm-up of each."""
    began = time.monotonic()
    for start in kinds.values():
        await start(WARM_UP_S)
    for number in range(1, ROUNDS + 1):
        for name, start in kinds.items():
            keep(values, name, await start(SECONDS))
            last = {figure: several[-1] for figure, several in values[name].items()}
            p99 = f", p99 {last['p99_ms']:.0f} ms" if "p99_ms" in last else ""
            sys.stderr.write(f"{time.monotonic() - began:.0f} s: {number} {name} {last['per_second']:.0f}/s{p99}\n")


def keep(values: Values, name: str, found: Round) -> None:
    """Adds a round's figures."""
    for figure, value in found.items():
        values[name][figure].append(value)


async def expiry(
    ground: Ground, rounds: Rounds, lanes_on: HttpServer, town: Town, database: Database, values: Values
) -> None:
    """Breakage once at its own pace beside paced redemptions, and once flat out alone."""
    job = Expiry(database, town.house.environment)
    await job.lay_in(LOTS)
    live = rounds.redemptions("redemption_during_expiry", lanes_on, half_of="http_redemption")
    since = await ground.mark()
    booking = asyncio.create_task(job.book(LOTS, since))
    keep(values, "redemption_during_expiry", await live(SECONDS))
    keep(values, "expiry_beside_redemptions", await booking)
    await job.lay_in(LOTS)
    since = await ground.mark()
    keep(values, "expiry", await job.book(LOTS, since, FLAT_OUT))


async def rushes(rush: Rush, server: HttpServer, values: Values) -> None:
    """The same crowd for another template each time."""
    await rush.gather()
    for _ in range(ROUNDS):
        keep(values, "rush", await rush.open(server))


async def people(town: Town, database: Database, folder: Path, values: Values) -> None:
    """A million people told of once, and a segment of all of them written down and asked for, in turn."""
    city = People(database, town.settings, town.house.environment, folder)
    await city.lay_in(PEOPLE)
    keep(values, "import_bands", await city.tell(PEOPLE))
    for _ in range(ROUNDS):
        keep(values, "segment_select", await city.ask(PEOPLE))
        keep(values, "segment_preview", await city.preview(PEOPLE))
        keep(values, "segment", await city.write_down(PEOPLE))


def figures(values: Values, ratios: Mapping[str, tuple[str, str]]) -> dict[str, tuple[float, str]]:
    """Name to value and unit: the medians, then the ratios."""
    found = {
        f"{name}_{figure}": (round(median(several), 3), UNITS.get(figure, "cpus"))
        for name, by_figure in values.items()
        for figure, several in by_figure.items()
    }
    for name, (ours, theirs) in ratios.items():
        if ours in values and theirs in values:
            ratio = median(values[ours]["per_second"]) / median(values[theirs]["per_second"])
            found[f"{name}_ratio"] = (round(ratio, 3), UNITS["ratio"])
    return found


async def bench(folder: Path, chosen: Sequence[str], values: Values) -> None:
    """Engines, a house with the city and people, a second server without lanes; measured into `values`, then all of it
    ended."""
    engines = Engines(folder / "engines", settings={"max_connections": "300"})
    urls = await asyncio.to_thread(engines.start)
    try:
        await prepare_database(urls, DATABASE)
        database, extra = Database.at(urls, DATABASE), {"CHENGXIN_ACCESS_TTL_S": "3600"}
        async with settle(urls, database, folder=folder / "house", redis_url=urls.redis, extra=extra) as town:
            stock = await market_stock(town)
            owners = range(FIRST_RESIDENT, FIRST_RESIDENT + RESIDENTS)
            folk = await Folk.settle(database, town.settings, owners)
            await end_worker(town)
            lanes_on = HttpServer(town.house.port, town.house.processes["serve"].pid)
            async with HttpServer.beside(town, LANES_OFF) as lanes_off:
                pgbench = Pgbench(engines.postgres_bin, urls, DATABASE, folder)
                ground = Ground(pgbench, database, folder, CONNECTIONS, engines.postgres.pid() or 0)
                rounds = Rounds(ground, stock, folk)
                every = kinds_of(rounds, folk, lanes_on, lanes_off)
                picked = {name: start for name, start in every.items() if not chosen or name.startswith(tuple(chosen))}
                await measure(picked, values)
                if not chosen or "rush" in chosen:
                    await rushes(Rush(ground, database, town.settings, CROWD), lanes_on, values)
                if not chosen or "expiry" in chosen:
                    await expiry(ground, rounds, lanes_on, town, database, values)
                if not chosen or "grant_job" in chosen:
                    job = Grants(database, town.house.environment, folk.hot)
                    keep(values, "grant_job", await job.give(GRANTS))
                if not chosen or "codes" in chosen:
                    codes = Codes(database, town.house.environment, town.settings, folk.hot)
                    keep(values, "codes_copy", await codes.copy(CODES))
                    keep(values, "codes", await codes.make(CODES))
                # Last, as the worker of the others would relay what a million first bands tell.
                if not chosen or "people" in chosen:
                    await people(town, database, folder, values)
                if not chosen or "lottery" in chosen:
                    found = await lotteries(database, town.house.environment, town.settings, PEOPLE, folder)
                    for name, figures_of_one in found.items():
                        keep(values, name, figures_of_one)
                await ground.prove()
    finally:
        await asyncio.to_thread(engines.destroy)


def report(values: Values, file: Path, ratios: Mapping[str, tuple[str, str]], **about: object) -> None:
    """Prints the figures and writes them to a file with the rounds they come from."""
    found = figures(values, ratios)
    content = {
        "figures": {name: {"value": value, "unit": unit} for name, (value, unit) in found.items()},
        "rounds": values,
        "cpus": os.cpu_count(),
        "at": time.strftime("%FT%TZ", time.gmtime()),
        **about,
    }
    file.write_text(json.dumps(content, indent=1) + "\n")
    for name, (value, unit) in found.items():
        print(f"{name} {value} {unit}")


def main() -> int:
    """0, or 1 when a round was invalid."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("kinds", nargs="*", help="e.g. http_redemption pgbench_redemption expiry people")
    chosen = parser.parse_args().kinds
    began, broken = time.monotonic(), ""
    values: Values = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="chengxin-bench-") as folder:
        try:
            asyncio.run(bench(Path(folder), chosen, values))
        except RoundInvalid as invalid:
            broken = str(invalid)
    took_s = round(time.monotonic() - began)
    report(values, Path("bench.json"), RATIOS, seconds=SECONDS, connections=CONNECTIONS, took_s=took_s, invalid=broken)
    if broken:
        sys.stderr.write(f"the bench is invalid, its figures are those until then: {broken}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
