"""Running the migrations: one at a time, never waiting long for a lock, known to be complete or not.

`python -m server.kit.migrations regenerate` writes 0001_house from the models while it has never been released;
`… check` prints what the models have and the migrations lack.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import asyncpg
from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget
from tortoise.migrations.schema_generator.operation_generator import OperationGenerator
from tortoise.migrations.schema_generator.state import State
from tortoise.migrations.schema_generator.state_apps import StateApps
from tortoise.migrations.writer import MigrationWriter

from server.kit.bootstrap import Query
from server.kit.db import APP_LABEL, CONNECTION, tortoise_config

LOCK: Final = 0x6368_656E_6778  # one migrator at a time per database
LOCK_TIMEOUT: Final = "5s"
STATEMENT_TIMEOUT_S: Final = 300
FOLDER: Final = Path(__file__).resolve().parents[2] / "migrations"
FIRST: Final = "0001_house"


async def migrate(owner_dsn: str, target: str | None = None) -> list[str]:
    """Bring the database to `target` (a migration's name, "zero" for none, None for the latest); returns what ran.

    Runs as the owner role under one advisory lock; a lock on a busy table is waited for 5 seconds and then given up,
    so that a migration never queues the whole service behind itself.
    """
    names: list[str] = []
    guard = await asyncpg.connect(owner_dsn)
    try:
        await guard.execute("SET lock_timeout = 0")  # wait for the other migrator, however long it takes
        await guard.execute("SELECT pg_advisory_lock($1)", LOCK)
        if target is None and not await pending(guard.fetch):
            return names  # the migrations' whole history need not be built in memory, which takes seconds
        async with TortoiseContext() as context:
            await context.init(config=_migration_config(owner_dsn))
            executor = _executor(context)
            await executor.migrate(
                [MigrationTarget(APP_LABEL, {None: "__latest__", "zero": "__first__"}.get(target, target or ""))],
                progress=lambda step, _, name: names.append(name) if step.endswith("_done") else None,
            )
    finally:
        await guard.close()
    return names


async def pending(query: Query) -> list[str]:
    """The migrations on disk that a database has not seen. `query` is asyncpg's `fetch` or `server.kit.db.fetch`."""
    known = await query("SELECT to_regclass('public.tortoise_migrations') IS NOT NULL AS known")
    rows = await query("SELECT name FROM tortoise_migrations WHERE app = $1", APP_LABEL) if known[0]["known"] else []
    applied = {row["name"] for row in rows}
    return [name for name in names_on_disk() if name not in applied]


def names_on_disk() -> list[str]:
    """Every migration shipped with this release, in order."""
    return sorted(path.stem for path in FOLDER.glob("[0-9]*.py"))


async def drift() -> list[str]:
    """What the models say and no migration does, one line per operation; empty when they agree. Needs no database."""
    async with TortoiseContext() as context:
        await context.init(config=_OFFLINE, init_connections=False)
        writers = await _autodetector(context).changes()
    return [f"{type(operation).__name__} {vars(operation)}" for writer in writers for operation in writer.operations]


async def regenerate() -> Path:
    """Write 0001_house anew from all models. Only while no release carries it."""
    path = FOLDER / f"{FIRST}.py"
    with (Path(tempfile.gettempdir()) / "chengxin-migration.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        async with TortoiseContext() as context:
            await context.init(config=_OFFLINE, init_connections=False)
            models = _autodetector(context)._current_state()
            nothing = State(models={}, apps=StateApps())
            operations = list(OperationGenerator(nothing, models).generate(app_labels=[APP_LABEL]))
        writer = MigrationWriter(FIRST, APP_LABEL, operations, initial=True, migrations_module="migrations")
        path.write_text(writer.as_string())
    return path


_OFFLINE: Final = tortoise_config("postgresql://nobody@localhost/none")


def _migration_config(dsn: str) -> dict[str, Any]:
    """One connection, patient with its own statements and impatient with other people's locks; no models needed."""
    config = tortoise_config(dsn, pool_max=2)
    config["connections"][CONNECTION]["credentials"] |= {
        "command_timeout": STATEMENT_TIMEOUT_S,
        "application_name": "chengxin-migrate",
        "server_settings": {"lock_timeout": LOCK_TIMEOUT},
    }
    return config


def _executor(context: TortoiseContext) -> MigrationExecutor:
    return MigrationExecutor(context.connections.get(CONNECTION), {APP_LABEL: {"migrations": "migrations"}})


def _autodetector(context: TortoiseContext) -> MigrationAutodetector:
    assert context.apps is not None
    return MigrationAutodetector(context.apps, {APP_LABEL: {"migrations": "migrations"}})


def _main(arguments: list[str]) -> int:
    if arguments == ["regenerate"]:
        sys.stdout.write(f"{asyncio.run(regenerate())}\n")
        return 0
    if arguments == ["check"]:
        missing = asyncio.run(drift())
        sys.stdout.write("".join(f"{line}\n" for line in missing))
        return 1 if missing else 0
    sys.stderr.write("usage: python -m server.kit.migrations regenerate | check\n")
    return 2


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
