"""Who is asking, as the session rooms know it and every service below the web layer may read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CallerKind = Literal["anonymous", "resident", "staff", "terminal", "admin"]


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated session. `resident_id` is None until the real name is bound (D25)."""

    kind: CallerKind
    session_id: str = ""
    identity_id: int | None = None
    resident_id: int | None = None
    merchant_id: int | None = None
    store_id: int | None = None
    terminal_id: int | None = None
    staff_id: int | None = None
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    admin_id: int | None = None


ANONYMOUS = Caller("anonymous")
