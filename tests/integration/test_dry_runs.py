"""A dry run over days on which the same rule was live says what the ledger booked, to the point."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from server.incentives.budgets import BudgetService
from server.incentives.campaigns import CampaignService
from server.incentives.commands import rule_of
from server.incentives.dry_runs.errors import NothingToJudge
from server.incentives.dry_runs.meter import Told as Outcome
from server.incentives.dry_runs.meter import Totals
from server.incentives.dry_runs.models import DryRun
from server.incentives.dry_runs.reading import read
from server.incentives.dry_runs.runs import Days, DryRuns
from server.incentives.experiments.hold_out import HoldOut
from server.incentives.experiments.withholding import Withholding
from server.incentives.facts import Told, record_all
from server.incentives.limits import Limit
from server.incentives.templates import TemplateService
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex
from server.kit.db import close_house, fetch, open_house, transaction
from server.kit.errors import InvalidField
from server.kit.outbox import Event
from tests.support.databases import Database
from tests.support.incentives import KEY, MAKER, House, awards_of
from wallet import Vault

PEOPLE = range(70_001, 70_041)
HOURS = "volunteer_hours_recorded"
_facts = itertools.count(1)
BOOKED = """
SELECT a.status, a.reason, count(*) AS awards, sum(a.points)::bigint AS points, count(DISTINCT a.resident_id) AS people
FROM award a JOIN fact f ON f.id = a.fact_id WHERE a.campaign_id = $1 AND f.occurred_at >= $2 AND f.occurred_at < $3
GROUP BY 1, 2
"""
LEDGER = """
SELECT j.earned_on, sum(j.points)::bigint AS points, count(*) AS awards, count(DISTINCT j.owner) AS people FROM (
  SELECT (f.occurred_at AT TIME ZONE vault.zone())::date AS earned_on, j.d_avail AS points, j.owner
  FROM vault.journal j JOIN award a ON a.vault_id = j.id AND a.resident_id = j.owner JOIN fact f ON f.id = a.fact_id
  WHERE a.campaign_id = $1 AND j.st = 0 AND f.occurred_at >= $2 AND f.occurred_at < $3) j GROUP BY 1
