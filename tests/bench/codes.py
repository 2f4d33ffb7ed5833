"""A batch of voucher codes made by `chengxin worker` in a process that is watched, beside a bare COPY of as many rows
into the same table."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping

from server.config import Settings, secret_bytes
from server.incentives.codes.batches import BatchOrder, VoucherBatches
from server.incentives.codes.cover import StockCover
from server.incentives.commands import Signed
from server.incentives.promises import Promises
from server.incentives.templates import TemplateService
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex, Envelope, Keyring
from server.kit.db import close_house, open_house
from server.sandbox.house import ROOT
from tests.bench.expiry import peak_bytes
from tests.bench.ground import Round
from tests.bench.rivals import RoundInvalid
from tests.support.databases import Database, connected
from wallet import Vault

LOOK_EVERY_S = 0.25

COLUMNS = ("batch_id", "ordinal", "code_hash", "tries")
BATCH = """
INSERT INTO voucher_batch (template_id, mode, document, prefix, wanted, made, next_ordinal, beyond_stock, status,
  created_by, created_at)
VALUES ($1, 'uploaded', 'bench', '', 0, 0, 1, true, 'making', 1, now()) RETURNING id
"""
MADE = """
SELECT b.made, b.status, (SELECT count(*) FROM voucher_code c WHERE c.batch_id = b.id) AS rows FROM voucher_batch b
WHERE b.id = $1
"""


class Codes:
    """Batches of one template."""

    def __init__(
        self, database: Database, environment: Mapping[str, str], settings: Settings, template: int
    ) -> None:  # fmt: skip
        self._database, self._environment, self._template = database, environment, template
        self._settings = settings

    async def copy(self, count: int) -> Round:
        """As many rows with a random hash, by COPY as the owner, with all indexes; rows a second."""
        async with connected(self._database.owner) as owner:
            await owner.execute("SET statement_timeout = 0")
            batch_id = await owner.fetchval(BATCH, self._template)
            began = time.perf_counter()
            await owner.copy_records_to_table(
                "voucher_code", records=_rows(batch_id, count), columns=COLUMNS, timeout=600
            )
            took_s = time.perf_counter() - began
        return {"per_second": count / took_s}

    async def make(self, count: int) -> Round:
        """Codes a second from the order to the last, and the worker's MiB at most. Raises `RoundInvalid` unless there
        are as many rows as were ordered."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "server.cli", "worker", env=os.environ | self._environment, cwd=ROOT,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        watching = asyncio.create_task(peak_bytes(process.pid))
        try:
            batch_id = await self._order(count)
            began = time.perf_counter()
            async with connected(self._database.owner) as owner:
                while True:
                    row = await owner.fetchrow("SELECT made, status FROM voucher_batch WHERE id = $1", batch_id)
                    if row is not None and row["made"]:
                        break
                    began = time.perf_counter()
                    await asyncio.sleep(0.01)
                first = row["made"]
                while row["status"] == "making":
                    if process.returncode is not None:
                        raise RoundInvalid(f"the worker ended with {process.returncode}")
                    await asyncio.sleep(LOOK_EVERY_S)
                    row = await owner.fetchrow("SELECT made, status FROM voucher_batch WHERE id = $1", batch_id)
                took_s = time.perf_counter() - began
                made = await owner.fetchrow(MADE, batch_id)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
        if made is None or (made["made"], made["rows"]) != (count, count):
            raise RoundInvalid(f"{count} codes were ordered, there are {made and dict(made)}")
        return {"per_second": (count - first) / took_s, "peak_mib": await watching / 2**20}

    async def _order(self, count: int) -> int:
        await open_house(self._database.worker)
        vault = await Vault.connect(self._database.worker, role="worker")
        batches = VoucherBatches(
            clock=Clock(), envelope=Envelope(Keyring.parse(self._settings.data_keys)),
            index=BlindIndex(secret_bytes(self._settings.index_key)),
            cover=StockCover(templates=TemplateService(vault=vault, clock=Clock()), promises=Promises(small_cell=10)),
        )  # fmt: skip
        try:
            order = BatchOrder(self._template, "platform", "bench", count, beyond_stock=True)
            return (await batches.order(order, Signed(1, "bench"))).row.id
        finally:
            await vault.close()
            await close_house()


def _rows(batch_id: int, count: int) -> Iterator[tuple[int, int, bytes, int]]:
    for number in range(1, count + 1):
        yield batch_id, number, secrets.token_bytes(32), 0
