"""What the SQL files declare is really in a migrated database, and the migrations run up, down and up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from server.kit.bootstrap import missing_grants
from server.kit.migrations import migrate, names_on_disk, pending
from tests.support.databases import Database, connected

SQL = Path(__file__).resolve().parents[2] / "migrations" / "sql"
LITERAL = r"(?!%)\"?(\w+)\"?"
DECLARED = {
    "constraint": re.compile(rf"\bCONSTRAINT\s+{LITERAL}\s+(?:CHECK|UNIQUE|PRIMARY|FOREIGN|EXCLUDE)", re.IGNORECASE),
    "trigger": re.compile(rf"\bCREATE\s+(?:CONSTRAINT\s+)?TRIGGER\s+{LITERAL}\s", re.IGNORECASE),
    "index": re.compile(rf"\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+{LITERAL}\s", re.IGNORECASE),
    "function": re.compile(rf"\bCREATE\s+(?:OR\s+REPLACE\s+)?FUNCTION\s+(?:\w+\.)?{LITERAL}\s*\(", re.IGNORECASE),
}
PRESENT = {
    "constraint": "SELECT conname FROM pg_constraint",
    "trigger": "SELECT tgname FROM pg_trigger WHERE tgenabled = 'O'",
    "index": "SELECT relname FROM pg_class WHERE relkind IN ('i', 'I')",
    "function": "SELECT proname FROM pg_proc",
}
FORWARD = sorted(path for path in SQL.rglob("*.sql") if not path.name.endswith(".down.sql"))
EVERYTHING = """
SELECT 'column' AS kind, table_schema || '.' || table_name || '.' || column_name || ' ' || data_type || ' ' ||
is_nullable AS it
  FROM information_schema.columns WHERE table_schema IN ('public', 'vault')
UNION ALL SELECT 'constraint', conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM
pg_constraint
  WHERE connamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'vault'))
UNION ALL SELECT 'trigger', pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'index', indexdef FROM pg_indexes WHERE schemaname IN ('public', 'vault')
UNION ALL SELECT 'function', p.oid::regprocedure || ' ' || md5(prosrc) || ' ' || coalesce(proacl::text, '') FROM
pg_proc p
  WHERE pronamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'vault'))
UNION ALL SELECT 'table', oid::regclass || ' ' || relkind::text || ' ' || coalesce(relacl::text, '') FROM pg_class
  WHERE relkind IN ('r', 'p', 'S') AND relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public',
  'vault'))
"""


def uncommented(path: Path) -> str:
    return re.sub(r"--[^\n]*", "", path.read_text())


@pytest.mark.parametrize("path", FORWARD, ids=lambda path: f"{path.parent.name}/{path.name}")
async def test_everything_a_file_declares_is_in_the_database(database: Database, path: Path) -> None:
    async with connected(database.owner) as connection:
        text = uncommented(path)
        missing = []
        for kind, pattern in DECLARED.items():
            present = {row[0] for row in await connection.fetch(PRESENT[kind])}
            missing += [f"{kind} {name}" for name in pattern.findall(text) if name not in present]
    assert missing == []


def test_every_file_of_the_house_has_its_twin() -> None:
    for path in FORWARD:
        if path.parent.name == "house":
            assert path.with_name(path.name.replace(".sql", ".down.sql")).exists(), path.name


async def test_up_down_up_ends_where_it_began_though_two_migrators_go_up_at_once(
    new_database: Callable[[], Awaitable[Database]],
) -> None:
    database = await new_database()

    async def catalogue() -> set[tuple[str, str]]:
        async with connected(database.owner) as connection:
            return {(row["kind"], row["it"]) for row in await connection.fetch(EVERYTHING)}

    before = await catalogue()
    assert await migrate(database.owner, "zero") == list(reversed(names_on_disk()))
    left = {it for _, it in await catalogue()}
    assert [it for it in left if "tortoise_migrations" not in it] == []
    ran = await asyncio.gather(migrate(database.owner), migrate(database.owner))
    assert sorted(ran, key=len) == [[], names_on_disk()], "they take turns"
    assert await catalogue() == before


async def test_a_migrated_database_has_nothing_pending_and_its_grants(database: Database) -> None:
    for dsn in (database.app, database.worker):
        async with connected(dsn) as connection:
            assert await pending(connection.fetch) == []
            assert await missing_grants(connection.fetch) == []
