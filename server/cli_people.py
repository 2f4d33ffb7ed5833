"""`chengxin set-lists` and `chengxin import-bands`: the city's lists, and what is told of its residents. Both are used
by the city's offices, and speak Chinese."""

from __future__ import annotations

import asyncio
import codecs
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
    """从 JSON 文件 FILE 设置信用等级、镇街、兴趣和商户类别; 文件中没有的名录保持不变。

    {"band_scale": {"version": 1, "valid_from": "2026-01-01", "bands": [{"code": "A", "name": "A级", "rank": 1}, …]},
    "towns": ["澄江街道", …], "interests": [{"code": "sport", "name": "运动健身"}, …],
    "merchant_categories": [{"code": "restaurant", "name": "餐饮"}, …]}

    已有的等级版本不会改动, 新版本须自更晚的日期起生效。被拒绝时退出码为 1。
    """
    from server.people import city_lists

    lists = city_lists.read_lists(file.read_bytes())
    _in_house(lambda _: city_lists.set_lists(lists))
    click.echo("名录已设置")


@click.command("import-bands")
@click.argument("file", type=FILE)
@click.option("--source", required=True, help="数据来源, 如发文单位和文号。")
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), required=True, help="文件所述情况的日期 (本市日期)。")
@click.option("--dry-run", is_flag=True, help="只检查文件并统计变化, 不写入。")
@click.option("--encoding", default="utf-8-sig", show_default=True, help="文件编码, 如 gb18030。")
@click.option("--json", "as_json", is_flag=True, help="输出一个 JSON 文档。")
def import_bands(file: Path, source: str, as_of: datetime, dry_run: bool, encoding: str, as_json: bool) -> None:
    """从 CSV 文件 FILE 导入已加入居民的信用等级和镇街。列名为 id_number (身份证号)、band (信用等级, 填等级代码)、
    town (镇街, 填名称), 后两列可以缺一列。

    未加入的居民只计数, 不留任何记录。只要有一行不合格 (身份证号不正确、等级或镇街不在名录中、同一人出现两次),
    整个文件都不导入: 退出码为 65, 并列出这些行。同一文件再次导入不产生变化。等级提升会作为事实 band_reached 告知活动。
    """
    from server.people.attribute_file import FileUnfit

    try:
        codecs.lookup(encoding)
    except LookupError:
        fail(f"没有“{encoding}”这种编码", EX_DATAERR)
    try:
        with file.open("rb") as raw:
            report = _import(raw, file.stat().st_size, encoding, source, as_of, dry_run)
    except FileUnfit as problem:
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
        yield f"第{one.line}行: {_WRONG[one.what]}"
    if report.unfit_lines:
        more = report.unfit_lines - len(report.unfit)
        yield f"共{report.lines}行, {report.unfit_lines}行不合格{f', 其中{more}行未列出' if more else ''}"
        yield "没有写入任何内容"
        return
    yield (
        f"{report.as_of}: 共{report.lines}行, 已加入{report.enrolled}人, 未加入{report.unknown}人;"
        f" 等级变化{report.bands_changed}人, 镇街变化{report.towns_changed}人, 等级提升{report.risen}人"
        f"{' (试运行, 没有写入)' if report.dry_run else ''}"
    )


_WRONG = {
    "id_number": "身份证号不正确", "band": "等级不在当日的等级版本中", "town": "镇街不在名录中",
    "twice": "此人在前面已出现过",
}  # fmt: skip


@contextmanager
def _bar(size: int) -> Iterator[Callable[[int, Progress], None]]:
    """A bar on standard error while somebody is looking: reading in bytes, then writing in people."""
    if not sys.stderr.isatty():
        yield lambda read_bytes, at: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:4}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        reading = progress.add_task("读取", total=size)
        writing = progress.add_task("写入", total=None, start=False)

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
