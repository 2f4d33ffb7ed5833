"""`chengxin jobs`: grant jobs and batches of voucher codes that are under way, with their progress."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import click
import msgspec

if TYPE_CHECKING:
    from server.incentives.running_jobs import RunningJob

LOOK_EVERY_S: Final = 1.0
KINDS: Final = {"grant_job": "grants", "voucher_batch": "codes"}


@click.command("jobs")
@click.option(
    "--url", envvar="CHENGXIN_WORKER_DATABASE_URL", show_envvar=True, required=True, help="URL of the worker role."
)
@click.option("--watch", is_flag=True, help="Progress bars, until nothing is under way any more.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def jobs(url: str, watch: bool, as_json: bool) -> None:
    """Grant jobs and batches of voucher codes under way: done, speed and remaining time."""
    from server.incentives.running_jobs import running_jobs
    from server.kit.db import close_house, open_house

    async def run() -> list[RunningJob]:
        await open_house(url, pool_max=1)
        try:
            return await (_watch(running_jobs) if watch else running_jobs())
        finally:
            await close_house()

    found = asyncio.run(run())
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for one in found:
        click.echo(
            f"{KINDS[one.kind]:8}{one.id:<8}{one.status:10}{one.done:>10} of {one.total:<10}{one.per_second:>10} /s  "
            f"{_clock(one.remaining_s)}  {one.document} {one.why}".rstrip()
        )
    click.echo(f"{len(found)} under way")


async def _watch(look: Callable[[], Awaitable[list[RunningJob]]]) -> list[RunningJob]:
    """Bars on standard error until nothing is under way; what stands still is left at its place."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} /s, {task.fields[left]} left {task.fields[why]}"),
    )  # fmt: skip
    with Bars(*columns, console=Console(stderr=True)) as shown:
        bars: dict[tuple[str, str], TaskID] = {}
        while found := await look():
            for one in found:
                key = (one.kind, one.id)
                if key not in bars:
                    bars[key] = shown.add_task(
                        f"{KINDS[one.kind]} {one.id}", total=None, rate=0.0, left="", why=""
                    )  # fmt: skip
                shown.update(
                    bars[key], completed=one.done, total=one.total or None, rate=one.per_second,
                    left=_clock(one.remaining_s), why=one.why or ("" if one.status == "running" else one.status),
                )  # fmt: skip
            for gone in bars.keys() - {(one.kind, one.id) for one in found}:
                task = shown.tasks[bars[gone]]
                shown.update(bars[gone], completed=task.total or task.completed, left="nothing", why="")
            await asyncio.sleep(LOOK_EVERY_S)
    return found


def _clock(seconds: int | None) -> str:
    """Hours, minutes and seconds; a dash when nobody can tell."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
