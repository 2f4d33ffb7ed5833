"""Codes leave the house in a file: one person asks, another approves, and the first opens it once (G31)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from server.incentives.codes.alphabet import code_of, printed
from server.incentives.codes.batches import PLATFORM, VoucherBatches
from server.incentives.codes.errors import NothingToExport, VoucherExportClosed, VoucherExportNotFound
from server.incentives.codes.models import VoucherBatch, VoucherExport
from server.incentives.commands import Signed
from server.incentives.errors import SecondPersonRequired, WrongStatus
from server.incentives.orders import Orders
from server.incentives.simulation import change
from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from server.kit.errors import InvalidField

#: How long an approval may be used.
OPEN_FOR: Final = timedelta(hours=24)
PAGE: Final = 5_000
HEADER: Final = "ordinal,code\r\n"

_PAGE = "SELECT ordinal FROM voucher_code WHERE batch_id = $1 AND ordinal > $2 ORDER BY ordinal LIMIT $3"


class VoucherExports:
    """Requests to export a batch's codes, and the export itself, page by page."""

    def __init__(self, *, batches: VoucherBatches, clock: Clock) -> None:
        self._batches, self._clock = batches, clock
        self._orders = Orders(VoucherExport, "voucher_export", VoucherExportNotFound, clock)

    async def request(self, batch_id: int, reason: str, signed: Signed) -> VoucherExport:
        """Ask for the codes of a batch of ours whose codes are all made."""
        if not reason.strip() or len(reason) > 200 or not reason.isprintable():
            raise InvalidField(field="reason")
        batch = (await self._batches.get(batch_id)).row
        if batch.mode != PLATFORM:
            raise NothingToExport
        if batch.status not in ("made", "ready"):
            raise WrongStatus(batch.status, "made", "ready")
        async with change(signed) as tx:
            row = await VoucherExport.create(
                using_db=tx, batch_id=batch_id, reason=reason, requested_by=signed.admin_id,
                requested_at=self._clock.now(),
            )  # fmt: skip
            await self._orders.record(tx, "requested", row, signed)
        return row

    async def approve(self, export_id: int, signed: Signed) -> VoucherExport:
        """Allow it for a day; refused to whoever asked."""
        async with change(signed) as tx:
            row = await self._orders.lock(tx, export_id)
            if row.requested_by == signed.admin_id:
                raise SecondPersonRequired
            if row.approved_by is not None:
                raise WrongStatus("opened" if row.opened_at else "approved", "requested")
            await self._orders.change(
                tx, row, "approved", signed, approved_by=signed.admin_id, approved_at=self._clock.now()
            )
        return row

    async def page(self, batch_id: int, limit: int = 100) -> list[VoucherExport]:
        """The newest requests of a batch."""
        return await VoucherExport.filter(batch_id=batch_id).order_by("-id").limit(limit)

    async def open(self, export_id: int, signed: Signed) -> AsyncIterator[bytes]:
        """The file, in pieces, for whoever asked; the approval is used up from here on, whatever comes of the file.
        Raises VoucherExportClosed."""
        now = self._clock.now()
        async with transaction() as tx:
            row = await self._orders.lock(tx, export_id)
            fresh = row.approved_at is not None and now - row.approved_at < OPEN_FOR
            if row.requested_by != signed.admin_id or not fresh or row.opened_at is not None:
                raise VoucherExportClosed
            await self._orders.change(tx, row, "opened", signed, opened_at=now)
        return self._pieces((await self._batches.get(row.batch_id)).row)

    async def _pieces(self, batch: VoucherBatch) -> AsyncIterator[bytes]:
        secret, last = self._batches.secret_of(batch), 0
        yield HEADER.encode()
        while rows := await fetch(_PAGE, batch.id, last, PAGE):
            last = rows[-1]["ordinal"]
            codes = ((row["ordinal"], code_of(secret, batch.prefix, row["ordinal"])) for row in rows)
            yield "".join(f"{ordinal},{printed(code, batch.prefix)}\r\n" for ordinal, code in codes).encode()
