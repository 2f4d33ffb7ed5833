"""Jobs: written with the change that wants them, done at least once, resumed where they were, seen when they die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from server.kit import dead_letters
from server.kit.db import close_house, fetch, open_house, transaction
from server.kit.jobs import ATTEMPTS, LOST, ClaimLost, Task, enqueue, run_due, save
from tests.support.databases import Database, connected


@pytest_asyncio.fixture
async def house(fresh_database: Database) -> AsyncIterator[Database]:
    await open_house(fresh_database.worker)
    yield fresh_database
    await close_house()


async def ask(kind: str, key: str, **payload: Any) -> bool:
    async with transaction() as tx:
        return await enqueue(tx, kind, key, payload)


async def hurry() -> None:
    await fetch("UPDATE job SET due_at = clock_timestamp() WHERE status = 'due'")


async def open_jobs() -> list[tuple[str, str, int]]:
    rows = await fetch("SELECT key, status, attempts FROM job ORDER BY id")
    return [(row["key"], row["status"], row["attempts"]) for row in rows]


async def test_a_job_exists_only_if_the_change_that_wanted_it_commits(house: Database) -> None:
    with pytest.raises(ValueError, match="no"):
        async with transaction() as tx:
            await enqueue(tx, "letter", "1", {})
            raise ValueError("no")
    assert await ask("letter", "2", to="9")
    told: list[dict[str, Any]] = []

    async def handle(task: Task) -> bool:
        told.append(task.payload)
        return True

    assert await run_due({"letter": handle}) == 1
    assert (told, await open_jobs(), await run_due({"letter": handle})) == ([{"to": "9"}], [], 0)


async def test_the_application_may_ask_for_a_job_too(house: Database) -> None:
    await close_house()
    await open_house(house.app)
    assert await ask("letter", "1")
    assert await open_jobs() == [("1", "due", 0)]


async def test_a_job_that_is_open_is_not_asked_for_twice(house: Database) -> None:
    async def handle(task: Task) -> bool:
        return True

    assert [await ask("letter", "1"), await ask("letter", "1"), await ask("other", "1")] == [True, False, True]
    await run_due({"letter": handle})
    assert await ask("letter", "1"), "what is done may be wanted again"


async def test_kinds_that_nobody_handles_here_stay_for_those_who_do(house: Database) -> None:
    await ask("letter", "1")
    assert (await run_due({"other": lambda task: asyncio.sleep(0, True)}), await open_jobs()) == (0, [("1", "due", 0)])


async def test_a_long_job_goes_on_where_it_was_and_its_progress_commits_with_its_work(house: Database) -> None:
    await ask("count", "1", upto=5)
    crashed: list[int] = []

    async def handle(task: Task) -> bool:
        at = task.state.get("at", 0) + 1
        async with transaction() as tx:
            await tx.execute_query(
                "INSERT INTO event (txid, kind, key, payload, occurred_at) VALUES (0, $1, 'k', '{}', now())", [str(at)]
            )
            await save(tx, task, {"at": at})
            if at == 3 and not crashed:
                crashed.append(at)
                raise ConnectionError("in the middle")
        return at == task.payload["upto"]

    for _ in range(6):
        assert await run_due({"count": handle}) == 1
        await hurry()
    assert (await open_jobs(), crashed) == ([], [3])
    written = [row["kind"] for row in await fetch("SELECT kind FROM event ORDER BY id")]
    assert written == ["1", "2", "3", "4", "5"], "the step that broke left nothing behind"


async def test_whose_claim_is_over_can_not_write_any_more(house: Database) -> None:
    await ask("slow", "1")
    second: list[Task] = []

    async def follow(task: Task) -> bool:
        second.append(task)
        return True

    async def handle(task: Task) -> bool:
        await fetch("UPDATE job SET claimed_until = clock_timestamp() - interval '1 second'")
        assert await run_due({"slow": follow}) == 1  # another process takes the job over, and ends it
        with pytest.raises(ClaimLost):
            async with transaction() as tx:
                await save(tx, task, {"at": 1})
        raise ClaimLost("slow")

    assert await run_due({"slow": handle}) == 1
    assert (len(second), await open_jobs()) == (1, [])


async def test_a_job_is_taken_by_one_process_only(house: Database) -> None:
    for number in range(40):
        await ask("letter", str(number))
    seen: list[str] = []

    async def handle(task: Task) -> bool:
        await asyncio.sleep(0.005)
        seen.append(task.key)
        return True

    async def process() -> None:
        while await run_due({"letter": handle}):
            pass

    await asyncio.gather(*(process() for _ in range(4)))
    while await run_due({"letter": handle}):  # a process may have seen only what the others had in hand
        pass
    assert sorted(seen, key=int) == [str(number) for number in range(40)]


async def test_a_job_that_fails_every_time_is_a_dead_letter_and_others_go_on(house: Database) -> None:
    await ask("letter", "bad")
    await ask("letter", "good")
    done: list[str] = []

    async def handle(task: Task) -> bool:
        if task.key == "bad":
            raise ValueError("the name of a person")
        done.append(task.key)
        return True

    for _ in range(ATTEMPTS):
        await run_due({"letter": handle})
        await hurry()
    assert (done, await open_jobs()) == (["good"], [("bad", "dead", ATTEMPTS)])
    (letter,) = await dead_letters.page(None, 10)
    assert (letter.consumer, letter.stream, letter.error, letter.waiting) == ("letter", "", "ValueError", 0)
    assert await run_due({"letter": handle}) == 0
    assert not await ask("letter", "bad"), "it is still open, and somebody must decide"


async def test_a_job_that_kills_every_process_that_takes_it_is_a_dead_letter_too(house: Database) -> None:
    await ask("deadly", "1")
    begun: list[int] = []

    async def handle(task: Task) -> bool:
        begun.append(task.attempts)
        raise asyncio.CancelledError  # the process ends here; nothing is written down

    for _ in range(ATTEMPTS):
        with pytest.raises(asyncio.CancelledError):
            await run_due({"deadly": handle})
        await fetch("UPDATE job SET claimed_until = clock_timestamp() - interval '1 second'")
    await run_due({"deadly": handle})
    assert begun == list(range(1, ATTEMPTS + 1))
    assert [letter.error for letter in await dead_letters.page(None, 10)] == [LOST]


async def test_the_table_refuses_what_makes_no_sense(house: Database) -> None:
    insert = (
        "INSERT INTO job (kind, key, stream, payload, state, status, attempts, due_at, error, created_at)"
        " VALUES ('k', 'x', $1, '{}', '{}', $2, 0, CASE WHEN $3 THEN now() END, '', now())"
    )
    async with connected(house.worker) as connection:
        for stream, status, due in (
            ("", "done", False),
            ("", "waiting", False),
            ("", "due", False),
            ("", "dead", False),
        ):
            with pytest.raises(asyncpg.CheckViolationError):
                await connection.execute(insert, stream, status, due)
