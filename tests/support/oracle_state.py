"""What the oracle remembers, and its arithmetic: days, shares, lots. No SQL, nothing of `wallet`.

Points are integers in dictionaries of days, shares are decimals, the city is eight hours east of UTC.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

CITY = timezone(timedelta(hours=8))
EPOCH = date(1970, 1, 1)
STICKY = frozenset({"insufficient_points", "hold_not_found", "hold_expired", "refund_too_large"})
#: What depends on others than this resident.
OF_BUDGETS = frozenset({"sold_out", "terms_closed"})
#: The status number a refusal is kept under, and the number of each operation's rows.
NUMBERS = {"done": 0, "insufficient_points": 10, "hold_not_found": 50, "hold_expired": 51, "refund_too_large": 52}
OPS = {
    "earn": 1, "claim": 2, "grant": 2,
    "redeem": 3, "redeem_locked": 3, "void": 4, "expire_coupon": 5, "release_subsidy": 6,
    "expire_points": 7, "spend": 8, "hold": 9, "capture": 10, "release": 11, "refund": 12, "adjust": 13,
    "lock_coupon": 14, "unlock_coupon": 15, "void_coupon": 16, "freeze": 17, "unfreeze": 18,
}  # fmt: skip
OLDEST, NEWEST = timedelta(hours=48), timedelta(minutes=5)
LONGEST_HOLD, LONGEST_LOCK = timedelta(days=30), timedelta(minutes=15)
Lots = dict[date, int]
Parts = list[tuple[date, int]]


def city_day(at: datetime) -> date:
    return at.astimezone(CITY).date()


def month_end(day: date, months: int = 0) -> date:
    """The last day of the month that many months after the day's."""
    years, month = divmod(day.month - 1 + months, 12)
    return date(day.year + years, month + 1, calendar.monthrange(day.year + years, month + 1)[1])


def share(amount: int, basis_points: int) -> int:
    """Half up to a whole unit."""
    return int((Decimal(amount) * basis_points / 10_000).quantize(Decimal(1), ROUND_HALF_UP))


def period_start(period: str, day: date) -> date:
    """The first day of the period: the week's is its Monday, the whole life's is the epoch."""
    return {
        "total": EPOCH,
        "day": day,
        "week": day - timedelta(days=day.isoweekday() - 1),
        "month": day.replace(day=1),
    }[period]


def stamp_of(id: UUID) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=id.int >> 80)


def version_of(id: UUID) -> int:
    return id.int >> 76 & 15


def take(lots: Lots, points: int, today: date) -> Parts | None:
    """Takes the soonest of what is not past its day; None, and nothing taken, when that is too little."""
    live = [day for day in sorted(lots) if day >= today]
    if sum(lots[day] for day in live) < points:
        return None
    parts = []
    for day in live:
        part = min(points, lots[day])
        if part:
            parts.append((day, part))
            lots[day] -= part
            points -= part
    for day in [day for day, left in lots.items() if left == 0]:
        del lots[day]
    return parts


def put(lots: Lots, parts: Parts) -> None:
    for day, points in parts:
        lots[day] = lots.get(day, 0) + points


def split(parts: Parts, points: int) -> tuple[Parts, Parts]:
    """The first so many points of the parts, and the rest."""
    first: Parts = []
    rest: Parts = []
    for day, amount in parts:
        part = min(points, amount)
        points -= part
        first += [(day, part)] if part else []
        rest += [(day, amount - part)] if amount > part else []
    return first, rest


@dataclass(frozen=True)
class Call:
    """One request. `args` are what the vault's face is called with; `intent` is what must not change under one id."""

    op: str
    owner: int
    id: UUID
    args: Mapping[str, Any]
    intent: tuple[Any, ...]
    door: str = "app"


@dataclass(frozen=True)
class Row:
    """One line of a resident's journal. Legs that are not touched are zeros here."""

    op: int
    st: int
    points: tuple[int, int, int] = (0, 0, 0)
    coupons: tuple[int, int, int, int] = (0, 0, 0, 0)
    fen: tuple[int, int, int] = (0, 0, 0)
    avail_after: int = 0
    held_after: int = 0


@dataclass
class Hold:
    parts: Parts
    payee: int
    until: datetime


@dataclass
class Spent:
    """What can be refunded: its parts in the order they were taken, how much came back, where expired ones go."""

    parts: Parts
    done: int = 0
    renewed_until: date | None = None


@dataclass
class Wallet:
    lots: Lots = field(default_factory=dict)
    status: str = "open"
    frozen_until: datetime | None = None
    holds: dict[UUID, Hold] = field(default_factory=dict)
    spent: dict[UUID, Spent] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    answers: dict[UUID, tuple[str, tuple[Any, ...], str, dict[str, Any]]] = field(default_factory=dict)
    used: dict[tuple[str, date], int] = field(default_factory=dict)
    epoch: int = 0

    @property
    def avail(self) -> int:
        return sum(self.lots.values())

    @property
    def held(self) -> int:
        return sum(points for hold in self.holds.values() for _, points in hold.parts)

    def frozen(self, at: datetime) -> str:
        """open, debit_frozen or frozen at this instant."""
        return self.status if self.frozen_until is None or at < self.frozen_until else "open"

    def write(self, op: str, st: int = 0, **legs: tuple[int, ...]) -> None:
        before = self.rows[-1] if self.rows else Row(0, 0)
        avail, held, _ = legs.get("points", (0, 0, 0))
        after = {"avail_after": before.avail_after + avail, "held_after": before.held_after + held}
        self.rows.append(Row(OPS[op], st, **legs, **after))  # type: ignore[arg-type]

    def bury(self, today: date) -> None:
        """Books what is past its day, after whatever changed the lots."""
        dead = [day for day in self.lots if day < today]
        points = sum(self.lots.pop(day) for day in dead)
        if dead:
            self.write("expire_points", points=(-points, 0, points))

    def give_back(self, posting: Spent, points: int, today: date) -> None:
        """To the lots it came from, the last taken first; for what is past its day, the one day of this posting."""
        total = sum(amount for _, amount in posting.parts)
        kept, _ = split(posting.parts, total - posting.done)
        _, back = split(kept, total - posting.done - points)
        for day, amount in back:
            if day < today:
                posting.renewed_until = posting.renewed_until or month_end(today + timedelta(days=30))
                day = posting.renewed_until
            put(self.lots, [(day, amount)])
        posting.done += points


@dataclass
class Judgement:
    """`reasons` to refuse, any of which explains a refusal. `answer` of a replay; `effect` of what must be done."""

    reasons: set[str]
    effect: Callable[[], dict[str, Any]] | None = None
    replay: tuple[str, dict[str, Any]] | None = None
    today: date = EPOCH


@dataclass
class Budgets:
    left: dict[int, int] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)

    def reasons(self, *wanted: tuple[int | None, int]) -> set[str]:
        real = [(budget, amount) for budget, amount in wanted if budget is not None and amount]
        why = {"terms_closed"} if any(budget in self.closed for budget, _ in real) else set()
        return why | ({"sold_out"} if any(self.left[budget] < amount for budget, amount in real) else set())

    def move(self, *wanted: tuple[int | None, int]) -> None:
        for budget, amount in wanted:
            if budget is not None:
                self.left[budget] = self.left.get(budget, 0) - amount
