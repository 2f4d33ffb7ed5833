"""What is told as time goes by: days that campaigns wait for, bands that are reached, points that expire."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

import asyncpg
import pytest

from server.incentives.asked import AskedFacts
from server.incentives.commands import CampaignDraft, rule_of
from server.incentives.dates import KIND, DateCalls
from server.incentives.facts import record_fact
from server.incentives.forgetting import FactForgetting, border_of
from server.incentives.models import Award, DateCall
from server.incentives.rules import RuleRefused
from server.kit.crypto import BlindIndex
from server.kit.db import fetch, transaction
from server.kit.jobs import enqueue, run_due
from server.kit.pace import UNBOUND
from server.sandbox.engines import Engines
from server.services import Services
from server.worker import Worker
from tests.support.databases import Database, connected
from tests.support.incentives import CHECKER, KEY, MAKER
from tests.support.jobs import open_jobs
from tests.support.ledger import CITY, Ledger, open_ledger
from tests.support.patience import until
from tests.support.residents import Person, enrol, set_lists

ENDED = "UPDATE campaign SET status = 'ended', end_reason = 'time', ended_at = $2 WHERE id = $1"
AWARDED = """
INSERT INTO award (campaign_id, version_id, fact_id, resident_id, effect, points, vault_id, status, reason, attempts,
  due_at, created_at, settled_at, held_out, withheld_fen)
