"""The databases tests get are the ones a deployer gets: migrated, with the grants, each its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from server.kit.bootstrap import missing_grants
from tests.support.databases import Database, connected


@pytest.mark.parametrize("role", ["app", "worker"])
async def test_a_cloned_database_has_its_grants_again(database: Database, role: str) -> None:
    async with connected(getattr(database, role)) as connection:
        assert await missing_grants(connection.fetch) == []
        assert await connection.fetchval("SELECT to_regclass('vault.journal') IS NOT NULL")


async def test_two_databases_do_not_see_each_other(new_database: Callable[[], Awaitable[Database]]) -> None:
    first, second = await new_database(), await new_database()
    assert first.name != second.name
    async with connected(first.owner) as connection:
        await connection.execute("CREATE TABLE only_here ()")
    async with connected(second.owner) as connection:
        assert await connection.fetchval("SELECT to_regclass('public.only_here') IS NULL")
