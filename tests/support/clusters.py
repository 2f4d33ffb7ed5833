"""A cluster that tests may break, with a city's settings: fsync is on, checksums are on.

It begins as a copy of the shared one, whose template its tests clone: most of a test's time would be its migrations.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from server.sandbox.engine_postgres import Postgres, free_port
from server.sandbox.engines import Engines, EngineUrls
from tests.support import databases
from tests.support.databases import Database, superuser
from tests.support.patience import until

_IN_STEP = """
SELECT pid FROM pg_stat_replication
WHERE sync_state = $1 AND state = 'streaming' AND replay_lsn >= pg_current_wal_flush_lsn()
"""


@contextmanager
def quick_folder(otherwise: Path) -> Iterator[Path]:
    """A folder for engines in memory, or the other one where there is too little."""
    folder = databases.folder_in_memory()
    if folder is None:
        yield otherwise
        return
    folder.chmod(0o755)  # the engines may belong to another account
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Cluster:
    """PostgreSQL alone, and how it dies."""

    engines: Engines
    source: str

    async def database(self) -> Database:
        """A migrated database nobody used before."""
        return await databases.clone(self.engines.urls, self.source)

    async def kill(self) -> None:
        """Kills PostgreSQL with -9; returns when it is gone."""
        pid = self.engines.postgres.pid()
        assert pid is not None, "PostgreSQL runs before it is killed"
        os.kill(pid, signal.SIGKILL)
        # Dying takes a moment, and meanwhile its port still answers.
        while self.engines.postgres.pid() is not None:  # noqa: ASYNC110 a process of somebody else's
            await asyncio.sleep(0.02)

    def amcheck(self, database: Database) -> tuple[int, str]:
        """pg_amcheck's exit status and words: every page of every heap and B-tree, every heap row in its indexes."""
        urls = self.engines.urls
        where = ["-h", "127.0.0.1", "-p", str(urls.postgres_port), "-U", "postgres", "-d", database.name]
        return self.engines.postgres.user.run(
            [self.engines.postgres_bin / "pg_amcheck", "--install-missing", "--heapallindexed", "-j", "2", *where],
            timeout_s=300,
            environ={"PGPASSWORD": urls.passwords["superuser"]},
        )

    @asynccontextmanager
    async def standby(self, folder: Path, *, synchronous: bool = True) -> AsyncIterator[Standby]:
        """A standby beside it: what is acknowledged from here on is on both when it is synchronous. Afterwards it runs
        alone again, also when it was killed meanwhile."""
        postgres, urls = self.engines.postgres, self.engines.urls
        standby = Standby(postgres, postgres.user.own_folder(folder / "standby"), free_port())
        await asyncio.to_thread(standby.copy, urls)
        if synchronous:
            await self._configure("ALTER SYSTEM SET synchronous_standby_names = '*'")
        try:
            await asyncio.to_thread(standby.start)
            await self.in_step("sync" if synchronous else "async")
            yield standby
        finally:
            await asyncio.to_thread(standby.stop)
            await asyncio.to_thread(self.engines.start)
            await self._configure("ALTER SYSTEM RESET synchronous_standby_names")

    async def in_step(self, kind: str) -> int:
        """Returns once the standby of this kind has everything; the process that sends to it."""
        async with superuser(self.engines.urls) as connection:
            return int(await until("the standby in step", lambda: connection.fetchval(_IN_STEP, kind)))

    async def _configure(self, statement: str) -> None:
        async with superuser(self.engines.urls) as connection:
            await connection.execute(statement)
            await connection.execute("SELECT pg_reload_conf()")

    def discard(self) -> None:
        """Ends it without a last checkpoint and deletes it."""
        postgres = self.engines.postgres
        postgres.user.run([postgres.bin / "pg_ctl", "stop", "-D", postgres.data, "-m", "immediate"], timeout_s=60)
        self.engines.destroy()


@dataclass
class Standby:
    """A second PostgreSQL that follows the first until it is promoted."""

    postgres: Postgres
    data: Path
    port: int

    def copy(self, urls: EngineUrls) -> None:
        _base_backup(self.postgres, urls, self.data, "-R")

    def start(self) -> None:
        options = f"-p {self.port} -c unix_socket_directories={self.data}"
        _run(self.postgres, "pg_ctl", "start", "-D", self.data, "-l", self.data / "server.log", "-w", "-o", options)

    def promote(self) -> None:
        """Makes it the one that writes."""
        _run(self.postgres, "pg_ctl", "promote", "-D", self.data, "-w")

    def stop(self) -> None:
        _run(self.postgres, "pg_ctl", "stop", "-D", self.data, "-m", "immediate", "-w")


async def copy_shared(engines: Engines) -> str:
    """Lays the shared cluster's data and passwords where these engines will start; returns its migrated template."""
    shared = await asyncio.to_thread(databases.start_engines)
    try:
        source = await databases.template(shared.urls, shared.folder)
        engines.folder.mkdir(parents=True)
        (engines.folder / "engines.json").write_text(json.dumps({"passwords": dict(shared.urls.passwords)}))
        data = shared.postgres.user.own_folder(engines.folder / "pgdata")
        await asyncio.to_thread(_base_backup, shared.postgres, shared.urls, data)
    finally:
        await asyncio.to_thread(shared.stop)
    return source


def _base_backup(postgres: Postgres, urls: EngineUrls, data: Path, *options: str) -> None:
    where = ["-h", "127.0.0.1", "-p", str(urls.postgres_port), "-U", "postgres", "-D", data]
    _run(
        postgres, "pg_basebackup", *where, "-X", "stream", "--checkpoint=fast", "--no-sync", *options,
        password=urls.passwords["superuser"],
    )  # fmt: skip


def _run(postgres: Postgres, tool: str, *arguments: str | Path, password: str = "") -> None:
    status, said = postgres.user.run([postgres.bin / tool, *arguments], timeout_s=120, environ={"PGPASSWORD": password})
    assert status == 0, f"{tool}: {said}"


@asynccontextmanager
async def started_cluster(folder: Path, *, in_memory: bool = True, **settings: str) -> AsyncIterator[Cluster]:
    """A cluster in memory, or else in `folder`, gone at the end."""
    with quick_folder(folder) if in_memory else nullcontext(folder) as place:
        engines = Engines(place / "engines", settings=settings, valkey=False)
        cluster = Cluster(engines, await copy_shared(engines))
        try:
            await asyncio.to_thread(engines.start)
            yield cluster
        finally:
            await asyncio.to_thread(cluster.discard)
