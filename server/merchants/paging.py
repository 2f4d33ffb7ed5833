"""Ids as callers send them: in pages and in paths."""

from __future__ import annotations

from server.kit.paging import decode_cursor

MAX_ID = (1 << 63) - 1


def can_be_id(value: int) -> bool:
    """Whether a number from a path can be an id at all; the database refuses larger ones with an error of its own."""
    return 0 < value <= MAX_ID


def after_id(cursor: str | None) -> int:
    """The id after which a page begins; 0 for the first page. InvalidField for a cursor that is not ours."""
    position = decode_cursor(cursor, int)
    return 0 if position is None else int(position[0])
