"""`chengxin dead-letters`: see what the worker could not do, and have it tried again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import click
import msgspec

T = TypeVar("T")
URL = click.option("--url", envvar="CHENGXIN_WORKER_DATABASE_URL", required=True, help="URL of the worker role.")


@click.group("dead-letters")
def letters() -> None:
    """What failed at every try: see it, have it tried again."""


@letters.command("list")
@URL
@click.option("--consumer", default=None, help="Those of one consumer or kind of job only.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def list_letters(url: str, consumer: str | None, limit: int, as_json: bool) -> None:
    """Newest first; exit status 1 when there are any."""
    from server.kit import dead_letters

    found = _run(url, lambda: dead_letters.page(None, limit, consumer))
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    else:
        for one in found:
            when = one.last_failed_at.astimezone(UTC).isoformat(timespec="seconds")
            click.echo(f"{one.id:<10}{one.consumer:20}{one.key:32}{one.error:24}{one.waiting:>5} waiting  {when}")
        click.echo(f"{len(found)} dead letters")
    raise SystemExit(1 if found else 0)


@letters.command("replay")
@URL
@click.argument("letter_ids", type=int, nargs=-1, required=True)
def replay_letters(url: str, letter_ids: tuple[int, ...]) -> None:
    """Have the worker try these again; the audit trail remembers it. Exit status 1 when one is no dead letter."""
    from server.kit import dead_letters
    from server.kit.audit import Actor

    async def run() -> list[int]:
        missing = []
        for letter_id in letter_ids:
            try:
                await dead_letters.replay(letter_id, Actor("system", "dead-letters"), datetime.now(UTC), "")
            except dead_letters.DeadLetterNotFound:
                missing.append(letter_id)
        return missing

    missing = _run(url, run)
    click.echo(f"{len(letter_ids) - len(missing)} will be tried again")
    for letter_id in missing:
        click.echo(f"{letter_id} is no dead letter", err=True)
    raise SystemExit(1 if missing else 0)


def _run(url: str, work: Callable[[], Awaitable[T]]) -> T:
    from server.kit.db import close_house, open_house

    async def run() -> T:
        await open_house(url, pool_max=1)
        try:
            return await work()
        finally:
            await close_house()

    return asyncio.run(run())
