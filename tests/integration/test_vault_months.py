"""Months leave the journal and come back: what is answered meanwhile, who may touch them, and what postings notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from server.sandbox.engines import Engines
from tests.support.commands import chengxin
from tests.support.databases import Database, connected
from tests.support.ledger import Ledger, open_ledger, refusal
from wallet import periods
from wallet.periods import MonthRefused, Moved

KEEP = 3
DENIED = asyncpg.InsufficientPrivilegeError


class Past:
    """A ledger in which a month has become old enough to leave, with one of every kind of posting in it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.owner_dsn = ledger, ledger.database.owner
        self.month = ledger.now().date().replace(day=1)
        self.table = f"journal_{self.month:%Y%m}"

    async def live(self) -> None:
        """A day in that month."""
        ledger = self.ledger
        self.resident, self.campaign = await ledger.resident(), await ledger.campaign(points=300)
        self.terms = await ledger.template(price_points=10, void_window_s=60)
        self.earned, self.claimed, self.day = ledger.id8(), ledger.id7(), ledger.today()
        await ledger.earn(self.resident, self.campaign, id=self.earned, on=self.day)
        await ledger.claim(self.resident, self.terms, id=self.claimed)
        self.scanned = await ledger.scan(await ledger.show(self.resident, self.claimed))
        await ledger.redeem(self.scanned)

    async def grow_old(self) -> None:
        """Half a year later; the worker has made the months and released what the redemption left in reserve."""
        await self.ledger.move_clock(days=190)
        await self.ledger.worker.ensure_partitions(3)
        for resident, coupon, _, _ in await self.ledger.worker.read.due_releases(None, 100):
            await self.ledger.worker.release_subsidy(resident, self.ledger.id8(), coupon_id=coupon)
        await self.read()

    async def read(self) -> None:
        """Everything booked so far is sealed and folded; other tests' open transactions may hold both back a while."""
        booked = await self.ledger.owner.fetchval("SELECT coalesce(max(txid), 0) FROM vault.journal")
        async with connected(self.owner_dsn) as owner:
            async with asyncio.timeout(60):
                read_to = 0
                while read_to <= booked:
                    await owner.execute("SELECT vault.seal_next(1000), vault.fold_next(1000)")
                    read_to = await owner.fetchval(
                        "SELECT least((SELECT coalesce(max(hi_txid), 0) FROM vault.seal),"
                        " (SELECT folded_to FROM vault.fold_cursor))"
                    )
                    await asyncio.sleep(0.05)

    async def detach(self) -> Moved:
        return await periods.detach(self.owner_dsn, self.month, keep_months=KEEP)

    async def attach(self) -> Moved:
        return await periods.attach(self.owner_dsn, self.month)

    async def archived(self) -> list[date]:
        return [one.month for one in await periods.months(self.owner_dsn) if one.place == "archive"]

    async def again(self) -> list[Any]:
        """Every posting of that day, sent again."""
        ledger = self.ledger
        return await asyncio.gather(
            ledger.earn(self.resident, self.campaign, id=self.earned, on=self.day),
            ledger.claim(self.resident, self.terms, id=self.claimed),
            ledger.redeem(self.scanned),
            return_exceptions=True,
        )

    async def state(self) -> list[Any]:
        """What an execution would change."""
        tables = ("wallet", "coupon", "redemption", "slot", "budget", "allowance", "journal_all")
        return [
            await self.ledger.owner.fetchval(f"SELECT array_agg(x::text ORDER BY x::text) FROM vault.{name} x")
            for name in tables
        ]


@pytest_asyncio.fixture
async def past(fresh_database: Database) -> AsyncIterator[Past]:
    async with open_ledger(fresh_database) as ledger:
        found = Past(ledger)
        await found.live()
        await found.grow_old()
        yield found
        assert await ledger.broken() == []


async def test_replays_of_a_month_that_left_are_old_ids_and_answered_again_when_it_is_back(past: Past) -> None:
    before, answers = await past.state(), await past.again()
    assert [answer.replayed for answer in answers] == [True] * 3
    assert await past.detach() == Moved(past.month, True, 1, 3)
    assert [str(answer) for answer in await past.again()] == ["idempotency_key_expired"] * 3
    assert await past.state() == before
    assert await past.attach() == Moved(past.month, True, 1, 3)
    assert await past.again() == answers
    assert await past.state() == before


