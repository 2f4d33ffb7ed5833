"""Points and fen by arithmetic alone: lots that end with a month, what a coupon saves, and who bears it. Says a second
time, in Python and by hand, what the vault decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction

from server.sandbox.year.plan import PlannedTemplate


def month_end(day: date, months: int) -> date:
    """The last day of the month that lies so many months after a day."""
    following = day.year * 12 + day.month + months
    return date(following // 12, following % 12 + 1, 1) - timedelta(days=1)


@dataclass(slots=True)
class Purse:
    """Points of one resident by the last day on which they can be spent."""

    lots: dict[date, int] = field(default_factory=dict)
    expired: int = 0

    def earn(self, on: date, months: int, points: int) -> None:
        """Points of a day, for so many months."""
        last = month_end(on, months)
        self.lots[last] = self.lots.get(last, 0) + points

    def points(self, today: date) -> int:
        """What can be spent."""
        self.expired += sum(points for last, points in self.lots.items() if last < today)
        self.lots = {last: points for last, points in self.lots.items() if last >= today}
        return sum(self.lots.values())

    def spend(self, today: date, points: int) -> None:
        """The soonest to end goes first. Raises ValueError when there are too few."""
        if points > self.points(today):
            raise ValueError(f"{points} points of {self.lots}")
        for last in sorted(self.lots):
            taken = min(points, self.lots[last])
            points -= taken
            self.lots[last] -= taken
            if not self.lots[last]:
                del self.lots[last]


def discount_fen(offer: PlannedTemplate, order_fen: int | None) -> int:
    """What the customer saves: an exchange its goods' worth; an amount off at most the order; a discount its part of
    the order, half a fen and more rounded up, at most its cap."""
    if order_fen is None:
        return offer.face_value_fen
    if offer.benefit == "discount":
        exact = Fraction(order_fen * (10_000 - offer.pay_bp), 10_000)
        return min(int(exact + Fraction(1, 2)), offer.cap_fen)
    return min(offer.face_value_fen, order_fen)


def shares_fen(offer: PlannedTemplate, saved_fen: int) -> tuple[int, int, int]:
    """Platform's, sponsor's and merchant's part of what was saved; together exactly that. Each its whole fen, what is
    left fen by fen to the largest fractions, of equal ones the platform's first, then the sponsor's."""
    parts = (offer.platform_bp, offer.sponsor_bp, 10_000 - offer.platform_bp - offer.sponsor_bp)
    exact = [Fraction(saved_fen * part, 10_000) for part in parts]
    whole = [int(one) for one in exact]
    order = sorted(range(3), key=lambda place: (whole[place] - exact[place], place))
    for place in order[: saved_fen - sum(whole)]:
        whole[place] += 1
    return whole[0], whole[1], whole[2]


def most_paid_fen(offer: PlannedTemplate) -> int:
    """The most that platform and sponsor can owe for one coupon: what its claim reserves."""
    dearest = offer.cap_fen if offer.benefit == "discount" else offer.face_value_fen
    return sum(shares_fen(offer, dearest)[:2])
