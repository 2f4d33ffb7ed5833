"""Cursors and files of the console's lists."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal

from server.kit.paging import decode_cursor, encode_cursor
from server.kit.workbook import CSV, XLSX, Cell, csv_pieces, xlsx_pieces
from server.web.request_id import HEADER as REQUEST_ID_HEADER
from server.web.routing import Call

Format = Literal["csv", "xlsx"]

_FORMATS: Final = {"csv": (CSV, csv_pieces), "xlsx": (XLSX, xlsx_pieces)}


def position_of(cursor: str | None) -> tuple[int, int] | None:
    """Where a page begins: (key, id). Raises InvalidField."""
    position = decode_cursor(cursor, int, int)
    return None if position is None else (int(position[0]), int(position[1]))


def cursor_of(position: tuple[int, int] | None) -> str | None:
    """The cursor for a position."""
    return None if position is None else encode_cursor(*position)


async def send_table(call: Call, name: str, format: Format, rows: AsyncIterator[Sequence[Cell]]) -> None:
    """Streams a table to who asked, never stored by anyone on the way."""
    content_type, pieces = _FORMATS[format]
    response = await call.request.respond(
        content_type=content_type,
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{name}.{format}"',
            REQUEST_ID_HEADER: call.request_id,
        },
    )
    async for piece in pieces(rows):
        await response.send(piece)
    await response.eof()
