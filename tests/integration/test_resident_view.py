"""What a resident is shown: campaigns with reasons and progress, the shop with its states, coupons that expire next;
the same stock for everybody, in a fixed number of statements."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from server.incentives import campaigns
from server.incentives.coupons import CouponService
from server.incentives.for_me import CampaignForMe, ResidentCampaigns
from server.incentives.limits import Limit
from server.incentives.lottery.commands import LotteryDraft
from server.incentives.lottery.entries import EntryService
from server.incentives.lottery.published import Prize
from server.incentives.lottery.service import LotteryService
from server.incentives.promises import Promises
from server.incentives.rules import RuleRefused
from server.incentives.shop import Shop, ShopItem
from server.incentives.stock import StockBoard
from server.incentives.templates import TemplateService
from server.kit.crypto import BlindIndex, Envelope, Keyring
from server.kit.db import fetch, transaction
from server.kit.ids import uuid7
from server.people.choices import ChoiceService
from tests.integration.test_incentive_rules_at_work import HOURS, Room, opened, points, room, when
from tests.support.grants import CHECKER, MAKER, enrol
from tests.support.incentives import KEY, per_person
from wallet import Refused

__all__ = ["opened", "room"]  # fixtures
THREE_HOURS = {
    "kind": "has_done", "fact": HOURS, "within": {"kind": "this", "period": "month"},
    "measure": {"kind": "sum", "attribute": "minutes", "at_least": 180},
}  # fmt: skip
IN_TOWN = {"kind": "town_in", "towns": ["华士镇"]}


@dataclass
class View:
    """The house as a phone sees it. A second is not waited for: each look is by services that have seen nothing."""

    room: Room

    async def campaigns(self, resident: int, *, limit: int = 100) -> list[CampaignForMe]:
        house = self.room.house
        campaigns = type(house.campaigns)(vault=house.app, clock=house.clock)
        view, found = ResidentCampaigns(campaigns=campaigns, vault=house.app, clock=house.clock), []
        page, last = await view.page(resident, None, limit)
        found += page
        while last is not None:
            page, last = await view.page(resident, last, limit)
            found += page
        return found

    async def shop(self, resident: int, *, price: Any = "any", limit: int = 100) -> dict[int, ShopItem]:
        house, found = self.room.house, dict[int, ShopItem]()
        shop = Shop(templates=TemplateService(vault=house.app, clock=house.clock), vault=house.app, clock=house.clock)
        last = None
        while True:
            page, last = await shop.page(resident, price, last, limit)
            found |= {one.offered.template_id: one for one in page}
            if last is None:
                return found

    @property
    def coupons(self) -> CouponService:
        return CouponService(vault=self.room.house.app, templates=self.room.house.templates)

    async def claim(self, resident: int, template: int) -> None:
        await self.coupons.claim(resident, uuid7(self.room.house.clock.now()), template)


@pytest.fixture
def view(room: Room) -> View:
    return View(room)


@pytest_asyncio.fixture
async def resident(room: Room) -> AsyncIterator[int]:
    (one,) = await enrol(1)
    await room.house.app.open_wallet(one)
    yield one


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that is asked of the database from here on."""
    said: list[str] = []
    execute = asyncpg.Connection._execute

    async def counted(self: Any, query: str, *rest: Any, **more: Any) -> Any:
        said.append(query)
        return await execute(self, query, *rest, **more)

    monkeypatch.setattr(asyncpg.Connection, "_execute", counted)
    return said


