"""Rows of the room: locked, told to the audit trail; entries and winners in the order of the published file, a page at
a time."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.commands import Signed
from server.incentives.errors import RevisionChanged
from server.incentives.lottery.errors import LotteryNotFound
from server.incentives.lottery.models import Lottery
from server.incentives.lottery.published import Prize
from server.kit import audit
from server.kit.db import fetch

#: Prizes are owed under this source of `server.incentives.grants`.
SOURCE: Final = "lottery"
#: The job that enters into a second draw who won nothing in the first.
CARRY_JOB: Final = "lottery_carry"
#: What an audit entry does not repeat: the secret never leaves before the draw, the announcement says nothing new.
_UNTOLD: Final = frozenset({"secret", "secret_sealed", "announcement"})

_ENTRIES: Final = """
SELECT code, tickets FROM lottery_entry WHERE lottery_id = $1 AND code > $2::varchar COLLATE "C"
ORDER BY code LIMIT $3
"""
_WINNERS: Final = """
SELECT rank, place, code, ticket, resident_id FROM lottery_winner
WHERE lottery_id = $1 AND (rank, place) > ($2::integer, $3::integer) ORDER BY rank, place LIMIT $4
"""


async def entries_after(lottery_id: int, code: str, limit: int) -> list[dict[str, Any]]:
    """code and tickets of the entries after a code; the first ones after ""."""
    return await fetch(_ENTRIES, lottery_id, code, limit)


async def winners_after(lottery_id: int, rank: int, place: int, limit: int) -> list[dict[str, Any]]:
    """rank, place, code, ticket and resident_id of the winners after a place; the first ones after (0, 0)."""
    return await fetch(_WINNERS, lottery_id, rank, place, limit)


def owed_as(lottery_id: int, rank: int, place: int) -> str:
    """The source id under which a winner's coupon is owed, once."""
    return f"{lottery_id}:{rank}:{place}"


def prizes_of(row: Lottery) -> list[Prize]:
    """The prizes by rank."""
    return [Prize(**prize) for prize in row.prizes]


def templates_of(row: Lottery) -> list[int]:
    """Of which templates the prizes are, by rank."""
    return [int(prize.template_id) for prize in prizes_of(row)]


async def lock(tx: BaseDBAsyncClient, lottery_id: int, revision: int | None = None, *, alone: bool = False) -> Lottery:
    """The row, locked; `alone` also waits for whoever is entering now. Raises LotteryNotFound, and RevisionChanged when
    another revision stands."""
    row = await Lottery.filter(id=lottery_id).using_db(tx).select_for_update(no_key=not alone).first()
    if row is None:
        raise LotteryNotFound
    if revision is not None and row.revision != revision:
        raise RevisionChanged
    return row


def snapshot(row: Lottery) -> dict[str, Any]:
    """A row as the audit trail keeps it."""
    names = sorted(set(row._meta.fields_db_projection) - _UNTOLD)
    return {name: _plain(getattr(row, name)) for name in names}


async def record(
    tx: BaseDBAsyncClient, action: str, row: Lottery, before: dict[str, Any] | None, signed: Signed | None, at: datetime
) -> None:
    """Write down who changed what, in the change's own transaction; without `signed` it was the house itself."""
    await audit.record(
        tx, actor=signed.actor if signed else audit.Actor("system", "system"), action=f"lottery.{action}",
        object_kind="lottery", object_id=str(row.id), before=before, after=snapshot(row), at=at,
        request_id=signed.request_id if signed else "",
    )  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else value
