"""What residents did with value becomes facts that campaigns may pay for (D37): the value stream's consumer.

A fact's source is the journal row, so a row that comes twice is told once. Facts carry numbers of rules and places, the
merchant's category as it is when the row comes by, and amounts; never what a person bought.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.facts import Told, record_all
from server.kit.db import transaction
from server.merchants.registry import categories_of
from wallet.items import Op
from wallet.stream import Posting

#: The consumer's name in the stream.
CONSUMER: Final = "value_facts"
REDEMPTION_MADE: Final = "redemption_made"
REDEMPTION_VOIDED: Final = "redemption_voided"
POINTS_EXPIRED: Final = "points_expired"
CATEGORY: Final = "merchant_category"


class ValueFacts:
    """The consumer. Postings that are handed over side by side are told in one transaction: a commit is what costs."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Told, asyncio.Future[None]]] = []
        self._writing = asyncio.Lock()

    async def on_posting(self, posting: Posting) -> None:
        """Tell the intake of a redemption, its voiding, or points that expired; other rows and refusals are left alone.
        Returns once it is committed, raises when it could not be told."""
        told = _told(posting) if posting.status == 0 else None
        if told is None:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((told, done))
        async with self._writing:
            if not done.done():  # nobody has written it with his own: now it is written with all that came meanwhile
                batch, self._waiting = self._waiting, []
                await _tell(batch)
        await done


async def _tell(batch: list[tuple[Told, asyncio.Future[None]]]) -> None:
    """All in one transaction; when that fails one by one, so that one that cannot be told holds up no other."""
    if not batch:
        return
    try:
        async with transaction() as tx:
            await record_all(tx, await _placed(tx, [told for told, _ in batch]))
    except Exception as problem:
        if len(batch) == 1:
            if not batch[0][1].done():  # its caller may have given up waiting
                batch[0][1].set_exception(problem)
            return
        for one in batch:
            await _tell([one])
    else:
        for _, done in batch:
            if not done.done():
                done.set_result(None)


async def _placed(tx: BaseDBAsyncClient, told: list[Told]) -> list[Told]:
    """What happened at a merchant carries the merchant's category, when it has one."""
    merchants = {int(str(one.attributes["merchant_id"])) for one in told if "merchant_id" in one.attributes}
    if not merchants:
        return told
    known = {str(merchant): category for merchant, category in (await categories_of(merchants, tx)).items()}
    return [
        replace(one, attributes={**one.attributes, CATEGORY: known[str(one.attributes["merchant_id"])]})
        if one.attributes.get("merchant_id") in known
        else one
        for one in told
    ]


def _told(posting: Posting) -> Told | None:
    found = _fact(posting)
    return None if found is None else Told(posting.resident_id, found[0], str(posting.id), posting.at, found[1])


def _fact(posting: Posting) -> tuple[str, dict[str, Any]] | None:
    detail = posting.detail
    if posting.op == Op.REDEEM:
        return REDEMPTION_MADE, {
            "terms_id": str(posting.terms_id),
            "merchant_id": str(posting.peer),
            "store_id": str(detail["store_id"]),
            "discount_fen": detail["discount_fen"],
            "subsidy_fen": detail["platform_fen"] + detail["sponsor_fen"],
        }
    if posting.op == Op.VOID:
        return REDEMPTION_VOIDED, {"terms_id": str(posting.terms_id), "redemption_id": str(posting.ref)}
    if posting.op == Op.EXPIRE_POINTS:
        return POINTS_EXPIRED, {"points": -posting.points}
    return None
