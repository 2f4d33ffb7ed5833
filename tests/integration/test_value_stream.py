"""The journal as a stream: every committed row reaches who listens, in order per resident, whoever commits late."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio

import wallet.stream
from server.kit.db import close_house, fetch, open_house
from server.kit.jobs import run_due
from server.kit.relay import lag, relay, retry
from tests.support.databases import Database, connected
from tests.support.ledger import Ledger, open_ledger
from tests.support.patience import until
from wallet.periods import MonthRefused, detach
from wallet.stream import JournalStream, Posting

STREAM = JournalStream(fetch)


@pytest_asyncio.fixture
async def ledger(fresh_database: Database) -> AsyncIterator[Ledger]:
    await open_house(fresh_database.worker)
    async with open_ledger(fresh_database) as ledger:
        yield ledger
    await close_house()


class Listener:
    """Remembers what it was told of each resident; fails on what is in `poison`."""

    def __init__(self) -> None:
        self.seen: dict[int, list[int]] = defaultdict(list)
        self.poison: set[tuple[int, int]] = set()

    async def handle(self, posting: Posting) -> None:
        if (posting.resident_id, posting.seq) in self.poison:
            raise ValueError("poison")
        self.seen[posting.resident_id].append(posting.seq)

    async def all(self, limit: int = 200) -> None:
        async def nothing_is_left() -> bool:
            await relay(STREAM, "listener", self.handle, limit)
            return await lag(STREAM, "listener") == 0

        await until("the whole journal told", nothing_is_left)


async def spend(ledger: Ledger, resident: int) -> None:
    await ledger.app.spend(resident, ledger.id7(), points=1, payee=5)


async def in_the_journal(ledger: Ledger) -> dict[int, list[int]]:
    rows = await ledger.owner.fetch(
        "SELECT owner, array_agg(seq ORDER BY seq) AS seqs FROM vault.journal GROUP BY owner"
    )
    return {row["owner"]: row["seqs"] for row in rows}


@pytest.mark.parametrize("sorted_rows", [20_000, 3], ids=["small windows", "large windows"])
async def test_every_row_is_told_once_and_in_order_while_many_are_written(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, sorted_rows: int
) -> None:
    monkeypatch.setattr(wallet.stream, "SORTED", sorted_rows)
    residents = [await ledger.resident(points=100) for _ in range(6)]
    listener, over = Listener(), asyncio.Event()

    async def listen() -> None:
        while not over.is_set():
            await relay(STREAM, "listener", listener.handle, 7)

    listening = asyncio.create_task(listen())
    await asyncio.gather(*(spend(ledger, one) for _ in range(30) for one in residents))
    over.set()
    await listening
    await listener.all(limit=7)
    assert listener.seen == await in_the_journal(ledger)
    assert all(seqs == list(range(1, 32)) for seqs in listener.seen.values())


async def test_a_row_that_commits_late_is_told_and_nothing_overtakes_it(ledger: Ledger) -> None:
    first, second = await ledger.resident(points=10), await ledger.resident(points=10)
    listener = Listener()
    await listener.all()
    async with connected(ledger.database.owner) as late, late.transaction():
        await late.execute("SELECT FROM vault.wallet WHERE owner = $1 FOR NO KEY UPDATE", first)
        await late.execute("SELECT pg_current_xact_id()")  # an old number that writes last
        await spend(ledger, second)
        for _ in range(3):
            await relay(STREAM, "listener", listener.handle)
        assert listener.seen[second] == [1], "what came after an unfinished transaction waits for it"
        assert await lag(STREAM, "listener") == 1
    await spend(ledger, first)
    await listener.all()
    assert listener.seen == {first: [1, 2], second: [1, 2]}


async def test_a_row_that_cannot_be_handled_holds_back_its_resident_only(ledger: Ledger) -> None:
    first, second = await ledger.resident(points=10), await ledger.resident(points=10)
    listener = Listener()
    listener.poison = {(first, 2)}
    for _ in range(2):
        await spend(ledger, first)
        await spend(ledger, second)

    async def the_other_is_told() -> bool:
        await relay(STREAM, "listener", listener.handle)
        return listener.seen[second] == [1, 2, 3]

    await until("the other resident told", the_other_is_told)
    assert listener.seen[first] == [1] and await lag(STREAM, "listener") == 2
    listener.poison.clear()

    async def worked_off() -> list[dict[str, Any]]:
        await fetch("UPDATE job SET due_at = clock_timestamp() WHERE status = 'due'")
        await run_due({"listener": retry(STREAM, listener.handle)})
        return await fetch("SELECT 1 WHERE NOT EXISTS (SELECT FROM job)")

    await until("jobs worked off", worked_off)
    assert listener.seen == {first: [1, 2, 3], second: [1, 2, 3]}


async def test_what_stumbled_is_told_from_the_archive_when_its_month_has_left(ledger: Ledger) -> None:
    resident, month, listener = await ledger.resident(points=10), ledger.now().date().replace(day=1), Listener()
    listener.poison = {(resident, 1)}

    async def stumbled() -> bool:
        await relay(STREAM, "listener", listener.handle)
        return await lag(STREAM, "listener") == 1

    await until("the row stumbled", stumbled)
    await ledger.move_clock(days=190)
    await ledger.worker.ensure_partitions(3)

    async def archived() -> bool:
        await ledger.owner.execute("SELECT vault.seal_next(1000), vault.fold_next(1000)")
        read_to = await ledger.owner.fetchval("SELECT txid FROM event_cursor")
        with suppress(MonthRefused):
            return (await detach(ledger.database.owner, month, keep_months=3, streamed_to=read_to)).moved
        return False

    await until("the month archived", archived)
    listener.poison.clear()
    await fetch("UPDATE job SET due_at = clock_timestamp()")
    await run_due({"listener": retry(STREAM, listener.handle)})
    assert listener.seen == {resident: [1]} and await fetch("SELECT FROM job") == []


async def test_a_posting_says_what_moved(ledger: Ledger) -> None:
    resident = await ledger.resident(points=10)
    await spend(ledger, resident)
    told: list[Posting] = []

    async def handle(posting: Posting) -> None:
        told.append(posting)

    async def both() -> bool:
        await relay(STREAM, "one", handle)
        return len(told) == 2

    await until("two postings", both)
    assert [(one.op, one.status, one.points, one.points_peer, one.payable_fen) for one in told] == [
        (1, 0, 10, -10, 0),
        (8, 0, -1, 1, 0),
    ]
    assert (told[1].peer, told[1].resident_id, told[1].detail["payee"]) == (5, resident, 5)
