"""`chengxin demo --year`: engines, a database of its own, the year, and a table of what it came to."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Final

import asyncpg
from rich.console import Console

from server.sandbox.engine_user import EngineFailed
from server.sandbox.engines import Engines, EngineUrls
from server.sandbox.house import HouseFailed, prepare_database
from server.sandbox.phone import Refusal
from server.sandbox.year import report
from server.sandbox.year.account import Unexpected
from server.sandbox.year.console import NotInTime
from server.sandbox.year.run import live_year

DATABASE: Final = "chengxin_year"
SEED: Final = 2026
WIDTH: Final = 150


async def run_year(*, folder: Path, port: int, residents: int) -> int:
    """Lives the year in a database made anew; the exit status is 0 when every book agrees."""
    # A table has more columns than a pipe seems to have.
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    began = time.perf_counter()
    home = await asyncio.to_thread(_made, folder / "year")
    engines = Engines(home.parent / "engines")
    console.rule("澄信 Chengxin · 一年")
    try:
        urls = await asyncio.to_thread(engines.start)
    except EngineFailed as failure:
        console.print(f"[red]{type(failure).__name__}: {failure}[/]", soft_wrap=True)
        return 1
    try:
        await _begin_anew(urls)
        outcome = await live_year(
            urls, DATABASE, folder=home, residents=residents, seed=SEED, console=console, port=port,
            log_level=os.environ.get("CHENGXIN_LOG_LEVEL", "info"),
        )  # fmt: skip
        console.rule("对账 · every book against every other")
        report.show(console, outcome.story.town.account, outcome.expected, outcome.differences)
        for broken in outcome.broken:
            console.print(f"  [red]{broken}[/]", soft_wrap=True)
        console.print(
            f"  check-ledger: {outcome.proofs} proofs and the seals, {len(outcome.broken)} broken;"
            f" {len(outcome.differences)} differences"
        )
        verdict = "[green]分毫不差" if outcome.holds else "[red]不符"
        console.rule(f"{verdict} · {time.perf_counter() - began:.0f} s")
        return 0 if outcome.holds else 1
    except (HouseFailed, NotInTime, Unexpected, Refusal) as failure:
        console.print(f"[red]{type(failure).__name__}: {failure}[/]", soft_wrap=True)
        return 1
    finally:
        engines.stop()


async def _begin_anew(urls: EngineUrls) -> None:
    """A year is lived once in a database."""
    connection = await asyncpg.connect(urls.superuser)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{DATABASE}" WITH (FORCE)')
    finally:
        await connection.close()
    await prepare_database(urls, DATABASE)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()
