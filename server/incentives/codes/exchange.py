"""A resident types a code and has a coupon; a coupon shows a third party's code.

    typed ──one UPDATE takes it──> owed (`code`, `<code>:<try>`) ──worker──> posted | refused: the code is free again

However many people type one code at once, one UPDATE finds it free. Who typed it first may type it again: he is told of
the same coupon. Everybody else hears one answer, whether the code is unknown, used, stopped or not yet approved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.codes.alphabet import LONGEST, is_slip, normal
from server.incentives.codes.batches import SHOWN, hash_of
from server.incentives.codes.errors import NoExternalCode, VoucherCodeMistyped, VoucherCodeNotUsable
from server.incentives.coupons import Coupon, CouponService
from server.incentives.grants.desk import GrantDesk, Settled
from server.kit import jobs
from server.kit.clock import Clock
from server.kit.counts import WINDOW_S, WindowCounts
from server.kit.crypto import BlindIndex, Envelope
from server.kit.db import fetch, transaction
from server.kit.errors import RateLimited
from wallet import STATUSES, Refused, statuses

#: What a grant is owed for when somebody typed a code.
SOURCE: Final = "code"
#: How long the answer waits for the worker; after that the coupon is under way, and its id is known.
PAUSES_S: Final = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
WRONG: Final = "voucher_wrong"

_TAKE = """
UPDATE voucher_code c SET resident_id = $2, claimed_at = $3, tries = c.tries + 1
FROM voucher_batch b JOIN coupon_template t ON t.id = b.template_id
WHERE c.code_hash = $1 AND c.resident_id IS NULL AND b.id = c.batch_id AND b.status = 'ready' AND t.status = 'active'
RETURNING c.id, c.tries, b.template_id
"""
_LOOK = """
SELECT c.id, c.tries, c.resident_id, b.template_id, b.status = 'ready' AS ready
FROM voucher_code c JOIN voucher_batch b ON b.id = c.batch_id WHERE c.code_hash = $1
"""
_RELEASE = """
UPDATE voucher_code c SET resident_id = NULL, claimed_at = NULL
FROM unnest($1::bigint[], $2::int[]) x(id, tries) WHERE c.id = x.id AND c.tries = x.tries
"""
_GRANT = "SELECT vault_id, status, reason FROM coupon_grant WHERE source = $1 AND source_id = $2"
_SHOWN = "SELECT code_sealed FROM voucher_code WHERE coupon_id = $1"
_SHOW = """
UPDATE voucher_code SET coupon_id = $2, resident_id = $3, claimed_at = $4 WHERE id = (
  SELECT c.id FROM voucher_batch b CROSS JOIN LATERAL (
    SELECT o.id FROM voucher_code o WHERE o.batch_id = b.id AND o.code_sealed IS NOT NULL AND o.coupon_id IS NULL
    ORDER BY o.id LIMIT 1 FOR UPDATE SKIP LOCKED) c
  WHERE b.template_id = $1 AND b.mode = 'external' AND b.status = 'ready' ORDER BY b.id LIMIT 1)
RETURNING code_sealed
"""
_BY_CODE: Final = {status.code: status for status in STATUSES.values()}


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What a code became. `coupon` is None while the coupon is still under way; its id is known already."""

    coupon_id: UUID
    coupon: Coupon | None
    replayed: bool


