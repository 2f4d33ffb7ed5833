"""Campaigns, templates and budgets at the edges: dates of no use, ids of no day, calls that arrive late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
import pytest_asyncio

from server.incentives.models import Campaign, CouponTemplate
from server.kit.errors import InvalidField
from tests.support.databases import Database
from tests.support.incentives import CHECKER, MAKER, House, opened_house
from wallet import Refused


@pytest_asyncio.fixture(scope="module")
async def house(database: Database) -> AsyncIterator[House]:
    async with opened_house(database) as house:
        yield house


@pytest.mark.parametrize("ends_at", [datetime.max.replace(tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)])
async def test_a_rule_for_ever_is_refused_before_it_is_written(house: House, ends_at: datetime) -> None:
    before = await Campaign.all().count(), await CouponTemplate.all().count()
    with pytest.raises(InvalidField) as refused:
        await house.campaigns.create(house.campaign(ends_at=ends_at), MAKER)
    assert refused.value.field == "ends_at"
    with pytest.raises(InvalidField) as refused:
        await house.templates.create(house.template(ends_at=ends_at), MAKER)
    assert refused.value.field == "ends_at"
    assert (await Campaign.all().count(), await CouponTemplate.all().count()) == before


@pytest.mark.parametrize("id", ["ffffffff-ffff-7fff-bfff-ffffffffffff", "00000000-0000-7000-8000-000000000000"])
async def test_a_top_up_under_an_id_of_no_day_is_expired(house: House, id: str) -> None:
    view = await house.live_campaign()
    with pytest.raises(Refused, match=r"^idempotency_key_expired$"):
        await house.budgets.request_top_up(view.budgets[0].id, UUID(id), 5, "文号 2", MAKER)


async def test_an_opening_that_arrives_after_the_end_is_closed_again(house: House) -> None:
    view = await house.live_template()
    await house.templates.end(view.row.id, CHECKER)
    await house.app.open_budget(view.budgets[0].id)
    await house.templates.redrive()
    assert not any(state.open for state in (await house.templates.get(view.row.id)).budgets)
