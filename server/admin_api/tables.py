"""Cursors of the console's lists, and the lists as files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from server.incentives.errors import ExportTooLarge
from server.kit.paging import decode_cursor, encode_cursor
from server.kit.workbook import CSV, XLSX, Cell, csv_pieces, xlsx_pieces
from server.web.request_id import HEADER as REQUEST_ID_HEADER
from server.web.routing import Call, Callers, Limit, Router

Format = Literal["csv", "xlsx"]
#: The headings, then the rows.
Table = AsyncIterator[Sequence[Cell]]

#: What is told of the tables that `listing.table` makes.
PER_BUDGET: Final = "a row for each budget, streamed; at most 20,000."

_FORMATS: Final = {"csv": (CSV, csv_pieces), "xlsx": (XLSX, xlsx_pieces)}


@dataclass(frozen=True, slots=True)
class Export:
    """A list as files. `path` of the list, `noun` in Chinese, `scope` of who may; `rows` finds what `query` asks for
    and gives the routes their name; `told`: what is said of the file beside its format."""

    path: str
    noun: str
    scope: str
    query: Any
    rows: Callable[[Call, Any], Awaitable[Table]]
    told: str


def position_of(cursor: str | None) -> tuple[int, int] | None:
    """Where a page begins: (key, id). Raises InvalidField."""
    position = decode_cursor(cursor, int, int)
    return None if position is None else (int(position[0]), int(position[1]))


def cursor_of(position: tuple[int, int] | None) -> str | None:
    """The cursor for a position."""
    return None if position is None else encode_cursor(*position)


def add_exports(router: Router, export: Export) -> None:
    """Adds `<path>/export/csv` and `<path>/export/xlsx` to a router."""
    _add(router, export, "csv", "text/csv")
    _add(router, export, "xlsx", XLSX)


def _add(router: Router, export: Export, format: Format, content_type: str) -> None:
    async def send(call: Call, query: Any) -> None:
        await _send(call, f"{export.path[1:].replace('/', '-')}.{format}", format, await export.rows(call, query))

    send.__module__, send.__qualname__ = export.rows.__module__, f"export_{export.rows.__name__}_{format}"
    router.get(
        f"{export.path}/export/{format}", summary=f"导出{export.noun}列表（{format.upper()}）", query=export.query,
        description=f"The list as {format.upper()}, {export.told}", replies={200: bytes}, content_type=content_type,
        caller=Callers.admin(export.scope), errors=(ExportTooLarge,), limit=Limit("export", per_minute=10),
    )(send)  # fmt: skip


async def _send(call: Call, name: str, format: Format, rows: Table) -> None:
    """Streams a table to who asked, never stored by anyone on the way."""
    content_type, pieces = _FORMATS[format]
    response = await call.request.respond(
        content_type=content_type,
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{name}"',
            REQUEST_ID_HEADER: call.request_id,
        },
    )
    async for piece in pieces(rows):
        await response.send(piece)
    await response.eof()