async def test_campaigns_tell_whether_one_may_get_something_and_why_not(view: View, resident: int) -> None:
    room = view.room
    for place, name in enumerate(("华士镇", "新桥镇")):
        await fetch(
            "INSERT INTO town (name, position, listed) VALUES ($1, $2, true) ON CONFLICT DO NOTHING", name, place
        )
    hours = await room.campaign(when(HOURS, points(50), THREE_HOURS), budget_points=500)
    once = await room.campaign(when(HOURS, points(2)), limits=per_person(1), budget_points=500)
    town = await room.campaign(when("login_day", points(1), IN_TOWN), budget_points=500)
    scarce = await room.campaign(when(HOURS, points(400)), limits=per_person(1), budget_points=400)
    await room.tell(resident, HOURS, minutes=120)
    other = (await enrol(1))[0]
    seen = {one.campaign.id: one for one in await view.campaigns(resident)}
    assert {id: one.state for id, one in seen.items()} == {
        hours: "open", once: "received", town: "not_eligible", scarce: "received"
    }  # fmt: skip
    assert seen[hours].reason == "已完成2小时，共需3小时"
    assert seen[once].reason == "您已领满：每人限1次"
    assert seen[town].reason == "须居住在「华士镇」"
    fresh = {one.campaign.id: one for one in await view.campaigns(other)}
    assert (fresh[hours].reason, fresh[once].state) == ("已完成0分钟，共需3小时", "open")
    assert fresh[once].reason == "您可以参加：志愿服务时长入账时，可获得2积分"
    assert (fresh[scarce].state, fresh[scarce].reason) == ("exhausted", "预算已用完")


async def test_campaigns_that_begin_later_take_no_place_of_those_that_give_now(
    view: View, resident: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "LISTED_MOST", 2)
    room, now = view.room, view.room.house.clock.now()
    ahead, week = now + timedelta(days=3), now + timedelta(days=7)
    for _ in range(2):
        await room.campaign(when(HOURS, points(1)), budget_points=9, starts_at=ahead, ends_at=week)
    year = await room.campaign(when(HOURS, points(1)), budget_points=9, ends_at=now + timedelta(days=365))
    assert [one.campaign.id for one in await view.campaigns(resident)] == [year]


async def test_personalisation_changes_the_order_and_never_the_stock(view: View, resident: int) -> None:
    room, now = view.room, view.room.house.clock.now()
    choices = ChoiceService(clock=room.house.clock)
    first = await room.campaign(when("login_day", points(1), IN_TOWN), budget_points=9, ends_at=now + timedelta(days=5))
    second = await room.campaign(when(HOURS, points(1)), budget_points=9, ends_at=now + timedelta(days=6))
    off = [one.campaign.id for one in await view.campaigns(resident)]
    assert off == [first, second] == [one.campaign.id for one in await view.campaigns((await enrol(1))[0], limit=1)]
    shop = list(await view.shop(resident))
    await choices.choose(resident, personalised=True, interests=[])
    assert [one.campaign.id for one in await view.campaigns(resident, limit=1)] == [second, first]
    assert list(await view.shop(resident)) == shop


async def test_the_shop_says_of_every_coupon_what_it_is_for_this_resident(view: View, resident: int) -> None:
    house, now = view.room.house, view.room.house.clock.now()

    async def made(**changes: Any) -> int:
        return (await house.live_template(**{"price_points": 0, "threshold_fen": 0, **changes})).row.id

    free, gone, later = await made(), await made(stock=1), await made(starts_at=now + timedelta(days=2))
    daily = await made(limits=(Limit(1, "issue", "count", "day"),))
    whole = await made(limits=(Limit(1, "issue", "count", "month", "campaign"),), ends_at=now + timedelta(days=70))
    dear, stopped = await made(price_points=30), await made()
    closed = await made(starts_after_days=3)
    await house.templates.pause(stopped, CHECKER)
    (other,) = await enrol(1)
    await house.app.open_wallet(other)
    for who, template in ((other, gone), (resident, daily), (other, whole), (resident, free)):
        await view.claim(who, template)
    seen = await view.shop(resident, limit=3)
    assert {id: seen[id].state for id in (gone, later, daily, whole, dear, stopped)} == {
        gone: "sold_out", later: "not_yet", daily: "limit_reached", whole: "full", dear: "insufficient_points",
        stopped: "paused",
    }  # fmt: skip
    assert (seen[free].state, seen[free].mine_left, seen[free].left, seen[free].opens_at) == (
        "limit_reached",
        0,
        9,
        None,
    )
    tomorrow = house.clock.midnight_after(house.clock.today())
    assert seen[daily].opens_at == tomorrow
    assert seen[daily].reason.startswith("您已达到上限：每人每日限领1张，") and seen[daily].reason.endswith(
        "起可再领取"
    )
    assert seen[later].opens_at == seen[later].offered.version.starts_at
    assert (seen[dear].short_points, seen[dear].reason, seen[dear].mine_left) == (30, "还差30积分", 1)
    assert seen[whole].opens_at is not None and seen[whole].reason.startswith("本期名额已满：全部合计每月限领1张")
    assert (await view.shop(other))[free].state == "open"
    usable = seen[closed].usable_at
    assert usable is not None and usable == house.clock.midnight_after(house.clock.today() + timedelta(days=2))
    assert dear in await view.shop(resident, price="points") and dear not in await view.shop(resident, price="free")


