"""Who still stands: the statuses a counter request depends on, remembered for at most one second (D26).

The age of an answer counts from before its query began; when the database does not answer, nobody is let in.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from server.merchants.models import StaffMember, StaffStore, Terminal
from server.people.status_cache import StatusCache

MAX_AGE_S = 1.0
MAX_ENTRIES = 10_000


@dataclass(frozen=True)
class TerminalStanding:
    """A terminal with its store and merchant, as they were at most one second ago."""

    id: int
    kind: str
    status: str
    store_id: int
    merchant_id: int
    store_open: bool
    merchant_active: bool


@dataclass(frozen=True)
class StaffStanding:
    """A staff member, and whether they may work in the terminal's store."""

    id: int
    merchant_id: int
    identity_id: int
    role: str
    status: str
    works_here: bool


@dataclass(frozen=True)
class Standing:
    """None where there is no such row."""

    terminal: TerminalStanding | None
    staff: StaffStanding | None


class Standings:
    """Answers `of(terminal, staff)` from memory or with at most three small queries."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.forget()

    async def of(self, terminal_id: int, staff_id: int | None) -> Standing:
        """The standing of a terminal and, when given, of a staff member at its store; at most one second old."""
        return await self._known.get((terminal_id, staff_id), lambda: _read(terminal_id, staff_id))

    def forget(self) -> None:
        """Drop everything: a command of this process has just changed a status."""
        self._known: StatusCache[tuple[int, int | None], Standing] = StatusCache(
            ttl_s=MAX_AGE_S, size=MAX_ENTRIES, monotonic=self._monotonic
        )


async def _read(terminal_id: int, staff_id: int | None) -> Standing:
    terminal = await Terminal.get_or_none(id=terminal_id).select_related("store", "merchant")
    if terminal is None:
        return Standing(None, None)
    seen = TerminalStanding(
        id=terminal.id,
        kind=terminal.kind,
        status=terminal.status,
        store_id=terminal.store_id,
        merchant_id=terminal.merchant_id,
        store_open=terminal.store.status == "open",
        merchant_active=terminal.merchant.status == "active",
    )
    staff = None if staff_id is None else await StaffMember.get_or_none(id=staff_id)
    if staff is None:
        return Standing(seen, None)
    works_here = staff.merchant_id == terminal.merchant_id and (
        staff.all_stores or await StaffStore.filter(staff_id=staff.id, store_id=terminal.store_id).exists()
    )
    return Standing(
        seen,
        StaffStanding(staff.id, staff.merchant_id, staff.identity_id, staff.role, staff.status, works_here),
    )
