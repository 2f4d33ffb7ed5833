"""Campaigns whose rules are more than points for a fact: conditions, tiers, coupons, minutes, and why not."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from miniprogram_api.present import award_text
from server.incentives.commands import rule_of
from server.incentives.errors import CampaignNotFound
from server.incentives.explanations import LOOKED_THROUGH, ExplanationService
from server.incentives.facts import Told, record_all, record_fact
from server.incentives.grants.models import CouponGrant
from server.incentives.models import Award, Fact, FreeMinutes
from server.incentives.rules import RuleRefused
from server.kit.db import fetch, transaction
from server.kit.errors import InvalidField
from server.kit.outbox import Event
from tests.support.databases import Database
from tests.support.incentives import CHECKER, MAKER, House, desk_of, opened_house, per_person

_facts = itertools.count(1)
PEOPLE = itertools.count(20_000)
HOURS = "volunteer_hours_recorded"


@dataclass
class Room:
    """The room with its explanations."""

    house: House
    explanations: ExplanationService

    async def campaign(self, document: dict[str, Any], **changes: Any) -> int:
        return (await self.house.live_campaign(**{"rule": rule_of(document), "limits": (), **changes})).row.id

    async def tell(self, resident: int, kind: str, at: datetime | None = None, **attributes: Any) -> int:
        """A fact, judged; its id."""
        async with transaction() as tx:
            source = f"test:{next(_facts)}"
            assert await record_fact(tx, resident, kind, source, at or self.house.clock.now(), attributes)
        fact = await Fact.get(source_id=source)
        event = await Event.filter(key=f"resident:{resident}").order_by("-id").first()
        assert event is not None and event.payload["fact_id"] == str(fact.id)
        await self.house.awards.on_fact(event)
        return fact.id


def when(fact: str, effect: dict[str, Any], condition: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"trigger": {"kind": "fact", "fact": fact}, "condition": condition, "effect": effect}


def points(count: int) -> dict[str, Any]:
    return {"kind": "points", "points": count}


async def given(room: Room, person: int, campaign: int) -> tuple[str, str, str]:
    """What became of a person's newest award, and what he is told of it."""
    told = (await room.explanations.explain(person, campaign)).given
    assert told is not None
    return told.status, told.reason, award_text(told)


@pytest_asyncio.fixture(scope="module")
async def opened(database: Database) -> AsyncIterator[Room]:
    async with opened_house(database) as house:
        yield Room(house, ExplanationService(clock=house.clock))


@pytest_asyncio.fixture
async def room(opened: Room) -> AsyncIterator[Room]:
    yield opened
    await opened.house.end_all()


async def test_volunteer_hours_are_paid_by_tiers_that_climb_through_the_year(room: Room) -> None:
    effect = {
        "kind": "points_per", "attribute": "minutes", "over": "year", "at_most_points": 100,
        "tiers": [{"per": 60, "points": 1, "up_to": 1_200}, {"per": 120, "points": 1}],
    }  # fmt: skip
    await room.campaign(when(HOURS, effect), budget_points=10_000)
    person = next(PEOPLE)
    given = []
    for minutes in (630, 90, 600, 240):  # 10 h 30, 12 h, 22 h, 26 h
        before = await room.house.points(person)
        await room.tell(person, HOURS, minutes=minutes)
        given.append(await room.house.points(person) - before)
    assert given == [10, 2, 9, 2]


async def test_who_does_not_fit_gets_nothing_and_is_told_why_and_how_far_he_is(room: Room) -> None:
    done = {
        "kind": "has_done", "fact": HOURS, "within": {"kind": "last_days", "days": 30},
        "measure": {"kind": "sum", "attribute": "minutes", "at_least": 180},
    }  # fmt: skip
    campaign = await room.campaign(when(HOURS, points(50), done))
    person = next(PEOPLE)
    await room.tell(person, HOURS, minutes=120)
    assert await room.house.points(person) == 0
    told = await room.explanations.explain(person, campaign)
    assert (told.granted, told.given, told.occurred_at is not None) == (False, None, True)
    (missing,) = told.missing
    assert missing.code == "has_done"
    (step,) = told.progress
    assert step.progress is not None
    assert (step.progress.done, step.progress.needed, step.progress.text) == (120, 180, "已完成2小时，共需3小时")
    await room.tell(person, HOURS, minutes=60)
    assert await room.house.points(person) == 50
    told = await room.explanations.explain(person, campaign)
    assert told.given is not None
    assert (told.granted, told.given.status, told.given.points, told.missing) == (True, "posted", 50, ())


