"""The relay loses nothing, whoever commits late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
import pytest_asyncio

from server.kit.db import close_house, open_house, transaction
from server.kit.outbox import Event, emit, lag, relay_once
from tests.support.databases import Database

NOW = datetime(2026, 7, 1, tzinfo=UTC)
LATE = (
    "INSERT INTO event (txid, kind, key, payload, occurred_at)"
    " VALUES (pg_current_xact_id()::text::bigint, 'late', 'k', '{}', now())"
)


@pytest_asyncio.fixture
async def house(fresh_database: Database) -> AsyncIterator[Database]:
    await open_house(fresh_database.worker)
    yield fresh_database
    await close_house()


async def tell(*kinds: str) -> None:
    async with transaction() as tx:
        for kind in kinds:
            await emit(tx, kind, "resident:1", {"kind": kind}, NOW)


async def relay(consumer: str = "c", limit: int = 200) -> list[str]:
    seen: list[str] = []

    async def handle(event: Event) -> None:
        seen.append(event.kind)

    await relay_once(consumer, handle, limit)
    return seen


async def test_events_come_once_in_order_and_in_bites(house: Database) -> None:
    await tell("a", "b", "c")
    await tell("d")
    assert [await relay(limit=3), await relay(limit=3), await relay(limit=3)] == [["a", "b", "c"], ["d"], []]
    assert await lag("c") == 0


async def test_a_late_committer_is_waited_for_and_not_lost(house: Database) -> None:
    late = await asyncpg.connect(house.worker)
    transaction_of_late = late.transaction()
    await transaction_of_late.start()
    await late.execute(LATE)
    await tell("early")  # has the higher transaction number and commits first
    assert await relay() == []
    await transaction_of_late.commit()
    assert await relay() == ["late", "early"]
    assert await relay() == []
    await late.close()


async def test_an_event_of_a_rolled_back_transaction_never_comes(house: Database) -> None:
    with pytest.raises(ValueError, match="no"):
        async with transaction() as tx:
            await emit(tx, "ghost", "k", {}, NOW)
            raise ValueError("no")
    await tell("real")
    assert await relay() == ["real"]


async def test_a_handler_that_fails_gets_the_same_event_again(house: Database) -> None:
    await tell("a", "b", "c")
    seen: list[str] = []

    async def stumble(event: Event) -> None:
        if event.kind == "b" and "stumbled" not in seen:
            seen.append("stumbled")
            raise RuntimeError("handler")
        seen.append(event.kind)

    with pytest.raises(RuntimeError, match="handler"):
        await relay_once("c", stumble)
    assert await lag("c") == 2
    await relay_once("c", stumble)
    assert seen == ["a", "stumbled", "b", "c"]


async def test_consumers_do_not_take_from_each_other(house: Database) -> None:
    await tell("a")
    assert (await relay("one"), await relay("two")) == (["a"], ["a"])


async def test_an_event_can_not_be_changed(house: Database) -> None:
    await tell("a")
    connection = await asyncpg.connect(house.owner)
    with pytest.raises(asyncpg.RestrictViolationError):
        await connection.execute("UPDATE event SET kind = 'x'")
    await connection.close()
