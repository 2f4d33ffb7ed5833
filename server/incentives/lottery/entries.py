"""Who takes part: one entry per natural person, with tickets from the resident and from campaigns.

Whether a lottery is open is judged by the vault's clock in the statement that writes the entry, while the lottery is
locked against its closing: nobody is in the list who came late, and nobody is missing who came in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.exceptions import IntegrityError

from server.incentives.lottery.errors import (
    AlreadyEntered,
    ByCampaignOnly,
    LotteryClosed,
    LotteryNotFound,
    LotteryNotOpenYet,
    NotEntered,
)
from server.incentives.lottery.models import UNPUBLISHED, Lottery, LotteryWinner
from server.incentives.lottery.published import code_of
from server.incentives.lottery.rows import SOURCE, owed_as
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex
from server.kit.db import fetch, retry_on_conflict, transaction
from wallet import Refused, statuses

OWN: Final = "resident"
PrizeState = Literal["pending", "given", "refused"]
OLDEST_KEY, NEWEST_KEY = timedelta(hours=48), timedelta(minutes=5)

_ENTER: Final = """
INSERT INTO lottery_entry AS e (lottery_id, resident_id, code, tickets, sources, request_id, entered_at)
SELECT l.id, $2, $3, least(l.max_tickets, $4), jsonb_build_array($5::text), $6, vault.now()
FROM lottery l WHERE l.id = $1 AND l.status = 'published' AND l.second_of IS NULL
  AND l.opens_at <= vault.now() AND vault.now() < l.closes_at
FOR KEY SHARE OF l
ON CONFLICT (lottery_id, resident_id) DO UPDATE
SET tickets = least((SELECT l.max_tickets FROM lottery l WHERE l.id = $1), e.tickets + $4),
  sources = e.sources || jsonb_build_array($5::text), request_id = coalesce(e.request_id, excluded.request_id)
WHERE NOT e.sources ? $5 AND e.tickets < (SELECT l.max_tickets FROM lottery l WHERE l.id = $1)
RETURNING e.code, e.tickets, e.entered_at
"""
_MINE: Final = """
SELECT code, tickets, entered_at, request_id, sources ? $3 AS known FROM lottery_entry
WHERE lottery_id = $1 AND resident_id = $2
"""
_WHY_NOT: Final = """
SELECT status, opens_at > vault.now() AS early, status = 'published' AND second_of IS NULL AND vault.now() < closes_at
  AS open