async def test_without_a_fact_the_rule_is_told_as_one_stands(room: Room) -> None:
    never = {"kind": "has_not_done", "fact": "parking_exit_paid", "within": {"kind": "ever"}}
    campaign = await room.campaign(when("library_returned_on_time", points(5), never))
    person = next(PEOPLE)
    told = await room.explanations.explain(person, campaign)
    assert (told.granted, told.occurred_at, told.given) == (False, None, None)
    assert [one.code for one in told.missing] == ["fact"]
    await room.tell(person, "parking_exit_paid", fee_fen=500)
    assert {one.code for one in (await room.explanations.explain(person, campaign)).missing} == {"fact", "has_not_done"}
    for nothing in (999_999, (await room.house.campaigns.create(room.house.campaign(), MAKER)).row.id):
        with pytest.raises(CampaignNotFound):
            await room.explanations.explain(person, nothing)


async def test_a_narrowed_campaign_is_explained_by_the_newest_fact_of_which_it_speaks(room: Room) -> None:
    document = when("parking_exit_paid", points(5))
    document["trigger"]["where"] = [{"kind": "value_in", "attribute": "lot_id", "values": ["A"]}]
    campaign, person = await room.campaign(document), next(PEOPLE)

    async def park(lot: str) -> datetime:
        at = room.house.clock.now()
        await room.tell(person, "parking_exit_paid", at, lot_id=lot, fee_fen=500)
        return at

    await park("B")
    told = await room.explanations.explain(person, campaign)
    assert (told.granted, told.given, [one.code for one in told.missing]) == (False, None, ["value_in"])
    at_a = await park("A")
    for _ in range(2):
        await park("B")
    told = await room.explanations.explain(person, campaign)
    assert told.given is not None
    assert (told.granted, told.occurred_at, told.given.status, told.given.points) == (True, at_a, "posted", 5)
    await room.house.campaigns.pause(campaign, CHECKER)
    at_a = await park("A")
    await park("B")
    told = await room.explanations.explain(person, campaign)
    assert (told.occurred_at, told.given, [one.code for one in told.missing]) == (at_a, None, ["running"])


async def test_what_was_given_is_explained_however_many_facts_came_after_it_of_which_the_campaign_does_not_speak(
    room: Room,
) -> None:
    document = when("parking_exit_paid", points(5))
    document["trigger"]["where"] = [{"kind": "value_in", "attribute": "lot_id", "values": ["A"]}]
    campaign, person = await room.campaign(document), next(PEOPLE)
    at = room.house.clock.now()
    await room.tell(person, "parking_exit_paid", at, lot_id="A", fee_fen=500)
    async with transaction() as tx:
        later = room.house.clock.now()
        await record_all(tx, [
            Told(person, "parking_exit_paid", f"{person}:{number}", later, {"lot_id": "B", "fee_fen": 1})
            for number in range(LOOKED_THROUGH + 1)
        ])  # fmt: skip
    told = await room.explanations.explain(person, campaign)
    assert told.given is not None
    assert (told.granted, told.given.points, told.occurred_at) == (True, 5, at)


async def test_a_fact_from_before_a_campaign_ran_or_while_it_paused_is_given_nothing_and_told_so(room: Room) -> None:
    start = room.house.clock.now() - timedelta(hours=2)
    campaign = await room.campaign(when("library_returned_on_time", points(5)), starts_at=start)
    person = next(PEOPLE)
    await room.tell(person, "library_returned_on_time", start + timedelta(hours=1))
    told = await room.explanations.explain(person, campaign)
    assert (told.granted, told.given, [one.code for one in told.missing]) == (False, None, ["fact"]), "none since then"
    await room.tell(person, "library_returned_on_time")
    told = await room.explanations.explain(person, campaign)
    assert (told.granted, told.given is not None, told.missing) == (True, True, ())
    await room.house.campaigns.pause(campaign, CHECKER)
    await room.tell(person, "library_returned_on_time")
    told = await room.explanations.explain(person, campaign)
    assert (told.granted, told.given, [one.code for one in told.missing]) == (False, None, ["running"])
    assert await room.house.points(person) == 5


