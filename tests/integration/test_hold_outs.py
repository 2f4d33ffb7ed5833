"""A campaign that leaves a share out by lot: nothing is posted for them, they are told so, and the report is right."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from tortoise.exceptions import IntegrityError

from server.incentives.commands import Signed, rule_of
from server.incentives.experiments.assignment import is_held_out
from server.incentives.experiments.errors import HoldOutNotAllowed, NoHoldOut
from server.incentives.experiments.hold_out import HoldOut
from server.incentives.experiments.report import UpliftReports, Withheld
from server.incentives.experiments.uplift import Group, uplift
from server.incentives.explanations import ExplanationService
from server.incentives.facts import Told, record_all
from server.incentives.grants.models import CouponGrant
from server.incentives.models import Award, CampaignVersion
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex
from server.kit.db import fetch, transaction
from server.kit.errors import InvalidField
from server.kit.outbox import Event
from tests.support.databases import Database
from tests.support.incentives import CHECKER, KEY, MAKER, House, opened_house, per_person

PEOPLE = range(50_001, 50_151)
VISIT, SHOP = "library_returned_on_time", "redemption_made"
THIRD = HoldOut(3_000, SHOP, 7)
RECOUNT = """
WITH qualified AS (SELECT a.resident_id, bool_or(a.held_out) AS out, min(f.occurred_at) AS since FROM award a
  JOIN fact f ON f.id = a.fact_id WHERE a.campaign_id = $1 GROUP BY a.resident_id)
SELECT q.out, count(*) AS people, count(*) FILTER (WHERE EXISTS (SELECT FROM fact o WHERE o.kind = $2
  AND o.resident_id = q.resident_id AND o.occurred_at - q.since BETWEEN interval '1 microsecond' AND interval '7 days'))
  AS acted FROM qualified q GROUP BY q.out
