"""A second draw: prizes that the vault refused for good are drawn once more, among those who won nothing.

It is a lottery of its own with announcement, commitment, list and file. Its entries are those of the first without the
first's winners, under the same codes with the same tickets, so that anybody can hold one file against the other. The
first result stays as it was published.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from msgspec import structs

from server.incentives.commands import Signed
from server.incentives.errors import WrongStatus
from server.incentives.lottery.commands import LotteryDraft
from server.incentives.lottery.deliveries import refused_by_rank
from server.incentives.lottery.errors import NothingUndelivered, PrizesUnderWay, SecondDrawExists
from server.incentives.lottery.models import Lottery
from server.incentives.lottery.published import Prize
from server.incentives.lottery.rows import lock, prizes_of, record
from server.incentives.simulation import change
from server.kit.clock import Clock
from server.kit.db import fetch
from server.kit.errors import InvalidField

TITLE_MAX: Final = 60
_CARRY: Final = """
INSERT INTO lottery_entry (lottery_id, resident_id, code, tickets, sources, entered_at)
SELECT $1, e.resident_id, e.code, e.tickets, jsonb_build_array('lottery:' || $2::bigint), vault.now()
FROM lottery_entry e WHERE e.lottery_id = $2 AND e.code > $3::varchar COLLATE "C" AND e.code <= $4::varchar COLLATE "C"
  AND NOT EXISTS (SELECT FROM lottery_winner w WHERE w.lottery_id = $2 AND w.resident_id = e.resident_id)
ON CONFLICT (lottery_id, resident_id) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class SecondDraft:
    """What is new about a second draw; the rest follows from the first. `closes_at`: when its list is closed."""

    document: str
    closes_at: datetime
    draw_at: datetime
    beacon_source: str = ""


async def create_second(first_id: int, wanted: SecondDraft, signed: Signed, clock: Clock) -> Lottery:
    """Write the draft of a second draw; it is reviewed and published by somebody else like any lottery.

    Raises LotteryNotFound, WrongStatus before the prizes are owed, PrizesUnderWay, NothingUndelivered,
    SecondDrawExists, and InvalidField for what cannot be.
    """
    async with change(signed) as tx:
        first = await lock(tx, first_id)
        if first.owed_at is None:
            raise WrongStatus(first.status, hint="全部奖品登记发放后才能补抽")
        standing = Lottery.filter(second_of=first_id).exclude(status__in=("cancelled", "discarded"))
        if await standing.using_db(tx).exists():
            raise SecondDrawExists
        refused, settled = await refused_by_rank(first_id, tx)
        if not settled:
            raise PrizesUnderWay
        if not refused:
            raise NothingUndelivered
        now = clock.now()
        draft = LotteryDraft(
            title=f"{first.title[: TITLE_MAX - 4]}（补抽）", document=wanted.document, opens_at=now,
            closes_at=wanted.closes_at, draw_at=wanted.draw_at, prizes=_prizes(first, refused),
            max_tickets=first.max_tickets, self_entry=False, beacon_source=wanted.beacon_source,
        )  # fmt: skip
        draft.check()
        row = await Lottery.create(
            using_db=tx, **draft.columns(), second_of=first_id, created_by=signed.admin_id, created_at=now,
            changed_at=now,
        )  # fmt: skip
        await record(tx, "created", row, None, signed, now)
    return row


def check_edit(row: Lottery, draft: LotteryDraft) -> None:
    """Raise InvalidField for what an editor may not change of a second draw: who takes part, and how many prizes there
    are. Which coupon stands for a prize may change, as the first one may be gone."""
    if row.second_of is None:
        return
    if draft.self_entry:
        raise InvalidField(field="self_entry")
    if draft.max_tickets != row.max_tickets:
        raise InvalidField(field="max_tickets")
    if [(one.rank, one.count) for one in draft.prizes] != [(one.rank, one.count) for one in prizes_of(row)]:
        raise InvalidField(field="prizes")


async def carry(tx: Any, row: Lottery, after: str, last: str) -> None:
    """Enter those of the first lottery who won nothing, of the codes after `after` up to `last`."""
    await fetch(_CARRY, row.id, row.second_of, after, last, using=tx)


def _prizes(first: Lottery, refused: dict[int, int]) -> tuple[Prize, ...]:
    by_rank = {prize.rank: prize for prize in prizes_of(first)}
    return tuple(
        structs.replace(by_rank[rank], rank=number, count=count)
        for number, (rank, count) in enumerate(refused.items(), 1)
    )
