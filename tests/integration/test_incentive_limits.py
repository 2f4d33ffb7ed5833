"""What campaigns and templates allow one person per period, and what grace they give, as the vault keeps it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta

import pytest
import pytest_asyncio
from tortoise.exceptions import IntegrityError

from server.incentives.budgets import BudgetService
from server.incentives.campaigns import CampaignService
from server.incentives.coupons import CouponService
from server.incentives.facts import record_fact
from server.incentives.limits import Limit
from server.incentives.models import Award, CampaignVersion, CouponTemplateVersion
from server.incentives.rules import Rule
from server.incentives.rules.language import FactTrigger, GiveFreeMinutes
from server.incentives.templates import TemplateService
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex
from server.kit.db import close_house, open_house, transaction
from server.kit.outbox import Event
from tests.support.databases import Database
from tests.support.incentives import CHECKER, MAKER, House, awards_of, per_person
from tests.support.ledger import CITY, COUNTER, Ledger, open_ledger, refusal
from tests.support.residents import Person, enrol, set_lists

_facts = itertools.count(1)


@dataclass
class Town:
    """The room and the ledger on one database, under one clock."""

    house: House
    ledger: Ledger

    async def set_clock(self, at: datetime) -> None:
        await self.ledger.set_clock(at)
        self.house.clock.follow(await self.ledger.app.now())

    def coming(self, weekday: int, at: time) -> datetime:
        """This city time on the next such day of the week (0 is Monday), tomorrow at the soonest."""
        tomorrow = self.ledger.today() + timedelta(days=1)
        return datetime.combine(tomorrow + timedelta(days=(weekday - tomorrow.weekday()) % 7), at, CITY)

    async def award(self, resident: int) -> tuple[str, str]:
        """What became of the award for a fact of this moment: its status and why."""
        async with transaction() as tx:
            await record_fact(tx, resident, "identity_bound", f"binding:{next(_facts)}", self.house.clock.now(), {})
        event = await Event.filter(key=f"resident:{resident}").order_by("-id").first()
        assert event is not None
        await self.house.awards.on_fact(event)
        award = await Award.get(resident_id=resident, fact_id=int(event.payload["fact_id"]))
        return award.status, award.reason


@pytest_asyncio.fixture
async def town(database: Database) -> AsyncIterator[Town]:
    await open_house(database.worker)
    async with open_ledger(database) as ledger:
        clock = Clock()
        clock.follow(await ledger.app.now())
        house = House(
            ledger.app, ledger.worker, clock, CampaignService(vault=ledger.app, clock=clock),
            TemplateService(vault=ledger.app, clock=clock), BudgetService(vault=ledger.app, clock=clock),
            awards_of(ledger.worker, clock),
        )  # fmt: skip
        yield Town(house, ledger)
        assert await ledger.broken() == []
        await house.end_all()
        await ledger.restore_clock()
    await close_house()


async def test_a_campaign_per_day_gives_again_on_the_next_city_day(town: Town) -> None:
    monday = town.coming(0, time(23, 30))
    await town.set_clock(monday)
    view = await town.house.live_campaign(limits=per_person(2, "day"))
    assert "每人每日限2次" in view.terms_text
    answers = [await town.award(5_001) for _ in range(3)]
    assert answers == [("posted", ""), ("posted", ""), ("refused", "limit_reached")]
    assert await town.award(5_002) == ("posted", "")
    await town.set_clock(monday + timedelta(minutes=40))
    assert await town.award(5_001) == ("posted", "")
    assert await town.house.points(5_001) == 300


async def test_a_campaign_without_a_period_gives_no_more_on_the_next_day(town: Town) -> None:
    noon = town.coming(0, time(12))
    await town.set_clock(noon)
    await town.house.live_campaign()
    assert await town.award(5_003) == ("posted", "")
    await town.set_clock(noon + timedelta(days=8))
    assert await town.award(5_003) == ("refused", "limit_reached")


async def test_a_template_per_week_can_be_claimed_again_from_monday_on(town: Town) -> None:
    saturday = town.coming(5, time(12))
    await town.set_clock(saturday)
    made = await town.house.live_template(limits=per_person(2, "week", "issue"), price_points=0)
    resident, ledger = await town.ledger.resident(), town.ledger

    async def claim() -> None:
        await ledger.app.claim(resident, ledger.id7(), template_id=made.row.id, terms_id=made.version.id)

    await claim()
    await town.set_clock(saturday + timedelta(days=1))
    await claim()
    with refusal("limit_reached"):
        await claim()
    await town.set_clock(saturday + timedelta(days=1, hours=13))  # Monday, one in the morning
    await claim()
    await claim()
    with refusal("limit_reached"):
        await claim()


async def test_a_template_per_month_counts_anew_on_the_first(town: Town) -> None:
    first = (town.ledger.today().replace(day=1) + timedelta(days=32)).replace(day=1)
    midnight = datetime.combine(first, time(), CITY)
    await town.set_clock(midnight - timedelta(hours=1))
    made = await town.house.live_template(limits=per_person(1, "month", "issue"), price_points=0)
    resident, ledger = await town.ledger.resident(), town.ledger
    await ledger.app.claim(resident, ledger.id7(), template_id=made.row.id, terms_id=made.version.id)
    with refusal("limit_reached"):
        await ledger.app.claim(resident, ledger.id7(), template_id=made.row.id, terms_id=made.version.id)
    await town.set_clock(midnight + timedelta(minutes=1))
    await ledger.app.claim(resident, ledger.id7(), template_id=made.row.id, terms_id=made.version.id)


async def test_towns_and_stores_have_their_own_limits_whoever_comes(town: Town) -> None:
    noon, ledger, house = town.coming(2, time(12)), town.ledger, town.house
    await set_lists()
    people = [Person(bound_at=ledger.now(), town=name) for name in ("华士镇", "华士镇", "新桥镇")]
    one, neighbour, other = await enrol(people, BlindIndex(b"k" * 32), as_of=ledger.today())
    await town.set_clock(noon)
    limits = (Limit(1, "issue", scope="town"), Limit(1, "redeem", period="day", scope="store"))
    made = await house.live_template(limits=limits, price_points=0)
    assert {"每个镇街限领1张", "每家门店每日限用1张"} <= set(made.terms_text.split("；"))
    coupons, claimed = CouponService(vault=house.app, templates=house.templates), []
    for resident in (one, other):
        await ledger.app.open_wallet(resident)
        claimed.append((await coupons.claim(resident, ledger.id7(), made.row.id))[0].result)
    await ledger.app.open_wallet(neighbour)
    with refusal("limit_reached"):
        await coupons.claim(neighbour, ledger.id7(), made.row.id)
    scans = [await ledger.scan(await ledger.show(mine.owner, mine.coupon_id)) for mine in claimed]
    await ledger.redeem(scans[0], amount=9000)
    with refusal("limit_reached"):
        await ledger.redeem(scans[1], amount=9000)
    await house.live_campaign(limits=(Limit(1, "earn", scope="town"),))
    answers = [await town.award(resident) for resident in (one, neighbour, other)]
    assert answers == [("posted", ""), ("refused", "limit_reached"), ("posted", "")]


async def test_what_is_handed_over_has_limits_of_all_together_and_of_towns_counted_by_the_house(town: Town) -> None:
    noon, ledger, house = town.coming(2, time(12)), town.ledger, town.house
    await set_lists()
    people = [Person(bound_at=ledger.now(), town=name) for name in ("华士镇", "华士镇", "新桥镇")]
    one, neighbour, other = await enrol(people, BlindIndex(b"h" * 32), as_of=ledger.today())
    await town.set_clock(noon)
    minutes = Rule(trigger=FactTrigger(fact="identity_bound"), effect=GiveFreeMinutes(minutes=30))
    by_day, by_town = Limit(3, "earn", period="day", scope="campaign"), Limit(1, "earn", scope="town")
    made = await house.live_campaign(rule=minutes, limits=(by_day, by_town))
    assert {"全部合计每日限3次", "每个镇街限1次"} <= set(made.terms_text.split("；"))

    async def used(*, small_cell: int = 0) -> list[tuple[str, int]]:
        counted = await house.campaigns.limit_use(await house.campaigns.get(made.row.id), small_cell)
        return [(each.place, each.used) for each in counted]

    full = ("refused", "campaign_full")
    answers = [await town.award(resident) for resident in (one, neighbour, other, 5_030, 5_031)]
    assert answers == [("posted", ""), full, ("posted", ""), ("posted", ""), full], "who lives nowhere shares one place"
    assert await used() == [("", 3), ("", 1), ("华士镇", 1), ("新桥镇", 1)], "what was refused took nothing"
    assert await used(small_cell=2) == [("", 3)]
    await town.set_clock(noon + timedelta(days=1))
    assert await town.award(neighbour) == full
    assert (await used())[0] == ("", 0), "a day of its own"
    with pytest.raises(IntegrityError, match="award_counter_within"):
        async with transaction() as tx:
            await tx.execute_query("UPDATE award_counter SET used = used + 1 WHERE used = most")


@pytest.mark.parametrize(("grace_days", "state"), [(0, "expired"), (3, "issued")])
async def test_a_void_after_the_last_day_gives_back_a_coupon_with_the_templates_grace(
    town: Town, grace_days: int, state: str
) -> None:
    evening, ledger = town.coming(2, time(23, 50)), town.ledger
    await town.set_clock(evening)
    view = await town.house.live_template(
        grace_days=grace_days, valid_days=0, valid_until=evening.date(), ends_at=evening + timedelta(minutes=9),
        price_points=0, threshold_fen=0,
    )  # fmt: skip
    resident = await ledger.resident()
    claimed = await ledger.app.claim(resident, ledger.id7(), template_id=view.row.id, terms_id=view.version.id)
    scanned = await ledger.scan(await ledger.show(resident, claimed.result.coupon_id))
    redeemed = (await ledger.redeem(scanned)).result
    await town.set_clock(evening + timedelta(minutes=20))
    voided = (await ledger.app.void(redeemed.id, acceptor=COUNTER, reason="after midnight")).result
    last_day = evening.date() + timedelta(days=1 + grace_days) if grace_days else evening.date()
    assert (voided.state, voided.expires_on) == (state, last_day)


async def test_the_database_itself_refuses_a_period_or_a_grace_that_cannot_be(town: Town) -> None:
    campaign = (await town.house.campaigns.create(town.house.campaign(), MAKER)).version
    template = (await town.house.templates.create(town.house.template(), CHECKER)).version
    good = {"action": "earn", "measure": "count", "period": "day", "scope": "resident", "cap": 1}
    for change in (
        {"period": "year"},
        {"cap": 0},
        {"scope": "store"},
        {"scope": "city"},
        {"measure": "fen"},
        {"action": "claim"},
        {"measure": "yuan"},
    ):
        with pytest.raises(IntegrityError, match="campaign_version_limits"):
            await CampaignVersion.filter(id=campaign.id).update(limits=[good | change])
        with pytest.raises(IntegrityError, match="coupon_template_version_limits"):
            await CouponTemplateVersion.filter(id=template.id).update(limits=[good | {"action": "issue"} | change])
    with pytest.raises(IntegrityError, match="campaign_version_limits"):
        await CampaignVersion.filter(id=campaign.id).update(limits=[good, good | {"cap": 2}])
    for days in (-1, 366):
        with pytest.raises(IntegrityError, match="coupon_template_version_grace"):
            await CouponTemplateVersion.filter(id=template.id).update(grace_days=days)
