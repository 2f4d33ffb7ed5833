"""Bodies of the routes about the console's accounts."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class AdministratorReply(Struct, frozen=True):
    """An account of the console. `disabled_at`: since when it is closed, null: it is open."""

    id: str
    username: str
    display_name: str
    roles: list[str]
    created_at: datetime
    disabled_at: datetime | None


class AdministratorListReply(Struct, frozen=True):
    items: list[AdministratorReply]