async def test_what_is_left_is_what_stock_and_money_reach_for_and_the_public_counters_say_both(
    view: View, resident: int
) -> None:
    house = view.room.house
    template = (await house.live_template(price_points=0, threshold_fen=0, stock=10, budget_fen=4_500)).row.id
    (other,) = await enrol(1)
    await house.app.open_wallet(other)
    await view.claim(other, template)
    seen = (await view.shop(resident))[template]
    assert (seen.state, seen.left) == ("open", 1), "2,500 fen are one coupon of 2,000"
    await view.claim(resident, template)
    (late,) = await enrol(1)
    await house.app.open_wallet(late)
    seen = (await view.shop(late))[template]
    assert (seen.state, seen.left, seen.reason) == ("sold_out", 0, "已经领完了")
    listed = await TemplateService(vault=house.app, clock=house.clock).claimable()
    assert [one.left for one in listed if one.benefit.template_id == template] == [0]
    with pytest.raises(Refused) as refused:
        await view.claim(late, template)
    assert refused.value.code == "sold_out"
    public = await StockBoard(vault=house.app, clock=house.clock).of(template)
    assert (public.planned, public.stock.left, public.stock.issued, public.available) == (10, 8, 2, 0)


async def test_what_is_drawn_stands_in_the_shop_with_its_lottery_and_tickets_come_by_campaigns_too(
    view: View, resident: int
) -> None:
    house, now = view.room.house, view.room.house.clock.now()
    template = (await house.live_template(price_points=0, by_lottery=True)).row.id
    before = (await view.shop(resident))[template]
    assert (before.state, before.reason, before.lottery) == ("lottery", "通过抽签发放，报名时间待公布", None)
    promises, envelope = Promises(small_cell=10), Envelope(Keyring({1: KEY}))
    lotteries = LotteryService(templates=house.templates, promises=promises, clock=house.clock, envelope=envelope)
    draft = LotteryDraft(
        "抢票抽签", "文", now - timedelta(minutes=1), now + timedelta(days=2), now + timedelta(days=3),
        (Prize(1, "电影券", str(template), 5),), max_tickets=5,
    )  # fmt: skip
    row = await lotteries.create(draft, MAKER)
    await lotteries.submit(row.id, MAKER)
    await lotteries.publish(row.id, CHECKER)
    shown = (await view.shop(resident))[template]
    assert shown.lottery is not None and shown.lottery.id == row.id and shown.opens_at == draft.draw_at
    assert shown.reason.endswith("前可报名")
    tickets = when(HOURS, {"kind": "lottery_ticket", "lottery_id": str(row.id), "tickets": 2})
    with pytest.raises(RuleRefused) as refused:
        await view.room.campaign(tickets)
    assert refused.value.field == "rule.effect.lottery_id" and refused.value.reason.endswith("早于活动结束时间")
    campaign = await view.room.campaign(tickets, limits=per_person(2), ends_at=draft.closes_at)
    for _ in range(3):
        await view.room.tell(resident, HOURS, minutes=60)
    entries = EntryService(clock=house.clock, index=BlindIndex(KEY))
    await entries.enter_myself(row.id, resident, uuid7(house.clock.now()))
    assert (await entries.mine(row.id, resident)).tickets == 5
    awards = await fetch(
        "SELECT effect, status, reason FROM award WHERE campaign_id = $1 AND resident_id = $2 ORDER BY id", campaign,
        resident,
    )  # fmt: skip
    assert {one["effect"] for one in awards} == {"lottery_ticket"}
    assert [(one["status"], one["reason"]) for one in awards] == [
        ("posted", ""), ("posted", ""), ("refused", "limit_reached")
    ]  # fmt: skip
    async with transaction() as tx:  # an untold source gives no ticket beyond the most
        assert not (await entries.enter(tx, row.id, resident, 2, "campaign:x:y")).added
    (other,) = await enrol(1)
    assert [one.state for one in await view.campaigns(other)] == ["open"]
    await lotteries.cancel(row.id, "误发", MAKER)
    assert [(one.state, one.reason) for one in await view.campaigns(other)] == [("exhausted", "抽奖已取消")]
    with pytest.raises(RuleRefused) as refused:
        await view.room.campaign(tickets, ends_at=draft.closes_at)
    assert refused.value.reason == "该抽奖已取消，不再接受报名"


