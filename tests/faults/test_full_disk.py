"""The disk of the database is full, first for rows, then for its log, and is freed again.

What is lost: nothing. Until there is room, callers are told to come again (503); whatever was acknowledged is there
afterwards, and nothing else. Needs to mount a small disk in memory, so it runs as root only.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from server.web.errors import envelope, known
from tests.support.clusters import Cluster, started_cluster
from tests.support.databases import Database
from tests.support.intents import INTENTS, PAYEE, Field, Mixture, settle
from tests.support.ledger import open_ledger
from tests.support.patience import PATIENCE_S, until
from tests.support.posters import Posters

pytestmark = pytest.mark.fault

# The quicker the machine, the more log lies between two checkpoints: that alone must not fill the disk.
DISK_BYTES = 512 << 20
SETTINGS = {"min_wal_size": "32MB", "max_wal_size": "64MB", "shared_buffers": "32MB"}


@contextmanager
def small_disk() -> Iterator[Path]:
    """A folder on a disk of its own; skips where none can be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="chengxin-disk-", dir="/var/tmp"))
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "tmpfs", str(folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        folder.rmdir()
        pytest.skip("there is no mount here")
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


@pytest_asyncio.fixture
async def disk() -> AsyncIterator[Path]:
    with small_disk() as folder:
        yield folder


@pytest_asyncio.fixture
async def cluster(disk: Path) -> AsyncIterator[Cluster]:
    async with started_cluster(disk, in_memory=False, **SETTINGS) as cluster:
        yield cluster


def fill(disk: Path) -> Path:
    """Leaves not a byte."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(b"x" * (64 << 10))
            file.flush()
    assert shutil.disk_usage(disk).free < 64 << 10
    return ballast


async def eat_log(database: Database) -> Exception:
    """Asks for one log segment after another until PostgreSQL has none left; returns how it told. (Its PANIC itself it
    can write nowhere: its own log is on the same disk.)"""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    connection = await asyncpg.connect(database.superuser, timeout=10)
    try:
        while asyncio.get_running_loop().time() < deadline:
            await connection.execute("SELECT pg_logical_emit_message(false, 'fault', 'x', true), pg_switch_wal()")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as end:
        return end
    finally:
        connection.terminate()
    raise AssertionError("PostgreSQL found room for its log all the time")


async def test_a_full_disk_is_told_as_503_and_after_room_is_made_everything_acknowledged_is_there(
    disk: Path, cluster: Cluster
) -> None:
    database = await cluster.database()
    async with open_ledger(database) as ledger:
        field, rich = await Field.laid_out(ledger), await ledger.resident(points=10_000)
        refused: list[BaseException] = []

        async def run_full(mixture: Mixture) -> None:
            await mixture.reached(0.25)
            ballast = fill(disk)

            async def rows_find_no_room() -> bool:
                try:
                    await ledger.app.spend(rich, ledger.id7(), points=1, payee=PAYEE)
                except Exception as problem:
                    refused.append(problem)
                return posters.heard["vault_unavailable"] > 0 and len(refused) > 0

            await until("rows that find no room", rows_find_no_room)
            died = await eat_log(database)
            assert isinstance(died, (asyncpg.PostgresConnectionError, asyncpg.CrashShutdownError, OSError)), repr(died)
            os.truncate(ballast, 0)
            ballast.unlink()
            await asyncio.to_thread(cluster.engines.start)

        async with Posters.started(database.app, database.worker) as posters:
            mixture = Mixture(field, posters, intents=INTENTS, seed=61)
            await mixture.run(run_full)
    for problem in refused:
        answer = known(problem)
        assert answer is not None and answer.status == 503, f"expected 503 for {problem!r}, saw {answer!r}"
        assert int(envelope(answer, "r")[2]["Retry-After"]) > 0
    print(await settle(mixture, database))
    status, said = await asyncio.to_thread(cluster.amcheck, database)
    assert status == 0, f"pg_amcheck expected no damage after recovery, saw {said}"
