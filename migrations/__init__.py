"""The one linear history of the database: house tables, house rules, the vault.

    0001_house        written from the models (`make migration`)
    0002_house_rules  sql/house/*.sql: checks, partial uniques, append-only triggers, grants
    0003_vault        sql/vault/*.sql: the schema `vault` with its tables and functions

Every `NAME.sql` is sent whole, in name order. Its twin `NAME.down.sql` undoes it; twins run in reverse order, and a
twin without a forward file (such as `999_drop.down.sql`) takes its place in the same order.
"""

from __future__ import annotations

from pathlib import Path

_SQL = Path(__file__).parent / "sql"


def forward_sql(folder: str) -> list[str]:
    """The files that build one folder, in name order."""
    return [path.read_text() for path in sorted((_SQL / folder).glob("*.sql")) if not path.name.endswith(".down.sql")]


def backward_sql(folder: str) -> list[str]:
    """The files that undo it, in reverse name order."""
    return [path.read_text() for path in sorted((_SQL / folder).glob("*.down.sql"), reverse=True)]
