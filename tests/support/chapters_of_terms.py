"""Chapters about what coupon terms say beside the price: times, places, shares, other coupons on the same order."""

from __future__ import annotations

from datetime import date

from tests.support.ledger import COUNTER, OTHER_MERCHANT, OTHER_STORE
from tests.support.telling import MS, lock, on, sees
from tests.support.town_life import TownLife


async def timing(life: TownLife) -> None:
    """Inside a window of its terms, by the city's clock and China's working days, at the scan and again at the till."""
    for _ in range(6):
        await life.claim(0, "lunch")
    await sees(life, "outside_window", life.scan(0, COUNTER))  # Saturday noon: its window has just closed
    await life.arrange(2027, [date(2027, 2, day) for day in (1, 6, 8)], [date(2027, 1, 31)])
    await life.set_clock(on(2027, 1, 31, 10, 59))  # a Sunday on which one works
    await sees(life, "outside_window", life.scan(0, COUNTER))
    await life.set_clock(on(2027, 1, 31, 11))
    await sees(life, "usable", life.scan(0, COUNTER))
    await sees(life, "not_valid", life.scan(1, OTHER_STORE))
    await life.set_clock(on(2027, 1, 31, 13, 30) - MS)
    await sees(life, "done", life.redeem(0, ticket_s=10**5))
    await sees(life, "usable", life.scan(1, OTHER_MERCHANT))
    await life.set_clock(on(2027, 1, 31, 13, 30))
    await sees(life, "outside_window", life.redeem(1))
    await life.set_clock(on(2027, 2, 1, 12))  # a Monday that is a holiday
    await sees(life, "outside_window", life.scan(2, COUNTER))
    await sees(life, "done", lock(life, 2, 900))
    await sees(life, "outside_window", life.redeem_locked(0, COUNTER, None))
    await life.set_clock(on(2027, 2, 2, 12))
    await sees(life, "done", lock(life, 2, 900))
    await sees(life, "not_valid", life.redeem_locked(1, OTHER_STORE, None))
    await sees(life, "done", life.redeem_locked(1, COUNTER, None))
    await life.set_clock(on(2027, 2, 6, 12) - MS)  # a Saturday, whatever else it is
    await sees(life, "usable", life.scan(3, COUNTER))
    await life.arrange(2027, [], [])
    await life.set_clock(on(2027, 2, 8, 12))  # an ordinary Monday again
    await sees(life, "usable", life.scan(4, COUNTER))
    await sees(life, "done", life.redeem(3))


async def waiting(life: TownLife) -> None:
    """Not before its first day, which the waiting moves and never shortens."""
    await life.claim(0, "later")
    await life.set_clock(on(2027, 2, 2, 12))
    await sees(life, "outside_window", life.scan(0, COUNTER))
    await life.claim(0, "later")
    await life.set_clock(on(2027, 2, 3) - MS)
    await sees(life, "outside_window", life.scan(0, COUNTER))
    await life.set_clock(on(2027, 2, 3))
    await sees(life, "done", life.counter(0, COUNTER, None))
    await sees(life, "outside_window", life.scan(1, COUNTER))
    await life.set_clock(on(2027, 2, 6) - MS)
    await sees(life, "done", life.counter(1, COUNTER, None))
    await life.set_clock(on(2027, 2, 27))
    await sees(life, "done", life.claim(1, "last"))
    await sees(life, "done", life.grant(1, "late"))
    await life.set_clock(on(2027, 2, 28))
    await sees(life, "outside_window", life.grant(1, "late"))  # its first day lies after the last of all


async def sharing(life: TownLife) -> None:
    """Who bears a discount: whole fen, the rest by the largest fractions, of equal ones the platform first."""
    for _ in range(4):
        await life.claim(0, "shared")
    await life.claim(0, "pair")
    for place, amount in enumerate((1995, 1997, 1, 3)):  # 998, 999, 1 and 2 fen
        await sees(life, "done", life.counter(place, COUNTER, amount, f"order {place}"))
    await sees(life, "done", life.counter(4, COUNTER, None, "order 4"))
    await sees(life, "done", life.void(0, "x"))
    await sees(life, "done", life.counter(0, COUNTER, 1999, "order 5"))


async def stacking(life: TownLife) -> None:
    """On one order of a shop a person uses so many coupons of a group, and never saves more than it costs."""
    for which in ("shared", "shared", "shared", "pair", "pair", "pair", "last", "last"):
        await life.claim(0, which)
    await life.claim(1, "shared")
    await life.scan(0, COUNTER)
    await sees(life, "order_no_required", life.redeem(0, 1997))
    await sees(life, "invalid_item", life.redeem(0, 1997, order_no=""))
    await sees(life, "invalid_item", life.redeem(0, 1997, order_no="x" * 65))
    await sees(life, "done", life.redeem(0, 1997, order_no="7"))
    await sees(life, "not_stackable", life.counter(1, COUNTER, 1997, "7"))
    await sees(life, "not_stackable", life.counter(3, COUNTER, None, "7"))  # by what the first one allows
    await sees(life, "done", life.counter(8, COUNTER, 1997, "7"))  # his neighbour's is another person's
    await sees(life, "done", life.counter(1, OTHER_MERCHANT, 1997, "7"))  # another shop's order
    await sees(life, "done", life.void(0, "x"))
    await sees(life, "done", life.counter(3, COUNTER, None, "7"))
    await sees(life, "not_stackable", life.counter(2, COUNTER, 9000, "7"))  # it allows none beside it
    await sees(life, "done", life.counter(4, COUNTER, None, "7"))
    await sees(life, "not_stackable", life.counter(5, COUNTER, None, "7"))
    await sees(life, "done", life.counter(0, COUNTER, 1500, "9"))
    await sees(life, "done", life.counter(6, COUNTER, None, "9"))  # 750 of its 777 are left to save
    await sees(life, "not_stackable", life.counter(7, COUNTER, None, "9"))
    await sees(life, "done", lock(life, 7, 60))
    await sees(life, "not_stackable", life.redeem_locked(0, COUNTER, None, order_no="9"))
    await sees(life, "done", life.redeem_locked(0, COUNTER, None))
