"""`chengxin verify-draw`: anybody repeats a draw from the published file alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from server.cli_exits import EX_DATAERR, EX_IOERR, fail

if TYPE_CHECKING:
    from server.incentives.lottery.verify import Verdict

HEX = 64


def _noted(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    text = value.strip().lower()
    if len(text) != HEX or set(text) - set("0123456789abcdef"):
        raise click.BadParameter(f"{HEX} hexadecimal digits are expected", param=parameter)
    return text


@click.command("verify-draw")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--commitment", callback=_noted, help="As noted before the draw: the file must have committed to it.")
@click.option("--digest", callback=_noted, help="As noted when the list was published: the entries must be those.")
@click.option(
    "--first", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Of a second draw the file of the first: its losers, and nobody else, must be the entries.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def verify_draw(file: Path, commitment: str | None, digest: str | None, first: Path | None, as_json: bool) -> None:
    """Repeat a lottery's draw from its published FILE; needs no database and no settings. Exit status 1 when a check
    does not hold or nothing is drawn yet, 65 when FILE is none of a lottery, 74 when it cannot be read."""
    from server.incentives.lottery.verify import NotALottery, verify

    try:
        verdict = verify(file, commitment=commitment, digest=digest, first=first)
    except NotALottery as problem:
        fail(f"{file} is no published lottery: {problem}", EX_DATAERR)
    except OSError as problem:
        fail(f"{file} cannot be read: {problem.strerror}", EX_IOERR)
    if as_json:
        click.echo(msgspec.json.encode(_document(verdict)))
    else:
        _lines(verdict)
    raise SystemExit(0 if verdict.holds else 1)


def _document(verdict: Verdict) -> dict[str, Any]:
    listed = verdict.listed
    return {
        "holds": verdict.holds,
        "id": verdict.announcement.id,
        "title": verdict.announcement.title,
        "drawn": verdict.drawn,
        "entries": listed.entries,
        "tickets": listed.tickets,
        "winners": verdict.winners,
        "commitment": verdict.announcement.commitment,
        "digest": listed.digest,
        "checks": [
            {"check": one.name, "holds": one.holds, "promise": one.promise, "found": one.found}
            for one in verdict.checks
        ],
    }


def _lines(verdict: Verdict) -> None:
    listed = verdict.listed
    click.echo(f"lottery {verdict.announcement.id} {verdict.announcement.title}")
    click.echo(f"{listed.entries} entries, {listed.tickets} tickets, {verdict.winners} winners")
    width = max(len(one.name) for one in verdict.checks)
    for one in verdict.checks:
        click.echo(f"{'ok' if one.holds else 'BROKEN':7}{one.name:{width}}  {one.promise}")
        if one.found:
            click.echo(f"       {one.found}")
    if verdict.announcement.second_of is not None and not any(one.name == "first" for one in verdict.checks):
        click.echo(f"a second draw of lottery {verdict.announcement.second_of}: hold it against that one with --first")
    if not verdict.drawn:
        click.echo("nothing is drawn yet")
    click.echo("the draw is as it was published" if verdict.holds else "the draw does not hold")
