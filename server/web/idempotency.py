"""The Idempotency-Key of a value POST: a UUIDv7 made by the client, which becomes the vault's id (D21)."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from server.kit.ids import version_of
from server.web.errors import IdempotencyKeyInvalid, IdempotencyKeyRequired

HEADER: Final = "Idempotency-Key"
_LENGTH: Final = 36


def read_key(sent: str | None) -> UUID:
    """The key of a request. Raises IdempotencyKeyRequired or IdempotencyKeyInvalid; its time is judged by the vault."""
    if not sent:
        raise IdempotencyKeyRequired(field=HEADER)
    try:
        if len(sent) != _LENGTH:
            raise ValueError
        key = UUID(sent)
    except ValueError:
        raise IdempotencyKeyInvalid(field=HEADER) from None
    if version_of(key) != 7 or (key.int >> 62) & 0x3 != 0x2:
        raise IdempotencyKeyInvalid(field=HEADER)
    return key


def replayed_header(replayed: bool) -> dict[str, str] | None:
    """Says that an answer was given before under this key (D19)."""
    return {"Idempotency-Replayed": "true"} if replayed else None
