"""`chengxin …` in this process: the same commands, without a second for every start. tests/api/test_commands.py starts
real processes."""

from __future__ import annotations

import asyncio

from click.testing import CliRunner

from server.cli import main


async def chengxin(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit status, and everything that was said. For commands that open no house (a process has one)."""
    done = await asyncio.to_thread(CliRunner().invoke, main, arguments, env=env)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output
