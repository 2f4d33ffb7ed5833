"""The statement, and how a wallet stood at any instant: held against what was seen then, and against the bare sums."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from tests.support.databases import Database
from tests.support.ledger import CITY, Ledger, open_ledger, refusal
from wallet import BalanceAt, CouponTerms, Lot, Op, Refused, WalletView
from wallet.statements import _BALANCE_AT, _SEQ_AT

START = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@pytest_asyncio.fixture
async def ledger(fresh_database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(fresh_database) as opened:
        await opened.stop_clock(START)
        await opened.owner.execute("SELECT vault.ensure_partitions(3, $1)", (START - timedelta(days=40)).date())
        yield opened


@dataclass
class Life:
    """A resident to whom things happen by dice, and what the wallet showed each time."""

    ledger: Ledger
    dice: random.Random
    resident: int
    campaigns: list[int]
    priced: CouponTerms
    now: datetime = START
    seen: list[tuple[datetime, WalletView]] = field(default_factory=list)
    spent: list[UUID] = field(default_factory=list)
    held: list[UUID] = field(default_factory=list)
    coupons: list[UUID] = field(default_factory=list)

    async def live(self, steps: int) -> None:
        """Half of the steps happen in the same instant as the one before; others minutes, days or weeks later."""
        for _ in range(steps):
            pause = self.dice.choice((0, 0, 0, 60, 86_400, 86_400 * 9))
            if pause:
                await self.look()
                self.now += timedelta(seconds=pause, microseconds=self.dice.randrange(1_000_000))
                await self.ledger.stop_clock(self.now)
                await self.ledger.worker.ensure_partitions(1)
            try:
                await self.step()
            except Refused:
                continue
        await self.look()

    async def look(self) -> None:
        view = await self.ledger.app.read.wallet(self.resident)
        assert view is not None
        self.seen.append((self.now, view))

    async def step(self) -> None:
        ledger, dice, who = self.ledger, self.dice, self.resident
        id7, points = ledger.id7(), dice.randrange(1, 60)
        match dice.randrange(10):
            case 0 | 1 | 2:
                await ledger.earn(who, dice.choice(self.campaigns))
            case 3:
                self.spent.append((await ledger.app.spend(who, id7, points=points, payee=5)).result.id)
            case 4:
                self.held.append(
                    (await ledger.app.hold(who, id7, points=points, payee=6, life_s=86_400 * 20)).result.id
                )
            case 5 if self.held:
                await ledger.app.capture(who, id7, hold_id=dice.choice(self.held), points=dice.randrange(1, 9))
            case 6 if self.held:
                await ledger.app.release(who, id7, hold_id=self.held.pop())
            case 7 if self.spent:
                await ledger.app.refund(
                    who, id7, posting_id=dice.choice(self.spent), points=dice.randrange(1, 9), reason="wrong"
                )
            case 8:
                await ledger.worker.adjust(
                    who, ledger.id8(), points=dice.choice((-7, 11)), actor=1, approver=2, reason="wrong", document="d",
                    validity_months=1,
                )  # fmt: skip
            case _ if self.coupons and dice.random() < 0.5:
                coupon = self.coupons.pop()
                await ledger.app.void_coupon(who, id7, coupon_id=coupon, reason="wrong", actor=1)
            case _:
                self.coupons.append(await ledger.coupon(who, self.priced))

    async def lines(self) -> list[Any]:
        return await self.ledger.owner.fetch(
            "SELECT * FROM vault.journal_all WHERE b = $1 AND owner = $2 ORDER BY seq",
            self.resident & 1023,
            self.resident,
        )

    async def at(self, instant: datetime) -> BalanceAt:
        found = await self.ledger.app.read.balance_at(self.resident, instant)
        assert found is not None
        return found


def summed(lines: list[Any], at: datetime) -> BalanceAt:
    """The same by adding up every line not after `at`, one by one."""
    before = [line for line in lines if line["at"] <= at]
    lots: Counter[date] = Counter()
    for line in before:
        for day, points in json.loads(line["lots"] or "[]") if line["d_avail"] else []:
            lots[date.fromisoformat(day)] += points if line["d_avail"] > 0 else -points
    booked = sum(line["d_avail"] or 0 for line in before)
    assert (sum(lots.values()), min(lots.values(), default=0) >= 0) == (booked, True), "lots are the balance"
    today = at.astimezone(CITY).date()
    alive = {day: points for day, points in sorted(lots.items()) if points and day >= today}
    points = sum(alive.values())
    held = sum(line["d_held"] or 0 for line in before)
    return BalanceAt(at, len(before), points, held, booked - points, tuple(Lot(*one) for one in alive.items()))


async def a_life(ledger: Ledger, seed: int, steps: int) -> Life:
    resident = await ledger.resident()
    campaigns = [await ledger.campaign(points=20 + months, months=months) for months in (1, 2, 3)]
    priced = await ledger.template(price_points=15, fen_budget=None, sponsor_bp=0)
    life = Life(ledger, random.Random(seed), resident, campaigns, priced)
    await life.live(steps)
    return life


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_balance_at_any_instant_is_the_sum_of_what_was_booked_until_then(ledger: Ledger, seed: int) -> None:
    life = await a_life(ledger, seed, 150)
    lines = await life.lines()
    instants = sorted({line["at"] for line in lines})
    assert len(instants) < len(lines) - 10, "some lines share an instant"
    asked = [START - timedelta(days=900), life.now + timedelta(days=90)]
    asked += [at + shift for at in instants for shift in (-TICK, timedelta(0), TICK)]
    # The midnights between, when points end without anybody booking anything.
    asked += [START + timedelta(hours=14, days=days) for days in range((life.now - START).days)]
    for at in asked:
        assert await life.at(at) == summed(lines, at), f"as of {at}"
    assert any(summed(lines, at).expired_points for at in asked), "no instant with points expired and not booked"


async def test_the_balance_at_an_instant_is_what_the_wallet_showed_then(ledger: Ledger) -> None:
    life = await a_life(ledger, 7, 120)
    assert len(life.seen) > 40
    for at, view in life.seen:
        found = await life.at(at)
        assert (found.points, found.held, found.seq, found.lots) == (view.points, view.held, view.seq, view.lots), at


async def test_an_answer_given_among_postings_is_of_one_moment(ledger: Ledger) -> None:
    await ledger.move_clock(seconds=0)
    resident = await ledger.resident(points=500)
    found: list[BalanceAt] = []

    async def spend() -> None:
        for _ in range(60):
            await ledger.app.spend(resident, ledger.id7(), points=1, payee=3)

    async def read(postings: asyncio.Task[None]) -> None:
        while not postings.done():
            one = await ledger.app.read.balance_at(resident, datetime.now(UTC) + timedelta(days=1))
            assert one is not None
            found.append(one)

    postings = asyncio.create_task(spend())
    await asyncio.gather(postings, read(postings), read(postings))
    lines = {row.seq: row for row in await ledger.app.read.entries(resident, before_seq=None, limit=1000)}
    assert len({one.seq for one in found}) > 3, "the answers saw the postings come"
    for one in found:
        assert (one.points, one.expired_points) == (lines[one.seq].points_after, 0)
        assert sum(lot.points for lot in one.lots) == one.points


async def test_before_the_first_line_a_wallet_was_empty_and_an_unopened_one_has_no_balance(ledger: Ledger) -> None:
    resident = await ledger.resident(points=10)
    assert await ledger.app.read.balance_at(resident, START - TICK) == BalanceAt(START - TICK, 0, 0, 0, 0, ())
    assert (await ledger.app.read.balance_at(resident, START)).points == 10  # type: ignore[union-attr]
    assert await ledger.app.read.balance_at(resident + 1, START) is None


async def test_lines_of_a_month_that_left_the_journal_are_counted(ledger: Ledger) -> None:
    life = await a_life(ledger, 11, 60)
    lines = await life.lines()
    month = await ledger.owner.fetchrow("SELECT * FROM vault.journal_month WHERE month = '2026-11-01'")
    name = "vault.journal_202611"
    await ledger.owner.execute(
        f"ALTER TABLE vault.journal DETACH PARTITION {name}; ALTER TABLE vault.journal_archive ATTACH PARTITION {name} "
        f"FOR VALUES FROM ('{month['lower_id']}') TO ('{month['upper_id']}')"
    )
    assert await ledger.owner.fetchval("SELECT count(*) FROM vault.journal_archive WHERE owner = $1", life.resident)
    for at in sorted({line["at"] for line in lines}):
        assert await life.at(at) == summed(lines, at)
    assert [one.seq for one in await ledger.app.read.entries(life.resident, before_seq=None, limit=1000)] == [
        line["seq"] for line in reversed(lines)
    ]


def touched(node: dict[str, Any]) -> float:
    """The rows that a plan's scans of the journal looked at."""
    own = (
        node["Actual Rows"] + node.get("Rows Removed by Filter", 0) if "journal" in node.get("Relation Name", "") else 0
    )
    return own * node["Actual Loops"] + sum(touched(part) for part in node.get("Plans", ()))


