"""`chengxin set-lists` and `chengxin import-bands`: the city's lists, and what is told of its residents."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from server.cli_exits import EX_DATAERR, fail
from server.config import EX_CONFIG, Settings, UnsafeSettings, secret_bytes
from server.kit.logging import configure_logging

if TYPE_CHECKING:
    from server.people.attribute_import import ImportReport, Progress

T = TypeVar("T")
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("set-lists")
@click.argument("file", type=FILE)
def set_lists(file: Path) -> None:
    """Set bands, towns, interests and kinds of merchants from a JSON FILE; what it does not name stays.

    {"band_scale": {"version": 1, "valid_from": "2026-01-01", "bands": [{"code": "A", "name": "A级", "rank": 1}, …]},
    "towns": ["澄江街道", …], "interests": [{"code": "sport", "name": "运动健身"}, …],
    "merchant_categories": [{"code": "restaurant", "name": "餐饮"}, …]}

    A version of the bands that stands is never changed; a new one holds from a later day. Exit status 1 when refused.
    """
    from server.people import city_lists

    lists = city_lists.read_lists(file.read_bytes())
    _in_house(lambda _: city_lists.set_lists(lists))
    click.echo("the lists are set")


@click.command("import-bands")
@click.argument("file", type=FILE)
@click.option("--source", required=True, help="Who says so, e.g. the office and the number of its letter.")
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The city day the file speaks of.")
@click.option("--dry-run", is_flag=True, help="Check the file and count what it would change; write nothing.")
@click.option("--encoding", default="utf-8-sig", show_default=True, help="Of the file, e.g. gb18030.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def import_bands(file: Path, source: str, as_of: datetime, dry_run: bool, encoding: str, as_json: bool) -> None:
    """Set band and town of enrolled residents from a CSV FILE with the columns id_number (身份证号), band (信用等级: a
    code of the scale) and town (镇街: its name), of which either of the last two may be missing.

    Residents who are not enrolled are counted and leave no trace. A line that is not fit (no ID number, a band or town
    that is not listed, a person twice) refuses the whole file: exit status 65, and the lines are named. The same file
    again changes nothing. A higher band is told to campaigns as the fact band_reached.
    """
    from server.people.attribute_file import FileUnfit

    try:
        with file.open("rb") as raw:
            report = _import(raw, file.stat().st_size, encoding, source, as_of, dry_run)
    except (FileUnfit, LookupError) as problem:
        fail(f"{file.name}: {problem}", EX_DATAERR)
    click.echo(msgspec.json.encode(report) if as_json else "\n".join(_lines(report)))
    raise SystemExit(EX_DATAERR if report.unfit_lines else 0)


def _import(raw: Any, size: int, encoding: str, source: str, as_of: datetime, dry_run: bool) -> ImportReport:
    from server.incentives.facts import record_facts
    from server.kit.clock import Clock
    from server.kit.crypto import BlindIndex
    from server.people.attribute_file import read_told
    from server.people.attribute_import import AttributeImport

    async def run(settings: Settings) -> ImportReport:
        clock = Clock(settings.city_zone)
        clock.follow(await _database_now())
        importer = AttributeImport(
            clock=clock, index=BlindIndex(secret_bytes(settings.index_key)), record_facts=record_facts
        )
        with io.TextIOWrapper(raw, encoding=encoding, newline="") as text, _bar(size) as shown:
            return await importer.run(
                read_told(text),
                source=source,
                as_of=as_of.date(),
                dry_run=dry_run,
                progress=lambda at: shown(raw.tell() if at.written == 0 else size, at),
            )

    return _in_house(run)


async def _database_now() -> datetime:
    from server.kit.db import fetch

    now: datetime = (await fetch("SELECT vault.now() AS now"))[0]["now"]
    return now


def _lines(report: ImportReport) -> Iterator[str]:
    for one in report.unfit:
        yield f"line {one.line}: {_WRONG[one.what]}"
    if report.unfit_lines:
        more = report.unfit_lines - len(report.unfit)
        yield f"{report.unfit_lines} of {report.lines} lines are not fit{f', {more} not shown' if more else ''}"
        yield "nothing was written"
        return
    yield (
        f"{report.as_of}: {report.lines} lines, {report.enrolled} enrolled, {report.unknown} not enrolled;"
        f" {report.bands_changed} bands and {report.towns_changed} towns changed, {report.risen} reached a higher band"
        f"{' (dry run: nothing was written)' if report.dry_run else ''}"
    )


_WRONG = {
    "id_number": "no ID number", "band": "no band of the scale of that day", "town": "no town of the city",
    "twice": "this person stood there before",
}  # fmt: skip


@contextmanager
def _bar(size: int) -> Iterator[Callable[[int, Progress], None]]:
    """A bar on standard error while somebody is looking: reading in bytes, then writing in people."""
    if not sys.stderr.isatty():
        yield lambda read_bytes, at: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:8}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        reading = progress.add_task("reading", total=size)
        writing = progress.add_task("writing", total=None, start=False)

        def show(read_bytes: int, at: Any) -> None:
            progress.update(reading, completed=read_bytes)
            if at.written:
                progress.start_task(writing)
                progress.update(writing, completed=at.written, total=at.read)

        yield show


def _in_house(work: Callable[[Settings], Awaitable[T]]) -> T:
    """Runs on the house's tables as the worker's role."""
    from server.kit.db import close_house, open_house

    try:
        settings = Settings()
        settings.check_production()
    except (ValueError, UnsafeSettings) as problem:
        fail(str(problem), EX_CONFIG)
    configure_logging(settings.log_level)
    if not settings.worker_database_url:
        raise click.ClickException("CHENGXIN_WORKER_DATABASE_URL is not set")

    async def run() -> T:
        await open_house(settings.worker_database_url, pool_max=2)
        try:
            return await work(settings)
        finally:
            await close_house()

    return asyncio.run(run())
