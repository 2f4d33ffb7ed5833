"""`transaction()` against a real server: what Tortoise leaves open stays closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
import pytest_asyncio
from tortoise.exceptions import IntegrityError

from server.kit import db
from server.kit.audit import Actor, AuditEntry, record
from server.kit.db import Conflict, NestedTransaction, close_house, fetch, open_house, retry_on_conflict, transaction
from server.kit.errors import TemporarilyUnavailable
from tests.support.databases import Database, connected

NOW = datetime(2026, 7, 1, tzinfo=UTC)
ADMIN = Actor("admin", "1")


@pytest_asyncio.fixture
async def house(database: Database) -> AsyncIterator[Database]:
    await open_house(database.app, pool_max=3)
    async with connected(database.owner) as owner:
        await owner.execute(
            "CREATE TABLE IF NOT EXISTS thing (id int PRIMARY KEY, n int NOT NULL,"
            " partner int REFERENCES thing (id) DEFERRABLE INITIALLY DEFERRED)"
        )
        await owner.execute("DELETE FROM thing")
        await owner.execute("INSERT INTO thing VALUES (1, 0), (2, 0)")
    yield database
    await close_house()


async def count() -> int:
    return int((await fetch("SELECT count(*) AS n FROM thing"))[0]["n"])


async def test_a_block_that_ends_commits_and_one_that_raises_leaves_nothing(house: Database) -> None:
    async with transaction() as tx:
        await tx.execute_query("INSERT INTO thing VALUES (3, 0)")
    with pytest.raises(ValueError, match="stop"):
        async with transaction() as tx:
            await tx.execute_query("INSERT INTO thing VALUES (4, 0)")
            raise ValueError("stop")
    assert await count() == 3


async def test_a_transaction_inside_a_transaction_is_refused(house: Database) -> None:
    with pytest.raises(NestedTransaction):
        async with transaction(), transaction():
            pass
    assert await count() == 2


async def test_a_failed_begin_leaks_no_connection_and_frees_the_task(
    house: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tortoise.backends.asyncpg.client import TransactionWrapper

    async def refuse(self: TransactionWrapper) -> None:
        raise asyncpg.CannotConnectNowError("starting up")

    with monkeypatch.context() as patch:
        patch.setattr(TransactionWrapper, "begin", refuse)
        for _ in range(8):  # more often than the pool has connections
            with pytest.raises(TemporarilyUnavailable):
                async with transaction():
                    pass
    async with transaction() as tx:
        await tx.execute_query("INSERT INTO thing VALUES (3, 0)")
    assert await count() == 3


async def test_a_rule_judged_at_commit_leaves_as_an_integrity_error(house: Database) -> None:
    with pytest.raises(IntegrityError):
        async with transaction() as tx:
            await tx.execute_query("INSERT INTO thing VALUES (3, 0, 99)")
    assert await count() == 2


async def test_a_deadlock_leaves_as_conflict_and_a_retry_succeeds(house: Database) -> None:
    met = asyncio.Barrier(2)
    first_time = {1: True, 2: True}

    async def both(first: int, second: int) -> None:
        async def command() -> None:
            async with transaction() as tx:
                await tx.execute_query("UPDATE thing SET n = n + 1 WHERE id = $1", [first])
                if first_time[first]:
                    first_time[first] = False
                    await met.wait()
                await tx.execute_query("UPDATE thing SET n = n + 1 WHERE id = $1", [second])

        await retry_on_conflict(command)

    await asyncio.gather(both(1, 2), both(2, 1))
    assert [row["n"] for row in await fetch("SELECT n FROM thing ORDER BY id")] == [2, 2]


async def test_a_lock_that_is_not_given_leaves_as_conflict(house: Database) -> None:
    async with connected(house.app) as holder, holder.transaction():
        await holder.execute("SELECT 1 FROM thing WHERE id = 1 FOR UPDATE")
        with pytest.raises(Conflict):
            async with transaction() as tx:
                await tx.execute_query("SELECT 1 FROM thing WHERE id = 1 FOR UPDATE NOWAIT")


async def test_a_connection_lost_inside_leaves_as_unavailable_and_the_next_one_works(house: Database) -> None:
    async with connected(house.superuser) as killer:
        with pytest.raises(TemporarilyUnavailable):
            async with transaction() as tx:
                pid = (await tx.execute_query_dict("SELECT pg_backend_pid() AS pid"))[0]["pid"]
                # Answers when the process is gone, or false when it would not go.
                assert await killer.fetchval("SELECT pg_terminate_backend($1, 60000)", pid)
                await tx.execute_query("INSERT INTO thing VALUES (3, 0)")
    async with transaction() as tx:
        await tx.execute_query("INSERT INTO thing VALUES (4, 0)")
    assert await count() == 3


async def test_a_cancelled_block_rolls_back_and_gives_its_connection_back(house: Database) -> None:
    async def wait() -> None:
        async with transaction() as tx:
            await tx.execute_query("INSERT INTO thing VALUES (3, 0)")
            written.set()
            await asyncio.Event().wait()

    for _ in range(5):
        written = asyncio.Event()
        task = asyncio.create_task(wait())
        await written.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await count() == 2


async def test_an_audit_entry_commits_with_its_change_and_can_not_be_changed(house: Database) -> None:
    async with transaction() as tx:
        await record(
            tx, actor=ADMIN, action="t.made", object_kind="t", object_id="1", before=None, after={"n": 1}, at=NOW,
            request_id="r",
        )  # fmt: skip
    entry = await AuditEntry.filter(object_kind="t").first()
    assert entry is not None and entry.after == {"n": 1}
    for role in (house.app, house.owner):
        async with connected(role) as connection:
            for change in ("UPDATE audit_entry SET action = 'x'", "DELETE FROM audit_entry", "TRUNCATE audit_entry"):
                with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.RestrictViolationError)):
                    await connection.execute(change)


def test_a_url_with_a_socket_folder_is_understood() -> None:
    parts = db.credentials_of("postgresql://a:b%40c@/house?host=/run/pg")
    assert (parts["host"], parts["password"], parts["database"]) == ("/run/pg", "b@c", "house")
