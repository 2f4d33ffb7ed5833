"""A vault with another function than its own: one broken rule, or another number of cells, in a test's database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

CELL = "CREATE OR REPLACE FUNCTION vault.cell(b smallint) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS "
#: As a vault of two nodes would have it, and as one of one has it (010_schema.sql).
TWO_CELLS = CELL + "'SELECT CASE WHEN b < 512 THEN 0 ELSE 512 END::smallint'"
ONE_CELL = CELL + "'SELECT 0::smallint'"


async def text_of(owner: asyncpg.Connection, function: str) -> str:
    """The statement that would make the function again."""
    text: str | None = await owner.fetchval(
        "SELECT pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = 'vault' AND p.proname = $1",
        function,
    )
    assert text is not None, f"there is no vault.{function}: this canary is out of date"
    return text


@asynccontextmanager
async def sabotaged(owner: asyncpg.Connection, function: str, right: str, wrong: str) -> AsyncIterator[None]:
    """`vault.<function>` with the text `right` replaced by `wrong` wherever it stands; it must stand somewhere."""
    text = await text_of(owner, function)
    assert text.count(right) > 0, f"vault.{function} has no {right!r}: this canary is out of date"
    await owner.execute(text.replace(right, wrong))
    try:
        yield
    finally:
        await owner.execute(text)