FROM lottery WHERE id = $1 AND status NOT IN ('draft', 'in_review', 'discarded')
"""


@dataclass(frozen=True, slots=True)
class Entered:
    """A person's entry. `added`: whether this call gave tickets; False when this source had given before, or when the
    person has as many as there may be."""

    code: str
    tickets: int
    entered_at: datetime
    added: bool


@dataclass(frozen=True, slots=True)
class MyEntry:
    """An entry as its resident sees it. `winner` is the place, None before the draw and for who won nothing; `prize`
    what became of the coupon: pending | given | refused."""

    lottery: Lottery
    code: str
    tickets: int
    entered_at: datetime
    winner: LotteryWinner | None
    prize: PrizeState = "pending"


class EntryService:
    """Entries by residents, and tickets from campaigns."""

    def __init__(self, *, clock: Clock, index: BlindIndex) -> None:
        self._clock = clock
        self._index = index

    async def enter(
        self, tx: BaseDBAsyncClient, lottery_id: int, resident_id: int, tickets: int, source: str
    ) -> Entered:
        """Give a person tickets in the caller's transaction, once for each `source`, never more than the rules allow.

        Raises LotteryNotFound, LotteryNotOpenYet or LotteryClosed.
        """
        return await self._give(tx, lottery_id, resident_id, tickets, source, None)

    async def enter_myself(self, lottery_id: int, resident_id: int, request_id: UUID) -> tuple[Entered, bool]:
        """A resident enters with one ticket under a client-made UUIDv7; (entry, replayed).

        The same id again answers the same, also after the closing; another one is refused with AlreadyEntered, the same
        for another lottery as a mismatch, an id older than 48 h or ahead by 5 min as expired.
        """
        known = await fetch("SELECT lottery_id FROM lottery_entry WHERE resident_id = $1 AND request_id = $2",
                            resident_id, request_id)  # fmt: skip
        if known:
            if known[0]["lottery_id"] != lottery_id:
                raise Refused(statuses.MISMATCH)
            return await self._entered(None, lottery_id, resident_id, OWN), True
        now = self._clock.now()
        if not _unix_ms(now - OLDEST_KEY) <= request_id.int >> 80 <= _unix_ms(now + NEWEST_KEY):
            raise Refused(statuses.ID_EXPIRED)
        lottery = await find_published(lottery_id)
        if lottery.second_of is not None:
            raise LotteryClosed
        if not lottery.self_entry:
            raise ByCampaignOnly

        async def once() -> Entered:
            async with transaction() as tx:
                return await self._give(tx, lottery_id, resident_id, 1, OWN, request_id)

        try:
            given = await retry_on_conflict(once)
        except IntegrityError:  # the same id entered another lottery in this moment
            raise Refused(statuses.MISMATCH) from None
        if given.added:
            return given, False
        rows = await fetch(_MINE, lottery_id, resident_id, OWN)
        if rows[0]["request_id"] != request_id:
            raise AlreadyEntered
        return given, True

    async def mine(self, lottery_id: int, resident_id: int) -> MyEntry:
        """A resident's entry and what became of it. Raises LotteryNotFound and NotEntered."""
        lottery = await find_published(lottery_id)
        entries = await self.mine_of([lottery], resident_id)
        if not entries:
            raise NotEntered
        return entries[lottery_id]

    async def mine_of(self, lotteries: list[Lottery], resident_id: int) -> dict[int, MyEntry]:
        """A resident's entries by lottery."""
        ids = [row.id for row in lotteries]
        rows = await fetch(
            "SELECT lottery_id, code, tickets, entered_at FROM lottery_entry"
            " WHERE lottery_id = ANY($1::bigint[]) AND resident_id = $2", ids, resident_id,
        )  # fmt: skip
        drawn = [row.id for row in lotteries if row.status == "drawn"]
        won = {row.lottery_id: row for row in await LotteryWinner.filter(lottery_id__in=drawn, resident_id=resident_id)}
        prizes = await _prizes(list(won.values()))
        by_id = {row.id: row for row in lotteries}
        return {
            lottery_id: MyEntry(
                by_id[lottery_id], row["code"], row["tickets"], row["entered_at"], won.get(lottery_id),
                prizes.get(lottery_id, "pending"),
            )
            for row in rows
            for lottery_id in [row["lottery_id"]]
        }  # fmt: skip

    async def _give(
        self, tx: BaseDBAsyncClient, lottery_id: int, resident_id: int, tickets: int, source: str,
        request_id: UUID | None,
    ) -> Entered:  # fmt: skip
        keyed = self._index.of(str(resident_id), purpose=f"lottery:{lottery_id}")
        code = code_of(keyed)
        rows = await fetch(_ENTER, lottery_id, resident_id, code, tickets, source, request_id, using=tx)
        if rows:
            return Entered(**rows[0], added=True)
        return await self._entered(tx, lottery_id, resident_id, source)

    async def _entered(self, tx: BaseDBAsyncClient | None, lottery_id: int, resident_id: int, source: str) -> Entered:
        """Why nothing was written: the source had given before, or the person has all tickets, or it is not open."""
        why = await fetch(_WHY_NOT, lottery_id, using=tx)
        if not why:
            raise LotteryNotFound
        is_open = why[0]["open"] and not why[0]["early"]
        mine = await fetch(_MINE, lottery_id, resident_id, source, using=tx)
        if mine and (mine[0]["known"] or is_open):
            return Entered(mine[0]["code"], mine[0]["tickets"], mine[0]["entered_at"], added=False)
        raise LotteryNotOpenYet if why[0]["open"] and why[0]["early"] else LotteryClosed


async def _prizes(won: list[LotteryWinner]) -> dict[int, PrizeState]:
    """What became of these prizes, by lottery; those that nobody has tried to give yet are missing."""
    if not won:
        return {}
    ids = {owed_as(row.lottery_id, row.rank, row.place): row.lottery_id for row in won}
    grants = await fetch(
        "SELECT source_id, status FROM coupon_grant WHERE source = $1 AND source_id = ANY($2::text[])"
        " AND status <> 'pending'", SOURCE, list(ids),
    )  # fmt: skip
    return {ids[row["source_id"]]: "given" if row["status"] == "posted" else "refused" for row in grants}


async def find_published(lottery_id: int) -> Lottery:
    """A lottery that the public may know of. Raises LotteryNotFound."""
    row = await Lottery.filter(id=lottery_id).exclude(status__in=UNPUBLISHED).first()
    if row is None:
        raise LotteryNotFound
    return row


def _unix_ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
