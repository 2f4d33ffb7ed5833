"""Short lives of a town, each about one thing, told step by step: the vault, the oracle and the teller must agree.

The canaries live them on a vault with one broken rule: somebody must notice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.support.ledger import COUNTER, OTHER_MERCHANT, SECOND_TERMINAL, Ledger
from tests.support.oracle_state import CITY
from tests.support.town_life import TownLife
from tests.support.trial import client_id

MS = timedelta(milliseconds=1)
A_SATURDAY = datetime(2027, 1, 30, 12, tzinfo=CITY)
Chapter = Callable[[TownLife], Awaitable[None]]


def on(year: int, month: int, day: int, *time: int) -> datetime:
    return datetime(year, month, day, *time, tzinfo=CITY)


async def sees(life: TownLife, expected: str, step: Awaitable[Any]) -> None:
    """The step's answer is this one, whatever else agrees about it."""
    life.trial.last = ""
    await step
    assert life.trial.last == expected, f"the teller expected {expected}, everybody else {life.trial.last}"


def spend(life: TownLife, points: int, who: int = 0) -> Awaitable[Any]:
    return life.app(who, "spend", points=points, payee=501)


def hold(life: TownLife, points: int, life_s: int = 60, who: int = 0) -> Awaitable[Any]:
    return life.app(who, "hold", points=points, payee=502, life_s=life_s)


def refund(life: TownLife, id: UUID, points: int, who: int = 0) -> Awaitable[Any]:
    return life.app(who, "refund", posting_id=id, points=points, reason="x")


def lock(life: TownLife, pick: int, life_s: int) -> Awaitable[Any]:
    return life.of_coupon("lock_coupon", pick, life_s=life_s, request_no="r 1", actor=9)


def last(pairs: list[tuple[int, UUID]]) -> UUID:
    return pairs[-1][1]


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
    await sees(life, "refund_too_large", refund(life, last(life.spendings), 21))
    await sees(life, "done", refund(life, last(life.spendings), 20))


async def adjusting(life: TownLife) -> None:
    """Two people, a reason, a document; what is past its day is booked once."""
    await sees(life, "done", life.adjust(0, 30, months=1))
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


def freeze(life: TownLife, kind: str, days: int | None = None) -> Awaitable[Any]:
    until = None if days is None else life.now + timedelta(days=days)
    return life.app(0, "freeze", kind=kind, authority="court", reason="x", until=until, actor=9)


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


async def claiming(life: TownLife) -> None:
    """Price, stock, the sponsor's reserve, caps by issue."""
    await sees(life, "insufficient_points", life.claim(0, "bought"))
    await life.adjust(0, 500, months=1)
    for answer in ("done", "done", "done", "done", "limit_reached"):
        await sees(life, answer, life.claim(0, "bought"))
    await life.set_clock(on(2027, 1, 31, 12))
    for answer in ("done", "done", "done", "sold_out"):
        await sees(life, answer, life.claim(1, "last"))
    await sees(life, "insufficient_points", life.claim(1, "over"))
    for answer in ("done", "done", "done", "done", "limit_reached"):
        await sees(life, answer, life.claim(0, "over"))
    await life.fund(0, "close")
    await life.set_clock(on(2027, 2, 1, 12))
    await sees(life, "terms_closed", life.claim(0, "bought"))
    await life.fund(0, "open")
    await sees(life, "done", life.claim(0, "bought"))
    await sees(life, "replayed", life.again(0))
    await life.set_clock(on(2027, 3, 1))
    await sees(life, "insufficient_points", life.claim(0, "plain"))
    await sees(life, "outside_window", life.claim(0, "last"))


async def redeeming(life: TownLife) -> None:
    """At the counter: whose code it is, when, what it is worth; back inside the window, once."""
    await life.claim(0, "percent")
    await life.claim(0, "percent")
    await life.claim(0, "last")
    await sees(life, "usable", life.scan(0, COUNTER))
    await sees(life, "not_valid", life.scan(0, SECOND_TERMINAL, fresh=False))
    await sees(life, "not_valid", life.scan(0, COUNTER, code_ok=False, fresh=False))
    await sees(life, "not_valid", life.scan(0, COUNTER, own=True, fresh=False))
    await sees(life, "usable", life.scan(0, COUNTER, fresh=False))
    await sees(life, "ticket_expired", life.redeem(0, 7777, 0))
    await sees(life, "ticket_foreign", life.redeem(0, 7777, elsewhere=SECOND_TERMINAL))
    await sees(life, "order_amount_required", life.redeem(0))
    await sees(life, "done", life.redeem(0, 5000))
    await sees(life, "idempotency_mismatch", life.another_body(0))
    await sees(life, "not_valid", life.scan(0, COUNTER, fresh=False))
    await sees(life, "not_due", life.coupon_job(0, "release_subsidy"))
    await sees(life, "coupon_not_usable", life.coupon_job(1, "release_subsidy"))
    await sees(life, "usable", life.scan(1, COUNTER))
    await sees(life, "limit_reached", life.redeem(1, 39_999))
    await sees(life, "done", life.void(0, "x"))
    await sees(life, "replayed", life.void(0, "y"))
    await sees(life, "done", life.redeem(1, 15_000))
    await life.scan(2, COUNTER)
    await sees(life, "order_amount_refused", life.redeem(2, 1))
    await sees(life, "done", life.redeem(2))
    await life.to_edge("void", timedelta(0), on(2028, 1, 1))
    await sees(life, "not_due", life.coupon_job(1, "release_subsidy"))
    await life.set_clock(life.now + MS)
    await sees(life, "void_window_closed", life.void(2, "x"))
    await sees(life, "done", life.coupon_job(1, "release_subsidy"))
    await sees(life, "coupon_not_usable", life.coupon_job(1, "release_subsidy"))


