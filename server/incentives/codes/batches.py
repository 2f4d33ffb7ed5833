"""Batches of voucher codes: made by a job, or taken in from a file; they work once somebody else has approved them.

making ──job or upload──> made ──approve (2nd person)──> ready ──stop──> stopped
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final
from uuid import UUID, uuid4

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.changes import Change, Effects
from server.incentives.codes.alphabet import code_of, foreign_fits, normal, prefix_fits
from server.incentives.codes.cover import StockCover
from server.incentives.codes.errors import UploadReplaced, VoucherBatchNotFound, VoucherFileEmpty, VoucherFileTooLong
from server.incentives.codes.models import VoucherBatch
from server.incentives.commands import Signed
from server.incentives.errors import TemplateNotFound, WrongStatus
from server.incentives.models import CouponTemplate
from server.incentives.orders import Orders, row_of
from server.incentives.simulation import change
from server.kit import sheets
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex, Envelope
from server.kit.db import fetch, transaction
from server.kit.errors import InvalidField
from server.kit.jobs import Task, save

#: The kind of the worker's job; its key is the batch's id.
KIND: Final = "voucher_batch"
PLATFORM, UPLOADED, EXTERNAL = "platform", "uploaded", "external"
MOST: Final = 1_000_000
PAGE: Final = 2_000
SWEEP: Final = 50_000
TURN_S: Final = 5.0
SECRET_BYTES: Final = 32
#: A third party's code, as it stands in the file; shown as it is and typed nowhere with us.
EXTERNAL_MAX: Final = 200
HEADINGS: Final = frozenset({"code", "兑换码", "券码"})
LINES_TOLD: Final = 100

_INSERT = """
INSERT INTO voucher_code (batch_id, ordinal, code_hash, code_sealed, tries)
SELECT $1, x.ordinal, x.hash, x.sealed, 0 FROM unnest($2::int[], $3::bytea[], $4::bytea[]) x(ordinal, hash, sealed)
ON CONFLICT (code_hash) DO NOTHING RETURNING ordinal
"""
_SWEEP = """
DELETE FROM voucher_code WHERE id IN (SELECT id FROM voucher_code WHERE batch_id = $1 LIMIT $2) RETURNING 1 AS gone
"""
_USED = """
SELECT batch_id, count(*) AS n FROM voucher_code WHERE batch_id = ANY($1::bigint[]) AND resident_id IS NOT NULL
GROUP BY batch_id
"""
_STANDING = "SELECT code_hash AS hash FROM voucher_code WHERE code_hash = ANY($1::bytea[]) AND batch_id <> $2"
_GREW = "UPDATE voucher_batch SET made = made + $3 WHERE id = $1 AND upload = $2 AND status = 'making' RETURNING made"


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """A batch as somebody wants it. `count` and `prefix`: of codes that we make; other batches wait for their file.
    `beyond_stock`: there may be more codes than coupons, as the first who come get them or a top-up is planned."""

    template_id: int
    mode: str
    document: str
    count: int = 0
    prefix: str = ""
    beyond_stock: bool = False

    def check(self) -> None:
        """Raise InvalidField for the first field that cannot be."""
        ours = self.mode == PLATFORM
        if self.mode not in (PLATFORM, UPLOADED, EXTERNAL):
            raise InvalidField(field="mode")
        if not self.document.strip() or len(self.document) > 100 or not self.document.isprintable():
            raise InvalidField(field="document")
        if not (1 if ours else 0) <= self.count <= (MOST if ours else 0):
            raise InvalidField(field="count")
        if not prefix_fits(self.prefix) or (self.prefix and not ours):
            raise InvalidField(field="prefix")
        if self.beyond_stock and self.mode == EXTERNAL:
            raise InvalidField(field="beyond_stock", reason="第三方券码不占用库存")


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch as it stands. `used`: how many of its codes are somebody's."""

    row: VoucherBatch
    used: int


@dataclass(slots=True)
class CodesTaken:
    """How a file was taken in. `lines`: (line, reason) of what was not, the first hundred. reason: unreadable |
    repeated (in the file, or in any other batch)."""

    row: VoucherBatch
    unreadable: int = 0
    repeated: int = 0
    lines: list[tuple[int, str]] = field(default_factory=list)

    def refuse(self, line: int, reason: str) -> None:
        """One line that was not taken."""
        setattr(self, reason, getattr(self, reason) + 1)
        if len(self.lines) < LINES_TOLD:
            self.lines.append((line, reason))


