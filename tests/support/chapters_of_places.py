"""A chapter about what may happen at places: in the whole campaign, in a town, at a merchant, in a store."""

from __future__ import annotations

from tests.support.ledger import COUNTER, OTHER_MERCHANT, OTHER_STORE
from tests.support.telling import MS, on, sees
from tests.support.town_life import TownLife


async def crowding(life: TownLife) -> None:
    """Whoever comes: so much at each place and in each period, back in its own when a redemption is taken back."""
    await sees(life, "done", life.earn(0, "bounded"))
    await sees(life, "done", life.earn(1, "bounded", points=19))
    await sees(life, "limit_reached", life.earn(0, "bounded"))  # two a day in one town
    await sees(life, "done", life.earn(2, "bounded"))  # no town is a place of its own
    await sees(life, "done", life.earn(0, "bounded", ago=1))
    await sees(life, "limit_reached", life.earn(2, "bounded"))  # 90 points a week
    await sees(life, "done", life.earn(2, "bounded", points=11))
    for who, answer in ((0, "done"), (1, "done"), (0, "limit_reached"), (2, "done"), (2, "done"), (2, "limit_reached")):
        await sees(life, answer, life.claim(who, "crowded"))
    await life.set_clock(on(2027, 1, 31, 12))
    await sees(life, "done", life.counter(0, COUNTER, 1000))
    await sees(life, "limit_reached", life.grant(0, "crowded"))  # the town's week
    await sees(life, "done", life.counter(1, COUNTER, 1998))
    await sees(life, "limit_reached", life.counter(2, COUNTER, 2))  # two a day in a store
    await sees(life, "done", life.void(0, "x"))
    await sees(life, "done", life.redeem(2, 200))
    await sees(life, "replayed", life.again(0))
    await life.set_clock(on(2027, 2, 1) - MS)
    await sees(life, "limit_reached", life.counter(0, COUNTER, 200))
    await life.set_clock(on(2027, 2, 1))  # a Monday and a new month
    await sees(life, "done", life.counter(0, COUNTER, 1998))
    await sees(life, "done", life.void(1, "x"))  # of yesterday: nothing comes back today
    await sees(life, "done", life.counter(1, COUNTER, 200))
    await sees(life, "limit_reached", life.counter(3, COUNTER, 200))
    await sees(life, "done", life.claim(0, "crowded"))
    await sees(life, "done", life.claim(1, "crowded"))
    await sees(life, "done", life.counter(3, OTHER_STORE, 1998))
    await sees(life, "limit_reached", life.counter(4, OTHER_STORE, 1998))  # its merchant's month
    await sees(life, "done", life.counter(5, OTHER_MERCHANT, 600))
    await sees(life, "limit_reached", life.counter(4, OTHER_MERCHANT, 1998))  # another merchant in the same town
