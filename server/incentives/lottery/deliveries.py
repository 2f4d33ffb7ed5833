"""What became of the prizes of a draw: given, under way, or refused for good by the vault, and why.

The published file says who won and never changes; this says who has it. No person is in it, only codes.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal

from msgspec import Struct
from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.lottery.rows import SOURCE
from server.kit.db import fetch

DeliveryState = Literal["pending", "given", "refused"]

_STATE: Final = "CASE g.status WHEN 'posted' THEN 'given' WHEN 'refused' THEN 'refused' ELSE 'pending' END"
_OF: Final = """
FROM lottery_winner w JOIN lottery l ON l.id = w.lottery_id AND l.status = 'drawn'
LEFT JOIN coupon_grant g ON g.source = $2 AND g.source_id = w.lottery_id || ':' || w.rank || ':' || w.place
WHERE w.lottery_id = $1
"""
_COUNT: Final = (
    f"SELECT {_STATE} AS state, coalesce(g.reason, '') AS reason, w.rank, count(*) AS n {_OF} GROUP BY 1, 2, 3"
)
_PAGE: Final = f"""
SELECT w.rank, w.place, w.code, {_STATE} AS state, CASE WHEN g.status = 'posted' THEN '' ELSE coalesce(g.reason, '') END
  AS reason
{_OF} AND (w.rank, w.place) > ($3::integer, $4::integer) AND ($5::text IS NULL OR {_STATE} = $5)
ORDER BY w.rank, w.place LIMIT $6
"""


class Delivery(Struct, frozen=True):
    """One prize. `reason`: why it is not given (yet), a code of the vault, or nothing."""

    rank: int
    place: int
    code: str
    state: DeliveryState
    reason: str


class DeliveryReason(Struct, frozen=True):
    """So many prizes are not given (yet) for a reason."""

    state: DeliveryState
    reason: str
    count: int


class Deliveries(Struct, frozen=True):
    """How many prizes of a draw are given, under way, and refused for good; all 0 before the draw."""

    given: int
    pending: int
    refused: int
    reasons: list[DeliveryReason]


async def deliveries(lottery_id: int) -> Deliveries:
    """What became of the prizes of a lottery."""
    states: Counter[DeliveryState] = Counter()
    reasons: Counter[tuple[DeliveryState, str]] = Counter()
    for row in await fetch(_COUNT, lottery_id, SOURCE):
        states[row["state"]] += row["n"]
        if row["state"] != "given" and row["reason"]:
            reasons[row["state"], row["reason"]] += row["n"]
    told = [DeliveryReason(state, reason, n) for (state, reason), n in sorted(reasons.items())]
    return Deliveries(states["given"], states["pending"], states["refused"], told)


async def refused_by_rank(lottery_id: int, tx: BaseDBAsyncClient) -> tuple[dict[int, int], bool]:
    """How many prizes of each rank were refused for good, and whether every prize is settled."""
    rows = await fetch(_COUNT, lottery_id, SOURCE, using=tx)
    counts: Counter[int] = Counter()
    for row in rows:
        if row["state"] == "refused":
            counts[row["rank"]] += row["n"]
    return dict(sorted(counts.items())), all(row["state"] != "pending" for row in rows)


async def page(
    lottery_id: int, after: tuple[int, int] | None, limit: int, state: DeliveryState | None
) -> list[Delivery]:
    """Up to `limit` prizes after (rank, place), in order; none before the draw."""
    rows = await fetch(_PAGE, lottery_id, SOURCE, *(after or (0, 0)), state, limit)
    return [Delivery(**row) for row in rows]
