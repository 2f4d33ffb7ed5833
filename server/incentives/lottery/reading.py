"""What anybody may read of a lottery: before the draw the commitment, after it everything that repeats it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from server.incentives.lottery.entries import find_published
from server.incentives.lottery.errors import ListNotPublished
from server.incentives.lottery.models import UNPUBLISHED, Lottery
from server.incentives.lottery.published import (
    DrawLine,
    EndLine,
    ListLine,
    WinnerLine,
    entry_line,
    line_of,
)
from server.incentives.lottery.rows import entries_after, winners_after

PAGE: Final = 5_000


class LotteryReader:
    """Reads of published lotteries. Nothing here tells who is behind a code."""

    async def page(self, before_id: int | None, limit: int) -> list[Lottery]:
        """Up to `limit` published lotteries with an id below `before_id`, newest first, cancelled ones too."""
        chosen = Lottery.exclude(status__in=UNPUBLISHED)
        if before_id is not None:
            chosen = chosen.filter(id__lt=before_id)
        return await chosen.order_by("-id").limit(limit)

    async def get(self, lottery_id: int) -> Lottery:
        """A published lottery. Raises LotteryNotFound."""
        return await find_published(lottery_id)

    async def winners(self, lottery: Lottery, after: tuple[int, int] | None, limit: int) -> list[WinnerLine]:
        """Up to `limit` winners after (rank, place), in order; none before the draw."""
        if lottery.status != "drawn":
            return []
        return [_winner(row) for row in await winners_after(lottery.id, *(after or (0, 0)), limit)]

    async def file(self, lottery_id: int) -> tuple[Lottery, AsyncIterator[bytes]]:
        """The lottery and its published file in pieces of whole lines; before the draw it ends with the digest.

        Raises LotteryNotFound, and ListNotPublished before the entries are closed and counted.
        """
        row = await find_published(lottery_id)
        if row.digest is None:
            raise ListNotPublished
        return row, self._pieces(row)

    async def _pieces(self, row: Lottery) -> AsyncIterator[bytes]:
        assert row.entries is not None and row.tickets is not None and row.digest is not None
        yield row.announcement.encode() + b"\n"
        code = ""
        while page := await entries_after(row.id, code, PAGE):
            yield b"".join(entry_line(entry["code"], entry["tickets"]) + b"\n" for entry in page)
            code = page[-1]["code"]
        yield line_of(ListLine(row.entries, row.tickets, row.digest.hex())) + b"\n"
        if row.secret is None:
            return
        yield line_of(DrawLine(row.secret.hex(), row.beacon)) + b"\n"
        at = (0, 0)
        while page := await winners_after(row.id, *at, PAGE):
            yield b"".join(line_of(_winner(won)) + b"\n" for won in page)
            at = (page[-1]["rank"], page[-1]["place"])
        yield line_of(EndLine(row.winners or 0)) + b"\n"


def _winner(row: dict[str, Any]) -> WinnerLine:
    return WinnerLine(row["rank"], row["place"], row["code"], row["ticket"])
