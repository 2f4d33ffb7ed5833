"""The text form of a UUID, as ids of coupons, showings and redemptions are written in JSON."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from server.kit.errors import InvalidField

#: In either case, as RFC 9562 reads it; answers are lower-case.
UuidText = Annotated[
    str, Meta(pattern=r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$")
]


def uuid_of(text: str, field: str) -> UUID:
    """Raises `InvalidField` when the text is no UUID."""
    try:
        return UUID(text)
    except ValueError:
        raise InvalidField(field=field) from None