"""


@dataclass
class Room:
    house: House
    runs: DryRuns
    first: date
    last: date

    def at(self, day: int, hour: int) -> datetime:
        """An hour of the so manieth day of the last month; days below 0 are before."""
        zone = self.house.clock.zone
        return datetime(self.first.year, self.first.month, 1, hour, tzinfo=zone) + timedelta(days=day)

    async def live(self, **changes: Any) -> int:
        """A campaign that has been live since before the last month."""
        begins, then = self.at(-40, 0), Clock()
        then.follow(begins)  # who approves later cannot have it begin before
        house = replace(self.house, campaigns=CampaignService(vault=self.house.app, clock=then))
        return (await house.live_campaign(starts_at=begins, **changes)).row.id

    async def tell(self, told: list[tuple[int, datetime, int]]) -> None:
        """Hours of service, told in this order and judged."""
        last = await Event.all().order_by("-id").first()
        async with transaction() as tx:
            await record_all(
                tx, [Told(who, HOURS, f"dry:{next(_facts)}", at, {"minutes": minutes}) for who, at, minutes in told]
            )
        for event in await Event.filter(id__gt=0 if last is None else last.id).order_by("id"):
            await self.house.awards.on_fact(event)


@pytest_asyncio.fixture(scope="module")
async def room(database: Database) -> AsyncIterator[Room]:
    await open_house(database.worker)
    app = await Vault.connect(database.app, role="app")
    worker = await Vault.connect(database.worker, role="worker")
    clock = Clock()
    clock.follow(await app.now())
    budgets = BudgetService(vault=app, clock=clock)
    house = House(
        app, worker, clock, CampaignService(vault=app, clock=clock), TemplateService(vault=app, clock=clock),
        budgets, awards_of(worker, clock),
    )  # fmt: skip
    last = clock.today().replace(day=1) - timedelta(days=1)
    withholding = Withholding(clock=clock, index=BlindIndex(KEY))
    runs = DryRuns(clock=clock, budgets=budgets, withholding=withholding, page=37)
    yield Room(house, runs, last.replace(day=1), last)
    await worker.close()
    await app.close()
    await close_house()


def rule(points: int, condition: dict[str, Any] | None = None) -> Any:
    trigger = {"kind": "fact", "fact": HOURS}
    return rule_of({"trigger": trigger, "condition": condition, "effect": {"kind": "points", "points": points}})


async def finished(room: Room, run: DryRun) -> Totals:
    while not await room.runs.step(run.id):
        pass
    return msgspec.convert((await room.runs.get(run.id)).state, Totals, str_keys=True)


async def test_a_dry_run_of_a_month_in_which_the_rule_was_live_says_what_the_ledger_booked(room: Room) -> None:
    twice_before = {
        "kind": "has_done", "fact": HOURS, "within": {"kind": "campaign"}, "measure": {"kind": "times", "at_least": 2},
    }  # fmt: skip
    limits = (
        Limit(1, "earn", "count", "day"), Limit(60, "earn", "points", "month"), Limit(8, "earn", "count", "total"),
        Limit(90, "earn", "points", "day", "campaign"), Limit(300, "earn", "points", "week", "town"),
    )  # fmt: skip
    campaign = await room.live(
        rule=rule(10, twice_before), limits=limits, budget_points=1_000, hold_out=HoldOut(1_500, "redemption_made", 7)
    )
    dice, days = random.Random(4), (room.last - room.first).days + 1
    told = [
        (dice.choice(PEOPLE), room.at(dice.randrange(1, days), dice.randrange(24)), dice.randrange(1, 300))
        for _ in range(420)
    ]
    told.sort(key=lambda one: one[1] + timedelta(days=dice.choice((0, 0, 0, 9))))  # some are told late
    await room.tell(told)
    await room.tell([(one, room.at(days, 12), 60) for one in PEOPLE])  # the month after is nobody's concern
    since, until = room.at(12, 0), room.at(days, 0)  # what was given before uses up limits and budget
    assert not await fetch("SELECT FROM award WHERE status = 'pending'")

    run = await room.runs.order(campaign, None, Days(room.at(12, 0).date(), room.last), MAKER)
    totals = await finished(room, run)
    booked = {
        (row["status"], row["reason"]): (row["awards"], row["points"], row["people"])
        for row in await fetch(BOOKED, campaign, since, until)
    }
    names = {
        "given": ("posted", ""), "withheld": ("withheld", ""), "limit": ("refused", "limit_reached"),
        "budget": ("refused", "sold_out"),
    }  # fmt: skip
    assert {(key, *_told(totals.outcomes[name])) for name, key in names.items()} == {
        (key, *value) for key, value in booked.items()
    }
    ledger = {
        row["earned_on"]: (row["awards"], row["points"], row["people"])
        for row in await fetch(LEDGER, campaign, since, until)
    }
    assert {day: _told(one) for day, one in totals.days.items()} == ledger
    assert sum(points for _, points, _ in ledger.values()) == totals.outcomes["given"].amounts.points > 0

    assert read(await room.runs.get(run.id), 10).given == totals.outcomes["given"]
    before = await fetch("SELECT count(*) AS n FROM dry_run_person WHERE run_id = $1", run.id)
    assert before[0]["n"] > 0
    while await room.runs.purge(50):
        pass
    assert not await fetch("SELECT FROM dry_run_person")


def _told(one: Outcome) -> tuple[int, int, int]:
    return one.amounts.awards, one.amounts.points, one.residents


async def test_a_draft_is_judged_as_it_was_when_the_run_began_and_gives_nothing(room: Room) -> None:
    starts = room.house.clock.now() + timedelta(days=30)
    template = await room.house.live_template(
        price_points=0, face_value_fen=1_500, threshold_fen=0, stock=15, ends_at=starts + timedelta(days=30)
    )
    await room.tell([(one, room.at(3, 9), 60) for one in [*PEOPLE, *PEOPLE]])
    effect = {"kind": "coupon", "template_id": str(template.row.id)}
    coupon = rule_of({"trigger": {"kind": "fact", "fact": HOURS}, "effect": effect})
    window = {"starts_at": starts, "ends_at": starts + timedelta(days=30)}
    draft = room.house.campaign(rule=coupon, budget_points=None, limits=(), **window)
    made = await room.house.campaigns.create(draft, MAKER)
    days = Days(room.at(3, 0).date(), room.at(3, 0).date())
    events = await fetch("SELECT count(*) AS n FROM vault.journal")
    totals = await finished(room, await room.runs.order(made.row.id, None, days, MAKER))
    given = totals.outcomes["given"].amounts
    assert (given.awards, given.coupons, given.fen, totals.outcomes["given"].residents) == (15, 15, 15 * 1_500, 15)
    assert totals.outcomes["limit"].amounts.awards >= len(PEOPLE) - 15  # one coupon each, by the template's own limit
    assert totals.outcomes["budget"].residents == len(PEOPLE) - 15

    (ordered,) = await DryRun.filter(campaign_id=made.row.id)
    begun = await DryRun.create(
        campaign_id=made.row.id, version_id=1, number=1, first_day=days.first, last_day=days.last, state={},
        content=ordered.content, last_fact=2**40, span=2**40, ordered_by=1,
        ordered_at=room.house.clock.now(),
    )  # fmt: skip
    await room.house.campaigns.edit(made.row.id, room.house.campaign(rule=rule(7), **window), MAKER)
    assert (await finished(room, begun)).outcomes["given"].amounts.points == 0
    month = await room.runs.order(made.row.id, None, Days(), MAKER)
    assert (month.first_day, month.last_day, month.number) == (room.first, room.last, 1)
    again = await finished(room, await room.runs.order(made.row.id, None, days, MAKER))
    assert again.outcomes["given"].amounts.points == 7 * len(PEOPLE)
    assert await fetch("SELECT count(*) AS n FROM vault.journal") == events
    assert not await fetch("SELECT FROM award WHERE campaign_id = $1", made.row.id)


async def test_days_that_cannot_be_and_rules_without_past_facts_are_refused(room: Room) -> None:
    made = await room.house.campaigns.create(room.house.campaign(), MAKER)
    today = room.house.clock.today()
    for days, field in (
        (Days(today + timedelta(days=1)), "first_day"), (Days(today, today - timedelta(days=1)), "last_day"),
        (Days(today - timedelta(days=92), today), "last_day"), (Days(last=today + timedelta(days=1)), "last_day"),
    ):  # fmt: skip
        with pytest.raises(InvalidField) as refused:
            await room.runs.order(made.row.id, None, days, MAKER)
        assert refused.value.field == field
    begins = room.house.clock.now() + timedelta(days=1)
    on = (begins + timedelta(days=2)).date().isoformat()
    document = {"trigger": {"kind": "date", "on": on}, "effect": {"kind": "points", "points": 1}}
    dated = await room.house.campaigns.create(room.house.campaign(rule=rule_of(document), starts_at=begins), MAKER)
    with pytest.raises(NothingToJudge):
        await room.runs.order(dated.row.id, None, Days(), MAKER)