async def test_a_coupon_of_a_campaign_is_owed_once_and_given_by_the_desk(room: Room) -> None:
    template = await room.house.live_template(price_points=0)
    coupon = {"kind": "coupon", "template_id": str(template.row.id)}
    campaign = await room.campaign(when("parking_exit_paid", coupon), budget_points=None)
    view = await room.house.campaigns.get(campaign)
    assert (view.row.status, view.budgets) == ("active", [])
    assert "可获得优惠券「早餐券」1张" in view.terms_text
    person = next(PEOPLE)
    fact = await room.tell(person, "parking_exit_paid", fee_fen=300)
    grant = await CouponGrant.get(source="campaign", source_id=f"{campaign}:{fact}")
    assert (grant.resident_id, grant.template_id) == (person, template.row.id)
    assert (await Award.get(fact_id=fact)).status == "pending", "what is owed is not there yet"
    await desk_of(room.house.worker, room.house.clock).redrive()
    coupons = await room.house.app.read.coupons(person, state=None, before=None, limit=10)
    assert [one.terms_id for one in coupons] == [template.version.id]
    assert (await Award.get(fact_id=fact)).status == "posted"


async def test_a_coupon_that_is_refused_counts_for_nobody_and_he_is_told_why(room: Room) -> None:
    """Peers' defect 4, a refusal that is ignored, where a campaign gives the coupon."""
    house, desk = room.house, desk_of(room.house.worker, room.house.clock)
    template = await house.live_template(price_points=0, stock=1)
    coupon = {"kind": "coupon", "template_id": str(template.row.id)}
    campaign = await room.campaign(when("parking_exit_paid", coupon), limits=per_person(1))
    first, second = next(PEOPLE), next(PEOPLE)
    for person in (first, second):
        await room.tell(person, "parking_exit_paid", fee_fen=300)
        assert await given(room, person, campaign) == ("pending", "", "奖励正在发放，请稍后查看")
        await desk.redrive()
    assert await given(room, first, campaign) == ("posted", "", "奖励已发放")
    assert await given(room, second, campaign) == ("refused", "sold_out", "未能发放：已经领完了")
    for person, becomes in ((first, "limit_reached"), (second, "sold_out")):  # who got nothing has used up nothing
        await room.tell(person, "parking_exit_paid", fee_fen=300)
        await desk.redrive()
        assert (await given(room, person, campaign))[:2] == ("refused", becomes)


async def test_what_happens_after_the_end_of_its_coupons_is_refused_and_what_happened_before_is_given(
    room: Room,
) -> None:
    house, desk = room.house, desk_of(room.house.worker, room.house.clock)
    template = await house.live_template(price_points=0)
    coupon = {"kind": "coupon", "template_id": str(template.row.id)}
    campaign = await room.campaign(when("parking_exit_paid", coupon))
    late, last, id = next(PEOPLE), house.clock.now() + timedelta(days=3), template.row.id
    await house.templates.revise(id, house.template(price_points=0, ends_at=last), MAKER)
    await house.templates.submit(id, MAKER)
    await house.templates.approve(id, CHECKER)
    for at, becomes in ((last, ("refused", "terms_closed")), (last - timedelta(minutes=1), ("pending", ""))):
        fact = await Award.get(fact_id=await room.tell(next(PEOPLE), "parking_exit_paid", at, fee_fen=300))
        assert (fact.status, fact.reason) == becomes
    before = house.clock.now()
    assert await house.templates.end_exhausted(id)
    await room.tell(late, "parking_exit_paid", before, fee_fen=300)
    await desk.redrive()
    assert await given(room, late, campaign) == ("posted", "", "奖励已发放")
    await room.tell(late, "parking_exit_paid", fee_fen=300)
    assert await given(room, late, campaign) == ("refused", "terms_closed", "未能发放：优惠券发放已结束")


async def test_a_rule_whose_coupon_cannot_come_is_refused_at_save_and_again_at_its_approval(room: Room) -> None:
    house = room.house
    template = await house.templates.create(house.template(price_points=0), MAKER)
    rule = rule_of(when("parking_exit_paid", {"kind": "coupon", "template_id": str(template.row.id)}))

    async def refusal(act: Awaitable[object]) -> str:
        with pytest.raises(RuleRefused) as refused:
            await act
        assert refused.value.field == "rule.effect.template_id"
        return refused.value.reason

    longer = house.campaign(rule=rule, ends_at=template.version.ends_at + timedelta(seconds=1))
    assert "早于活动结束时间" in await refusal(house.campaigns.create(longer, MAKER))
    made = await house.campaigns.create(house.campaign(rule=rule), MAKER)
    await house.campaigns.submit(made.row.id, MAKER)
    assert await refusal(house.campaigns.approve(made.row.id, CHECKER)) == "该券模板尚未批准"
    await house.templates.submit(template.row.id, MAKER)
    await house.templates.approve(template.row.id, CHECKER)
    await house.campaigns.approve(made.row.id, CHECKER)
    await house.templates.end(template.row.id, CHECKER)
    assert await refusal(house.campaigns.create(house.campaign(rule=rule), MAKER)) == "该券模板已结束，不再发放"
    copied = await house.campaigns.copy(made.row.id, MAKER)
    await house.campaigns.submit(copied.row.id, MAKER)
    assert await refusal(house.campaigns.approve(copied.row.id, CHECKER)) == "该券模板已结束，不再发放"


