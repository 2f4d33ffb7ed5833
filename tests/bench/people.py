"""A city's people: bands and towns from a file of a million lines, and a segment of them written down.

The import and the snapshot run in processes of their own, whose memory is watched. Beside the snapshot stands one bare
SELECT that asks the database the same question and keeps nothing.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from server.config import Settings, secret_bytes
from server.incentives.commands import Signed
from server.incentives.segments.definition import Definition
from server.incentives.segments.selection import members
from server.incentives.segments.service import SegmentService
from server.incentives.segments.snapshots import SegmentSnapshots
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex
from server.kit.db import close_house, open_house
from server.people.residents import ID_NUMBER_PURPOSE
from server.sandbox.city import BANDS, TOWNS, id_number
from server.sandbox.house import ROOT
from tests.bench.expiry import peak_bytes
from tests.bench.rivals import RoundInvalid
from tests.support.databases import Database, connected

FIRST_RESIDENT = 4 << 40
FIRST_BORN = date(1940, 1, 1).toordinal()
SEQUENCES = 999
AT_ONCE = 50_000
COLUMNS = ("id", "id_number_hmac", "id_number_sealed", "name_sealed", "bound_at")
SEALED = b"\0" * 120
ASKED = Definition(towns=TOWNS)


class People:
    """Lays residents in, tells of them, and writes segments of them down."""

    def __init__(self, database: Database, settings: Settings, environment: Mapping[str, str], folder: Path) -> None:
        self._database, self._settings, self._environment = database, settings, environment
        self._file, self._snapshots = folder / "bands.csv", 0

    async def lay_in(self, count: int) -> None:
        """So many residents, and the file that tells of them."""
        index = BlindIndex(secret_bytes(self._settings.index_key))
        bound_at = datetime.now(UTC)
        async with connected(self._database.owner) as owner:
            await owner.execute("SET statement_timeout = 0; SET synchronous_commit = off")
            with self._file.open("w", newline="") as text:
                rows = csv.writer(text)
                rows.writerow(("id_number", "band", "town"))
                for begin in range(0, count, AT_ONCE):
                    records = []
                    for n in range(begin, min(begin + AT_ONCE, count)):
                        number = id_number(date.fromordinal(FIRST_BORN + n // SEQUENCES), 1 + n % SEQUENCES)
                        rows.writerow((number, BANDS[n % len(BANDS)][0], TOWNS[n % len(TOWNS)]))
                        hashed = index.of(number, purpose=ID_NUMBER_PURPOSE)
                        records.append((FIRST_RESIDENT + n, hashed, SEALED, SEALED, bound_at))
                    await owner.copy_records_to_table("resident", records=records, columns=COLUMNS)
            await owner.execute("ANALYZE resident")

    async def tell(self, count: int) -> dict[str, float]:
        """`chengxin import-bands` of the whole file, until it has ended: lines a second and MiB at most."""
        async with connected(self._database.worker) as worker:
            today = await worker.fetchval("SELECT vault.today()")
        command = ["-m", "server.cli", "import-bands", str(self._file), "--source", "bench", "--as-of", str(today)]
        out, took_s, peak_mib = await self._watched([*command, "--json"])
        report = json.loads(out)
        if (report["enrolled"], report["bands_changed"], report["towns_changed"]) != (count, count, count):
            raise RoundInvalid(f"{count} people were told of, and the report is {report}")
        async with connected(self._database.owner) as owner:
            await owner.execute("VACUUM (ANALYZE) resident_attribute", timeout=600)
        return {"per_second": count / took_s, "peak_mib": peak_mib}

    async def write_down(self, count: int) -> dict[str, float]:
        """A snapshot of everybody in any town: members a second and MiB at most."""
        self._snapshots += 1
        out, _, peak_mib = await self._watched(["-m", "tests.bench.people", f"bench:{self._snapshots}"])
        found = json.loads(out)
        if found["size"] != count:
            raise RoundInvalid(f"{count} people belong to the segment, {found['size']} were written down")
        return {"per_second": count / found["seconds"], "peak_mib": peak_mib}

    async def preview(self, count: int) -> dict[str, float]:
        """What the console shows of the segment's size, by band and by town, in windows; members a second."""
        self._snapshots += 1
        await open_house(self._database.worker, pool_max=2)
        try:
            segments = SegmentService(clock=Clock(self._settings.city_zone), small_cell=self._settings.small_cell)
            signed = Signed(1, "bench")
            made = await segments.create(f"preview:{self._snapshots}", ASKED.stored(), signed)
            began = time.perf_counter()
            found = await segments.preview(made.row.id, signed)
            took_s = time.perf_counter() - began
        finally:
            await close_house()
        if found.size != count:
            raise RoundInvalid(f"{count} people belong to the segment, the preview says {found.size}")
        return {"per_second": count / took_s}

    async def ask(self, count: int) -> dict[str, float]:
        """The same question in one SELECT that keeps nothing: members a second."""
        source, arguments = members(ASKED, datetime.now(UTC), 0, 2**63 - 1)
        async with connected(self._database.worker) as worker:
            began = time.perf_counter()
            size = await worker.fetchval(f"SELECT count(*) {source}", *arguments, timeout=600)
            took_s = time.perf_counter() - began
        if size != count:
            raise RoundInvalid(f"{count} people belong to the segment, the database counts {size}")
        return {"per_second": count / took_s}

    async def _watched(self, command: Sequence[str]) -> tuple[bytes, float, float]:
        """What a Python process said, its seconds, and MiB at most."""
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, env=os.environ | self._environment | {"CHENGXIN_LOG_LEVEL": "error"}, cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        watching = asyncio.create_task(peak_bytes(process.pid))
        out, err = await process.communicate()
        if process.returncode != 0:
            raise RoundInvalid(f"{command[1]} ended with {process.returncode}: {err.decode()[-500:]}")
        return out, time.perf_counter() - began, await watching / 2**20


async def snapshot(use: str) -> dict[str, float]:
    """A segment of everybody in any town, written down by this process."""
    settings = Settings()
    await open_house(settings.worker_database_url, pool_max=2)
    try:
        clock = Clock(settings.city_zone)
        segments = SegmentService(clock=clock, small_cell=settings.small_cell)
        made = await segments.create(use, ASKED.stored(), Signed(1, use))
        snapshots = SegmentSnapshots(clock=clock, keep_days=1, small_cell=settings.small_cell)
        began = time.perf_counter()
        taken = await snapshots.take(made.row.id, clock.now(), use)
        return {"seconds": time.perf_counter() - began, "size": (await snapshots.get(taken)).size}
    finally:
        await close_house()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(snapshot(sys.argv[1]))))
