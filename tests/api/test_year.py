"""Four days of the year that the demo lives (`make demo YEAR=1`), by the same code: made in the console, lived over
HTTP on a moved clock, reconciled in every book."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console

from server.sandbox.engines import Engines
from server.sandbox.year import books
from server.sandbox.year.days import DAYS
from server.sandbox.year.plan import at
from server.sandbox.year.reconcile import differences
from server.sandbox.year.run import live_year
from server.sandbox.year.story import Story
from tests.support.databases import Database, connected

OPENING, _, RED_CLAIMS, RED_DAYS, *_ = DAYS
#: The sponsor bears a fen less than he owes, the platform a fen more; the sums stay what they were.
ONE_FEN = """
UPDATE vault.redemption SET sponsor_fen = sponsor_fen - 1, platform_fen = platform_fen + 1
WHERE id = (SELECT r.id FROM vault.redemption r WHERE r.sponsor_fen > 0
  AND NOT EXISTS (SELECT FROM vault.redemption_void v WHERE v.redemption_id = r.id) LIMIT 1)
"""
#: Points of the festival's campaign have ended by then, and every red coupon.
MAY = (at("05-06 10:00"), "五月", Story.quiet)


async def test_days_of_a_year_lived_over_http_agree_in_every_book(
    engines: Engines, new_database: Callable[[], Awaitable[Database]], tmp_path: Path
) -> None:
    database = await new_database()
    outcome = await live_year(
        engines.urls, database.name, folder=tmp_path, residents=20, seed=7, console=Console(quiet=True),
        days=(OPENING, RED_CLAIMS, RED_DAYS, MAY),
    )  # fmt: skip
    assert outcome.differences == () and outcome.broken == () and outcome.proofs > 0
    city, red = outcome.expected["city"]["city"], outcome.expected["templates"]["red"]
    assert min(city.values()) > 0, "points were given, taken as prices, expired and left"
    assert red["issued"] == red["redeemed"] + red["expired"] > red["redeemed"] > 0
    assert outcome.expected["campaigns"]["spring"]["points"] > 0
    async with connected(database.superuser) as superuser:
        await superuser.execute(f"SET session_replication_role = replica; {ONE_FEN}")
    told = await books.ledger(database.worker, outcome.story.ids)
    found = differences("账本", outcome.expected["templates"], told.templates, books.LEDGER_FIGURES)
    assert [one.figure for one in found] == ["platform_fen", "sponsor_fen"], "one fen of one redemption is noticed"
