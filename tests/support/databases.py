"""Databases for tests: one embedded cluster, one migrated template, a clone for whoever asks.

cluster (shared by all workers and runs)  ->  template t_<fingerprint of migrations and models>  ->  x_<pid>_<n>

Clusters lie in memory where that can be had: kill -9 leaves what the system's cache holds, on a disk as in memory, and
the thousands of small files of some hundred databases would be most of the time of many tests. No test cuts the power.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from server.sandbox.engine_user import EngineUser
from server.sandbox.engines import Engines, EngineUrls

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("CHENGXIN_TEST_ENGINES", ROOT / ".chengxin" / "tests"))
MEMORY, MEMORY_WANTED_BYTES = Path("/dev/shm"), 4 << 30

#: A power cut may cost test data; a killed process costs nothing either way. Fault tests own a cluster without these.
#: The tests connect thousands of times, and 4096 rounds of a password's hash are what a connection costs most.
#: Databases that live for seconds need no autovacuum, which would visit each of them.
TEST_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "scram_iterations": "1",
    "autovacuum": "off",
    "min_wal_size": "64MB",
    "max_wal_size": "512MB",
}

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """One migrated database and its URLs by role."""

    name: str
    superuser: str
    owner: str
    app: str
    worker: str

    @classmethod
    def at(cls, urls: EngineUrls, name: str) -> Database:
        return cls(name, *(urls.dsn(role, name) for role in ("superuser", "owner", "app", "worker")))


@contextlib.contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """One process at a time."""
    with (folder / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that is closed whatever happens: one left open warns in some other test, and may hold locks."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def superuser(urls: EngineUrls, database: str = "postgres") -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection that waits for locks as long as it takes."""
    connection = await asyncpg.connect(urls.dsn("superuser", database), server_settings={"lock_timeout": "0"})
    try:
        yield connection
    finally:
        await connection.close()


def fingerprint() -> str:
    """Changes whenever a migrated database would look different."""
    digest = hashlib.sha256()
    sources = [
        *(ROOT / "migrations").rglob("*.py"),
        *(ROOT / "migrations").rglob("*.sql"),
        ROOT / "server/kit/bootstrap.py",
    ]
    for path in sorted(sources):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


async def bootstrap(urls: EngineUrls, name: str) -> None:
    """Roles, the database and its grants."""
    from server.kit.bootstrap import bootstrap as bootstrap_db

    await bootstrap_db(urls.superuser, name, urls.role_passwords)


async def migrate(owner_dsn: str) -> None:
    """All migrations, the way `chengxin migrate` runs them, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import asyncio, os; from server.kit.migrations import migrate;"
        "asyncio.run(migrate(os.environ['CHENGXIN_MIGRATION_URL']))",
        cwd=ROOT,
        env={**os.environ, "CHENGXIN_MIGRATION_URL": owner_dsn, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the migrations fail:\n{output.decode()}")


async def template(urls: EngineUrls, folder: Path) -> str:
    """The name of the migrated template; built at most once per state of the migrations."""
    name = f"t_{fingerprint()}"
    with locked(folder, "template"):
        async with superuser(urls) as connection:
            if await connection.fetchval("SELECT datistemplate FROM pg_database WHERE datname = $1", name):
                return name
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await _drop_old(connection)
            await bootstrap(urls, name)
            await migrate(urls.dsn("owner", name))
            await connection.execute(f'ALTER DATABASE "{name}" IS_TEMPLATE true')
    return name


async def clone(urls: EngineUrls, source: str) -> Database:
    """A fresh database of the calling process. A clone has none of its template's grants (D3)."""
    from server.kit.bootstrap import grant_database

    name = f"x_{os.getpid()}_{next(_numbers)}"
    async with superuser(urls) as connection:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.execute(
            f'CREATE DATABASE "{name}" TEMPLATE "{source}" STRATEGY FILE_COPY OWNER chengxin_owner'
        )
    await grant_database(urls.superuser, name)
    return Database.at(urls, name)


async def drop(urls: EngineUrls, name: str) -> None:
    """Remove a clone, whoever is still connected."""
    async with superuser(urls) as connection:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def drop_own(urls: EngineUrls) -> None:
    """Remove what is left of this process's clones."""
    async with superuser(urls) as connection:
        for row in await connection.fetch(
            "SELECT datname FROM pg_database WHERE starts_with(datname, $1)", f"x_{os.getpid()}_"
        ):
            await connection.execute(f'DROP DATABASE "{row["datname"]}" WITH (FORCE)')


async def _drop_old(connection: asyncpg.Connection) -> None:
    """Clones of processes that are gone, and templates of older migrations that nobody uses."""
    for row in await connection.fetch(
        "SELECT datname FROM pg_database WHERE datname ~ '^x_[0-9]+_' OR datname ~ '^t_'"
    ):
        name = row["datname"]
        if name.startswith("x_") and psutil.pid_exists(int(name.split("_")[1])):
            continue
        with contextlib.suppress(asyncpg.PostgresError):
            if name.startswith("t_"):
                await connection.execute(f'ALTER DATABASE "{name}" IS_TEMPLATE false')
            await connection.execute(f'DROP DATABASE "{name}"')


def folder_in_memory() -> Path | None:
    """A new folder of ours, or None where there is too little memory for one."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < MEMORY_WANTED_BYTES:
        return None
    return Path(tempfile.mkdtemp(prefix="chengxin-tests-", dir=MEMORY))


def start_engines(folder: Path = FOLDER) -> Engines:
    """The shared cluster of all test processes on this work tree. Its data stays for the next run, behind a link when
    it is in memory; `make clean` removes both."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, "place"):
        data = folder / "pgdata"
        if not data.exists() and (memory := folder_in_memory()) is not None:
            data.unlink(missing_ok=True)  # a link to what a restart of the machine took
            EngineUser.current().give(memory)
            data.symlink_to(memory)
    engines = Engines(folder, settings=TEST_SETTINGS, valkey=False)
    engines.start()
    return engines