async def suspending(life: TownLife) -> None:
    """A counter that is closed takes nothing; another merchant's, five wrong codes, a log-out neither."""
    await life.adjust(0, 100)
    await life.claim(0, "plain")
    await sees(life, "not_valid", life.scan(0, OTHER_MERCHANT))
    for kind in ("merchant", "terminal", "staff"):
        await life.suspend(kind, COUNTER, False)
        await sees(life, "merchant_suspended", life.scan(0, COUNTER))
        await life.suspend(kind, COUNTER, True)
    await sees(life, "usable", life.scan(0, COUNTER))
    await life.suspend("merchant", COUNTER, False)
    await sees(life, "merchant_suspended", life.redeem(0))
    await life.suspend("merchant", COUNTER, True)
    await life.log_out(0)
    await sees(life, "credential_spent", life.redeem(0))
    await sees(life, "not_valid", life.scan(0, COUNTER, code_ok=False))
    for _ in range(4):
        await sees(life, "not_valid", life.scan(0, COUNTER, code_ok=False, fresh=False))
    await sees(life, "not_valid", life.scan(0, COUNTER, fresh=False))
    await sees(life, "usable", life.scan(0, COUNTER))
    await life.to_edge("midnight", timedelta(0), on(2028, 1, 1))
    await sees(life, "done", life.redeem(1, None, 86_400))


async def returning(life: TownLife) -> None:
    """A coupon that comes back after its last day is expired at once, unless the terms give grace."""
    await life.adjust(0, 500)
    for which in ("plain", "over", "bought"):
        await life.claim(0, which)
    await life.scan(0, COUNTER)
    await sees(life, "done", life.redeem(0))
    await life.set_clock(on(2027, 1, 31, 23, 50))  # a Sunday
    await life.claim(0, "over")
    for place in (1, 3):
        await life.scan(place, COUNTER)
    await sees(life, "below_threshold", life.redeem(1, 4999))
    await sees(life, "done", life.redeem(1, 5000))
    await sees(life, "done", life.redeem(2, 7777))
    await life.set_clock(on(2027, 2, 1, 0, 20))
    await sees(life, "done", life.void(0, "x"))  # out of date, no grace
    await sees(life, "done", life.void(1, "x"))  # at the last instant; counts for the week of the redemption
    await life.set_clock(life.now + MS)
    await sees(life, "void_window_closed", life.void(2, "x"))
    await life.set_clock(on(2027, 2, 11, 23, 50))
    await sees(life, "not_due", life.coupon_job(2, "expire_coupon"))
    await life.scan(1, COUNTER)
    await life.scan(2, COUNTER)
    await sees(life, "done", life.redeem(3, 5000))
    await life.set_clock(on(2027, 2, 12))
    await sees(life, "coupon_expired", life.redeem(4))
    await sees(life, "done", life.coupon_job(2, "expire_coupon"))
    await sees(life, "coupon_not_usable", life.coupon_job(2, "expire_coupon"))
    await sees(life, "done", life.void(3, "x"))  # three days of grace
    await sees(life, "usable", life.scan(1, COUNTER))


async def locking(life: TownLife) -> None:
    """A lock keeps a coupon for one order until its last instant, and no longer."""
    await life.adjust(0, 500)
    await life.claim(0, "last")
    await life.claim(0, "plain")
    for seconds, answer in ((0, "invalid_item"), (901, "invalid_item"), (900, "done"), (60, "coupon_not_usable")):
        await sees(life, answer, lock(life, 0, seconds))
    await sees(life, "coupon_not_usable", life.scan(0, COUNTER))
    await sees(life, "not_due", life.unlock(0, job=True))
    await sees(life, "done", life.unlock(0))
    await sees(life, "done", lock(life, 0, 60))
    await life.to_edge("lock", timedelta(0), on(2028, 1, 1))
    await sees(life, "lock_expired", life.redeem_locked(1, COUNTER, None))
    await sees(life, "usable", life.scan(0, COUNTER))
    await sees(life, "done", lock(life, 0, 60))
    await sees(life, "coupon_not_usable", life.redeem(0))
    await life.to_edge("lock", -MS, on(2028, 1, 1))
    await sees(life, "done", life.redeem_locked(2, COUNTER, None))
    await sees(life, "done", life.void(0, "x"))
    await sees(life, "done", lock(life, 1, 60))
    await life.set_clock(on(2027, 2, 1))
    await sees(life, "done", life.coupon_job(1, "expire_coupon"))


async def ending(life: TownLife) -> None:
    """A coupon taken away gives its price back, to the lots it was paid from."""
    await life.adjust(0, 50, months=1)
    await life.claim(0, "bought")
    await life.claim(0, "bought")
    await sees(life, "coupon_not_usable", life.of_coupon("void_coupon", 0, stranger=1, reason="x", actor=9))
    await sees(life, "invalid_item", life.of_coupon("void_coupon", 0, reason="", actor=9))
    await sees(life, "done", life.of_coupon("void_coupon", 0, reason="x", actor=9))
    await sees(life, "coupon_not_usable", life.of_coupon("void_coupon", 0, reason="x", actor=9))
    await life.set_clock(on(2027, 3, 1))
    await sees(life, "done", life.of_coupon("void_coupon", 1, reason="x", actor=9))


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
    for one in (earning, spending, holding, refunding, adjusting, freezing, claiming, redeeming, suspending, returning,
                locking, ending, naming)
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
