"""The relay loses nothing, whoever commits late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio

from server.kit import dead_letters
from server.kit.audit import Actor
from server.kit.db import close_house, fetch, open_house, transaction
from server.kit.outbox import Event, HouseEvents, emit, lag, purge, relay_once
from tests.support.databases import Database, connected
from tests.support.patience import relay_all, until

NOW = datetime(2026, 7, 1, tzinfo=UTC)
ADMIN = Actor("admin", "1")
LATE = (
    "INSERT INTO event (txid, kind, key, payload, occurred_at)"
    " VALUES (pg_current_xact_id()::text::bigint, 'late', 'k', '{}', now())"
)
OLDEST = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


@pytest_asyncio.fixture
async def house(fresh_database: Database) -> AsyncIterator[Database]:
    await open_house(fresh_database.worker)
    yield fresh_database
    await close_house()


async def tell(*kinds: str) -> None:
    await tell_at(NOW, *kinds)


async def tell_at(at: datetime, *kinds: str) -> None:
    async with transaction() as tx:
        for kind in kinds:
            await emit(tx, kind, "resident:1", {"kind": kind}, at)


async def kinds() -> list[str]:
    return [row["kind"] for row in await fetch("SELECT kind FROM event ORDER BY id")]


async def dead(consumer: str) -> int:
    """Makes what stumbled of a consumer a dead letter; its number."""
    rows = await fetch(
        "UPDATE job SET status = 'dead', due_at = NULL, attempts = 10 WHERE kind = $1 AND status = 'due' RETURNING id",
        consumer,
    )
    return rows[0]["id"]


@dataclass
class Reader:
    """A consumer that remembers the kinds of what it was told."""

    name: str = "c"
    seen: list[str] = field(default_factory=list)

    async def handle(self, event: Event) -> None:
        self.seen.append(event.kind)

    async def all(self, limit: int = 200) -> list[int]:
        return await relay_all(self.name, self.handle, limit)

    async def once(self) -> int:
        return await relay_once(self.name, self.handle)


async def test_events_come_once_in_order_and_in_bites(house: Database) -> None:
    await tell("a", "b", "c")
    await tell("d")
    reader = Reader()
    bites = await reader.all(limit=2)
    assert reader.seen == ["a", "b", "c", "d"]
    # One transaction's events are in one window; whether the other's is in it too depends on who else is writing.
    assert bites in ([2, 2], [2, 1, 1])
    assert (await reader.once(), await lag("c")) == (0, 0)


async def test_a_late_committer_is_waited_for_and_not_lost(house: Database) -> None:
    reader = Reader()
    async with connected(house.worker) as late:
        async with late.transaction():
            await late.execute(LATE)
            number = await late.fetchval("SELECT pg_current_xact_id()::text::bigint")
            await tell("early")  # has the higher transaction number and commits first

            async def nobody_else_holds_it_back() -> bool:
                return await late.fetchval(OLDEST) == number

            await until("the end of older transactions", nobody_else_holds_it_back)
            assert (await reader.once(), reader.seen) == (0, [])
        await reader.all()
    assert reader.seen == ["late", "early"]
    assert await reader.once() == 0


async def test_an_event_of_a_rolled_back_transaction_never_comes(house: Database) -> None:
    with pytest.raises(ValueError, match="no"):
        async with transaction() as tx:
            await emit(tx, "ghost", "k", {}, NOW)
            raise ValueError("no")
    await tell("real")
    reader = Reader()
    await reader.all()
    assert reader.seen == ["real"]


async def test_a_window_whose_last_page_was_full_is_closed_too(house: Database) -> None:
    await tell("a", "b")
    reader = Reader()
    assert await reader.all(limit=2) == [2]
    assert await relay_once("c", reader.handle) == 0
    (cursor,) = await fetch("SELECT txid, upto, position::text AS position FROM event_cursor")
    assert (cursor["txid"], cursor["position"]) == (cursor["upto"], "[]")
    assert await relay_once("c", reader.handle) == 0 and reader.seen == ["a", "b"]


async def test_consumers_do_not_take_from_each_other(house: Database) -> None:
    await tell("a")
    one, two = Reader("one"), Reader("two")
    await one.all()
    await two.all()
    assert (one.seen, two.seen) == (["a"], ["a"])


async def test_an_event_can_not_be_changed(house: Database) -> None:
    await tell("a")
    async with connected(house.owner) as connection:
        for change in ("UPDATE event SET kind = 'x'", "DELETE FROM event", "TRUNCATE event"):
            with pytest.raises(asyncpg.RestrictViolationError):
                await connection.execute(change)
    async with connected(house.app) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM event")
    async with connected(house.worker) as connection:
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute("DELETE FROM event")


async def test_an_old_event_goes_once_everybody_has_handled_it_and_no_job_needs_it(house: Database) -> None:
    await tell_at(datetime.now(UTC) - timedelta(days=100), "old", "stumbles")
    await tell_at(datetime.now(UTC), "young")
    assert await purge() == 0, "nobody has read anything"
    one, two = Reader("one"), Reader("two")
    await fetch("INSERT INTO event_cursor (consumer, stream, position) VALUES ('two', 'house', '[]')")
    await one.all()
    assert await purge() == 0, "the other has not"

    async def stumble(event: Event) -> None:
        if event.kind == "stumbles":
            raise RuntimeError("no")

    async def everybody_has_read() -> bool:
        await two.once()
        await relay_once("three", stumble)
        return await lag("two") == 0 and await lag("three") == 2

    await until("three readers", everybody_has_read)
    assert (await purge(), await kinds()) == (1, ["stumbles", "young"])
    letter = await dead("three")
    assert await purge() == 0
    await dead_letters.discard(letter, "不再需要", ADMIN, NOW, "r")
    assert (await purge(), await kinds()) == (1, ["young"])


async def test_events_of_a_cluster_with_higher_numbers_are_not_passed_over_in_silence(house: Database) -> None:
    await tell("a")
    with pytest.raises(RuntimeError, match="have started anew"):
        await HouseEvents().cut(2**40)
