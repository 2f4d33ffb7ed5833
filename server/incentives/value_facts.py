"""What residents did with value becomes facts that campaigns may pay for (D37): the value stream's consumer.

A fact's source is the journal row, so a row that comes twice is told once. Facts carry numbers of rules and places and
amounts, never what a person bought.
"""

from __future__ import annotations

from typing import Any, Final

from server.incentives.facts import record_fact
from server.kit.db import transaction
from wallet.items import Op
from wallet.stream import Posting

#: The consumer's name in the stream.
CONSUMER: Final = "value_facts"
REDEMPTION_MADE: Final = "redemption_made"
REDEMPTION_VOIDED: Final = "redemption_voided"
POINTS_EXPIRED: Final = "points_expired"


async def on_posting(posting: Posting) -> None:
    """Tell the intake of a redemption, its voiding, or points that expired; other rows and refusals are left alone."""
    told = _fact(posting)
    if told is None or posting.status != 0:
        return
    kind, attributes = told
    async with transaction() as tx:
        await record_fact(tx, posting.resident_id, kind, str(posting.id), posting.at, attributes)


def _fact(posting: Posting) -> tuple[str, dict[str, Any]] | None:
    detail = posting.detail
    if posting.op == Op.REDEEM:
        return REDEMPTION_MADE, {
            "terms_id": str(posting.terms_id),
            "merchant_id": str(posting.peer),
            "store_id": str(detail["store_id"]),
            "discount_fen": detail["discount_fen"],
            "sponsor_fen": detail["sponsor_fen"],
        }
    if posting.op == Op.VOID:
        return REDEMPTION_VOIDED, {"terms_id": str(posting.terms_id), "redemption_id": str(posting.ref)}
    if posting.op == Op.EXPIRE_POINTS:
        return POINTS_EXPIRED, {"points": -posting.points}
    return None
