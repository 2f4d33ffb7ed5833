"""`chengxin dead-letters`: see what the worker could not do, have it tried again, or give it up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

import click
import msgspec

T = TypeVar("T")
URL = click.option(
    "--url", envvar="CHENGXIN_WORKER_DATABASE_URL", show_envvar=True, required=True, help="URL of the worker role."
)
ID_MAX: Final = 2**63 - 1


@click.group("dead-letters")
def letters() -> None:
    """What failed at every try: see it, have it tried again, give it up."""


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
        click.echo(msgspec.json.encode(found))
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
                _must_be_an_id(letter_id)
                await dead_letters.replay(letter_id, Actor("system", "dead-letters"), datetime.now(UTC), "")
            except dead_letters.DeadLetterNotFound:
                missing.append(letter_id)
        return missing

    missing = _run(url, run)
    click.echo(f"{len(letter_ids) - len(missing)} will be tried again")
    for letter_id in missing:
        click.echo(f"{letter_id} is no dead letter", err=True)
    raise SystemExit(1 if missing else 0)


@letters.command("discard")
@URL
@click.argument("letter_id", type=int)
@click.option("--reason", required=True, help="Why; it stays in the audit trail.")
def discard_letter(url: str, letter_id: int, reason: str) -> None:
    """Give this one up for good; what waits behind it goes on. Exit status 1 when it is no dead letter."""
    from server.kit import dead_letters
    from server.kit.audit import Actor

    async def run() -> bool:
        try:
            _must_be_an_id(letter_id)
            await dead_letters.discard(letter_id, reason, Actor("system", "dead-letters"), datetime.now(UTC), "")
        except dead_letters.DeadLetterNotFound:
            return False
        return True

    if not _run(url, run):
        click.echo(f"{letter_id} is no dead letter", err=True)
        raise SystemExit(1)
    click.echo(f"{letter_id} is given up")


def _must_be_an_id(letter_id: int) -> None:
    """More digits than the database's ids have name no dead letter."""
    from server.kit.dead_letters import DeadLetterNotFound

    if not 0 < letter_id <= ID_MAX:
        raise DeadLetterNotFound


def _run(url: str, work: Callable[[], Awaitable[T]]) -> T:
    from server.kit.db import close_house, open_house

    async def run() -> T:
        await open_house(url, pool_max=1)
        try:
            return await work()
        finally:
            await close_house()

    return asyncio.run(run())