SELECT c.id, c.live_version, f.id, f.resident_id, 'points', 3, gen_random_uuid(), 'posted', '', 0, $4, $4, $4, false, 0
FROM campaign c, fact f WHERE c.id = $1 AND f.kind = $2 AND f.source_id = $3
"""


def on(day: date, points: int, condition: dict[str, Any] | None = None) -> dict[str, Any]:
    effect = {"kind": "points", "points": points}
    return {"trigger": {"kind": "date", "on": day.isoformat()}, "condition": condition, "effect": effect}


async def submitted(services: Services, document: dict[str, Any], days: int = 30, months: int = 24) -> int:
    """A campaign of the next days under review, with points that live so many months; its id."""
    now = services.clock.now()
    draft = CampaignDraft(
        "事实", "澄信办〔2026〕5号", rule_of(document), now, now + timedelta(days=days), 10_000, validity_months=months
    )
    made = await services.campaigns.create(draft, MAKER)
    return (await services.campaigns.submit(made.row.id, MAKER)).row.id


async def campaign(services: Services, document: dict[str, Any], **changes: int) -> int:
    """A live one; its id."""
    return (await services.campaigns.approve(await submitted(services, document, **changes), CHECKER)).row.id


async def pass_to(services: Services, ledger: Ledger, at: datetime) -> None:
    await ledger.set_clock(at)
    services.clock.follow(await services.vault.now())


async def facts() -> list[tuple[int, str, datetime]]:
    rows = await fetch("SELECT * FROM fact WHERE kind = 'date' ORDER BY resident_id")
    return [(row["resident_id"], row["source_id"], row["occurred_at"]) for row in rows]


async def test_a_day_that_campaigns_wait_for_is_told_once_to_those_whom_a_rule_could_reach(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        await set_lists()
        day = ledger.today() + timedelta(days=2)
        midnight, index = datetime.combine(day, time(), CITY), BlindIndex(KEY)
        joined = ledger.now() - timedelta(days=9)
        people = [Person(joined, band, "华士镇") for band in ("S", "A", "AA")] + [
            Person(midnight, "A"), Person(midnight + timedelta(seconds=1), "A")
        ]  # fmt: skip
        low, middle, high, last, late = await enrol(people, index, as_of=ledger.today() - timedelta(days=1))
        good = {"kind": "all", "of": [{"kind": "band_at_least", "band": "A"}, {"kind": "first_time"}]}
        first = await campaign(services, on(day, 5, good))
        calls, waiting = services.date_calls, await submitted(services, on(day, 5))
        await pass_to(services, ledger, midnight - timedelta(seconds=30))
        assert (await calls.redrive(), await facts()) == (0, [])
        await pass_to(services, ledger, midnight + timedelta(minutes=7))
        for attempt in (services.campaigns.approve(waiting, CHECKER), submitted(services, on(day, 5))):
            with pytest.raises(RuleRefused) as refused:
                await attempt
            assert refused.value.field == "rule.trigger.on"
        small = DateCalls(clock=services.clock, pace=UNBOUND)
        assert (await calls.redrive(), await small.redrive()) == (1, 0)
        await run_due(services.job_handlers)
        told = [(one, f"{one}:{day}", midnight) for one in (middle, high, last)]
        assert await facts() == told
        # A worker that died after its last page does it again.
        version = (await DateCall.get(day=day)).version_id
        async with transaction() as tx:
            await enqueue(tx, KIND, str(version), {"version_id": str(version)})
        assert await run_due(services.job_handlers) == 1
        row = await DateCall.get(version_id=version)
        assert (await facts(), row.told, row.finished_at is not None) == (told, 3, True)
        worker = Worker(services)

        async def awarded() -> list[int]:
            await worker.relay()
            return [one.resident_id for one in await Award.filter(status="posted").order_by("resident_id")]

        async def all_awarded() -> bool:
            return await awarded() == [middle, high, last]

        await until("three awards", all_awarded)
        assert {one.campaign_id for one in await Award.all()} == {first}
        explained = await services.explanations.explain(middle, first)
        assert (explained.granted, explained.given is not None and explained.given.points) == (True, 5)
        for nobody in (low, late):
            explained = await services.explanations.explain(nobody, first)
            assert (explained.granted, explained.occurred_at) == (False, None)
        low_told = {one.code for one in (await services.explanations.explain(low, first)).missing}
        assert low_told == {"date", "band_at_least"}
        assert await calls.redrive() == 0


async def test_a_campaign_that_stands_still_when_its_day_begins_calls_nobody_and_two_share_a_day(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        await set_lists()
        day = ledger.today() + timedelta(days=2)
        joined = ledger.now() - timedelta(days=9)
        towns = [Person(joined, "S", town) for town in ("华士镇", "新桥镇")]
        one, other = await enrol(towns, BlindIndex(KEY), as_of=ledger.today() - timedelta(days=1))
        still = await campaign(services, on(day, 9))
        for town in ("华士镇", "新桥镇"):
            await campaign(services, on(day, 3, {"kind": "town_in", "towns": [town]}))
        await services.campaigns.pause(still, CHECKER)
        await pass_to(services, ledger, datetime.combine(day, time(0, 1), CITY))
        await services.campaigns.resume(still, CHECKER)
        assert await services.date_calls.redrive() == 2
        await run_due(services.job_handlers)
        assert [who for who, _, _ in await facts()] == [one, other]
        worker = Worker(services)

        async def given() -> bool:
            await worker.relay()
            return await Award.filter(status="posted").count() == 2

        await until("two awards", given)
        assert {award.points for award in await Award.all()} == {3}


async def test_a_band_that_is_reached_is_told_with_its_day_and_paid_once(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        await set_lists()
        reached = {"trigger": {"kind": "fact", "fact": "band_reached"}, "effect": {"kind": "points", "points": 8}}
        rising = await campaign(
            services, reached | {"condition": {"kind": "value_in", "attribute": "band", "values": ["A"]}}
        )
        day = ledger.today() + timedelta(days=1)
        await pass_to(services, ledger, datetime.combine(day, time(9), CITY))
        joined = ledger.now() - timedelta(days=9)
        people = [Person(joined, band) for band in ("S", "A", "AA")]
        low, middle, high = await enrol(people, BlindIndex(KEY), as_of=day, clock=services.clock)
        worker = Worker(services)

        async def judged() -> bool:
            await worker.relay()
            return await Award.filter(status="posted").count() == 1

        await until("one award", judged)
        assert (await Award.get()).resident_id == middle
        assert (await services.explanations.explain(middle, rising)).granted
        for nobody, missing in ((low, {"fact", "value_in"}), (high, {"value_in"})):
            told = await services.explanations.explain(nobody, rising)
            assert (told.granted, {one.code for one in told.missing}) == (False, missing)


async def test_points_that_expire_are_told_and_paid_once(engines: Engines, fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        (person,) = await enrol([Person(ledger.now())], BlindIndex(KEY), as_of=ledger.today())
        lost = {"kind": "amount", "attribute": "points", "at_least": 50}
        welcome, comfort = (
            {
                "trigger": {"kind": "fact", "fact": fact},
                "condition": asked,
                "effect": {"kind": "points", "points": count},
            }
            for fact, asked, count in (("identity_bound", None, 50), ("points_expired", lost, 6))
        )
        await campaign(services, welcome, days=200, months=1)
        back = await campaign(services, comfort, days=200)
        async with transaction() as tx:
            await record_fact(tx, person, "identity_bound", f"resident:{person}", services.clock.now(), {})
        worker = Worker(services)

        async def has(points: int) -> bool:
            await worker.values()
            await worker.relay()
            (wallet,) = await fetch("SELECT points_avail AS n FROM vault.wallet WHERE owner = $1", person) or [{"n": 0}]
            return bool(wallet["n"] == points)

        await until("the welcome", lambda: has(50))
        await pass_to(services, ledger, ledger.now() + timedelta(days=70))
        while await worker.breakage():
            pass
        await until("the comfort", lambda: has(6))
        assert await Award.filter(campaign_id=back, status="posted").count() == 1
        told = await services.explanations.explain(person, back)
        assert (told.granted, [one.text for one in told.missing]) == (True, [])


async def test_old_facts_are_forgotten_unless_a_campaign_may_still_look_at_them_and_never_come_back(
    engines: Engines, fresh_database: Database
) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        now, person = ledger.now(), 7_000_001
        border = border_of(ledger.today(), 36, CITY)
        old, older, kept = border - timedelta(days=1), border - timedelta(days=40), border + timedelta(days=1)
        first = {"trigger": {"kind": "fact", "fact": "library_returned_on_time"}, "condition": {"kind": "first_time"},
                 "effect": {"kind": "points", "points": 3}}  # fmt: skip
        recent = {"kind": "has_done", "fact": "parking_exit_paid", "within": {"kind": "last_days", "days": 32}}
        both = {"kind": "all", "of": [{"kind": "first_time"}, recent]}
        running = await campaign(services, first | {"condition": both})
        over = await campaign(services, first)

        async def tell(kind: str, source_id: str, at: datetime) -> bool:
            async with transaction() as tx:
                return await record_fact(tx, person, kind, source_id, at, {})

        for kind in ("library_returned_on_time", "parking_exit_paid", "volunteer_hours_recorded"):
            for name, at in {"older": older, "old": old, "kept": kept, "awarded": old, "fresh": old}.items():
                assert await tell(kind, name, at)
        async with connected(fresh_database.superuser) as superuser:  # as if told in those years
            await superuser.execute("SET session_replication_role = replica")
            month_ago = now - timedelta(days=31)
            await superuser.execute("UPDATE fact SET recorded_at = $1 WHERE source_id <> 'fresh'", month_ago)
            await superuser.execute(ENDED, over, old)
            await superuser.execute("UPDATE campaign_version SET starts_at = $1 WHERE campaign_id = $2", older, running)
            for campaign_id, name in ((over, "old"), (running, "awarded")):
                await superuser.execute(AWARDED, campaign_id, "volunteer_hours_recorded", name, now)
        owner = ledger.owner
        with pytest.raises(asyncpg.CheckViolationError):
            await owner.execute("DELETE FROM fact")
        forgetting = FactForgetting(clock=services.clock, months=36, page=2)
        while await forgetting.step():
            pass
        left = await fetch("SELECT kind, array_agg(source_id ORDER BY source_id) AS left FROM fact GROUP BY kind")
        assert {row["kind"]: row["left"] for row in left} == {
            "library_returned_on_time": ["awarded", "fresh", "kept", "old", "older"],  # the first time ever
            "parking_exit_paid": ["awarded", "fresh", "kept", "old"],  # 32 days before the border's
            "volunteer_hours_recorded": ["awarded", "fresh", "kept"],
        }
        assert await Award.filter(campaign_id=over).count() == 0
        assert await Award.filter(campaign_id=running).count() == 1
        assert not await forgetting.step(), "once a day"
        assert not await tell("volunteer_hours_recorded", "older", older), "what is forgotten is not told again"
        assert await tell("volunteer_hours_recorded", "new", kept)
        with pytest.raises(asyncpg.CheckViolationError):
            await owner.execute("UPDATE fact_border SET before = before - interval '1 day'")
        with pytest.raises(asyncpg.CheckViolationError):
            await owner.execute("UPDATE fact_border SET before = vault.now()")


async def test_log_ins_are_told_while_a_campaign_asks_for_them(engines: Engines, fresh_database: Database) -> None:
    async with open_ledger(fresh_database), open_jobs(engines, fresh_database) as services:
        asked = AskedFacts(clock=services.clock, remembered_s=0)
        for trigger, condition in (
            ("login_day", None),
            ("volunteer_hours_recorded", {"kind": "has_not_done", "fact": "login_day", "within": {"kind": "ever"}}),
        ):
            rule = {"trigger": {"kind": "fact", "fact": trigger}, "condition": condition,
                    "effect": {"kind": "points", "points": 1}}  # fmt: skip
            made = await submitted(services, rule)
            assert not await asked.asks("login_day")
            await services.campaigns.approve(made, CHECKER)
            assert await asked.asks("login_day") and not await asked.asks("parking_exit_paid")
            await services.campaigns.pause(made, CHECKER)
            assert await asked.asks("login_day") == (condition is not None), "the past is told on"
            await services.campaigns.end(made, CHECKER)
            assert not await asked.asks("login_day")
