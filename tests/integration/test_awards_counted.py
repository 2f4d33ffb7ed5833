"""Limits of what is handed over, as the house counts them: exact however many come at once, given back when refused."""

from __future__ import annotations

import asyncio
from datetime import datetime

from server.incentives.facts import Told, record_all
from server.incentives.limits import Limit
from server.incentives.models import Award, FreeMinutes
from server.kit.db import fetch, transaction
from server.kit.outbox import Event
from tests.integration.test_incentive_rules_at_work import PEOPLE, Room, opened, room, when
from tests.support.incentives import awards_of, desk_of, per_person

__all__ = ["opened", "room"]  # fixtures


async def test_a_person_at_his_limit_gets_no_more_of_what_is_handed_over_however_many_relays_come_at_once(
    room: Room,
) -> None:
    house, person = room.house, next(PEOPLE)
    minutes = {"kind": "free_minutes", "minutes": 30}
    await room.campaign(when("library_returned_on_time", minutes), limits=per_person(3, "day"))
    now = house.clock.now()
    async with transaction() as tx:
        told = [Told(person, "library_returned_on_time", f"{person}:{n}", now, {"books": 1}) for n in range(20)]
        await record_all(tx, told)
    events = await Event.filter(key=f"resident:{person}").order_by("id")
    relays = [awards_of(house.worker, house.clock) for _ in range(2)]
    await asyncio.gather(*(relay.on_fact(event) for event in events for relay in relays))
    assert [one.minutes for one in await FreeMinutes.filter(resident_id=person)] == [30] * 3
    awards = await Award.filter(resident_id=person)
    assert (
        sorted((one.status, one.reason) for one in awards) == [("posted", "")] * 3 + [("refused", "limit_reached")] * 17
    )


async def told_at_once(kind: str, people: list[int], at: datetime) -> list[Event]:
    """A fact of each, told together; their events."""
    async with transaction() as tx:
        await record_all(tx, [Told(one, kind, f"{one}:{kind}", at, {}) for one in people])
    return await Event.filter(key__in=[f"resident:{one}" for one in people]).order_by("id")


async def used_of(campaign: int) -> list[int]:
    return [row["used"] for row in await fetch("SELECT used FROM award_counter WHERE campaign_id = $1", campaign)]


async def test_what_all_together_may_have_is_given_exactly_however_many_come_at_once(room: Room) -> None:
    house, people = room.house, [next(PEOPLE) for _ in range(24)]
    minutes = {"kind": "free_minutes", "minutes": 30}
    campaign = await room.campaign(when("identity_bound", minutes), limits=(Limit(7, "earn", scope="campaign"),))
    events = await told_at_once("identity_bound", people, house.clock.now())
    relays = [awards_of(house.worker, house.clock) for _ in range(2)]
    await asyncio.gather(*(relay.on_fact(event) for event in events for relay in relays))
    assert await FreeMinutes.filter(resident_id__in=people).count() == 7
    awards = await Award.filter(campaign_id=campaign)
    assert (
        sorted((one.status, one.reason) for one in awards) == [("posted", "")] * 7 + [("refused", "campaign_full")] * 17
    )
    assert await used_of(campaign) == [7]


async def test_a_place_of_all_together_is_free_again_when_its_coupon_could_not_be_given(room: Room) -> None:
    house, (one, two, three, four) = room.house, [next(PEOPLE) for _ in range(4)]
    template = await house.live_template(price_points=0, stock=1)
    coupon = {"kind": "coupon", "template_id": str(template.row.id)}
    campaign = await room.campaign(when("parking_exit_paid", coupon), limits=(Limit(2, "earn", scope="campaign"),))

    async def become_of(resident: int) -> tuple[str, str]:
        award = await Award.get(resident_id=resident, campaign_id=campaign)
        return award.status, award.reason

    for person in (one, two, three):
        await room.tell(person, "parking_exit_paid")
    assert [await become_of(person) for person in (two, three)] == [("pending", ""), ("refused", "campaign_full")]
    await desk_of(house.worker, house.clock).redrive()
    assert sorted([await become_of(person) for person in (one, two)]) == [("posted", ""), ("refused", "sold_out")]
    assert await used_of(campaign) == [1]
    await room.tell(four, "parking_exit_paid")
    assert await become_of(four) == ("pending", "")
    assert await used_of(campaign) == [2]