class VoucherBatches:
    """What administrators do with batches, and the worker's job that makes codes."""

    def __init__(self, *, clock: Clock, envelope: Envelope, index: BlindIndex, cover: StockCover) -> None:
        self._clock, self._envelope, self._index, self._cover = clock, envelope, index, cover
        self._orders = Orders(VoucherBatch, KIND, VoucherBatchNotFound, clock, untold=("secret_sealed", "upload"))

    async def order(self, order: BatchOrder, signed: Signed) -> BatchView:
        """Write a batch down; the worker begins to make its codes, or it waits for its file. Raises InvalidField,
        TemplateNotFound, VoucherStockShort."""
        order.check()
        if await CouponTemplate.get_or_none(id=order.template_id) is None:
            raise TemplateNotFound(field="template_id")
        if order.mode == PLATFORM and not order.beyond_stock:
            await self._cover.check(order.template_id, order.count)
        secret = None
        if order.mode == PLATFORM:
            secret = self._envelope.seal(secrets.token_hex(SECRET_BYTES), purpose=MAKING)
        async with change(signed) as tx:
            row = await VoucherBatch.create(
                using_db=tx, template_id=order.template_id, mode=order.mode, document=order.document,
                prefix=order.prefix, secret_sealed=secret, wanted=order.count, beyond_stock=order.beyond_stock,
                created_by=signed.admin_id, created_at=self._clock.now(),
            )  # fmt: skip
            if order.mode == PLATFORM:
                await self._orders.enqueue(tx, row)
            await self._orders.record(tx, "ordered", row, signed)
        return BatchView(row, 0)

    async def approve(self, batch_id: int, signed: Signed) -> BatchView:
        """From here on its codes work; refused to whoever ordered or uploaded them, and with VoucherStockShort when the
        stock does not cover them (any more)."""
        seen = (await self.get(batch_id)).row
        if seen.status == "made" and seen.mode != EXTERNAL and not seen.beyond_stock:
            await self._cover.check(seen.template_id, seen.made, batch_id)
        async with change(signed) as tx:
            row = await self._orders.approve(tx, batch_id, signed, stands="made", becomes="ready")
        return await self._view(row)

    async def stop(self, batch_id: int, signed: Signed) -> BatchView:
        """None of its codes works any more, for good; coupons they became stay."""
        async with change(signed) as tx:
            row = await self._orders.lock(tx, batch_id)
            if row.status == "stopped":
                raise WrongStatus(row.status)
            await self._orders.change(tx, row, "stopped", signed, status="stopped")
        return await self._view(row)

    async def get(self, batch_id: int) -> BatchView:
        """One batch as it stands. Raises VoucherBatchNotFound."""
        return await self._view(await self._orders.find(batch_id))

    async def page(
        self, before_id: int | None, limit: int, template_id: int | None = None, status: str | None = None,
        text: str | None = None,
    ) -> list[BatchView]:  # fmt: skip
        """Up to `limit` batches with an id below `before_id`, newest first; `text`: a part of the document's number."""
        return await self._views(
            await self._orders.page(before_id, limit, template_id=template_id, status=status, document__icontains=text)
        )

    async def take(self, batch_id: int, content: bytes, signed: Signed) -> CodesTaken:
        """The codes of an uploaded or third party's batch, one a line (see `server.kit.sheets`). It replaces what an
        upload left that was broken off; once taken in whole, the batch takes no other. Memory holds file and page."""
        if signed.simulate:
            return await self._read(batch_id, content, signed)
        upload = uuid4()
        async with transaction() as tx:
            row = await self._orders.lock(tx, batch_id)
            if row.mode == PLATFORM or row.status != "making":
                raise _takes_no_file(row)
            row.upload, row.made, row.created_by = upload, 0, signed.admin_id
            await row.save(using_db=tx, update_fields=["upload", "made", "created_by"])
        while await fetch(_SWEEP, batch_id, SWEEP):
            pass
        taken = CodesTaken(row)
        lines = sheets.cells(content, HEADINGS)
        while page := await asyncio.to_thread(_next, lines):
            row.made = await self._take_page(taken, page, upload)
        if not row.made:
            raise VoucherFileEmpty(field="file")
        async with transaction() as tx:
            row = taken.row = await self._lock_upload(tx, batch_id, upload)
            row.wanted, row.status = row.made, "made"
            await row.save(using_db=tx, update_fields=["wanted", "status"])
            await self._orders.record(tx, "uploaded", row, signed)
        return taken

    async def _read(self, batch_id: int, content: bytes, signed: Signed) -> CodesTaken:
        """What `take` would make of a file; nothing is written, and an upload that was broken off stays as it is."""
        row = (await self.get(batch_id)).row
        if row.mode == PLATFORM or row.status != "making":
            raise _takes_no_file(row)
        taken, seen = CodesTaken(row), set[bytes]()
        row.made, lines = 0, sheets.cells(content, HEADINGS)
        while page := await asyncio.to_thread(_next, lines):
            line_of, _ = self._fitting(taken, page)
            stand = {bytes(one["hash"]) for one in await fetch(_STANDING, list(line_of), batch_id)} | seen
            for hashed, line in line_of.items():
                if hashed in stand:
                    taken.refuse(line, "repeated")
            seen |= line_of.keys()
            row.made += len(line_of.keys() - stand)
            if row.made > MOST:
                raise VoucherFileTooLong(field="file")
        if not row.made:
            raise VoucherFileEmpty(field="file")
        row.wanted, row.status = row.made, "made"
        signed.told.append(Effects([Change("voucher_batch", str(batch_id), "made", 0, row.made)], []))
        return taken

    async def make(self, task: Task) -> bool:
        """The worker's turn at one batch of ours: pages until the turn is over. A page and how far it brings the batch
        commit together, and no page makes more than is missing: there are exactly as many codes as were wanted."""
        until = time.monotonic() + TURN_S
        while time.monotonic() < until:
            async with transaction() as tx:
                row = await self._orders.lock(tx, row_of(task))
                if row.status != "making":
                    return True
                await self._make_page(tx, row)
                await save(tx, task, {})
        return False

    def secret_of(self, row: VoucherBatch) -> bytes:
        """What the codes of a batch of ours are made from."""
        return bytes.fromhex(self._envelope.open(row.secret_sealed, purpose=MAKING))

    async def _make_page(self, tx: BaseDBAsyncClient, row: VoucherBatch) -> None:
        secret, ordinals = (
            self.secret_of(row),
            range(row.next_ordinal, row.next_ordinal + min(PAGE, row.wanted - row.made)),
        )
        hashes = [hash_of(self._index, code_of(secret, row.prefix, ordinal)) for ordinal in ordinals]
        made = await fetch(_INSERT, row.id, list(ordinals), hashes, [None] * len(hashes), using=tx)
        row.made, row.next_ordinal = row.made + len(made), ordinals.stop
        done = row.made == row.wanted
        if done:
            row.status = "made"
        await row.save(using_db=tx, update_fields=["made", "next_ordinal", "status"])
        if done:
            await self._orders.record(tx, "made", row, None)

    async def _take_page(self, taken: CodesTaken, page: list[tuple[int, str]], upload: UUID) -> int:
        row, (line_of, sealed) = taken.row, self._fitting(taken, page)
        async with transaction() as tx:
            rows = await fetch(_INSERT, row.id, list(line_of.values()), list(line_of), sealed, using=tx)
            grown = await fetch(_GREW, row.id, upload, len(rows), using=tx)
            if not grown:
                raise UploadReplaced
            if grown[0]["made"] > MOST:
                raise VoucherFileTooLong(field="file")
        stand = {one["ordinal"] for one in rows}
        for line in line_of.values():
            if line not in stand:
                taken.refuse(line, "repeated")
        return int(grown[0]["made"])

    def _fitting(self, taken: CodesTaken, page: list[tuple[int, str]]) -> tuple[dict[bytes, int], list[bytes | None]]:
        """The line of each code of a page by its hash, and what is kept to be shown; others are refused."""
        row, line_of, sealed = taken.row, dict[bytes, int](), list[bytes | None]()
        for line, text in page:
            code = text if row.mode == EXTERNAL else normal(text)
            fits = len(text) <= EXTERNAL_MAX and text.isprintable() if row.mode == EXTERNAL else foreign_fits(code)
            hashed = hash_of(self._index, code, template_id=row.template_id if row.mode == EXTERNAL else None)
            if not fits:
                taken.refuse(line, "unreadable")
            elif hashed in line_of:
                taken.refuse(line, "repeated")
            else:
                line_of[hashed] = line
                sealed.append(self._envelope.seal(code, purpose=SHOWN) if row.mode == EXTERNAL else None)
        return line_of, sealed

    async def _lock_upload(self, tx: BaseDBAsyncClient, batch_id: int, upload: UUID) -> VoucherBatch:
        row = await self._orders.lock(tx, batch_id)
        if row.upload != upload or row.status != "making":
            raise UploadReplaced
        return row

    async def _view(self, row: VoucherBatch) -> BatchView:
        return (await self._views([row]))[0]

    async def _views(self, rows: list[VoucherBatch]) -> list[BatchView]:
        used = {one["batch_id"]: one["n"] for one in await fetch(_USED, [row.id for row in rows])}
        return [BatchView(row, used.get(row.id, 0)) for row in rows]


#: What a batch's secret and a third party's code are sealed for.
MAKING: Final = "voucher_batch.secret"
SHOWN: Final = "voucher_code.external"


def hash_of(index: BlindIndex, code: str, *, template_id: int | None = None) -> bytes:
    """How a code in its normal form is found. A third party's code is told apart by its template: it is never typed
    with us, and two third parties may have the same."""
    return index.of(code, purpose="voucher_code" if template_id is None else f"external_code:{template_id}")


def _takes_no_file(row: VoucherBatch) -> WrongStatus:
    return WrongStatus(row.status, hint="只有等待文件的批次可以上传兑换码")


def _next(lines: Iterator[tuple[int, str]]) -> list[tuple[int, str]]:
    return list(islice(lines, PAGE))
