"""Batches of voucher codes, ready to be typed, on the worker's services of a test's own database."""

from __future__ import annotations

import asyncio

from server.incentives.codes.alphabet import code_of, printed
from server.incentives.codes.batches import EXTERNAL, PLATFORM, UPLOADED, BatchOrder
from server.incentives.codes.exchange import Exchanged
from server.incentives.codes.models import VoucherBatch
from server.services import Services
from tests.support.grants import CHECKER, DOCUMENT, MAKER, live_template, work


async def made(services: Services, count: int, *, template: int | None = None, prefix: str = "QX") -> VoucherBatch:
    """A batch of ours whose codes are made and not approved yet."""
    template = template or await live_template(services, stock=count, claimable=False)
    view = await services.voucher_batches.order(BatchOrder(template, PLATFORM, DOCUMENT, count, prefix), MAKER)
    await work(services)
    return (await services.voucher_batches.get(view.row.id)).row


async def ready(
    services: Services, count: int, *, template: int | None = None, prefix: str = "QX"
) -> tuple[VoucherBatch, list[str]]:
    """A batch of ours that works, and its codes as they stand on paper."""
    row = await made(services, count, template=template, prefix=prefix)
    await services.voucher_batches.approve(row.id, CHECKER)
    secret = services.voucher_batches.secret_of(row)
    ordinals = range(1, row.next_ordinal)
    return row, [printed(code_of(secret, prefix, ordinal), prefix) for ordinal in ordinals]


async def from_file(
    services: Services, content: str, *, mode: str = UPLOADED, template: int | None = None, approved: bool = True
) -> VoucherBatch:
    """A batch from a file."""
    assert mode in (UPLOADED, EXTERNAL)
    template = template or await live_template(services)
    view = await services.voucher_batches.order(BatchOrder(template, mode, DOCUMENT), MAKER)
    taken = await services.voucher_batches.take(view.row.id, content.encode(), MAKER)
    if approved:
        await services.voucher_batches.approve(taken.row.id, CHECKER)
    return taken.row


async def typed(services: Services, resident: int, code: str) -> Exchanged:
    """A code is typed, and the worker does its part meanwhile."""
    trying = asyncio.create_task(services.voucher_exchange.exchange(resident, code, "127.0.0.1"))
    while not trying.done():
        await services.grants.redrive()
        await asyncio.sleep(0.01)
    return await trying
