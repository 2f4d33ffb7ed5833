"""A busy town: many tasks over several vaults, everything sent three times at once, other bodies under the same ids.

Afterwards every id happened at most once, its duplicates were told the same, and the oracle, fed with each resident's
journal in its own order and at its own instants, comes to every decision again; only what depends on budgets, which
residents share, is taken as given and its totals compared. `CHENGXIN_ORACLE_EXAMPLES=2000` makes it long.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest_asyncio

from tests.support.databases import Database
from tests.support.ledger import COUNTER, Ledger, open_ledger
from tests.support.oracle_coupons import Credential
from tests.support.oracle_state import CITY, OF_BUDGETS, OPS, STICKY, Call, city_day
from tests.support.patience import until
from tests.support.sealing import SealedLedger
from tests.support.town_life import CAMPAIGNS, TEMPLATES, TownLife
from tests.support.trial import call, changed, client_id, job_id
from tests.support.trial import send as put
from wallet import InFlight, QueueFull, Refused, Vault
from wallet.audit import check_seals
from wallet.seals import Seals

ROUNDS = int(os.environ.get("CHENGXIN_ORACLE_EXAMPLES", "20")) * 2
SEED = int(os.environ.get("CHENGXIN_ORACLE_SEED", "20261123"))
TASKS_EACH = 4
NEW_YEARS_EVE = datetime(2026, 12, 31, 23, 59, 30, tzinfo=CITY)
#: The clock's jumps while everybody is busy: over midnight and the year's end, a month's end, lots' last days.
JUMPS = [timedelta(seconds=40), timedelta(minutes=2), timedelta(hours=30), timedelta(days=31), timedelta(days=33)]
#: What a duplicate may be told beside the answer, as nothing was decided for good when it asked.
PASSING = {
    "sold_out", "terms_closed", "limit_reached", "account_frozen", "not_due", "coupon_not_usable", "coupon_expired",
    "outside_window", "invalid_item", "posting_not_found", "capture_too_large", "account_not_frozen", "lock_expired",
    "credential_spent", "ticket_expired", "void_window_closed", "idempotency_key_expired", "budget_busy",
    "order_amount_refused", "order_amount_required", "below_threshold", "order_no_required", "not_stackable",
    "not_valid",
}  # fmt: skip

WISHES = [
    *["earn", "capture", "refund", "claim", "redeem", "lock_coupon"] * 2, "spend", "hold", "release", "adjust", "claim",
    "grant", "void", "redeem_locked", "unlock_coupon", "void_coupon", "coupon_job", "coupon_job", "expire_points",
    "freeze",
]  # fmt: skip
SOURCES = {"capture": "hold", "release": "hold", "refund": "spend", "redeem_locked": "lock", "unlock_coupon": "lock"}


@dataclass
class Told:
    """What the senders of one id were told: by body, each answer as (code, replayed, result)."""

    answers: list[tuple[Call, str, bool, Any]] = field(default_factory=list)


class Crowd:
    """Everything the tasks share. `known` is what a resident has been told of so far."""

    def __init__(self, life: TownLife, apps: list[Vault], workers: list[Vault]) -> None:
        self.life, self.apps, self.workers = life, apps, workers
        self.told: dict[tuple[int, UUID], Told] = {}
        self.known: dict[tuple[int, str], list[Any]] = {}
        self.seen: Counter[str] = Counter()
        self.rounds = 0
        self.owner_at_work = asyncio.Lock()  # one connection of the owner's role serves all

    def of(self, owner: int, kind: str) -> list[Any]:
        return self.known.setdefault((owner, kind), [])

    async def ask(self, one: Call, dice: random.Random) -> None:
        """Three senders at once, and now and then a fourth with another body, over different vaults."""
        sent = [one] * 3 + ([changed(one, self.life.now)] if dice.random() < 0.25 else [])
        dice.shuffle(sent)
        doors = self.workers if one.door == "worker" else self.apps
        told = self.told.setdefault((one.owner, one.id), Told())
        answers = await asyncio.gather(*(self.send(doors[n % len(doors)], body) for n, body in enumerate(sent)))
        told.answers += [(body, *answer) for body, answer in zip(sent, answers, strict=True)]
        done = next((body for body, code, _, _ in told.answers if code == "done"), None)
        if done is not None:
            self._learn(done)

    async def send(self, vault: Vault, one: Call) -> tuple[str, bool, Any]:
        while True:
            try:
                done = await put(vault, one)
            except (InFlight, QueueFull):  # a busy machine; the same request again loses nothing
                await asyncio.sleep(0.05)
            except Refused as refused:
                self.seen[f"{one.op} {refused.code}"] += 1
                return refused.code, refused.replayed, None
            else:
                self.seen[f"{one.op} {'replayed' if done.replayed else 'done'}"] += 1
                return "done", done.replayed, done.result

    def _learn(self, one: Call) -> None:
        if one.op == "lock_coupon":
            self.of(one.owner, "lock").append((one.args["coupon_id"], one.id))
        elif one.op in ("redeem", "redeem_locked"):
            void = one.args.get("void_id") or self.life.oracle.credentials[one.args["credential"]].void
            self.of(one.owner, "redemption").append((one.id, void))
        else:
            self.of(one.owner, {"capture": "spend", "grant": "claim"}.get(one.op, one.op)).append(one.id)

    # -- what one task does -------------------------------------------------------------------------------------------

    async def task(self, owner: int, number: int) -> None:
        dice = random.Random(f"{SEED}/{owner % 1000}/{number}")
        for _ in range(ROUNDS):
            one = await self.choose(owner, dice)
            if one is not None:
                await self.ask(one, dice)
            self.rounds += 1

    async def choose(self, owner: int, dice: random.Random) -> Call | None:
        now = self.life.now
        op = dice.choice(WISHES)
        args = await getattr(self, f"_{op}", self._on_something)(owner, op, dice)
        if args is None:
            return None
        op, door, id = args.pop("op", op), args.pop("door", "app"), args.pop("id", None)
        return call(op, owner, id or (job_id(now) if door == "worker" else client_id(now)), door, **args)

    async def _earn(self, owner: int, op: str, dice: random.Random) -> Any:
        terms = self.life.terms[dice.choice(list(CAMPAIGNS))]
        return {"door": "worker", "terms": terms, "on": city_day(self.life.now)}

    async def _adjust(self, owner: int, op: str, dice: random.Random) -> Any:
        points, months = dice.choice((40, 25, -5)), dice.choice((1, 2, 24))
        return {"door": "worker", "points": points, "actor": 1, "approver": 2, "reason": "x", "document": "x",
                "validity_months": months}  # fmt: skip

    async def _expire_points(self, owner: int, op: str, dice: random.Random) -> Any:
        return {"door": "worker"}

    async def _freeze(self, owner: int, op: str, dice: random.Random) -> Any:
        order = {"authority": "court", "reason": "x", "actor": 9}
        if dice.random() < 0.6:
            return {**order, "op": "unfreeze"}
        until = self.life.now + timedelta(seconds=dice.choice((1, 60)))
        return {**order, "kind": dice.choice(("frozen", "debit_frozen")), "until": until}

    async def _spend(self, owner: int, op: str, dice: random.Random) -> Any:
        return {"points": dice.choice((1, 7, 30, 200)), "payee": 501}

    async def _hold(self, owner: int, op: str, dice: random.Random) -> Any:
        return {"points": dice.choice((1, 7, 30, 200)), "payee": 502, "life_s": dice.choice((5, 3600, 30 * 86_400))}

    async def _claim(self, owner: int, op: str, dice: random.Random) -> Any:
        terms = self.life.templates[dice.choice(list(TEMPLATES))]
        return {"template": terms.template_id, "terms": terms.id}

    async def _grant(self, owner: int, op: str, dice: random.Random) -> Any:
        return {"door": "worker", "source": "job:7", **await self._claim(owner, op, dice)}

    async def _redeem(self, owner: int, op: str, dice: random.Random) -> Any:
        """A code is shown and scanned first, twice at once."""
        life, coupons = self.life, self.of(owner, "claim")
        if not coupons:
            return None
        coupon, credential = dice.choice(coupons), client_id(life.now)
        handle, epoch = random.SystemRandom().randrange(10**10), 0
        until = life.now + timedelta(days=400)
        try:
            await self.apps[0].issue_credentials(owner, coupon, [credential], [handle], [400 * 86_400])
            scans = await asyncio.gather(*(
                vault.scan(handle, code_ok=True, acceptor=COUNTER, own_resident=None, redemption_id=client_id(life.now),
                           void_id=client_id(life.now))
                for vault in (self.apps[0], self.apps[1])
            ), return_exceptions=True)  # fmt: skip
        except (Refused, InFlight):
            return None
        shown = life.oracle.credentials[credential] = Credential(owner, coupon, epoch, until)
        async with self.owner_at_work:
            row = await life.ledger.owner.fetchrow(
                "SELECT state, redemption_id, void_id FROM vault.credential WHERE b = $1 AND id = $2",
                owner & 1023,
                credential,
            )
        assert row is not None
        assert {one.redemption_id for one in scans if not isinstance(one, BaseException)} <= {row["redemption_id"]}
        if row["state"] == "open":
            return None
        shown.state, shown.at, shown.redemption, shown.void = "claimed", COUNTER, row["redemption_id"], row["void_id"]
        return {"id": shown.redemption, "credential": credential, "at": COUNTER, "ticket_until": until,
                "amount": dice.choice((None, None, 7777)), "order_no": dice.choice((None, "1", "2"))}  # fmt: skip

    async def _void(self, owner: int, op: str, dice: random.Random) -> Any:
        if not (made := self.of(owner, "redemption")):
            return None
        redemption, void = dice.choice(made)
        return {"id": void, "redemption": redemption, "at": COUNTER, "reason": "x"}

    async def _on_something(self, owner: int, op: str, dice: random.Random) -> Any:
        """Operations on what a resident has: some of it, if there is any."""
        source = {
            "capture": "hold",
            "release": "hold",
            "refund": "spend",
            "redeem_locked": "lock",
            "unlock_coupon": "lock",
        }
        if not (there := self.of(owner, source.get(op, "claim"))):
            return None
        it = dice.choice(there[-4:])
        return {
            "capture": lambda: {"hold_id": it, "points": dice.choice((None, 1, 7))},
            "release": lambda: {"hold_id": it, "door": dice.choice(("app", "worker"))},
            "refund": lambda: {"posting_id": it, "points": dice.choice((1, 3, 30)), "reason": "x"},
            "lock_coupon": lambda: {"coupon_id": it, "life_s": dice.choice((1, 900)), "request_no": "r", "actor": 9},
            "redeem_locked": lambda: {"coupon_id": it[0], "lock_id": it[1], "void_id": client_id(self.life.now),
                                      "at": COUNTER, "amount": dice.choice((None, None, 7777)),
                                      "order_no": dice.choice((None, "1", "2"))},
            "unlock_coupon": lambda: {"coupon_id": it[0], "lock_id": it[1], "reason": "x",
                                      "door": dice.choice(("app", "worker"))},
            "void_coupon": lambda: {"coupon_id": it, "reason": "x", "actor": 9},
            "coupon_job": lambda: {"op": dice.choice(("expire_coupon", "release_subsidy")), "coupon_id": it,
                                   "door": "worker"},
        }[op]()  # fmt: skip

    async def clock(self) -> None:
        """A jump after every sixth of what the tasks do, however long that takes them."""
        for place, jump in enumerate(JUMPS, 1):
            await until("the next jump", partial(self.has_done, place / (len(JUMPS) + 1)), every_s=0.01)
            async with self.owner_at_work:
                await self.life.set_clock(self.life.now + jump)

    async def has_done(self, share: float) -> bool:
        return self.rounds >= share * len(self.life.people) * TASKS_EACH * ROUNDS

    async def office(self) -> None:
        dice = random.Random(SEED)
        for _ in range(12):
            await asyncio.sleep(0.1)
            await self.life.fund(dice.randrange(100), dice.choice(("topup", "topup", "close", "open", "open")))
        for place in range(len(self.life.oracle.budgets.left)):
            await self.life.fund(place, "open")


def winner(told: Told) -> tuple[Call, str, Any] | None:
    """What an id came to: the body that won, its code and its result. Fails when its senders were told two things."""
    told_for_good = [one for one in told.answers if one[1] == "done" or one[1] in STICKY]
    passing = {one[1] for one in told.answers if one not in told_for_good} - {"idempotency_mismatch"}
    assert passing <= PASSING, passing
    if not told_for_good:
        assert all(code != "idempotency_mismatch" for _, code, _, _ in told.answers), told.answers
        return None
    bodies = {(one[0].intent, one[1]) for one in told_for_good}
    assert len(bodies) == 1, f"one id, two outcomes: {told_for_good}"
    assert [one[2] for one in told_for_good].count(False) == 1, f"done twice, or never: {told_for_good}"
    assert all(one[3] == told_for_good[0][3] for one in told_for_good), f"told differently: {told_for_good}"
    mismatched = [one for one in told.answers if one[1] == "idempotency_mismatch"]
    assert all(one[0].intent != told_for_good[0][0].intent for one in mismatched), mismatched
    return told_for_good[0][0], told_for_good[0][1], told_for_good[0][3]


async def derive(life: TownLife, owner: int, winners: dict[tuple[int, UUID], tuple[Call, str, Any]]) -> None:
    """The oracle decides a resident's journal again, row by row, each at the row's own instant."""
    rows = await life.ledger.owner.fetch(
        "SELECT id, seq, op, at FROM vault.journal WHERE b = $1 AND owner = $2 ORDER BY seq", owner & 1023, owner
    )
    mine, oracle = life.oracle.wallets[owner], life.oracle
    while len(mine.rows) < len(rows):
        row = rows[len(mine.rows)]
        one, code, result = winners.pop((owner, row["id"]))
        judged = oracle.judge(one, row["at"])
        assert judged.replay is None, f"{one} is in the journal twice"
        reasons = judged.reasons - OF_BUDGETS
        assert (code in reasons) if code in STICKY else not reasons, f"seq {row['seq']}: {one}: {code}, {reasons}"
        answer = oracle.settle(one, judged, code)
        if code == "done":
            life.trial.expect(one, result, answer)
            assert result.at == row["at"]
    assert len(mine.rows) == len(rows)


async def again(crowd: Crowd, winners: dict[tuple[int, UUID], tuple[Call, str, Any]]) -> None:
    """Everything once more, months later by the vault's clock: the same answers, and nothing moves."""
    for one, code, result in winners.values():
        doors = crowd.workers if one.door == "worker" else crowd.apps
        assert await crowd.send(doors[0], one) == (code, True, result), one


