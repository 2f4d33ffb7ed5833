"""The three roles, the database and its grants, made by a superuser once (D3, D39).

chengxin_owner   owns every table and function; runs migrations and nothing else
chengxin_app     the HTTP processes        chengxin_worker   the background process
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg

OWNER: Final = "chengxin_owner"
APP: Final = "chengxin_app"
WORKER: Final = "chengxin_worker"
ROLES: Final = (OWNER, APP, WORKER)
#: One statement's rows: asyncpg's `connection.fetch` or `server.kit.db.fetch`.
Query = Callable[..., Awaitable[Sequence[Any]]]
_LOCK: Final = 0x6368_656E_6762  # "chengb", so that two bootstraps take turns


def with_database(dsn: str, dbname: str) -> str:
    """The same URL for another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{dbname}"))


async def bootstrap(superuser_dsn: str, dbname: str, passwords: dict[str, str], *, template: str | None = None) -> None:
    """Make roles, database and per-database grants; safe to run again. `passwords` is keyed by role name."""
    connection = await asyncpg.connect(superuser_dsn)
    try:
        await connection.execute("SET lock_timeout = 0")
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        for role in ROLES:
            await _make_role(connection, role, passwords[role])
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", dbname):
            source = f" TEMPLATE {_name(template)}" if template else ""
            await connection.execute(f"CREATE DATABASE {_name(dbname)} OWNER {OWNER}{source}")
    finally:
        await connection.close()
    await grant_database(superuser_dsn, dbname)


async def grant_database(superuser_dsn: str, dbname: str) -> None:
    """Set what belongs to one database; a database cloned from a template needs it again, the clone drops it."""
    connection = await asyncpg.connect(with_database(superuser_dsn, dbname))
    try:
        await connection.execute(
            f"""
            REVOKE ALL ON DATABASE {_name(dbname)} FROM PUBLIC;
            GRANT CONNECT, TEMPORARY, CREATE ON DATABASE {_name(dbname)} TO {OWNER};
            GRANT CONNECT ON DATABASE {_name(dbname)} TO {APP}, {WORKER};
            ALTER SCHEMA public OWNER TO {OWNER};
            REVOKE ALL ON SCHEMA public FROM PUBLIC;
            GRANT USAGE ON SCHEMA public TO {APP}, {WORKER};
            ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
            """
        )
    finally:
        await connection.close()


async def missing_grants(query: Query) -> list[str]:
    """What the connected role's database lacks or has too much of, as short names; empty when all is well."""
    row = (
        await query(
            """
        SELECT EXISTS (SELECT 1 FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                       WHERE d.datname = current_database() AND a.grantee = 0) AS public_database,
               has_schema_privilege(current_user, 'public', 'CREATE') AS create_in_public,
               has_schema_privilege(current_user, 'public', 'USAGE') AS use_public,
               has_database_privilege(current_user, current_database(), 'TEMPORARY') AS temporary,
               (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser
        """
        )
    )[0]
    wrong = {
        "database_open_to_public": row["public_database"],
        "may_create_in_public": row["create_in_public"],
        "may_not_use_public": not row["use_public"],
        "may_create_temporary": row["temporary"],
        "is_superuser": row["superuser"],
    }
    return [name for name, bad in wrong.items() if bad]


async def _make_role(connection: Any, role: str, password: str) -> None:
    exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    verb = "ALTER" if exists else "CREATE"
    statement = await connection.fetchval(
        f"SELECT format('{verb} ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD %L', $1::text, $2::text)",
        role,
        password,
    )
    await connection.execute(statement)


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


async def set_zone(owner_dsn: str, zone: str) -> None:
    """Make the vault's days those of this city. Raises when PostgreSQL does not know the zone."""
    connection = await asyncpg.connect(owner_dsn)
    try:
        if await connection.fetchval("SELECT vault.zone()") == zone:
            return
        await connection.fetchval("SELECT now() AT TIME ZONE $1", zone)
        statement = await connection.fetchval(
            "SELECT format('CREATE OR REPLACE FUNCTION vault.zone() RETURNS text"
            " LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L',"
            " format('SELECT %L::text', $1::text))",
            zone,
        )
        await connection.execute(statement)
    finally:
        await connection.close()