class VoucherExchange:
    """What residents do with codes."""

    def __init__(
        self,
        *,
        desk: GrantDesk,
        coupons: CouponService,
        clock: Clock,
        envelope: Envelope,
        index: BlindIndex,
        counts: WindowCounts,
        wrong_per_resident: int,
        wrong_per_address: int,
    ) -> None:
        self._desk, self._coupons, self._clock, self._counts = desk, coupons, clock, counts
        self._envelope, self._index = envelope, index
        self._wrong_per_resident, self._wrong_per_address = wrong_per_resident, wrong_per_address

    async def exchange(self, resident_id: int, text: str, address: str) -> Exchanged:
        """The coupon for a code. Wrong codes are counted per resident and per address, by the minute; whoever had too
        many is told to wait, before anything is looked up. Raises VoucherCodeNotUsable, VoucherCodeMistyped,
        RateLimited, and the vault's refusal when the coupon cannot be given: then the code is free again."""
        subjects = ((f"resident:{resident_id}", self._wrong_per_resident), (address, self._wrong_per_address))
        if any(self._counts.blocked(WRONG, subject, most) for subject, most in subjects):
            raise RateLimited(retry_after_s=WINDOW_S)
        code = normal(text)
        try:
            source_id, replayed = await self._take(resident_id, code)
        except (VoucherCodeNotUsable, VoucherCodeMistyped, Refused):
            for subject, _ in subjects:
                self._counts.count(WRONG, subject)
            raise
        return await self._settled(resident_id, source_id, replayed)

    async def external_code(self, resident_id: int, coupon_id: UUID) -> str:
        """The third party's code that belongs to a coupon of this resident: always the same one, and nobody else's.
        Raises CouponNotFound and NoExternalCode."""
        coupon = await self._coupons.get(resident_id, coupon_id)
        if rows := await fetch(_SHOWN, coupon_id):
            return self._envelope.open(rows[0]["code_sealed"], purpose=SHOWN)
        if coupon.row.state != "issued":
            raise NoExternalCode
        async with transaction() as tx:
            # One coupon's looks take turns: two at once would keep two codes locked, and a third coupon without any.
            await jobs.lock_key(tx, SHOWN, str(coupon_id))
            rows = await fetch(_SHOWN, coupon_id, using=tx)
            if not rows:
                rows = await fetch(
                    _SHOW, coupon.benefit.template_id, coupon_id, resident_id, self._clock.now(), using=tx
                )
        if not rows:
            raise NoExternalCode
        return self._envelope.open(rows[0]["code_sealed"], purpose=SHOWN)

    async def _take(self, resident_id: int, code: str) -> tuple[str, bool]:
        """Makes a code this resident's and writes down what he is owed for it; its source id, and whether it was his
        before."""
        if not 0 < len(code) <= LONGEST:
            raise VoucherCodeNotUsable
        hashed = hash_of(self._index, code)
        async with transaction() as tx:
            for row in await fetch(_TAKE, hashed, resident_id, self._clock.now(), using=tx):
                source_id = f"{row['id']}:{row['tries']}"
                await self._desk.owe(tx, resident_id, row["template_id"], SOURCE, source_id)
                return source_id, False
        known = await fetch(_LOOK, hashed)
        if not known:
            raise VoucherCodeMistyped(field="code") if is_slip(code) else VoucherCodeNotUsable
        (row,) = known
        if row["resident_id"] == resident_id:
            return f"{row['id']}:{row['tries']}", True
        if row["resident_id"] is None and row["ready"]:
            raise Refused(statuses.CLOSED)
        raise VoucherCodeNotUsable

    async def _settled(self, resident_id: int, source_id: str, replayed: bool) -> Exchanged:
        for pause_s in PAUSES_S:
            (grant,) = await fetch(_GRANT, SOURCE, source_id)
            if grant["status"] != "pending":
                break
            await asyncio.sleep(pause_s)
        coupon_id = _uuid(grant["vault_id"])
        if grant["status"] == "refused":
            raise Refused(_BY_CODE[grant["reason"]])
        coupon = await self._coupons.get(resident_id, coupon_id) if grant["status"] == "posted" else None
        return Exchanged(coupon_id, coupon, replayed)


async def release(tx: BaseDBAsyncClient, settled: Sequence[Settled]) -> None:
    """Codes for which no coupon can be given are free for others. The desk tells it in the transaction that gives them
    up."""
    parts = [one.source_id.split(":") for one in settled if one.status == "refused"]
    if not parts:
        return
    await tx.execute_query(_RELEASE, [[int(id) for id, _ in parts], [int(tries) for _, tries in parts]])


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(str(value))
