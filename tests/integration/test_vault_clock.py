"""Only a sandbox may move the vault's clock; production opens on no database where somebody has (D11)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from server.config import UnsafeSettings
from server.services import open_services, open_worker
from tests.support.databases import Database
from tests.support.ledger import open_ledger
from tests.support.serving import settings


async def test_a_clock_that_was_moved_is_no_plain_one_even_when_it_was_moved_back(fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger:
        assert await ledger.app.clock_is_plain() is True
        assert abs(await ledger.app.now() - datetime.now(UTC)) < timedelta(minutes=1)
        await ledger.move_clock(days=2)
        assert await ledger.app.clock_is_plain() is False
        assert await ledger.app.now() - datetime.now(UTC) > timedelta(days=1)
        await ledger.restore_clock()
        assert await ledger.app.clock_is_plain() is False


async def test_a_house_in_production_refuses_a_moved_clock(fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger:
        await ledger.move_clock(seconds=1)
        real = settings(
            environment="production", database_url=fresh_database.app, worker_database_url=fresh_database.worker
        )
        for start in (open_services, open_worker):
            with pytest.raises(UnsafeSettings, match="clock"):
                await start(real)