async def test_free_minutes_are_written_down_with_their_last_day_and_counted_against_the_limit(room: Room) -> None:
    minutes = {"kind": "free_minutes", "minutes": 120}
    await room.campaign(
        when("library_returned_on_time", minutes), budget_points=None, limits=per_person(2, "month"), validity_months=1
    )  # fmt: skip
    person = next(PEOPLE)
    for _ in range(3):
        await room.tell(person, "library_returned_on_time", books=1)
    given = await FreeMinutes.filter(resident_id=person)
    today = room.house.clock.today()
    last = (today.replace(day=1) + timedelta(days=63)).replace(day=1) - timedelta(days=1)
    assert [(one.minutes, one.used, one.scene) for one in given] == [(120, 0, "parking")] * 2
    assert {one.valid_until for one in given} == {last}
    refused = await Award.filter(resident_id=person, status="refused")
    assert [one.reason for one in refused] == ["limit_reached"]


async def test_facts_told_at_once_are_never_both_the_first(room: Room) -> None:
    await room.campaign(when("parking_exit_paid", points(9), {"kind": "first_time"}), budget_points=1_000)
    people = [next(PEOPLE) for _ in range(20)]
    now = room.house.clock.now()

    async def tell(number: int) -> None:
        async with transaction() as tx:
            told = [Told(one, "parking_exit_paid", f"{one}:{number}", now, {"fee_fen": 1}) for one in people]
            await record_all(tx, told[::-1] if number % 2 else told)

    await asyncio.gather(*(tell(number) for number in range(6)))
    events = await Event.filter(key__in=[f"resident:{one}" for one in people]).order_by("id")
    for event in events:
        await room.house.awards.on_fact(event)
    assert [await room.house.points(one) for one in people] == [9] * 20
    rows = await fetch("SELECT count(*) AS n FROM award WHERE resident_id = ANY($1::bigint[])", people)
    assert rows[0]["n"] == 20


async def test_what_a_rule_may_not_ask_is_refused_with_its_field_and_reason(room: Room) -> None:
    with pytest.raises(RuleRefused) as refused:
        rule_of(when("identity_bound", points(5), {"kind": "amount", "attribute": "age", "at_least": 60}))
    assert (refused.value.field, "年龄" in refused.value.reason) == ("rule.condition.attribute", True)
    with pytest.raises(RuleRefused) as refused:
        rule_of(when("identity_bound", {"kind": "points", "points": -5}))
    assert refused.value.field == "rule.effect.points"
    document = when("identity_bound", {"kind": "free_minutes", "minutes": 5})
    draft = room.house.campaign(rule=rule_of(document), budget_points=None, limits=per_person(5, measure="points"))
    with pytest.raises(InvalidField) as missing:
        await room.house.campaigns.create(draft, MAKER)
    assert missing.value.field == "limits[0].measure"


@pytest.mark.parametrize(
    ("effect", "condition", "field"),
    [
        ({"kind": "coupon", "template_id": "999999"}, None, "rule.effect.template_id"),
        ({"kind": "lottery_ticket", "lottery_id": "999999"}, None, "rule.effect.lottery_id"),
        (points(5), {"kind": "band_in", "bands": ["ZZZ"]}, "rule.condition"),
        (points(5), {"kind": "town_in", "towns": ["无此镇"]}, "rule.condition"),
        (points(5), {"kind": "merchant_category_in", "categories": ["food"]}, "rule.condition"),
        (points(5), {"kind": "value_in", "attribute": "merchant_category", "values": ["food"]}, "rule.condition"),
    ],
)
async def test_a_rule_that_names_what_does_not_exist_is_refused_at_save(
    room: Room, effect: dict[str, Any], condition: dict[str, Any] | None, field: str
) -> None:
    draft = room.house.campaign(rule=rule_of(when("redemption_made", effect, condition)))
    with pytest.raises(RuleRefused) as refused:
        await room.house.campaigns.create(draft, MAKER)
    assert refused.value.field == field