async def test_an_instant_is_found_by_looks_at_few_lines(ledger: Ledger) -> None:
    """5,000 lines more, one a second: 13 looks find an instant, and the lots come from the nearer side."""
    resident, lines = await ledger.resident(points=100), 5_000
    for where in (resident, await ledger.resident(points=100)):
        await ledger.owner.execute(
            """INSERT INTO vault.journal (b, owner, id, seq, op, st, avail_after, held_after, hash, at, d_avail, d_held,
              d_peer, lots)
            SELECT j.b, j.owner, vault.derived_id(j.id, n::text), 1 + n, 13, 0, 100, 0, j.hash,
              j.at + make_interval(secs => n), 0, 0, 0, '[]'
            FROM vault.journal j, generate_series(1, $2) n WHERE j.owner = $1 AND j.seq = 1""",
            where,
            lines,
        )
        await ledger.owner.execute("UPDATE vault.wallet SET seq = $2 WHERE owner = $1", where, lines + 1)
    await ledger.owner.execute("ANALYZE vault.journal")
    for statement, seconds, most in ((_SEQ_AT, 2_500.5, 14), (_BALANCE_AT, 9.5, 30), (_BALANCE_AT, 4_990.5, 30)):
        plan = await ledger.owner.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}",
            resident & 1023,
            resident,
            START + timedelta(seconds=seconds),
        )
        seen = touched(json.loads(plan)[0]["Plan"])
        assert 0 < seen <= most, f"{seen} lines were looked at"
    found = await ledger.app.read.balance_at(resident, START + timedelta(seconds=2_500.5))
    assert found is not None and (found.seq, found.points) == (2_501, 100)


