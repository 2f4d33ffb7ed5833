"""Where a page begins, as callers send it."""

from __future__ import annotations

from server.kit.paging import decode_cursor


def after_id(cursor: str | None) -> int:
    """The id after which a page begins; 0 for the first page. InvalidField for a cursor that is not ours."""
    position = decode_cursor(cursor, int)
    return 0 if position is None else int(position[0])
