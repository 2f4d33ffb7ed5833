"""The house's database: one Tortoise context per process and one way to open a transaction.

`transaction()` is the only place where a house transaction begins and ends. It closes three holes of Tortoise 1.1 (each
reproduced, each with a test in tests/integration/test_transaction.py): a failed BEGIN leaks its connection and leaves
the task holding it; errors that appear at COMMIT leave as raw asyncpg errors; nesting silently becomes a savepoint.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from tortoise import Tortoise
from tortoise.backends.base.client import BaseDBAsyncClient, TransactionalDBClient
from tortoise.connection import get_connection, get_connections
from tortoise.exceptions import DBConnectionError, IntegrityError

from server.kit.errors import AppError, TemporarilyUnavailable

T = TypeVar("T")

CONNECTION: Final = "default"
APP_LABEL: Final = "migrations"
MODEL_MODULES: Final[list[str]] = [
    "server.kit.outbox",
    "server.kit.relay",
    "server.kit.jobs",
    "server.kit.audit",
    "server.kit.passes",
    "server.people.models",
    "server.merchants.models",
    "server.incentives.models",
    "server.incentives.dry_runs.models",
    "server.incentives.grants.models",
    "server.incentives.intake.models",
    "server.incentives.segments.models",
    "server.incentives.lottery.models",
    "server.incentives.codes.models",
    "server.notices.models",
    "server.ledger_office.models",
]
STATEMENT_TIMEOUT_S: Final = 10
BEGIN_ATTEMPTS: Final = 2


class Conflict(AppError):
    """Two changes met; nothing was written and the same command may be tried again."""

    code, status, message = "conflict", 409, "数据已被其他操作更新，请刷新后重试"


class NestedTransaction(RuntimeError):
    """A transaction was opened inside another one: a mistake in the program, never of the caller."""


def credentials_of(dsn: str) -> dict[str, Any]:
    """The parts of a PostgreSQL URL; `?host=/folder` names a unix socket."""
    parts = urlsplit(dsn)
    if parts.scheme not in {"postgres", "postgresql", "asyncpg"}:
        raise ValueError("a database URL begins with postgresql://")
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    credentials: dict[str, Any] = {
        "host": query.pop("host", None) or parts.hostname or "127.0.0.1",
        "port": int(query.pop("port", None) or parts.port or 5432),
        "user": unquote(parts.username or "postgres"),
        "password": unquote(parts.password) if parts.password else None,
        "database": parts.path.lstrip("/"),
    }
    if "sslmode" in query:
        credentials["ssl"] = query.pop("sslmode")
    return credentials


def tortoise_config(dsn: str, *, pool_min: int = 1, pool_max: int = 8) -> dict[str, Any]:
    """The Tortoise configuration for one database: one connection, one app label, one history of migrations."""
    credentials = credentials_of(dsn) | {
        "minsize": pool_min,
        "maxsize": pool_max,
        "command_timeout": STATEMENT_TIMEOUT_S,
        "application_name": "chengxin-house",
    }
    return {
        "connections": {CONNECTION: {"engine": "tortoise.backends.asyncpg", "credentials": credentials}},
        "apps": {
            APP_LABEL: {"models": list(MODEL_MODULES), "migrations": "migrations", "default_connection": CONNECTION}
        },
        "use_tz": True,
        "timezone": "UTC",
    }


TORTOISE_CONFIG: Final[dict[str, Any]] = tortoise_config(
    os.environ.get("CHENGXIN_MIGRATION_URL") or "postgresql://chengxin_owner@127.0.0.1:5432/chengxin"
)


async def open_house(dsn: str, *, pool_min: int = 1, pool_max: int = 8) -> None:
    """Connect this process's house to its database, visible from every task. Raises when it cannot be reached."""
    await Tortoise.init(config=tortoise_config(dsn, pool_min=pool_min, pool_max=pool_max), _enable_global_fallback=True)
    try:
        await get_connection(CONNECTION).execute_query("SELECT 1")
    except BaseException:
        await close_house()
        raise


async def close_house() -> None:
    """Close the pool; safe to call when nothing is open."""
    await Tortoise.close_connections()


async def fetch(sql: str, *values: Any, using: BaseDBAsyncClient | None = None) -> list[dict[str, Any]]:
    """The rows of one statement with $1 placeholders, also of UPDATE … RETURNING."""
    return await (using or get_connection(CONNECTION)).execute_query_dict(sql, list(values))


@asynccontextmanager
async def transaction() -> AsyncIterator[BaseDBAsyncClient]:
    """One READ COMMITTED transaction of the house; commits when the block ends, rolls back when it raises.

    Nothing outside the database is awaited inside. A lost race leaves as `Conflict`, a lost connection as
    `TemporarilyUnavailable`; constraint violations stay Tortoise's `IntegrityError`, those of COMMIT included.
    """
    client = get_connection(CONNECTION)
    if isinstance(client, TransactionalDBClient):
        raise NestedTransaction("transaction() inside transaction()")
    context = await _begin(client)
    try:
        try:
            yield context.client
        except BaseException:
            await _leave(context, *sys.exc_info())
            raise
        else:
            await _leave(context, None, None, None)
    except LOST_RACE as error:
        raise Conflict from error
    except asyncpg.IntegrityConstraintViolationError as error:
        raise IntegrityError(error) from error
    except LOST_CONNECTION as error:
        raise TemporarilyUnavailable(retry_after_s=1) from error


async def retry_on_conflict(command: Callable[[], Awaitable[T]], attempts: int = 3) -> T:
    """Run a whole command again when it lost a race; the last `Conflict` leaves."""
    for attempt in range(1, attempts + 1):
        try:
            return await command()
        except Conflict:
            if attempt == attempts:
                raise
            await asyncio.sleep(0.01 * attempt)
    raise AssertionError("attempts is at least 1")


LOST_RACE = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)
LOST_CONNECTION = (
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,  # cut off in the middle of a message
    asyncpg.InterfaceError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    ConnectionError,
    TimeoutError,
    DBConnectionError,
)


async def _begin(client: BaseDBAsyncClient) -> Any:
    """Enter Tortoise's context; when BEGIN fails, give the connection back and free the task from it.

    A pooled connection may have died since it was last used, so BEGIN is tried once more on another.
    """
    handler = get_connections()
    for attempt in range(1, BEGIN_ATTEMPTS + 1):
        context: Any = client._in_transaction()
        try:
            await context.__aenter__()
            return context
        except BaseException as error:
            token = getattr(context, "token", None)
            if token is not None:
                handler.reset(token)
            await _give_back(context.client)
            if isinstance(error, LOST_CONNECTION):
                if attempt < BEGIN_ATTEMPTS:
                    continue
                raise TemporarilyUnavailable(retry_after_s=1) from error
            raise
    raise AssertionError("BEGIN_ATTEMPTS is at least 1")


async def _leave(context: Any, *error: Any) -> None:
    """Commit or roll back. A dead connection cannot roll back; the error that killed it is the one to report."""
    try:
        await context.__aexit__(*error)
    except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError):
        if error[0] is None:
            raise


async def _give_back(client: Any) -> None:
    pool, connection = client._parent._pool, client._connection
    if pool is None or connection is None:
        return
    connection.terminate()
    await pool.release(connection)
