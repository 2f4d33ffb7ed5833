"""Short lives of a town, each about one thing, told step by step: the vault, the oracle and the teller must agree.

The canaries live them on a vault with one broken rule: somebody must notice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from tests.support.chapters_of_coupons import (
    claiming,
    ending,
    granting,
    locking,
    redeeming,
    returning,
    starving,
    suspending,
)
from tests.support.chapters_of_places import crowding
from tests.support.chapters_of_terms import sharing, stacking, timing, waiting
from tests.support.ledger import COUNTER, Ledger
from tests.support.oracle_state import CITY
from tests.support.telling import MS, freeze, hold, last, lock, on, refund, sees, spend
from tests.support.town_life import TownLife
from tests.support.trial import call, client_id, each_otherwise, job_id

A_SATURDAY = datetime(2027, 1, 30, 12, tzinfo=CITY)
Chapter = Callable[[TownLife], Awaitable[None]]


async def earning(life: TownLife) -> None:
    """Caps by day, month and week; a lot's last day; an empty budget; what is past its day is booked."""
    for answer in ("done", "done", "done", "limit_reached"):
        await sees(life, answer, life.earn(0, "short"))
    await sees(life, "done", life.earn(1, "short"))
    await life.set_clock(on(2027, 1, 31, 12))
    await sees(life, "done", life.earn(0, "short"))
    await sees(life, "limit_reached", life.earn(0, "short"))  # 120 points a month
    for answer in ("done", "done", "done", "limit_reached"):
        await sees(life, answer, life.earn(0, "week"))
    await sees(life, "invalid_item", life.earn(0, "long", ago=-1))
    await sees(life, "outside_window", life.earn(0, "short", ago=62))
    await life.set_clock(on(2027, 2, 1, 0))  # a Monday
    await sees(life, "done", life.earn(0, "short"))
    await sees(life, "done", life.earn(0, "week"))
    for answer in ("done", "done", "sold_out"):
        await sees(life, answer, life.earn(2, "small"))
    await life.set_clock(on(2027, 4, 1, 0))
    for answer, points in (("invalid_item", 0), ("invalid_item", 31), ("done", 30), ("done", 1)):
        await sees(life, answer, life.earn(1, "short", points=points))
    await sees(life, "idempotency_mismatch", life.another_body(0))
    await sees(life, "done", life.earn(0, "long"))
    await sees(life, "replayed", life.again(0))
    await sees(life, "idempotency_mismatch", life.another_body(0))


async def spending(life: TownLife) -> None:
    """The soonest lot first, to its last millisecond; short of points once is short for ever."""
    await life.adjust(0, 40, months=1)
    await life.adjust(0, 50, months=2)
    await sees(life, "done", spend(life, 30))
    await sees(life, "replayed", life.again(0))
    await sees(life, "idempotency_mismatch", life.another_body(0))
    await sees(life, "insufficient_points", spend(life, 61))
    await life.adjust(0, 100, months=3)
    await sees(life, "replayed insufficient_points", life.again(1))
    await sees(life, "invalid_item", spend(life, 0))
    await life.set_clock(on(2027, 3, 1) - MS)
    await sees(life, "done", spend(life, 5))
    await life.set_clock(on(2027, 3, 1))
    await sees(life, "insufficient_points", spend(life, 151))
    await sees(life, "done", spend(life, 1))
    await sees(life, "done", spend(life, 149))
    await sees(life, "wallet_not_open", life.without_wallet())


