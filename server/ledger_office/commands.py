"""What the ledger office is asked for, checked before it is written; the database checks it again for certainty."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from server.kit.audit import Actor
from server.kit.errors import InvalidField

MAX_POINTS = 1_000_000
MAX_VALIDITY_MONTHS = 24
LONGEST_FREEZE = timedelta(days=36_500)

#: Why a wallet is looked at: a resident's question, an objection, before or after a correction, an authority's demand,
#: an inspection (G20).
Purpose = Literal["enquiry", "objection", "correction", "authority", "inspection"]
#: What of it.
What = Literal["wallet", "balance", "entries", "holds"]


@dataclass(frozen=True, slots=True)
class Clerk:
    """The administrator who asks, for the two-person rule and the audit trail."""

    admin_id: int
    request_id: str

    @property
    def actor(self) -> Actor:
        return Actor("admin", str(self.admin_id))


@dataclass(frozen=True, slots=True)
class AdjustmentDraft:
    """A correction of a resident's balance, up or, with negative points, down. `document`: the paper's number.
    `validity_months`: of points that come in, from the day of posting."""

    resident_id: int
    points: int
    reason: str
    document: str
    validity_months: int = MAX_VALIDITY_MONTHS

    def check(self) -> None:
        """Raise InvalidField for the first field that cannot be."""
        if not 0 < abs(self.points) <= MAX_POINTS:
            raise InvalidField(field="points")
        check_text("reason", self.reason, 200)
        check_text("document", self.document, 100)
        if not 1 <= self.validity_months <= MAX_VALIDITY_MONTHS:
            raise InvalidField(field="validity_months")


@dataclass(frozen=True, slots=True)
class FreezeOrder:
    """An authority's order. debit_frozen: points may come but not go; frozen: neither, and coupons cannot be used."""

    kind: Literal["debit_frozen", "frozen"]
    authority: str
    reason: str
    until: datetime | None

    def check(self, now: datetime) -> None:
        """Raise InvalidField for the first field that cannot be. An order ends within a century, or is open-ended."""
        check_text("authority", self.authority, 100)
        check_text("reason", self.reason, 200)
        if self.until is not None and not now < self.until <= now + LONGEST_FREEZE:
            raise InvalidField(field="until")


def check_text(name: str, value: str, limit: int) -> None:
    """Raise InvalidField unless the text says something within `limit` characters."""
    if not value.strip() or len(value) > limit or not value.isprintable():
        raise InvalidField(field=name)
