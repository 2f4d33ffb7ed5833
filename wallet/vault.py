"""The vault's face: everything the house may ask of the ledger.

    Setup ─┬─ Poster ──────┬─ Points  ─┐
           └─ Directories ─┴─ Coupons ─┴─ Vault

Value operations (`Points`, `Coupons`) go through lanes, one vault call each (see `wallet.lanes`). Set-up calls
(wallets, budgets, terms, acceptors, credentials) are single calls and safe to repeat. Reads are in `Vault.read`. Every
refusal is a `wallet.errors.VaultError`.
"""

from __future__ import annotations

from typing import Literal

import asyncpg

from wallet.cells import Cells
from wallet.coupons import Coupons
from wallet.errors import VaultUnavailable
from wallet.lanes import CONNECTION_LOST, Figures, Lanes
from wallet.points import Points

LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS = 2_000, 5_000
#: The cell of each bucket, in order. Read once: whoever moves buckets to other nodes starts the processes again.
CELLS = "SELECT vault.cell(b::smallint) FROM generate_series(0, 1023) b ORDER BY b"


async def _keep(_connection: object) -> None:
    """What the pool does with a connection that comes back: nothing, so that a read is one round trip. Nobody gives
    it settings or locks of a session; a transaction that was left open is rolled back all the same."""


class Vault(Points, Coupons):
    """One process's connection to the vault. Make it with `Vault.connect`; close it last."""

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        role: Literal["app", "worker"],
        first_lane: int = 0,
        lanes: int = 1,
        queue: int = 2048,
        batch: int = 128,
        latency_ms: float = 25,
        budget_slots: int = 8,
        pool_max: int = 6,
    ) -> Vault:
        """Opens the pool and the lanes. `first_lane` tells this process's lanes from other processes', so that they
        use other slots of a hot budget. `queue`, `batch` and `latency_ms`: see `Lanes`. Raises `VaultUnavailable`."""
        settings = {
            "application_name": f"chengxin-{role}",
            "TimeZone": "UTC",
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            "statement_timeout": str(STATEMENT_TIMEOUT_MS),
            "idle_in_transaction_session_timeout": "10000",
        }

        async def connection() -> asyncpg.Connection:
            return await asyncpg.connect(
                dsn, server_settings=settings, command_timeout=STATEMENT_TIMEOUT_MS / 1000 + 5, timeout=5
            )

        function = "post_batch" if role == "app" else "post_internal"

        def lanes_of(figures: Figures) -> Lanes:
            return Lanes(
                connection, function, first=first_lane, count=lanes, queue=queue, batch=batch, latency_ms=latency_ms,
                figures=figures,
            )  # fmt: skip

        pool: asyncpg.Pool | None = None
        cells: Cells | None = None
        try:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=pool_max,
                server_settings=settings,
                command_timeout=STATEMENT_TIMEOUT_MS / 1000 + 5,
                timeout=5,
                reset=_keep,
            )
            cells = Cells([row[0] for row in await pool.fetch(CELLS)], lanes_of)
            await cells.open()
        except (*CONNECTION_LOST, VaultUnavailable) as lost:
            if cells is not None:
                await cells.close()
            if pool is not None:
                await pool.close()
            raise VaultUnavailable from lost
        return cls(pool, cells, budget_slots)

    async def close(self) -> None:
        """Sends what is queued and closes everything."""
        await self._lanes.close()
        await self._pool.close()
