"""How a command ends when it could not do its work; 1 is kept for what it found, such as books that do not balance."""

from __future__ import annotations

from typing import Final, NoReturn

import click

EX_DATAERR: Final = 65  # a file that was given is not what it should be
EX_UNAVAILABLE: Final = 69  # a database or another service cannot be reached; says nothing about the books
EX_CANTCREAT: Final = 73  # a file cannot be written
EX_IOERR: Final = 74  # the database, or a file, cannot be read
EX_NOPERM: Final = 77  # the database's role may not do that
EX_PIPE: Final = 141  # whoever read the output has gone: what a shell says of a program ended by SIGPIPE


def fail(problem: str, status: int) -> NoReturn:
    """Ends the process with one line on standard error and an exit status."""
    click.echo(f"Error: {problem}", err=True)
    raise SystemExit(status)