async def test_a_new_id_of_a_month_that_left_is_never_executed(past: Past) -> None:
    await past.detach()
    before = await past.state()
    with refusal("idempotency_key_expired"):
        await past.ledger.earn(past.resident, past.campaign, id=past.ledger.id8(days=190))
    with refusal("idempotency_key_expired"):
        await past.ledger.claim(past.resident, past.terms, id=past.ledger.id7(days=190))
    assert await past.state() == before


async def test_a_month_that_left_is_append_only_for_everybody_and_takes_no_new_row(past: Past) -> None:
    await past.detach()
    read = f"SELECT count(*) FROM vault.{past.table}"
    changes = [
        statement.format(name)
        for name in (past.table, "journal_archive")
        for statement in (
            "UPDATE vault.{0} SET at = at",
            "DELETE FROM vault.{0}",
            "TRUNCATE vault.{0}",
            f"INSERT INTO vault.{{0}} SELECT * FROM vault.{past.table}",
        )
    ]
    for role in ("owner", "app", "worker"):
        async with connected(getattr(past.ledger.database, role)) as connection:
            assert await connection.fetchval(read) == 3
            for change in changes:
                with pytest.raises(DENIED, match="append-only" if role == "owner" else "permission denied"):
                    await connection.execute(change)
    await past.attach()
    for change in changes[:3]:
        with pytest.raises(DENIED, match="append-only"):
            await past.ledger.owner.execute(change)


async def test_a_month_that_came_back_is_made_like_one_that_never_left(past: Past) -> None:
    async def made_of() -> list[Any]:
        rows = await past.ledger.owner.fetch(
            """WITH month AS (SELECT * FROM pg_class WHERE oid = ('vault.' || $1)::regclass)
               SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t, month m WHERE t.tgrelid = m.oid
               UNION ALL SELECT k.conname || ' ' || pg_get_constraintdef(k.oid) FROM pg_constraint k, month m
                 WHERE k.conrelid = m.oid AND k.contype <> 'n'
               UNION ALL SELECT indexdef FROM pg_indexes WHERE tablename = $1
               UNION ALL SELECT pg_get_expr(m.relpartbound, m.oid) || m.relacl::text FROM month m
               UNION ALL SELECT i.inhparent::regclass::text FROM pg_inherits i, month m
                 WHERE i.inhrelid = m.oid OR i.inhrelid IN (SELECT indexrelid FROM pg_index WHERE indrelid = m.oid)
               ORDER BY 1""",
            past.table,
        )
        return [row[0] for row in rows]

    before = await made_of()
    await past.detach()
    assert await made_of() != before
    await past.attach()
    assert await made_of() == before


async def test_the_books_and_the_history_are_whole_while_a_month_is_away(past: Past) -> None:
    entries = "SELECT count(*), sum(d_avail), max(seq) FROM vault.journal_all"
    before = await past.ledger.owner.fetchrow(entries)
    await past.detach()
    assert await past.ledger.owner.fetchrow(entries) == before
    assert await past.ledger.owner.fetchval("SELECT count(*) FROM vault.journal") < before["count"]
    assert await past.ledger.broken() == []


async def test_too_young_too_alive_and_unknown_months_stay(past: Past) -> None:
    ledger = past.ledger
    for month, reason in ((ledger.now().date().replace(day=1), "too_young"), (date(2019, 1, 1), "unknown")):
        with pytest.raises(MonthRefused) as refused:
            await periods.detach(past.owner_dsn, month, keep_months=KEEP)
        assert refused.value.reason == reason
    with pytest.raises(asyncpg.RaiseError):
        await periods.detach(past.owner_dsn, past.month, keep_months=2)
    with pytest.raises(MonthRefused, match="unknown"):
        await periods.attach(past.owner_dsn, date(2019, 1, 1))


