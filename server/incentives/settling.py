"""What becomes of something owed that the vault did not book: refused for good, or tried again later and later (D18).

Awards and grants are intents of one kind: written first, posted under an id of their own, settled once. What differs is
what they post; when to give up and how long to wait is decided here for both.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from wallet import statuses
from wallet.errors import Refused

REDRIVE_AFTER_S: Final = 5
LONGEST_PAUSE_S: Final = 600

#: Refusals that no later try can change. Sold out and limit reached are final too: whoever comes later than the last
#: unit, or already has his share, is not given to months afterwards because somebody topped up a budget.
FINAL: Final = frozenset(
    {
        statuses.SOLD_OUT,
        statuses.LIMIT_REACHED,
        statuses.OUTSIDE_WINDOW,  # what would be given is past its last day already
        statuses.MISMATCH,
        statuses.ID_EXPIRED,
        statuses.INVALID,
        statuses.NOT_PERMITTED,
    }
)


def is_final(refusal: Refused, *, ended: bool, promised: bool = False) -> bool:
    """Whether this answer will never become another. A closed budget is final only when what it belongs to has
    `ended`: a pause passes. What was `promised` by name waits for a top-up when the stock is gone meanwhile."""
    if promised and not ended and refusal.answer == statuses.SOLD_OUT:
        return False
    return refusal.answer in FINAL or (refusal.answer == statuses.CLOSED and ended)


def pause_of(attempts: int) -> timedelta:
    """How long to wait after so many tries."""
    return timedelta(seconds=min(LONGEST_PAUSE_S, REDRIVE_AFTER_S * 2 ** min(attempts, 10)))