"""
_facts = itertools.count(1)


@dataclass
class Room:
    house: House
    explanations: ExplanationService
    out: set[int] = field(default_factory=set)

    async def tell(self, people: Any, kind: str, after: timedelta = timedelta(0), **attributes: Any) -> None:
        """The same fact of many people, judged."""
        at = self.house.clock.now() + after
        last = await Event.all().order_by("-id").first()
        async with transaction() as tx:
            await record_all(tx, [Told(one, kind, f"held:{next(_facts)}", at, attributes) for one in people])
        for event in await Event.filter(id__gt=0 if last is None else last.id).order_by("id"):
            await self.house.awards.on_fact(event)


@pytest_asyncio.fixture(scope="module")
async def room(database: Database) -> AsyncIterator[Room]:
    async with opened_house(database) as house:
        yield Room(house, ExplanationService(clock=house.clock))


def visit(effect: dict[str, Any]) -> Any:
    return rule_of({"trigger": {"kind": "fact", "fact": VISIT}, "effect": effect})


async def test_who_is_held_out_gets_nothing_is_told_so_and_the_report_equals_a_recount(room: Room) -> None:
    rule = visit({"kind": "points", "points": 20})
    view = await room.house.live_campaign(
        rule=rule, hold_out=THIRD, budget_points=10_000, limits=per_person(2), title="按期还书"
    )
    campaign = view.row.id
    assert "按抽签另设30%的居民为对照组" in view.terms_text
    out = {one for one in PEOPLE if is_held_out(BlindIndex(KEY), campaign, one, THIRD.share_bp)}
    for _ in range(3):  # the third is beyond everybody's limit
        await room.tell(PEOPLE, VISIT, books=1)
    for one in PEOPLE:
        assert await room.house.points(one) == (0 if one in out else 40), one
    rows = await fetch(
        "SELECT resident_id, status, count(*) AS n, sum(points)::int AS points FROM award WHERE campaign_id = $1"
        " AND held_out GROUP BY 1, 2", campaign,
    )  # fmt: skip
    assert {(row["resident_id"], row["status"], row["n"]) for row in rows} == {
        (one, status, n) for one in out for status, n in (("withheld", 2), ("refused", 1))
    }
    (budget,) = (await room.house.campaigns.get(campaign)).budgets
    assert budget.consumed == 40 * (len(PEOPLE) - len(out))

    somebody, other = min(out), min(set(PEOPLE) - out)
    for one, status in ((somebody, "withheld"), (other, "posted")):
        newest = await Award.filter(campaign_id=campaign, resident_id=one).order_by("-id").first()
        assert newest is not None and (newest.status, newest.reason) == ("refused", "limit_reached")
        first = await Award.filter(campaign_id=campaign, resident_id=one).order_by("id").first()
        assert first is not None and first.status == status

    # Afterwards some act in time, some late, and some did before.
    acting = [one for one in PEOPLE if one % (3 if one in out else 2)]
    await room.tell(acting[5:], SHOP, timedelta(days=6), subsidy_fen=1)
    await room.tell(PEOPLE, SHOP, timedelta(days=8), subsidy_fen=1)
    await room.tell(PEOPLE, SHOP, timedelta(days=-1), subsidy_fen=1)
    early = UpliftReports(clock=room.house.clock, small_cell=10)
    report = await early.report(campaign)
    assert (report.treated.people, report.treated.waiting, report.held_out.waiting) == (
        None, len(PEOPLE) - len(out), len(out)
    )  # fmt: skip
    later = Clock()
    later.follow(await room.house.app.now() + timedelta(days=7, minutes=5))
    report = await UpliftReports(clock=later, small_cell=10, window=17).report(campaign)
    counted = {row["out"]: (row["people"], row["acted"]) for row in await fetch(RECOUNT, campaign, SHOP)}
    assert counted[False][0] + counted[True][0] == len(PEOPLE)
    assert 10 <= counted[True][1] <= counted[True][0] - 10
    assert counted == {
        side: (one.people, one.acted) for side, one in ((False, report.treated), (True, report.held_out))
    }
    assert report.difference == uplift(Group(*counted[False]), Group(*counted[True]))
    assert (report.withheld.awards, report.withheld.points, report.versions) == (2 * len(out), 40 * len(out), [1])
    hidden = await UpliftReports(clock=later, small_cell=len(out) + 1).report(campaign)
    assert (hidden.held_out.people, hidden.held_out.acted, hidden.difference) == (None, None, None)
    assert hidden.withheld == Withheld(None, None, None), "what so few did not get would tell how many they are"


async def test_a_new_version_moves_nobody_and_coupons_are_withheld_with_what_they_would_have_cost(room: Room) -> None:
    template = await room.house.live_template(price_points=0, face_value_fen=2_001, threshold_fen=0, stock=1_000)
    effect = {"kind": "coupon", "template_id": str(template.row.id)}
    view = await room.house.live_campaign(rule=visit(effect), hold_out=THIRD, budget_points=None, limits=())
    campaign = view.row.id
    await room.tell(PEOPLE, VISIT, books=1)
    held = set(await Award.filter(campaign_id=campaign, status="withheld").values_list("resident_id", flat=True))
    assert held == {one for one in PEOPLE if is_held_out(BlindIndex(KEY), campaign, one, 3_000)}
    sources = await CouponGrant.filter(source="campaign", source_id__startswith=f"{campaign}:").values_list(
        "resident_id", flat=True
    )
    assert set(sources) == set(PEOPLE) - held
    told = await room.explanations.explain(min(held), campaign)
    assert told.given is not None and (told.granted, told.given.status) == (True, "withheld")

    wider = room.house.campaign(rule=visit(effect), hold_out=HoldOut(4_000, SHOP, 7), budget_points=None, limits=())
    await room.house.campaigns.revise(campaign, wider, MAKER)
    await room.house.campaigns.submit(campaign, MAKER)
    await room.house.campaigns.approve(campaign, CHECKER)
    await room.tell(PEOPLE, VISIT, books=1)
    again = await Award.filter(campaign_id=campaign, version__number=2, status="withheld").values_list(
        "resident_id", flat=True
    )
    assert held < set(again)
    reports = UpliftReports(clock=room.house.clock, small_cell=10)
    withheld = await reports.withheld(campaign)
    assert (withheld.awards, withheld.points, withheld.fen) == (
        len(held) + len(again), 0, 2_001 * (len(held) + len(again))
    )  # fmt: skip
    assert ((await reports.report(campaign)).versions, (await reports.report(campaign, 1)).versions) == ([2], [1])

    assert await room.house.templates.end_exhausted(template.row.id)
    await room.tell([min(held)], VISIT, books=1)
    over = await Award.filter(campaign_id=campaign, resident_id=min(held)).order_by("-id").first()
    assert over is not None and (over.status, over.reason) == ("refused", "terms_closed"), "nobody would have had it"


@pytest.mark.parametrize(
    ("change", "refusal", "field"),
    [
        ({"hold_out": HoldOut(0, SHOP, 7)}, InvalidField, "hold_out.share_bp"),
        ({"hold_out": HoldOut(5_001, SHOP, 7)}, InvalidField, "hold_out.share_bp"),
        ({"hold_out": HoldOut(100, "points_expired", 7)}, InvalidField, "hold_out.outcome"),
        ({"hold_out": HoldOut(100, SHOP, 0)}, InvalidField, "hold_out.days"),
        ({"fact": "administrator_grant"}, HoldOutNotAllowed, "hold_out"),
        ({"fact": "redemption_voided"}, HoldOutNotAllowed, "hold_out"),
    ],
)
async def test_a_hold_out_that_cannot_or_may_not_be_is_refused_at_save(
    room: Room, change: dict[str, Any], refusal: type[Exception], field: str
) -> None:
    fact = change.get("fact", VISIT)
    rule = rule_of({"trigger": {"kind": "fact", "fact": fact}, "effect": {"kind": "points", "points": 1}})
    draft = room.house.campaign(rule=rule, hold_out=change.get("hold_out", THIRD))
    with pytest.raises(refusal) as refused:
        await room.house.campaigns.create(draft, Signed(1, "r"))
    assert refused.value.field == field  # type: ignore[attr-defined]


async def test_the_database_refuses_the_same_and_a_campaign_without_one_has_no_report(room: Room) -> None:
    made = await room.house.campaigns.create(room.house.campaign(), MAKER)
    with pytest.raises(NoHoldOut):
        await UpliftReports(clock=room.house.clock, small_cell=10).report(made.row.id)
    for said in ({"share_bp": 5_001, "outcome": SHOP, "days": 7}, {"share_bp": 100}):
        with pytest.raises(IntegrityError, match="campaign_version_hold_out"):
            await CampaignVersion.filter(campaign_id=made.row.id).update(hold_out=said)
