"""`chengxin ledger-month`: months leave the journal for the archive and come back. As the owner, by hand or a timer."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import asyncpg
import click

if TYPE_CHECKING:
    from wallet.periods import Moved

OWNER_URL = click.option(
    "--url", envvar="CHENGXIN_MIGRATION_URL", show_envvar=True, required=True, help="URL of the owner role."
)


class Month(click.ParamType[date]):
    """A month as YYYY-MM: its first day."""

    name = "YYYY-MM"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return datetime.strptime(str(value), "%Y-%m").replace(tzinfo=UTC).date()
        except ValueError:
            self.fail(f"{value!r} is no month, such as 2026-01", param, ctx)


async def _streamed_to(url: str) -> int | None:
    """What transactions below it wrote, every consumer of the value stream has read; None when there is none."""
    from wallet.stream import JournalStream

    connection = await asyncpg.connect(url, timeout=5)
    try:
        found: int | None = await connection.fetchval(
            "SELECT min(txid) FROM event_cursor WHERE stream = $1", JournalStream.name
        )
        return found
    finally:
        await connection.close()


@click.group("ledger-month")
def ledger_month() -> None:
    """List the journal's months, take old ones out, put them back."""


@ledger_month.command("list")
@OWNER_URL
def list_months(url: str) -> None:
    """One line a month: where it is, and what an archived one holds."""
    from wallet.periods import months

    for one in asyncio.run(months(url)):
        entries = "" if one.entries is None else f"  {one.entries} entries"
        left = "" if one.detached_at is None else f"  since {one.detached_at:%Y-%m-%d}"
        click.echo(f"{one.month:%Y-%m}  {one.place}{left}{entries}")


@ledger_month.command()
@click.argument("month", type=Month())
@click.option(
    "--keep-months",
    type=click.IntRange(min=3),
    envvar="CHENGXIN_JOURNAL_MONTHS",
    default=36,
    show_default=True,
    help="Whole months before this one that stay in the journal.",
)
@OWNER_URL
def detach(month: date, keep_months: int, url: str) -> None:
    """Take MONTH out of the journal; its ids are refused as old from then on."""
    from wallet.periods import MonthRefused
    from wallet.periods import detach as detach_month

    async def run() -> Moved:
        return await detach_month(url, month, keep_months=keep_months, streamed_to=await _streamed_to(url))

    try:
        moved = asyncio.run(run())
    except MonthRefused as refused:
        raise click.ClickException(str(refused)) from None
    click.echo(f"{month:%Y-%m} {'is' if moved.moved else 'was already'} in the archive, {moved.entries} entries")


@ledger_month.command()
@click.argument("month", type=Month())
@OWNER_URL
def attach(month: date, url: str) -> None:
    """Put MONTH back into the journal, when its content is what it left with."""
    from wallet.periods import MonthRefused
    from wallet.periods import attach as attach_month

    try:
        moved = asyncio.run(attach_month(url, month))
    except MonthRefused as refused:
        raise click.ClickException(str(refused)) from None
    click.echo(f"{month:%Y-%m} {'is back' if moved.moved else 'was already'} in the journal")
