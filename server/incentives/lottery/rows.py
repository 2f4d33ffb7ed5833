"""Entries and winners in the order of the published file, a page at a time."""

from __future__ import annotations

from typing import Any, Final

from server.kit.db import fetch

#: Prizes are owed under this source of `server.incentives.grants`.
SOURCE: Final = "lottery"

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