async def test_a_campaign_whose_coupons_are_gone_stand_still_or_are_over_says_so(view: View, resident: int) -> None:
    house = view.room.house
    templates = [(await house.live_template(price_points=0, threshold_fen=0, stock=stock)).row.id for stock in (1, 9)]
    one, many = [await view.room.campaign(when(HOURS, {"kind": "coupon", "template_id": str(id)})) for id in templates]

    async def told() -> dict[int, tuple[str, str]]:
        return {seen.campaign.id: (seen.state, seen.reason) for seen in await view.campaigns(resident)}

    assert {state for state, _ in (await told()).values()} == {"open"}
    await view.claim(resident, templates[0])
    await house.templates.pause(templates[1], CHECKER)
    assert await told() == {
        one: ("exhausted", "优惠券已发完"), many: ("paused", "优惠券暂停发放，符合条件的待恢复后补发")
    }  # fmt: skip
    await house.templates.end(templates[1], CHECKER)
    assert (await told())[many] == ("exhausted", "优惠券发放已结束")


async def test_coupons_are_counted_by_state_and_told_by_their_last_day(view: View, resident: int) -> None:
    house = view.room.house
    days = (9, 2, 5)
    for valid_days in days:
        await view.claim(resident, (await house.live_template(price_points=0, valid_days=valid_days)).row.id)
    coupons = view.coupons
    first = await coupons.expiring(resident, after=None, limit=2)
    last = first[-1].row
    rest = await coupons.expiring(resident, after=(last.expires_on, last.id), limit=2)
    today = house.clock.today()
    assert [(one.row.expires_on - today).days for one in first + rest] == sorted(days)
    assert await coupons.counts(resident) == {"issued": 3}


async def test_no_statement_more_however_many_campaigns_and_coupons_there_are(
    view: View, resident: int, statements: list[str]
) -> None:
    house = view.room.house

    async def more() -> None:
        await view.room.campaign(when(HOURS, points(5), THREE_HOURS), budget_points=50, limits=per_person(2))
        template = await house.live_template(limits=(Limit(1, "issue"), Limit(9, "issue", "count", "day", "campaign")))
        await view.room.campaign(when(HOURS, {"kind": "coupon", "template_id": str(template.row.id)}))

    async def looked() -> tuple[int, int, int]:
        counts = []
        for look in (view.campaigns, view.shop, partial(view.coupons.page, state=None, before=None, limit=100)):
            statements.clear()
            await look(resident)
            counts.append(len(statements))
        return tuple(counts)  # type: ignore[return-value]

    await more()
    once = await looked()
    for _ in range(4):
        await more()
    assert await looked() == once
    assert max(once) <= 12