async def holding(life: TownLife) -> None:
    """A hold is captured whole, in part, or given back, once; at its last instant it is over."""
    await life.adjust(0, 60, months=1)
    await life.adjust(0, 60, months=2)
    await sees(life, "done", hold(life, 100))
    await sees(life, "insufficient_points", hold(life, 21))
    await sees(life, "capture_too_large", life.of_hold("capture", 0, points=101))
    await sees(life, "hold_not_found", life.of_hold("capture", 0, stranger=1, points=1))
    await sees(life, "done", life.of_hold("capture", 0, points=70))
    await sees(life, "hold_not_found", life.of_hold("capture", 0, points=30))
    await sees(life, "hold_not_found", life.of_hold("release", 0))
    await sees(life, "done", hold(life, 20))
    await sees(life, "not_due", life.of_hold("release", 1, job=True))
    await life.set_clock(life.now + timedelta(seconds=60) - MS)
    await sees(life, "not_due", life.of_hold("release", 1, job=True))
    await sees(life, "done", hold(life, 5, 1))
    await sees(life, "done", life.of_hold("capture", 2, points=None))
    await life.set_clock(life.now + MS)
    await sees(life, "hold_expired", life.of_hold("capture", 1, points=None))
    await sees(life, "done", life.of_hold("release", 1, job=True))
    for seconds, answer in ((0, "invalid_item"), (30 * 86_400, "done"), (30 * 86_400 + 1, "invalid_item")):
        await sees(life, answer, hold(life, 40, seconds))
    await sees(life, "done", life.of_hold("release", 3))
    await sees(life, "done", hold(life, 35, 20 * 86_400))
    await sees(life, "done", hold(life, 5, 30 * 86_400))
    await life.set_clock(on(2027, 3, 1))  # some of what was held has died meanwhile
    await sees(life, "done", life.of_hold("release", 4))
    await sees(life, "done", life.of_hold("capture", 5, points=1))


async def refunding(life: TownLife) -> None:
    """Never more than was spent; to its lots, the last first; a dead lot's points get one new day."""
    await life.adjust(0, 40, months=1)
    await life.adjust(0, 40, months=2)
    await life.adjust(0, 40, months=3)
    await sees(life, "done", spend(life, 100))
    spent = last(life.spendings)
    await sees(life, "done", refund(life, spent, 15))
    await sees(life, "refund_too_large", refund(life, spent, 86))
    await sees(life, "posting_not_found", refund(life, spent, 1, 1))
    await sees(life, "posting_not_found", refund(life, client_id(life.now), 1))
    await life.set_clock(on(2027, 4, 1))  # two of three lots are past their day
    await sees(life, "done", refund(life, spent, 10))
    await sees(life, "done", refund(life, spent, 30))
    await life.set_clock(on(2027, 4, 30, 23))
    await sees(life, "done", refund(life, spent, 20))
    await life.set_clock(on(2027, 6, 1))
    await sees(life, "done", refund(life, spent, 20))
    await sees(life, "refund_too_large", refund(life, spent, 6))
    await sees(life, "done", refund(life, spent, 5))
    await sees(life, "refund_too_large", refund(life, spent, 1))
    await sees(life, "invalid_item", refund(life, spent, 0))
    await life.adjust(0, 30, months=1)
    await hold(life, 30)
    await life.of_hold("capture", 0, points=20)
    await sees(life, "posting_not_found", refund(life, last(life.holds), 1))
    await sees(life, "refund_too_large", refund(life, last(life.spendings), 21))
    await sees(life, "done", refund(life, last(life.spendings), 20))


async def adjusting(life: TownLife) -> None:
    """Two people, a reason, a document; what is past its day is booked once."""
    await sees(life, "done", life.adjust(0, 30, months=1))
    terms = {"points": 1, "actor": 1, "approver": 2, "reason": "x", "document": "doc 7"}  # for two years
    await sees(life, "done", life.trial.ask(call("adjust", life.people[1], job_id(life.now), "worker", **terms)))
    await sees(life, "two_people_required", life.adjust(0, 30, approver=1))
    await sees(life, "invalid_item", life.adjust(0, 0))
    await sees(life, "invalid_item", life.adjust(0, 5, months=25))
    await sees(life, "invalid_item", life.adjust(0, 5, reason=""))
    await sees(life, "insufficient_points", life.adjust(0, -31))
    await sees(life, "done", life.adjust(0, -10))
    await sees(life, "not_due", life.worker(0, "expire_points"))
    await life.set_clock(on(2027, 3, 1) - MS)
    await sees(life, "not_due", life.worker(0, "expire_points"))
    await life.set_clock(on(2027, 3, 1))
    await sees(life, "insufficient_points", life.adjust(0, -1))
    await sees(life, "done", life.worker(0, "expire_points"))
    await sees(life, "not_due", life.worker(0, "expire_points"))