async def seal(ledger: Ledger, dsn: str) -> None:
    """Every row is sealed, and the seals say so."""
    async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool:
        rows = await SealedLedger(ledger, Seals(pool)).seal_all()
    assert rows == await ledger.owner.fetchval("SELECT count(*) FROM vault.journal")
    assert not (await check_seals(dsn)).broken


@pytest_asyncio.fixture
async def crowd(fresh_database: Database) -> AsyncIterator[Crowd]:
    async with AsyncExitStack() as stack:
        ledger: Ledger = await stack.enter_async_context(open_ledger(fresh_database, first_lane=0, lanes=3))
        apps, workers = [ledger.app], [ledger.worker]
        apps.append(await Vault.connect(fresh_database.app, role="app", first_lane=3, lanes=3, pool_max=3))
        stack.push_async_callback(apps[1].close)
        workers.append(await Vault.connect(fresh_database.worker, role="worker", first_lane=6, lanes=2, pool_max=3))
        stack.push_async_callback(workers[1].close)
        await ledger.stop_clock(NEW_YEARS_EVE + timedelta(days=120))
        await ledger.worker.ensure_partitions(1)
        life = TownLife(ledger)
        await life.begin(NEW_YEARS_EVE, 500)
        for which in CAMPAIGNS:
            await life.campaign(which)
        for which in TEMPLATES:
            await life.template(which)
        yield Crowd(life, apps, workers)


async def test_a_crowd_leaves_the_books_as_the_oracle_would(crowd: Crowd) -> None:
    life = crowd.life
    async with asyncio.TaskGroup() as together:
        for owner in life.people:
            for number in range(TASKS_EACH):
                together.create_task(crowd.task(owner, number))
        together.create_task(crowd.clock())
        together.create_task(crowd.office())
    winners = {key: won for key, told in crowd.told.items() if (won := winner(told)) is not None}
    await again(crowd, winners)
    for owner in life.people:
        await derive(life, owner, winners)
    assert winners == {}, "told done, but not in the journal"
    await life.trial.compare()
    assert await life.ledger.broken() == []
    await seal(life.ledger, life.ledger.database.worker)
    assert await life.ledger.owner.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0  # fmt: skip
    print(f"{crowd.seen.total()} answers: {dict(sorted(crowd.seen.items()))}")
    done = {op for op in OPS if crowd.seen[f"{op} done"]}
    assert done >= {"earn", "spend", "hold", "capture", "release", "refund", "claim", "redeem", "lock_coupon"}, done
