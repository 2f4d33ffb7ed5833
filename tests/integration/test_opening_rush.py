"""The minute in which scarce coupons open: exactly as many as there are, in the order of those who came; who finds no
room is told when to come again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
import pytest_asyncio

from server.incentives.coupons import CouponService
from server.incentives.errors import ClaimedByLottery, WaitingRoom
from server.incentives.templates import TemplateService
from server.kit.ids import uuid7
from server.sandbox.engines import Engines
from server.services import Services
from tests.support.databases import Database, connected
from tests.support.grants import CHECKER, MAKER, enrol, live_template
from tests.support.jobs import open_jobs
from wallet import Refused, Vault, VaultError
from wallet.audit import prove

BATCH, LANES = 8, 2
WALLETS = "INSERT INTO vault.wallet (b, owner) SELECT n & 1023, n FROM unnest($1::bigint[]) n"


@pytest_asyncio.fixture(scope="module")
async def services(engines: Engines, database: Database) -> AsyncIterator[Services]:
    async with open_jobs(engines, database) as opened:
        yield opened
    assert [one for one in await prove(database.worker) if one.broken] == []


@asynccontextmanager
async def counter(services: Services, database: Database, queue: int) -> AsyncIterator[tuple[CouponService, Vault]]:
    """Where residents claim in one process."""
    vault = await Vault.connect(database.app, role="app", lanes=LANES, queue=queue, batch=BATCH, pool_max=3)
    try:
        yield CouponService(vault=vault, templates=TemplateService(vault=vault, clock=services.clock)), vault
    finally:
        await vault.close()


async def crowd(database: Database, count: int) -> list[int]:
    people = await enrol(count)
    async with connected(database.owner) as owner:
        await owner.execute(WALLETS, people)
    return people


async def claims(services: Services, coupons: CouponService, people: Sequence[int], template: int) -> list[str]:
    """What each was answered, who came in this order and all at once."""

    async def claim(who: int) -> str:
        try:
            await coupons.claim(who, uuid7(services.clock.now()), template)
        except (VaultError, WaitingRoom) as refusal:
            return refusal.code
        return "issued"

    return await asyncio.gather(*(claim(one) for one in people))


async def test_600_claims_on_100_coupons_give_100_to_those_who_came_first(
    services: Services, database: Database
) -> None:
    template, people = await live_template(services, stock=100), await crowd(database, 600)
    async with counter(services, database, 4096) as (coupons, _):
        answers = await claims(services, coupons, people, template)
    assert Counter(answers) == {"issued": 100, "sold_out": 500}
    last_winner = max(place for place, answer in enumerate(answers) if answer == "issued")
    first_loser = answers.index("sold_out")
    assert last_winner - first_loser < 2 * BATCH * LANES, "who was told sold out came before a winner by some batches"


async def test_sold_out_is_told_without_a_lane_and_what_comes_back_can_be_claimed_at_once(
    services: Services, database: Database
) -> None:
    template, people = await live_template(services, stock=2, sponsor_bp=0), await crowd(database, 60)
    first = uuid7(services.clock.now())
    async with counter(services, database, 4096) as (coupons, vault):
        done, _ = await coupons.claim(people[0], first, template)
        assert not done.replayed
        assert await claims(services, coupons, people[1:3], template) == ["issued", "sold_out"]
        posted = vault.lanes.counts.items
        assert Counter(await claims(services, coupons, people[3:], template)) == {"sold_out": 57}
        assert vault.lanes.counts.items == posted
        again, _ = await coupons.claim(people[0], first, template)
        assert again.replayed and again.result == done.result
        await claims(services, coupons, people[3:4], template)
        await more(services, template, 1)
        assert await claims(services, coupons, people[4:6], template) == ["issued", "sold_out"]
        await services.templates.pause(template, CHECKER)
        assert await claims(services, coupons, people[6:7], template) == ["terms_closed"]


async def more(services: Services, template: int, amount: int) -> None:
    view = await services.templates.get(template)
    (budget,) = [one.id for one in view.budgets if one.unit == "coupons"]
    request, _, _ = await services.budgets.request_top_up(budget, uuid7(services.clock.now()), amount, "文", MAKER)
    await services.budgets.approve(request.id, CHECKER)


async def test_who_finds_no_place_waits_and_loses_nothing(services: Services, database: Database) -> None:
    template, people = await live_template(services, stock=1_000), await crowd(database, 65)
    first, *people = people
    keys: dict[int, UUID] = {one: uuid7(services.clock.now()) for one in people}
    async with counter(services, database, 8) as (coupons, _):
        await claims(services, coupons, [first], template)
        outcomes = await asyncio.gather(
            *(coupons.claim(one, keys[one], template) for one in people), return_exceptions=True
        )
        away = {one: told for one, told in zip(people, outcomes, strict=True) if isinstance(told, WaitingRoom)}
        assert len(away) == 56 and not [told for told in outcomes if isinstance(told, Refused)]
        assert all(1 <= (told.retry_after_s or 0) <= 30 for told in away.values())
        for one in away:
            done, _ = await coupons.claim(one, keys[one], template)
            assert not done.replayed


async def test_coupons_that_are_drawn_are_not_for_those_who_come_first(services: Services, database: Database) -> None:
    template, (who,) = await live_template(services, by_lottery=True), await crowd(database, 1)
    view = await services.templates.get(template)
    assert not view.version.claimable and "通过抽签发放" in view.terms_text
    async with counter(services, database, 8) as (coupons, _):
        with pytest.raises(ClaimedByLottery):
            await coupons.claim(who, uuid7(services.clock.now()), template)
