"""A poisoned event holds up its own key and nobody else; what cannot be done is seen, tried again or given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from server.kit import dead_letters
from server.kit.audit import Actor
from server.kit.db import close_house, fetch, open_house, transaction
from server.kit.errors import InvalidField
from server.kit.jobs import ATTEMPTS, run_due
from server.kit.outbox import HOUSE, Event, emit, lag, relay_once
from server.kit.relay import retry
from tests.support.databases import Database
from tests.support.patience import until

NOW = datetime(2026, 7, 1, tzinfo=UTC)
ADMIN = Actor("admin", "7")


@pytest_asyncio.fixture
async def house(fresh_database: Database) -> AsyncIterator[Database]:
    await open_house(fresh_database.worker)
    yield fresh_database
    await close_house()


async def tell(*events: str) -> None:
    """Events written "key/kind"."""
    async with transaction() as tx:
        for event in events:
            key, kind = event.split("/")
            await emit(tx, kind, key, {}, NOW)


async def hurry() -> None:
    """What is due later is due now."""
    await fetch("UPDATE job SET due_at = clock_timestamp() WHERE status = 'due'")


@dataclass
class Room:
    """A consumer that cannot handle the kinds in `poison`."""

    poison: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)

    async def handle(self, event: Event) -> None:
        name = f"{event.key}/{event.kind}"
        self.tried.append(name)
        if event.kind in self.poison:
            raise ValueError("the name of a person: 张三")
        self.seen.append(name)

    async def relay(self, limit: int = 200) -> int:
        return await relay_once("room", self.handle, limit)

    async def relay_until(self, count: int) -> None:
        async def enough() -> bool:
            await self.relay()
            return len(self.seen) + len(await jobs()) >= count

        await until(f"{count} events taken", enough)

    async def work(self) -> int:
        return await run_due({"room": retry(HOUSE, self.handle)})

    async def work_off(self) -> None:
        """Every job that is due, and what becomes due by it."""
        await hurry()
        while await self.work():
            await hurry()


async def jobs() -> list[tuple[str, str, int]]:
    rows = await fetch("SELECT key, status, attempts FROM job ORDER BY id")
    return [(row["key"], row["status"], row["attempts"]) for row in rows]


async def test_a_poisoned_event_holds_back_its_own_key_only(house: Database) -> None:
    await tell("a/1", "a/poison", "a/3", "b/1", "a/4", "b/2")
    room = Room({"poison"})
    await room.relay_until(6)
    assert room.seen == ["a/1", "b/1", "b/2"]
    assert await jobs() == [("a", "due", 1), ("a", "waiting", 0), ("a", "waiting", 0)]
    assert room.tried.count("a/3") == 0, "what comes later is not even tried"
    await tell("a/5", "b/3")
    await room.relay_until(8)
    assert (room.seen[-1], await lag("room")) == ("b/3", 4)
    room.poison.clear()
    await room.work_off()
    assert room.seen == ["a/1", "b/1", "b/2", "b/3", "a/poison", "a/3", "a/4", "a/5"]
    assert (await jobs(), await lag("room")) == ([], 0)


async def test_what_stumbles_is_tried_later_and_later_and_is_a_dead_letter_in_the_end(house: Database) -> None:
    await tell("a/poison", "a/2")
    room = Room({"poison"})
    await room.relay_until(2)
    pauses = []
    while (await jobs())[0][1] == "due":
        rows = await fetch(
            "SELECT extract(epoch FROM due_at - last_failed_at)::float8 AS s FROM job WHERE status = 'due'"
        )
        pauses.append(round(rows[0]["s"]))
        assert await room.work() == 0 or len(pauses) == 1, "it is not due yet"
        await hurry()
        await room.work()
    assert room.tried.count("a/poison") == ATTEMPTS
    assert pauses == [1, 4, 8, 16, 32, 64, 128, 256, 512]
    (letter,) = await dead_letters.page(None, 10)
    assert (letter.consumer, letter.key, letter.error, letter.attempts, letter.waiting) == (
        "room", "a", "ValueError", ATTEMPTS, 1,
    )  # fmt: skip
    assert letter.last_failed_at >= letter.first_failed_at
    assert await dead_letters.counts() == {"room": 1}
    rows = await fetch("SELECT job::text AS job FROM job")
    assert not any("张三" in row["job"] for row in rows), "an error's text may name a person"
    await room.work_off()
    assert room.tried.count("a/poison") == ATTEMPTS, "a dead letter rests until somebody decides"


async def make_dead(room: Room, *events: str) -> int:
    await tell(*events)
    await room.relay_until(len(events))
    while not (letters := await dead_letters.page(None, 10, "room")):
        await hurry()
        await room.work()
    return letters[0].id


async def test_a_dead_letter_is_replayed_and_what_waited_follows_in_order(house: Database) -> None:
    room = Room({"poison"})
    letter = await make_dead(room, "a/poison", "a/2", "a/3")
    await dead_letters.replay(letter, ADMIN, NOW, "r-1")
    await room.work_off()
    assert room.seen == [] and len(await dead_letters.page(None, 10)) == 1, "it is still poison"
    room.poison.clear()
    await dead_letters.replay(letter, ADMIN, NOW, "r-2")
    await room.work_off()
    assert room.seen == ["a/poison", "a/2", "a/3"]
    with pytest.raises(dead_letters.DeadLetterNotFound):
        await dead_letters.replay(letter, ADMIN, NOW, "r-3")
    entries = await fetch("SELECT action, actor_id, object_id, request_id FROM audit_entry ORDER BY id")
    assert [tuple(row.values()) for row in entries] == [
        ("dead_letter.replay", "7", str(letter), "r-1"),
        ("dead_letter.replay", "7", str(letter), "r-2"),
    ]


async def test_a_dead_letter_is_given_up_for_a_reason_and_what_waited_goes_on(house: Database) -> None:
    room = Room({"poison"})
    letter = await make_dead(room, "a/poison", "a/2")
    with pytest.raises(InvalidField):
        await dead_letters.discard(letter, " ", ADMIN, NOW, "r-1")
    await dead_letters.discard(letter, "测试数据", ADMIN, NOW, "r-2")
    await room.work_off()
    assert (room.seen, await jobs()) == (["a/2"], [])
    (entry,) = await fetch("SELECT before::text AS before, after::text AS after FROM audit_entry")
    assert '"error": "ValueError"' in entry["before"] and "测试数据" in entry["after"]


async def test_dead_letters_come_in_pages_and_by_consumer(house: Database) -> None:
    room = Room({"poison"})
    await make_dead(room, *(f"{key}/poison" for key in "abcd"))

    async def all_dead() -> bool:
        await hurry()
        await room.work()
        return len(await dead_letters.page(None, 10)) == 4

    await until("four dead letters", all_dead)
    first = await dead_letters.page(None, 3)
    rest = await dead_letters.page(first[-1].id, 3)
    assert [letter.key for letter in first + rest] == ["d", "c", "b", "a"]
    assert await dead_letters.page(None, 3, "nobody") == []


async def test_keys_go_side_by_side_and_the_events_of_one_key_one_after_another(house: Database) -> None:
    await tell("a/1", "b/1", "a/2", "b/2", "a/3")
    under_way: set[str] = set()
    together: list[set[str]] = []
    seen: list[str] = []

    async def slow(event: Event) -> None:
        assert event.key not in under_way, "two of one key at once"
        under_way.add(event.key)
        await asyncio.sleep(0.01)
        together.append(set(under_way))
        under_way.discard(event.key)
        seen.append(f"{event.key}/{event.kind}")

    async def all_seen() -> bool:
        await relay_once("room", slow)
        return len(seen) == 5

    await until("all events", all_seen)
    assert [name for name in seen if name[0] == "a"] == ["a/1", "a/2", "a/3"]
    assert [name for name in seen if name[0] == "b"] == ["b/1", "b/2"]
    assert {"a", "b"} in together


async def test_one_relay_of_a_consumer_runs_at_a_time(house: Database) -> None:
    await tell("a/1", "a/2")
    inside, go_on = asyncio.Event(), asyncio.Event()
    seen: list[str] = []

    async def slow(event: Event) -> None:
        inside.set()
        await go_on.wait()
        seen.append(event.kind)

    async def one() -> None:
        async def handled() -> bool:
            return await relay_once("room", slow) > 0

        await until("a window", handled)

    first = asyncio.create_task(one())
    await asyncio.wait_for(inside.wait(), 60)
    assert await relay_once("room", slow) == 0, "somebody else is at it"
    go_on.set()
    await first
    assert seen == ["1", "2"]
    assert await relay_once("room", slow) == 0


async def test_who_lost_the_lease_moves_nothing_and_parks_nothing(house: Database) -> None:
    await tell("a/1", "a/poison", "b/1")
    room = Room({"poison"})

    async def robbed(event: Event) -> None:
        if event.kind == "poison":  # another process took over while this one slept
            await fetch("UPDATE event_cursor SET lease = 'thief', leased_until = clock_timestamp() + interval '1 hour'")
        await room.handle(event)

    async def tried() -> bool:
        await relay_once("room", robbed)
        return bool(room.tried)

    await until("a window", tried)
    assert room.seen == ["a/1", "b/1"] and await jobs() == []
    await fetch("UPDATE event_cursor SET lease = NULL, leased_until = NULL")
    await room.relay_until(3)
    assert room.seen == ["a/1", "b/1", "a/1", "b/1"], "at least once: what the first had done comes again"
    assert await jobs() == [("a", "due", 1)]


async def test_a_process_that_died_in_the_middle_is_followed_when_its_lease_is_over(house: Database) -> None:
    room = Room()
    await tell("a/1")
    await room.relay_until(1)
    await tell("a/2")
    await fetch("UPDATE event_cursor SET lease = 'dead', leased_until = clock_timestamp() + interval '1 hour'")
    assert (await room.relay(), room.seen) == (0, ["a/1"])
    await fetch("UPDATE event_cursor SET leased_until = clock_timestamp() - interval '1 second'")
    await room.relay_until(2)
    assert room.seen == ["a/1", "a/2"]
