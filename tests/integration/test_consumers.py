"""Events come at least once: what comes again changes nothing, for every consumer there is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from server.incentives.commands import CampaignDraft, Signed
from server.incentives.facts import record_fact
from server.incentives.value_facts import CONSUMER, ValueFacts
from server.kit.db import close_house, fetch, open_house, transaction
from server.kit.outbox import emit
from server.merchants.acceptors import ACCEPTOR_CHANGED
from server.people.residents import IDENTITY_BOUND
from server.sandbox.engines import Engines
from server.services import Services
from server.worker import Worker
from tests.support.databases import Database
from tests.support.incentives import points_rule
from tests.support.jobs import open_jobs
from tests.support.ledger import COUNTER, Ledger, open_ledger
from tests.support.patience import until
from wallet.items import Op
from wallet.stream import Posting

STRANGER = 9_000_001

#: What each consumer does, as rows that show it.
EFFECTS = {
    "awards": "SELECT a.status, a.attempts, j.seq, j.d_avail FROM award a"
    " JOIN vault.journal j ON j.owner = a.resident_id AND j.id = a.vault_id",
    "wallets": f"SELECT owner, seq, epoch FROM vault.wallet WHERE owner = {STRANGER}",
    "acceptors": "SELECT kind, id, merchant_id, open FROM vault.acceptor WHERE id = 77",
    CONSUMER: "SELECT resident_id, kind, source_id, occurred_at FROM fact WHERE kind <> 'identity_bound' ORDER BY id",
}


async def live(ledger: Ledger, services: Services) -> None:
    """Something for everybody to react to."""
    now = ledger.now()
    campaigns = services.campaigns
    begin, end = now - timedelta(days=1), now + timedelta(days=30)
    draft = CampaignDraft("实名有礼", "澄信办〔2026〕1号", points_rule(), begin, end, 1_000)
    made = await campaigns.create(draft, Signed(1, "r-1"))
    await campaigns.submit(made.row.id, Signed(1, "r-2"))
    await campaigns.approve(made.row.id, Signed(2, "r-3"))
    await fetch(
        "INSERT INTO merchant (id, name, licence_number, status, status_reason, version, created_at)"
        " VALUES (77, '早餐店', '91330100MA27XW0F4K', 'active', '', 1, now())"
    )
    resident, now = await ledger.resident(), ledger.now()
    async with transaction() as tx:
        await record_fact(tx, resident, "identity_bound", str(resident), now, {})
        await emit(tx, IDENTITY_BOUND, f"resident:{STRANGER}", {"resident_id": str(STRANGER)}, now)
        await emit(tx, ACCEPTOR_CHANGED, "acceptor:merchant:77", {"kind": "merchant", "id": "77"}, now)
    terms = await ledger.template()
    scanned = await ledger.scanned(terms, resident)
    await ledger.redeem(scanned)


async def told(worker: Worker) -> None:
    """Every event handed out to everybody, and every job done."""

    async def nothing_is_left() -> bool:
        await worker.relay()
        await worker.values()
        await worker.jobs()
        rows = await fetch(
            "SELECT (SELECT max(txid) FROM event) AS events, (SELECT max(txid) FROM vault.journal) AS rows,"
            " (SELECT count(*) FROM job) AS jobs"
        )
        cursors = await fetch("SELECT stream, txid FROM event_cursor")
        ends = {"house": rows[0]["events"], "values": rows[0]["rows"]}
        passed = all(cursor["txid"] > ends[cursor["stream"]] for cursor in cursors)
        return len(cursors) == len(EFFECTS) and not rows[0]["jobs"] and passed

    await until("everything handed out", nothing_is_left)


async def seen() -> dict[str, list[dict[str, Any]]]:
    return {name: await fetch(query) for name, query in EFFECTS.items()}


async def test_every_consumer_handles_everything_again_and_nothing_changes(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        worker = Worker(services)
        await live(ledger, services)
        await told(worker)
        once = await seen()
        assert {name: len(rows) for name, rows in once.items()} == dict.fromkeys(EFFECTS, 1)
        events = await fetch("SELECT count(*) AS n FROM event")
        for _ in range(2):
            await fetch("UPDATE event_cursor SET txid = 0, upto = 0, position = '[]'")
            await told(worker)
            assert await seen() == once
        assert await fetch("SELECT count(*) AS n FROM event") == events, "nobody told it once more"
        assert {row["consumer"] for row in await fetch("SELECT consumer FROM event_cursor")} == set(EFFECTS), (
            "a consumer without a line in EFFECTS"
        )
        assert await ledger.broken() == []


@pytest.mark.parametrize("kind", ["redemption_made", "redemption_voided"])
async def test_value_becomes_facts_of_the_resident(engines: Engines, fresh_database: Database, kind: str) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        worker = Worker(services)
        terms = await ledger.template(face_value_fen=700)
        done = await ledger.redeemed(terms)
        if kind == "redemption_voided":
            await ledger.app.void(done.id, acceptor=COUNTER, reason="wrong order")

        async def the_fact() -> list[dict[str, Any]]:
            await worker.values()
            return await fetch("SELECT resident_id, attributes::text AS told FROM fact WHERE kind = $1", kind)

        (fact,) = await until(kind, the_fact)
        assert f'"terms_id": "{terms.id}"' in fact["told"]
        assert ('"discount_fen": 700' in fact["told"]) is (kind == "redemption_made")


async def test_postings_handed_over_side_by_side_are_told_in_few_transactions_each_once(
    fresh_database: Database,
) -> None:
    """One that cannot be told is the only one that fails."""
    await open_house(fresh_database.worker)
    try:
        facts = ValueFacts()
        now = datetime.now(UTC)
        rows = [redeemed(resident, now) for resident in range(1, 301)]
        broken = msgspec.structs.replace(rows[7], id=uuid4(), at=datetime.max.replace(tzinfo=UTC), resident_id=2**63)
        answers = await asyncio.gather(
            *(facts.on_posting(one) for one in [*rows, broken, *rows]), return_exceptions=True
        )
        assert [number for number, answer in enumerate(answers) if answer is not None] == [300]
        written = await fetch("SELECT resident_id, source_id, xmin::text AS tx FROM fact ORDER BY resident_id")
        assert [(row["resident_id"], row["source_id"]) for row in written] == [
            (one.resident_id, str(one.id)) for one in rows
        ]
        assert (await fetch("SELECT count(*) AS n FROM event WHERE kind = 'fact_recorded'"))[0]["n"] == 300
        room = asyncio.Semaphore(30)

        async def in_turn(one: Posting) -> None:
            async with room:
                await facts.on_posting(one)

        later = [redeemed(resident, now) for resident in range(1_001, 1_301)]
        await asyncio.gather(*(in_turn(one) for one in later))
        told = await fetch("SELECT count(DISTINCT xmin::text) AS n FROM fact WHERE resident_id > 1000")
        assert told[0]["n"] < 60, "who waits is written together"
    finally:
        await close_house()


def redeemed(resident: int, at: datetime) -> Posting:
    return Posting(
        resident_id=resident, id=uuid4(), seq=1, op=int(Op.REDEEM), status=0, points=0, points_held=0, points_peer=0,
        payable_fen=500, peer=3, terms_id=4, ref=None, at=at,
        detail={"store_id": 1, "discount_fen": 500, "platform_fen": 200, "sponsor_fen": 300},
    )  # fmt: skip
