"""`chengxin check-ledger` and `chengxin ledger-head`: the proof of the books and seals, and the heads kept outside."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import click
import msgspec

from server.cli_exits import EX_CANTCREAT, EX_DATAERR, EX_IOERR, fail

if TYPE_CHECKING:
    from server.public_api.schemas import HeadReply
    from wallet.audit import Books
    from wallet.chain import SealReport

WORKER_URL = click.option(
    "--url", envvar="CHENGXIN_WORKER_DATABASE_URL", show_envvar=True, required=True, help="URL of the worker role."
)


@click.command("check-ledger")
@WORKER_URL
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
@click.option("--seals", is_flag=True, help="Prove the seals instead of the books; name every row that was changed.")
@click.option("--since-last", is_flag=True, help="Only what the last proof that held cannot have seen.")
@click.option(
    "--heads",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="With --seals: heads that were kept outside, as `ledger-head` wrote them.",
)
def check_ledger(url: str, as_json: bool, seals: bool, since_last: bool, heads: Path | None) -> None:
    """Prove that the books balance; exit status 1 when anything does not, 65 when --heads is no file of heads."""
    from wallet.audit import check_books, check_seals

    if heads is not None and not seals:
        raise click.UsageError("--heads goes with --seals")
    with _bar() as progress:
        if seals:
            kept = _heads_in(heads) if heads else []
            report = asyncio.run(
                check_seals(
                    url,
                    since_last=since_last,
                    kept=[{"day": str(one.day), "n": one.n, "root": one.root} for one in kept],
                    progress=progress,
                )
            )
        else:
            books = asyncio.run(check_books(url, since_last=since_last, progress=progress))
    if seals:
        _say(as_json, _seals_document(report), _seal_lines(report))
        broken = report.broken
    else:
        _say(as_json, _books_document(books), _book_lines(books))
        broken = books.broken
    raise SystemExit(1 if broken else 0)


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar on standard error while somebody is looking."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:32}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("reading", total=None)
        yield lambda name, done, total: shown.update(task, description=name, completed=done, total=total)


def _say(as_json: bool, document: dict[str, Any], lines: Iterator[str]) -> None:
    if as_json:
        click.echo(msgspec.json.encode(document))
        return
    for line in lines:
        click.echo(line)


def _books_document(books: Books) -> dict[str, Any]:
    return {
        "balanced": not books.broken,
        "since": None if books.since is None else str(books.since),
        "residents": books.residents,
        "seconds": round(books.seconds, 3),
        "checks": books.findings,
    }


def _book_lines(books: Books) -> Iterator[str]:
    width = max((len(finding.check) for finding in books.findings), default=0)
    for finding in books.findings:
        yield f"{'BROKEN' if finding.broken else 'ok':7}{finding.check:{width}}  {finding.promise}"
        for example in finding.examples:
            yield f"       {finding.broken} rows, e.g. {example}"
    reach = "" if books.since is None else f" of {books.residents} residents with entries since the last proof"
    broken = sum(1 for finding in books.findings if finding.broken)
    yield f"{broken} checks broken" if broken else f"the ledger balances{reach}"


def _seals_document(report: SealReport) -> dict[str, Any]:
    return {
        "sealed": not report.broken,
        "since": str(report.since),
        "last": str(report.last),
        "root": report.root,
        "sealed_at": report.sealed_at,
        "seals": report.seals,
        "rows": report.rows,
        "unsealed": report.unsealed,
        "found": [
            {"what": one.what, "seal": one.seal and str(one.seal), "owner": one.owner, "id": one.id, "text": one.text}
            for one in report.found
        ],
    }


def _seal_lines(report: SealReport) -> Iterator[str]:
    for one in report.found:
        yield f"CHANGED {one.text}"
    until = f", sealed {report.sealed_at:%Y-%m-%dT%H:%M:%SZ}" if report.sealed_at else ""
    yield f"seals {report.since + 1} to {report.last}: {report.rows} rows{until}, root {report.root}"
    yield f"{report.unsealed} rows are newer than the last seal: not yet sealed, not proved"
    yield f"{len(report.found)} changes found" if report.found else "every sealed row is as it was sealed"


@click.command("ledger-head")
@WORKER_URL
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="One city day; without it every day not in the file.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="JSON lines, oldest first.")
def ledger_head(url: str, day: datetime | None, out: Path) -> None:
    """Append the heads of city days to a file that is kept outside. Exit status 1 when the ledger now says something
    else of a day that is already in it, 65 when the file is none of heads, 73 when it cannot be written."""
    known = {head.day: head for head in _heads_in(out)} if os.access(out, os.F_OK) else {}
    # Without a day every known one is compared too.
    first, last = (day.date(), day.date()) if day else (min(known, default=date.min), date.max)
    heads = asyncio.run(_heads(url, first, last))
    if day and not heads:
        raise click.ClickException(f"{day:%Y-%m-%d} has no head")
    said = {head.day: (head.n, head.root) for head in heads}
    for kept in known.values():
        if first <= kept.day <= last and said.get(kept.day) != (kept.n, kept.root):
            raise click.ClickException(f"{kept.day} is no longer what the file says: see check-ledger --seals --heads")
    fresh = [head for head in heads if head.day not in known]
    try:
        with out.open("ab") as file:
            for head in fresh:
                file.write(msgspec.json.encode(head) + b"\n")
    except OSError as problem:
        fail(f"{out} cannot be written: {problem.strerror}", EX_CANTCREAT)
    click.echo(f"{len(fresh)} heads written to {out}")


def _heads_in(path: Path) -> list[HeadReply]:
    from server.public_api.schemas import HeadReply

    decode = msgspec.json.Decoder(HeadReply).decode
    try:
        return [decode(line) for line in path.read_bytes().splitlines() if line.strip()]
    except msgspec.DecodeError as problem:
        fail(f"{path} is no file of heads: {problem}", EX_DATAERR)
    except OSError as problem:
        fail(f"{path} cannot be read: {problem.strerror}", EX_IOERR)


async def _heads(url: str, first: date, last: date) -> list[HeadReply]:
    from server.public_api.schemas import head_reply
    from wallet.seals import Seals

    async with asyncpg.create_pool(url, min_size=1, max_size=1, timeout=5) as pool:
        return [head_reply(head) for head in await Seals(pool).heads(first, last)]