async def test_a_month_stays_while_a_coupon_claimed_in_it_is_alive(fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger:
        past = Past(ledger)
        await past.live()
        coupon = await ledger.coupon(past.resident, past.terms)
        await past.grow_old()
        with pytest.raises(MonthRefused, match="live_coupons"):
            await past.detach()
        await ledger.worker.expire_coupon(past.resident, ledger.id8(), coupon_id=coupon)
        await past.read()
        assert (await past.detach()).moved
        assert await ledger.broken() == []


async def test_a_month_stays_while_a_hold_made_in_it_is_open(fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger:
        past = Past(ledger)
        await past.live()
        hold = ledger.id7()
        await ledger.app.hold(past.resident, hold, points=5, payee=1, life_s=60)
        await past.grow_old()
        with pytest.raises(MonthRefused, match="open_holds"):
            await past.detach()
        await ledger.worker.release(past.resident, ledger.id8(), hold_id=hold)
        await past.read()
        assert (await past.detach()).moved
        assert await ledger.broken() == []


async def test_a_month_stays_until_everybody_who_reads_it_has_read_it(past: Past) -> None:
    async def refused(**read: int) -> str:
        with pytest.raises(MonthRefused) as found:
            await periods.detach(past.owner_dsn, past.month, keep_months=KEEP, **read)
        return found.value.reason

    await past.ledger.earn(past.resident, past.campaign, id=past.ledger.id8(days=190))
    assert await refused() == "not_sealed"
    async with connected(past.owner_dsn) as owner, asyncio.timeout(60):
        while await refused() == "not_sealed":
            await owner.execute("SELECT vault.seal_next(1000)")
    assert await refused() == "not_folded"
    await past.read()
    last = await past.ledger.owner.fetchval(f"SELECT max(txid) FROM vault.{past.table}")
    assert await refused(streamed_to=last) == "not_streamed"
    assert (await periods.detach(past.owner_dsn, past.month, keep_months=KEEP, streamed_to=last + 1)).entries == 4


async def test_a_spend_of_a_month_that_left_is_not_found_by_a_refund(fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger:
        past = Past(ledger)
        await past.live()
        spend = ledger.id7()
        await ledger.app.spend(past.resident, spend, points=7, payee=1)
        await past.grow_old()
        await past.detach()
        before = await past.state()
        with refusal("posting_not_found"):
            await ledger.app.refund(past.resident, ledger.id7(), posting_id=spend, points=7, reason="x")
        assert await past.state() == before
        await past.attach()
        await ledger.app.refund(past.resident, ledger.id7(), posting_id=spend, points=7, reason="x")
        assert await ledger.broken() == []


async def test_two_who_detach_or_attach_at_once_do_it_once(past: Past) -> None:
    assert sorted(one.moved for one in await asyncio.gather(past.detach(), past.detach())) == [False, True]
    assert {one.entries for one in await asyncio.gather(past.detach(), past.detach())} == {3}
    assert sorted(one.moved for one in await asyncio.gather(past.attach(), past.attach())) == [False, True]


async def test_a_month_whose_content_changed_does_not_come_back(past: Past) -> None:
    await past.detach()
    async with connected(past.ledger.database.superuser) as root:
        await root.execute("SET session_replication_role = replica")
        await root.execute(f"UPDATE vault.{past.table} SET detail = detail || '{{\"x\": 1}}' WHERE op = 2")
        with pytest.raises(MonthRefused, match="changed"):
            await past.attach()
        assert await past.archived() == [past.month]
        await root.execute(f"UPDATE vault.{past.table} SET detail = detail - 'x' WHERE op = 2")
    assert (await past.attach()).moved


async def test_neither_role_of_the_house_moves_a_month(past: Past) -> None:
    for dsn in (past.ledger.database.app, past.ledger.database.worker):
        with pytest.raises(DENIED):
            await periods.detach(dsn, past.month, keep_months=KEEP)
        async with connected(dsn) as connection:
            with pytest.raises(DENIED):
                await connection.execute("SELECT vault.attach_month($1, ''::bytea)", past.month)


async def test_upkeep_makes_no_month_that_lies_in_the_archive(past: Past) -> None:
    await past.detach()
    async with connected(past.owner_dsn) as owner:
        assert await owner.fetchval("SELECT vault.ensure_partitions(3, $1)", past.month) == 0
    assert await past.archived() == [past.month]


async def command(past: Past, *words: str) -> tuple[int, str]:
    """`chengxin ledger-month …` as the owner: exit status and what it said."""
    env = {"CHENGXIN_MIGRATION_URL": past.owner_dsn, "CHENGXIN_JOURNAL_MONTHS": str(KEEP)}
    return await chengxin("ledger-month", *words, env=env)


async def test_the_command_moves_a_month_and_says_why_it_does_not(past: Past) -> None:
    month, today = f"{past.month:%Y-%m}", f"{past.ledger.now():%Y-%m}"
    assert await command(past, "detach", month) == (0, f"{month} is in the archive, 3 entries\n")
    assert await command(past, "detach", month) == (0, f"{month} was already in the archive, 3 entries\n")
    assert f"{month}  archive" in (await command(past, "list"))[1]
    assert await command(past, "attach", month) == (0, f"{month} is back in the journal\n")
    assert await command(past, "attach", month) == (0, f"{month} was already in the journal\n")
    assert await command(past, "detach", today) == (1, f"Error: {today}: too_young\n")
    assert (await command(past, "detach", "2026-13"))[0] == 2
    assert (await command(past, "detach", month, "--keep-months", "2"))[0] == 2


async def test_the_command_waits_for_the_consumers_of_the_value_stream(past: Past) -> None:
    last = await past.ledger.owner.fetchval(f"SELECT max(txid) FROM vault.{past.table}")
    await past.ledger.owner.execute(
        "INSERT INTO event_cursor (consumer, stream, txid, upto, position) VALUES ('slow', 'values', $1, $1, '[]')",
        last,
    )
    month = f"{past.month:%Y-%m}"
    assert await command(past, "detach", month) == (1, f"Error: {month}: not_streamed\n")
    await past.ledger.owner.execute("UPDATE event_cursor SET txid = $1, upto = $1 WHERE consumer = 'slow'", last + 1)
    assert (await command(past, "detach", month))[0] == 0


async def test_an_archived_month_that_is_lost_comes_back_from_its_cold_copy(
    past: Past, engines: Engines, tmp_path: Path
) -> None:
    """As docs/operations.md says: the dump is put beside the archive, attached to it, measured, and taken back."""
    await past.detach()
    dump, listed, dsn = tmp_path / "month.dump", tmp_path / "list", past.owner_dsn

    async def run(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            engines.postgres_bin / words[0], *words[1:], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, complaint = await process.communicate()
        assert process.returncode == 0, complaint.decode()
        return output.decode()

    await run("pg_dump", "-Fc", "-t", f"vault.{past.table}", "-f", str(dump), dsn)
    await past.ledger.owner.execute(f"DROP TABLE vault.{past.table}")
    with pytest.raises(MonthRefused, match="changed"):
        await past.attach()
    entries = (await run("pg_restore", "-l", str(dump))).splitlines(keepends=True)
    listed.write_text("".join(entry for entry in entries if " ATTACH " not in entry))
    await run("pg_restore", "--exit-on-error", "-L", str(listed), "-d", dsn, str(dump))
    bounds = await past.ledger.owner.fetchrow("SELECT lower_id, upper_id FROM vault.archived_month")
    await past.ledger.owner.execute(
        f"ALTER TABLE vault.journal_archive ATTACH PARTITION vault.{past.table}"
        f" FOR VALUES FROM ('{bounds['lower_id']}') TO ('{bounds['upper_id']}')"
    )
    assert (await past.attach()).entries == 3
    assert [answer.replayed for answer in await past.again()] == [True] * 3


async def test_postings_go_on_while_months_leave_and_come_back(past: Past) -> None:
    """Nothing fails and nothing is booked twice; each posting that met the lock was a little later."""
    ledger, stop = past.ledger, asyncio.Event()
    campaign = await ledger.campaign(points=1, per_person=10**6)

    async def post(resident: int) -> int:
        posted = 0
        while not stop.is_set():
            id: UUID = ledger.id8()
            first = await ledger.earn(resident, campaign, id=id)
            again = await ledger.earn(resident, campaign, id=id)
            assert (first.replayed, again.replayed) == (False, True)
            posted += 1
        return posted

    residents = [await ledger.resident() for _ in range(4)]
    posting = [asyncio.create_task(post(resident)) for resident in residents]
    for _ in range(5):
        await past.detach()
        await past.attach()
    stop.set()
    done = sum(await asyncio.gather(*posting))
    assert done > 0
    assert sum([await ledger.balance(resident) for resident in residents]) == done


async def test_who_reads_the_journal_for_long_makes_a_month_wait_and_nobody_else(past: Past) -> None:
    async with connected(past.ledger.database.worker) as reader:
        async with reader.transaction(isolation="repeatable_read", readonly=True):
            await reader.fetchval("SELECT count(*) FROM vault.journal")
            leaving = asyncio.create_task(past.detach())
            await asyncio.sleep(0.5)
            await past.ledger.earn(past.resident, past.campaign)
            assert not leaving.done()
        assert (await leaving).attempts > 1