async def test_a_statement_is_filtered_by_days_and_kinds_page_by_page(ledger: Ledger) -> None:
    life = await a_life(ledger, 3, 120)
    lines = await life.lines()
    read = ledger.app.read
    since, until = START + timedelta(days=10), START + timedelta(days=60)
    for ops, refused in ((None, None), ([Op.EARN], False), ([Op.SPEND, Op.HOLD], None), (None, True)):
        wanted = [
            line["seq"] for line in reversed(lines)
            if since <= line["at"] < until and (ops is None or line["op"] in ops)
            and (refused is None or (line["st"] != 0) == refused)
        ]  # fmt: skip
        seen: list[int] = []
        before: int | None = None
        while page := await read.entries(
            life.resident, before_seq=before, limit=7, ops=ops, refused=refused, since=since, until=until
        ):
            seen += [one.seq for one in page]
            before = page[-1].seq
        assert seen == wanted
    edge = lines[len(lines) // 2]["at"]
    from_edge = await read.entries(life.resident, before_seq=None, limit=1000, since=edge)
    to_edge = await read.entries(life.resident, before_seq=None, limit=1000, until=edge)
    assert len(from_edge) + len(to_edge) == len(lines)
    assert min(one.at for one in from_edge) == edge > max(one.at for one in to_edge)


async def test_every_line_carries_the_balances_after_it(ledger: Ledger) -> None:
    life = await a_life(ledger, 9, 100)
    rows = await ledger.app.read.entries(life.resident, before_seq=None, limit=1000)
    points = held = 0
    for row in reversed(rows):
        points, held = points + row.points, held + row.held
        assert (row.points_after, row.held_after) == (points, held), row
    assert held > 0 or any(row.held for row in rows)


async def test_open_holds_are_told_with_their_end_and_leave_when_they_are_over(ledger: Ledger) -> None:
    resident = await ledger.resident(points=100)
    made = [
        (await ledger.app.hold(resident, ledger.id7(), points=10 + n, payee=8, life_s=60, memo=f"{n}")).result
        for n in range(3)
    ]
    first = await ledger.app.read.holds(resident, before=None, limit=2)
    assert len(first) == 2
    rest = await ledger.app.read.holds(resident, before=first[-1].id, limit=2)
    found = {one.id: one for one in first + rest}
    assert {(one.points, one.memo, one.until, one.lapsed) for one in found.values()} == {
        (10 + n, f"{n}", START + timedelta(seconds=60), False) for n in range(3)
    }
    await ledger.app.capture(resident, ledger.id7(), hold_id=made[0].id)
    await ledger.stop_clock(START + timedelta(seconds=61))
    left = await ledger.app.read.holds(resident, before=None, limit=9)
    assert {one.id for one in left} == {made[1].id, made[2].id}
    assert all(one.lapsed for one in left)


async def test_a_freeze_is_told_with_its_reason_as_long_as_it_stands(ledger: Ledger) -> None:
    resident = await ledger.resident(points=100)
    view = await ledger.app.read.wallet(resident)
    assert view is not None and view.freeze is None
    for kind in ("frozen", "debit_frozen"):
        await ledger.app.freeze(
            resident, ledger.id7(), kind=kind, authority="court 3", reason=f"case {kind}",  # type: ignore[arg-type]
            until=START + timedelta(hours=1), actor=4,
        )  # fmt: skip
    with refusal("account_frozen"):
        await ledger.app.spend(resident, ledger.id7(), points=1, payee=1)
    view = await ledger.app.read.wallet(resident)
    assert view is not None and view.freeze is not None
    assert (view.freeze.kind, view.freeze.authority, view.freeze.reason, view.freeze.since, view.freeze.until) == (
        "debit_frozen", "court 3", "case debit_frozen", START, START + timedelta(hours=1),
    )  # fmt: skip
    await ledger.stop_clock(START + timedelta(hours=1))
    view = await ledger.app.read.wallet(resident)
    assert view is not None and view.freeze is None


async def test_what_ends_soon_is_told_by_the_citys_days(ledger: Ledger) -> None:
    resident = await ledger.resident()
    for months in (1, 2):
        await ledger.earn(resident, await ledger.campaign(points=months, months=months))
    for day, soon in ((23, (0, 0, 1)), (30, (0, 0, 1)), (31, (0, 0, 1))):
        await ledger.stop_clock(datetime(2026, 11, day if day < 31 else 30, 2, tzinfo=UTC))
        view = await ledger.app.read.wallet(resident)
        assert view is not None
        assert (view.expiring(0), view.expiring(7), view.expiring(38)) == soon, day
    await ledger.stop_clock(datetime(2026, 12, 24, 2, tzinfo=UTC))
    view = await ledger.app.read.wallet(resident)
    assert view is not None
    assert (view.expiring(6), view.expiring(7), view.expiring(38)) == (0, 1, 3)
