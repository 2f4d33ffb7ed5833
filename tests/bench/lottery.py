"""A lottery of a whole city: closed, listed and drawn by a process that is watched, beside a bare reading of the same
entries in the same order, and drawn again from the file by `chengxin verify-draw`.

`python -m tests.bench.lottery ID` is that process: the worker's jobs of lotteries and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from server.config import Settings
from server.incentives.lottery import draw
from server.incentives.lottery.models import Lottery
from server.incentives.lottery.published import Announcement, Prize, line_of
from server.incentives.lottery.reading import LotteryReader
from server.incentives.lottery.service import purpose_of
from server.kit.crypto import Envelope, Keyring
from server.kit.db import close_house, open_house
from server.kit.jobs import run_due
from server.sandbox.house import ROOT
from server.services import close_services, open_worker
from tests.bench.expiry import peak_bytes
from tests.bench.ground import Round
from tests.bench.rivals import RoundInvalid
from tests.support.databases import Database, connected

FIRST_RESIDENT = 5 << 40
PRIZES = 10_000

_ID = "SELECT nextval(pg_get_serial_sequence('lottery', 'id'))"
_LOTTERY = """
INSERT INTO lottery (id, title, document, status, revision, opens_at, closes_at, draw_at, max_tickets, self_entry,
  beacon_source, prizes, created_by, created_at, changed_at, published_by, published_at, announcement, commitment,
  secret_sealed, cancel_reason)
VALUES ($1, 'bench', 'bench', 'published', 1, $2, $3, $3, 2, true, '', $4, 1, $2, $2, 2, $2, $5, $6, $7, '')
"""
_ENTRIES = """
INSERT INTO lottery_entry (lottery_id, resident_id, code, tickets, sources, entered_at)
SELECT $1, $2 + n, substr(upper(encode(sha256(n::text::bytea), 'hex')), 1, 20), 1 + n % 2, '["resident"]', now()
FROM generate_series(1, $3::bigint) n
"""


class Lotteries:
    """Lays entries in and has them drawn."""

    def __init__(self, database: Database, environment: Mapping[str, str], settings: Settings) -> None:
        self._database, self._environment = database, environment
        self._envelope = Envelope(Keyring.parse(settings.data_keys))

    async def lay_in(self, entries: int) -> int:
        """A published lottery whose time is over, with so many entries; its id."""
        now, secret = datetime.now(UTC), secrets.token_bytes(draw.SECRET_BYTES)
        opened, closed = now - timedelta(hours=2), now - timedelta(hours=1)
        async with connected(self._database.owner) as connection:
            await connection.execute("SET statement_timeout = 0")
            lottery_id = int(await connection.fetchval(_ID))
            said = Announcement(
                format="chengxin-lottery/1", id=str(lottery_id), title="bench", rules="bench", opens_at=opened,
                closes_at=closed, draw_at=closed, max_tickets=2, prizes=[Prize(1, "奖", "1", PRIZES)], beacon=None,
                commitment=draw.commitment_of(secret).hex(), published_at=opened,
            )  # fmt: skip
            await connection.execute(
                _LOTTERY, lottery_id, opened, closed, msgspec.json.encode(said.prizes).decode(), line_of(said).decode(),
                draw.commitment_of(secret), self._envelope.seal(secret.hex(), purpose=purpose_of(lottery_id)),
            )  # fmt: skip
            # So many entries do not enter one by one.
            await connection.execute("ALTER TABLE lottery_entry DISABLE TRIGGER lottery_entry_open")
            await connection.execute(_ENTRIES, lottery_id, FIRST_RESIDENT, entries, timeout=600)
            await connection.execute("ALTER TABLE lottery_entry ENABLE TRIGGER lottery_entry_open")
            await connection.execute("VACUUM ANALYZE lottery_entry", timeout=600)
        return lottery_id

    async def select(self, lottery_id: int, entries: int) -> Round:
        """The bare reading: every entry once, by code, a page of the job at a time."""
        async with connected(self._database.worker) as connection:
            began, read = time.perf_counter(), 0
            async with connection.transaction():
                sql = "SELECT code, tickets FROM lottery_entry WHERE lottery_id = $1 ORDER BY code"
                cursor = await connection.cursor(sql, lottery_id)
                while page := await cursor.fetch(5_000, timeout=60):
                    read += len(page)
            took_s = time.perf_counter() - began
        if read != entries:
            raise RoundInvalid(f"{read} of {entries} entries were read")
        return {"per_second": entries / took_s}

    async def draw(self, lottery_id: int, entries: int) -> Round:
        """Closing, list, scores of all tickets, winners and secret; entries a second and MiB at most."""
        await self._run("-m", "tests.bench.lottery", str(lottery_id))
        peak_mib = self._peak / 2**20
        async with connected(self._database.worker) as connection:
            row = await connection.fetchrow(
                "SELECT extract(epoch FROM drawn_at - closed_at)::float8 AS took_s, entries, winners FROM lottery"
                " WHERE id = $1", lottery_id,
            )  # fmt: skip
        if row is None or (row["entries"], row["winners"]) != (entries, min(entries, PRIZES)):
            raise RoundInvalid(f"the lottery of {entries} entries ended as {row and dict(row)}")
        return {"per_second": entries / row["took_s"], "peak_mib": peak_mib}

    async def verify(self, lottery_id: int, entries: int, folder: Path) -> Round:
        """The published file, drawn again by the command."""
        file = folder / f"lottery-{lottery_id}.jsonl"
        await open_house(self._database.worker)
        try:
            _, pieces = await LotteryReader().file(lottery_id)
            with file.open("wb") as out:
                async for piece in pieces:
                    out.write(piece)
        finally:
            await close_house()
        began = time.perf_counter()
        await self._run("-m", "server.cli", "verify-draw", str(file))
        return {"per_second": entries / (time.perf_counter() - began), "peak_mib": self._peak / 2**20}

    async def _run(self, *arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=os.environ | self._environment, cwd=ROOT,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        watching = asyncio.create_task(peak_bytes(process.pid))
        _, err = await process.communicate()
        self._peak = await watching
        if process.returncode != 0:
            raise RoundInvalid(f"{arguments} ended with {process.returncode}: {err.decode()[-500:]}")


async def lotteries(
    database: Database, environment: Mapping[str, str], settings: Settings, entries: int, folder: Path
) -> dict[str, Round]:
    """One lottery of so many entries by every way."""
    bench = Lotteries(database, environment, settings)
    lottery_id = await bench.lay_in(entries)
    return {
        "lottery_select": await bench.select(lottery_id, entries),
        "lottery_draw": await bench.draw(lottery_id, entries),
        "lottery_verify": await bench.verify(lottery_id, entries, folder),
    }


async def work(lottery_id: int) -> None:
    """Does the worker's jobs of lotteries until this one is drawn."""
    services = await open_worker(Settings())
    try:
        while (await Lottery.get(id=lottery_id)).status != "drawn":
            if not await services.lottery_draws.redrive() + await run_due(services.lottery_draws.handlers()):
                await asyncio.sleep(0.05)
    finally:
        await close_services(services)


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1])))
