"""Pages by cursor: stable while rows are added, never counting, never by offset."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec

from server.kit.errors import InvalidField

T = TypeVar("T")

PAGE_MAX: Final = 100
CURSOR_MAX: Final = 256

Position = tuple[int | str, ...]


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some items and where the next begin; `next_cursor` is null on the last page."""

    items: list[T]
    next_cursor: str | None = None


def encode_cursor(*position: int | str) -> str:
    """An opaque text for a position such as `(created_at_us, id)`."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def decode_cursor(cursor: str | None, *types: type[Any]) -> Position | None:
    """The position a cursor stands for, None for the first page. Raises InvalidField("cursor") on anything else.

    `types` names what the position holds, for example `decode_cursor(text, int, int)`; without it any mix is accepted.
    """
    if not cursor:
        return None
    try:
        if len(cursor) > CURSOR_MAX:
            raise ValueError
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = msgspec.json.decode(raw, type=tuple[int | str, ...])
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise InvalidField(field="cursor") from None
    if types and (len(position) != len(types) or any(type(a) is not b for a, b in zip(position, types, strict=True))):
        raise InvalidField(field="cursor")
    if any(isinstance(value, int) and not -(1 << 63) <= value < 1 << 63 for value in position):
        raise InvalidField(field="cursor")
    return position


def cursor_number(cursor: str | None) -> int | None:
    """The number with which the page before ended, None for the first page. Raises InvalidField("cursor")."""
    position = decode_cursor(cursor, int)
    return None if position is None else int(position[0])


def cursor_uuid(cursor: str | None) -> UUID | None:
    """The id with which the page before ended, None for the first page. Raises InvalidField("cursor")."""
    position = decode_cursor(cursor, str)
    try:
        return None if position is None else UUID(str(position[0]))
    except ValueError:
        raise InvalidField(field="cursor") from None


def cursor_after(rows: Sequence[T], limit: int, key: Callable[[T], int | UUID]) -> str | None:
    """Where the page after these rows begins; None when they are the last, as they do not fill their page."""
    if len(rows) < limit:
        return None
    last = key(rows[-1])
    return encode_cursor(last if isinstance(last, int) else str(last))