async def freezing(life: TownLife) -> None:
    """debit_frozen stops what costs points, frozen nearly everything; what ends by itself ends to the instant."""
    await life.adjust(0, 200)
    await life.adjust(1, 5)
    await spend(life, 10)
    await life.claim(0, "last")
    await sees(life, "done", hold(life, 10, 86_400))
    await sees(life, "done", freeze(life, "debit_frozen"))
    await sees(life, "account_frozen", spend(life, 1))
    await sees(life, "account_frozen", hold(life, 1))
    await sees(life, "account_frozen", life.claim(0, "bought"))
    await sees(life, "done", life.claim(0, "last"))
    await sees(life, "done", life.earn(0, "long"))
    await sees(life, "done", life.of_hold("capture", 0, points=5))
    await sees(life, "done", refund(life, life.spendings[0][1], 1))
    await sees(life, "done", hold(life, 1, who=1))
    await sees(life, "done", freeze(life, "frozen", 1))
    await sees(life, "account_frozen", spend(life, 1))
    await sees(life, "account_frozen", life.claim(0, "last"))
    await sees(life, "account_frozen", life.earn(0, "long"))
    await sees(life, "account_frozen", refund(life, life.spendings[0][1], 1))
    await sees(life, "account_frozen", lock(life, 0, 9))
    await sees(life, "not_valid", life.scan(0, COUNTER))
    await sees(life, "done", life.adjust(0, -1))
    await sees(life, "done", life.of_coupon("void_coupon", 1, reason="x", actor=9))
    await life.set_clock(life.now + timedelta(days=1) - MS)
    await sees(life, "account_frozen", spend(life, 1))
    await life.set_clock(life.now + MS)
    await sees(life, "done", spend(life, 1))
    await sees(life, "done", freeze(life, "debit_frozen"))
    await sees(life, "done", life.app(0, "unfreeze", authority="court", reason="x", actor=9))
    await sees(life, "done", spend(life, 1))


async def meaning(life: TownLife) -> None:
    """Every argument that a request means something by is part of what its id stands for, and no other is."""
    await life.adjust(0, 500)
    await life.earn(0, "short")
    await spend(life, 30)
    for points in (40, 20, 10):
        await hold(life, points, 3600)
    await life.of_hold("capture", 0, points=25)
    await life.of_hold("release", 1)
    await life.of_hold("capture", 2, points=None)
    await refund(life, life.spendings[0][1], 5)
    for which in ("bought", "last", "percent", "plain"):
        await life.claim(0, which)
    await life.counter(2, COUNTER, 5000)
    await life.void(0, "x")
    await lock(life, 1, 60)
    await life.unlock(0)
    await lock(life, 1, 60)
    await life.redeem_locked(1, COUNTER, None)
    await life.of_coupon("void_coupon", 0, reason="x", actor=9)
    await freeze(life, "debit_frozen", 1)
    await life.app(0, "unfreeze", authority="court", reason="x", actor=9)
    done = list(life.trial.past)
    for first in done:
        for again in each_otherwise(first, life.now):
            answer = "replayed" if again.intent == first.intent else "idempotency_mismatch"
            await sees(life, answer, life.trial.ask(again))


async def naming(life: TownLife) -> None:
    """Ids have a window, a version, and one meaning."""
    await life.adjust(0, 500)
    edges = {timedelta(hours=48): "done", timedelta(hours=48) + MS: "idempotency_key_expired",
             -timedelta(minutes=5): "done", -timedelta(minutes=5) - MS: "idempotency_key_expired"}  # fmt: skip
    for age, answer in edges.items():
        await sees(life, answer, life.app(0, "spend", age, points=1, payee=501))
    for age, answer in ((timedelta(days=20), "done"), (timedelta(days=365), "idempotency_key_expired"),
                        (timedelta(days=-1500), "idempotency_key_expired")):  # fmt: skip
        await sees(life, answer, life.worker(0, "adjust", age, points=1, actor=1, approver=2, reason="x",
                                             document="x", validity_months=1))  # fmt: skip
    await sees(life, "operation_not_permitted", life.at_the_wrong_door(0))
    await sees(life, "idempotency_mismatch", life.one_id_twice(0))


CHAPTERS: dict[str, Chapter] = {
    one.__name__: one
    for one in (earning, spending, holding, refunding, adjusting, freezing, claiming, granting, starving, redeeming,
                suspending, returning, locking, ending, timing, waiting, sharing, stacking, crowding, naming, meaning)
}  # fmt: skip


async def live(ledger: Ledger, chapter: str) -> TownLife:
    """One chapter from beginning to end; raises when vault, oracle and teller disagree."""
    life = TownLife(ledger)
    await life.begin(A_SATURDAY, 0)
    try:
        await CHAPTERS[chapter](life)
    finally:
        await life.reopen()
    await life.trial.compare()
    return life
