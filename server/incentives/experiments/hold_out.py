"""What a version of a campaign says of its hold-out, and which campaigns may have none."""

from __future__ import annotations

from typing import Final

import msgspec

from server.incentives.experiments.errors import HoldOutNotAllowed
from server.incentives.rules import Rule
from server.incentives.rules.needs import kind_of
from server.kit.errors import InvalidField

MAX_SHARE_BP: Final = 5_000
MAX_DAYS: Final = 365

#: Named by an administrator's decision, or made good for something that was lost: whoever meets it has a right to it,
# and nobody's right is drawn by lot.
OWED: Final = frozenset({"administrator_grant", "recipients_file", "redemption_voided", "points_expired"})
#: What residents do of their own will, so that a campaign could change how often they do it.
OUTCOMES: Final = frozenset(
    {
        "login_day", "volunteer_hours_recorded", "redemption_made", "parking_exit_paid", "library_returned_on_time",
        "band_reached",
    }
)  # fmt: skip


class HoldOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`share_bp` of those who qualify, in basis points, get nothing; compared is who has an `outcome`, a kind of fact,
    within `days` days of 24 hours after he first qualified."""

    share_bp: int
    outcome: str
    days: int


def check_hold_out(hold_out: HoldOut, rule: Rule) -> None:
    """Raise InvalidField for what cannot be, HoldOutNotAllowed where the rule gives what people have a right to."""
    if kind_of(rule) in OWED:
        raise HoldOutNotAllowed(field="hold_out")
    if not 1 <= hold_out.share_bp <= MAX_SHARE_BP:
        raise InvalidField(field="hold_out.share_bp")
    if hold_out.outcome not in OUTCOMES:
        raise InvalidField(field="hold_out.outcome")
    if not 1 <= hold_out.days <= MAX_DAYS:
        raise InvalidField(field="hold_out.days")
