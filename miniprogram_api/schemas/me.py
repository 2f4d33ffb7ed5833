"""Bodies of the `/me` routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from miniprogram_api.schemas.sessions import WeChatCode


class IdentityRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Name and number as they stand on the ID card."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    id_number: Annotated[str, Meta(min_length=1, max_length=32)]

    def __repr__(self) -> str:
        return "IdentityRequest()"


class PhoneRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`code` comes from the button `getPhoneNumber`."""

    code: WeChatCode


class MeReply(Struct, frozen=True):
    """The caller's own data, masked. `resident_id` is null until the real name is bound."""

    identity_id: str
    resident_id: str | None
    bound: bool
    bound_at: datetime | None
    name: str | None
    id_number: str | None
    phone: str | None
