"""Facts become points: each once, by the campaigns that were live, whatever breaks off."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import pytest

from server.incentives.facts import record_fact
from server.incentives.models import (
    Award,
    CampaignSpan,
    Fact,
)
from server.kit.db import transaction
from server.kit.ids import uuid7
from server.kit.outbox import Event
from tests.support.incentives import (
    CHECKER,
    House,
    Unreachable,
    awards_of,
    house,
    opened,
)
from tests.support.patience import relay_all

__all__ = ["house", "opened"]


_numbers = itertools.count(1)


@pytest.fixture
def resident() -> int:
    return 5_000 + next(_numbers)


async def test_a_fact_is_recorded_once_and_told_once(house: House, resident: int) -> None:
    assert await house.tell(resident) is True
    assert await house.tell(resident) is False
    assert await Fact.filter(resident_id=resident).count() == 1
    assert await Event.filter(kind="fact_recorded", key=f"resident:{resident}").count() == 1


async def test_a_fact_of_a_failed_transaction_is_not_told(house: House, resident: int) -> None:
    with pytest.raises(RuntimeError):
        async with transaction() as tx:
            await record_fact(tx, resident, "identity_bound", f"resident:{resident}", house.clock.now(), {})
            raise RuntimeError
    assert await Fact.filter(resident_id=resident).count() == 0
    assert await Event.filter(key=f"resident:{resident}").count() == 0


async def test_the_relay_turns_a_fact_into_points_exactly_once(house: House, resident: int) -> None:
    view = await house.live_campaign()
    await house.tell(resident)
    await relay_all("test-awards", house.awards.on_fact)
    assert await house.points(resident) == 100
    event = await Event.get(key=f"resident:{resident}")
    await house.awards.on_fact(event)
    await house.awards.redrive()
    assert await house.points(resident) == 100
    award = await Award.get(resident_id=resident)
    assert (award.status, award.campaign_id, award.attempts) == ("posted", view.row.id, 1)
    (state,) = (await house.campaigns.get(view.row.id)).budgets
    assert (state.planned, state.total, state.left, state.consumed) == (1_000, 1_000, 900, 100)


async def test_every_campaign_that_was_live_gives_its_own_points(house: House, resident: int) -> None:
    await house.live_campaign(points=30)
    await house.live_campaign(points=7)
    await house.tell(resident)
    await house.awards.on_fact(await Event.get(key=f"resident:{resident}"))
    assert await house.points(resident) == 37


@pytest.mark.parametrize("minutes", [-1_000, 60 * 24 * 31])
async def test_a_fact_outside_the_campaign_gives_nothing(house: House, resident: int, minutes: int) -> None:
    await house.live_campaign()
    await house.tell(resident, house.clock.now() + timedelta(minutes=minutes))
    await house.awards.on_fact(await Event.get(key=f"resident:{resident}"))
    assert await Award.filter(resident_id=resident).count() == 0


async def test_a_fact_during_a_pause_gives_nothing_and_one_before_it_gives_later(house: House, resident: int) -> None:
    view = await house.live_campaign()
    before = house.clock.now()
    await house.campaigns.pause(view.row.id, CHECKER)
    other = resident + 100_000
    await house.tell(resident, before)
    await house.tell(other)
    for person in (resident, other):
        await house.awards.on_fact(await Event.get(key=f"resident:{person}"))
    assert (await Award.get(resident_id=resident)).status == "pending"
    assert await Award.filter(resident_id=other).count() == 0
    await house.campaigns.resume(view.row.id, CHECKER)
    await Award.filter(resident_id=resident).update(due_at=before)
    await house.awards.redrive()
    assert await house.points(resident) == 100
    assert await house.points(other) == 0
    assert await CampaignSpan.filter(campaign_id=view.row.id).count() == 2


async def test_a_sold_out_budget_refuses_the_award_for_good(house: House, resident: int) -> None:
    await house.live_campaign(points=600)
    for person in (resident, resident + 100_000):
        await house.tell(person)
        await house.awards.on_fact(await Event.get(key=f"resident:{person}"))
    award = await Award.get(resident_id=resident + 100_000)
    assert (award.status, award.reason) == ("refused", "sold_out")
    assert await house.points(resident + 100_000) == 0


async def test_an_award_waits_for_a_vault_that_cannot_be_reached(house: House, resident: int) -> None:
    await house.live_campaign()
    await house.tell(resident)
    cut = awards_of(Unreachable(house.app, 0), house.clock)  # type: ignore[arg-type]
    await cut.on_fact(await Event.get(key=f"resident:{resident}"))
    award = await Award.get(resident_id=resident)
    assert (award.status, award.attempts) == ("pending", 1)
    await Award.filter(id=award.id).update(due_at=house.clock.now())
    await house.awards.redrive()
    assert await house.points(resident) == 100


async def test_an_award_of_a_frozen_account_is_kept_and_posted_once_it_is_open(house: House, resident: int) -> None:
    await house.live_campaign()
    await house.app.open_wallet(resident)
    order = {"authority": "市人民法院", "reason": "（2026）执字1号", "actor": 1}
    await house.app.freeze(resident, uuid7(house.clock.now()), kind="frozen", until=None, **order)  # type: ignore[arg-type]
    await house.tell(resident)
    await house.awards.on_fact(await Event.get(key=f"resident:{resident}"))
    for attempt in range(1, 13):
        award = await Award.get(resident_id=resident)
        assert (award.status, award.attempts, await house.points(resident)) == ("pending", attempt, 0)
        assert award.due_at <= house.clock.now() + timedelta(seconds=600)
        await Award.filter(id=award.id).update(due_at=house.clock.now())
        await house.awards.redrive()
    await house.app.unfreeze(resident, uuid7(house.clock.now()), **order)  # type: ignore[arg-type]
    await Award.filter(resident_id=resident).update(due_at=house.clock.now())
    await house.awards.redrive()
    assert ((await Award.get(resident_id=resident)).status, await house.points(resident)) == ("posted", 100)


async def test_a_fresh_fact_that_missed_its_campaign_is_found_again(house: House, resident: int) -> None:
    await house.tell(resident, house.clock.now() + timedelta(seconds=5))
    await house.awards.on_fact(await Event.get(key=f"resident:{resident}"))
    assert await Award.filter(resident_id=resident).count() == 0
    await house.live_campaign()
    await house.awards.redrive()
    assert await Award.filter(resident_id=resident).count() == 1


async def test_eight_relays_at_once_give_the_points_of_a_fact_once(house: House, resident: int) -> None:
    await house.live_campaign()
    await house.tell(resident)
    event = await Event.get(key=f"resident:{resident}")
    await asyncio.gather(*(house.awards.on_fact(event) for _ in range(8)))
    assert await house.points(resident) == 100
    assert await Award.filter(resident_id=resident).count() == 1
