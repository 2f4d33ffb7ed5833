"""What people may do in a small town, with every value it may be done with; a die or hypothesis chooses.

`needs` says whether there is anything to do it to. Right values stand in the lists more often than wrong ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.support.ledger import COUNTER, COUNTERS
from tests.support.oracle_state import CITY
from tests.support.town_life import NOW, TownLife
from tests.support.town_offers import CAMPAIGNS, TEMPLATES
from wallet import Acceptor

#: Nobody's clock goes past this day: the journal has months until then.
LATEST = datetime(2029, 10, 1, tzinfo=CITY)
MONTHS_AHEAD = datetime(2029, 12, 15, tzinfo=CITY)
STARTS = [
    datetime(2026, 12, 31, 23, 59, 58, tzinfo=CITY),
    datetime(2027, 2, 28, 12, 0, tzinfo=CITY),
    datetime(2028, 2, 28, 23, 59, 59, tzinfo=CITY),
    datetime(2027, 5, 31, 0, 0, tzinfo=CITY),
    datetime(2027, 8, 1, 7, 59, 59, tzinfo=CITY),
]
WHO, PICK = [0, 1, 2], list(range(12))
STRANGER = [0, 0, 0, 0, 0, 1]
POINTS = [10, 1, 3, 25, 60, 100, 10, 25, 10**6, 0]
ORDERS = [7777, None, 5000, 1, 4999, 12_345, 39_999, 0]
ORDER_NOS = [None, None, "7", "7", "8", "x" * 64, "x" * 65]
#: How old an id is; the window's edges are met exactly.
AGES = [
    *[NOW] * 20, timedelta(hours=30), timedelta(hours=48), timedelta(hours=48, milliseconds=1), timedelta(minutes=-5),
    timedelta(minutes=-5, milliseconds=-1), timedelta(days=120), timedelta(days=-1500),
]  # fmt: skip
LIVES = [60, 1, 2, 600, 86_400, 86_400, 30 * 86_400, 0, 30 * 86_400 + 1]
LEAPS = [
    timedelta(milliseconds=1), timedelta(seconds=1), timedelta(minutes=20), timedelta(hours=47), timedelta(hours=-3),
    *(timedelta(days=days) for days in (1, 3, 33, 70)),
]  # fmt: skip
EDGES = ["midnight", "month", "hold", "lock", "void", "coupon"]
TEXTS = ["x"] * 8 + ["原因" * 100, "", "x" * 201]
OFFICE = ["expire", "unfreeze", "log out", "close", "open", "open", "topup", "cut", "suspend", "resume", "resume"]


@dataclass(frozen=True)
class Deed:
    act: Callable[..., Awaitable[None]]
    choices: dict[str, list[Any]]
    weight: int
    needs: Callable[[TownLife], Any]

    @property
    def name(self) -> str:
        return self.act.__name__


DEEDS: list[Deed] = []


def deed(weight: int = 2, needs: Callable[[TownLife], Any] = lambda life: True, **choices: list[Any]) -> Any:
    def register(act: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        DEEDS.append(Deed(act, choices, weight, needs))
        return act

    return register


def coupons(life: TownLife) -> Any:
    return life.oracle.coupons


@deed(
    5, who=WHO, which=list(CAMPAIGNS), age=AGES, ago=[0, 0, 0, 0, 1, 20, 40, -1], points=[None, None, None, 1, 17, 61]
)
async def earn(life: TownLife, who: int, which: str, age: timedelta, ago: int, points: int | None) -> None:
    await life.earn(who, which, age, ago, points)


@deed(5, who=WHO, points=POINTS, age=AGES)
async def spend(life: TownLife, who: int, points: int, age: timedelta) -> None:
    await life.app(who, "spend", age, points=points, payee=501)


@deed(4, who=WHO, points=POINTS, age=AGES, life_s=LIVES)
async def hold(life: TownLife, who: int, points: int, age: timedelta, life_s: int) -> None:
    await life.app(who, "hold", age, points=points, payee=502, life_s=life_s)


@deed(4, lambda life: life.holds, pick=PICK, points=[None, None, *POINTS], age=AGES, stranger=STRANGER)
async def capture(life: TownLife, pick: int, points: int | None, age: timedelta, stranger: int) -> None:
    await life.of_hold("capture", pick, age, stranger, points=points)


@deed(3, lambda life: life.holds, pick=PICK, age=AGES, stranger=STRANGER, job=[True, False])
async def release(life: TownLife, pick: int, age: timedelta, stranger: int, job: bool) -> None:
    await life.of_hold("release", pick, age, stranger, job=job)


@deed(5, lambda life: life.spendings, pick=PICK, points=POINTS, age=AGES, stranger=STRANGER, reason=TEXTS)
async def refund(life: TownLife, pick: int, points: int, age: timedelta, stranger: int, reason: str) -> None:
    await life.refund(pick, points, age, stranger, reason)


@deed(who=WHO, points=POINTS, sign=[1, 1, -1], approver=[2, 2, 2, 2, 1], reason=TEXTS, months=[1, 24, 2, 1, 0, 25])
async def adjust(life: TownLife, who: int, points: int, sign: int, approver: int, reason: str, months: int) -> None:
    await life.adjust(who, sign * points, approver=approver, reason=reason, months=months)


@deed(1, who=WHO, kind=["frozen", "debit_frozen"], days=[1, None, 30, 0, -1], reason=TEXTS)
async def freeze(life: TownLife, who: int, kind: str, days: int | None, reason: str) -> None:
    until = None if days is None else life.now + timedelta(days=days)
    await life.app(who, "freeze", kind=kind, authority="court", reason=reason, until=until, actor=9)


@deed(6, who=WHO, which=list(TEMPLATES), age=AGES)
async def claim(life: TownLife, who: int, which: str, age: timedelta) -> None:
    await life.claim(who, which, age)


@deed(2, who=WHO, which=list(TEMPLATES), age=AGES, source=TEXTS)
async def grant(life: TownLife, who: int, which: str, age: timedelta, source: str) -> None:
    await life.grant(who, which, age, source)


@deed(3, coupons, pick=PICK, counter=[*[COUNTER] * 5, *COUNTERS[1:]], code_ok=[True, True, True, False],
      own=[False, False, False, False, True], fresh=[True, False])  # fmt: skip
async def scan(life: TownLife, pick: int, counter: Acceptor, code_ok: bool, own: bool, fresh: bool) -> None:
    await life.scan(pick, counter, code_ok, own, fresh=fresh)


@deed(5, coupons, pick=PICK, amount=ORDERS, order_no=ORDER_NOS)
async def counter(life: TownLife, pick: int, amount: int | None, order_no: str | None) -> None:
    await life.counter(pick, COUNTER, amount, order_no)


@deed(2, lambda life: life.tickets, pick=PICK, elsewhere=[None, None, None, COUNTERS[1]], amount=ORDERS,
      ticket_s=[300, 300, 0], order_no=ORDER_NOS)  # fmt: skip
async def redeem(
    life: TownLife, pick: int, elsewhere: Acceptor | None, amount: int | None, ticket_s: int, order_no: str | None
) -> None:
    await life.redeem(pick, amount, ticket_s, elsewhere=elsewhere, order_no=order_no)


@deed(4, coupons, pick=PICK, age=AGES, life_s=[900, 60, 900, 1, 900, 0, 901], stranger=STRANGER)
async def lock_coupon(life: TownLife, pick: int, age: timedelta, life_s: int, stranger: int) -> None:
    await life.of_coupon("lock_coupon", pick, age, stranger, life_s=life_s, request_no="r 1", actor=9)


@deed(2, lambda life: life.locks, pick=PICK, age=AGES, job=[True, False], stale=[False, False, True])
async def unlock_coupon(life: TownLife, pick: int, age: timedelta, job: bool, stale: bool) -> None:
    await life.unlock(pick, age, job, stale)


@deed(5, lambda life: life.locks, pick=PICK, age=AGES, at=[COUNTER, COUNTER, COUNTERS[2], COUNTERS[3]], amount=ORDERS,
      order_no=ORDER_NOS)  # fmt: skip
async def redeem_locked(
    life: TownLife, pick: int, age: timedelta, at: Acceptor, amount: int | None, order_no: str | None
) -> None:
    await life.redeem_locked(pick, at, amount, age, order_no=order_no)


@deed(1, coupons, pick=PICK, age=AGES, stranger=STRANGER, reason=TEXTS)
async def void_coupon(life: TownLife, pick: int, age: timedelta, stranger: int, reason: str) -> None:
    await life.of_coupon("void_coupon", pick, age, stranger, reason=reason, actor=9)


@deed(3, lambda life: life.oracle.redemptions, pick=PICK, reason=TEXTS)
async def void(life: TownLife, pick: int, reason: str) -> None:
    await life.void(pick, reason)


@deed(3, coupons, pick=PICK, op=["expire_coupon", "release_subsidy"], stranger=STRANGER)
async def coupon_job(life: TownLife, pick: int, op: str, stranger: int) -> None:
    held = [place for place, one in enumerate(life.oracle.coupons.values()) if one.redemption and one.reserved]
    chosen = held[pick % len(held)] if held and op == "release_subsidy" else pick
    await life.coupon_job(chosen, op, stranger)


@deed(4, lambda life: life.trial.past, pick=PICK)
async def again(life: TownLife, pick: int) -> None:
    await life.again(pick)


@deed(2, lambda life: life.trial.past, pick=PICK)
async def another_body(life: TownLife, pick: int) -> None:
    await life.another_body(pick)


@deed(3, what=OFFICE, pick=PICK)
async def office(life: TownLife, what: str, pick: int) -> None:
    await life.office(what, pick)


@deed(2, by=LEAPS)
async def time(life: TownLife, by: timedelta) -> None:
    await life.set_clock(min(life.now + by, LATEST))


@deed(3, edge=EDGES, off_ms=[0, -1, 1])
async def time_to_an_edge(life: TownLife, edge: str, off_ms: int) -> None:
    await life.to_edge(edge, timedelta(milliseconds=off_ms), LATEST)
