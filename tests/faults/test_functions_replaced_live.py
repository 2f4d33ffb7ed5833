"""A new release's functions and columns arrive while the old release's processes post.

What is lost: nothing. No caller sees an error, and both versions write the same books. The functions make whole rows,
so a release that adds a column to a table of value replaces them in the transaction that adds it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.databases import ROOT, Database, connected
from tests.support.intents import INTENTS, Field, Mixture, settle
from tests.support.ledger import Ledger, open_ledger
from tests.support.posters import Posters

pytestmark = pytest.mark.fault

SQL = ROOT / "migrations/sql/vault"
#: What decides and posts; types and tables among it stay as they are.
FILES = sorted(path for path in SQL.glob("*.sql") if re.match(r"04[468]|05\d|060", path.name))
RELEASES = 3 if INTENTS < 20_000 else 30


@pytest_asyncio.fixture
async def ledger(fresh_database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(fresh_database) as ledger:
        yield ledger


def functions(release: int) -> list[str]:
    """Every function as a statement that replaces it, as the release after so many new columns has it."""
    text = "\n".join(path.read_text() for path in FILES)
    found = re.findall(r"^CREATE FUNCTION .*?\$\$.*?\$\$;", text, flags=re.MULTILINE | re.DOTALL)
    later = ", NULL" * release
    return [
        re.sub(r"((?:o\.entry|o\.follow|m\.hold) := ROW\(.*?)\);\n", rf"\1{later});\n", one, flags=re.DOTALL).replace(
            "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1
        )
        for one in found
    ]


async def test_functions_replaced_and_columns_added_under_load_are_seen_by_no_caller(ledger: Ledger) -> None:
    field = await Field.laid_out(ledger)
    names = [re.findall(r"FUNCTION (vault\.\w+)", statement)[0] for statement in functions(0)]
    assert {"vault.post", "vault.decide", "vault.note", "vault.write_postings", "vault.read_facts"} <= set(names)
    assert sum(new != old for new, old in zip(functions(1), functions(0), strict=True)) >= 2, "new releases differ"
    version = "SELECT xmin::text FROM pg_proc WHERE oid = 'vault.post'::regproc"
    before = await ledger.owner.fetchval(version)

    async def release(mixture: Mixture) -> None:
        """As migrations: one transaction each, with a short patience for locks."""
        async with connected(ledger.database.owner) as owner:
            await owner.execute("SET lock_timeout = '5s'")
            for number in range(1, RELEASES + 1):
                await mixture.reached((number - 0.5) / (RELEASES + 1))
                async with owner.transaction():
                    for table in ("wallet", "journal", "journal_archive", "hold"):  # as postings take them
                        await owner.execute(f"ALTER TABLE vault.{table} ADD COLUMN later_{number} text")
                    for statement in functions(number):
                        await owner.execute(statement)

    async with Posters.started(ledger.database.app, ledger.database.worker) as posters:
        mixture = Mixture(field, posters, seed=41)
        await mixture.run(release)
    assert await ledger.owner.fetchval(version) != before, "the functions were replaced"
    print(await settle(mixture, ledger.database))
