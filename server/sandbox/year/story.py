"""What happens on the days of the year that are lived; between them the clock is moved and the worker catches up."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from server.incentives.lottery.verify import verify
from server.sandbox.moved_clock import MovedClock
from server.sandbox.phone import Refusal, client_id
from server.sandbox.year import offers
from server.sandbox.year.account import CONTENDED, TRIAL, Coupon, Unexpected
from server.sandbox.year.books import Ids
from server.sandbox.year.console import until
from server.sandbox.year.plan import (
    CAMPAIGNS,
    CLOSING,
    HONOUR,
    LIBRARY_AFTER,
    RUN_OUT_POINTS,
    TEMPLATES,
    VOUCHERS,
    at,
    library_rule,
    noodles_after,
)
from server.sandbox.year.promises import Happening
from server.sandbox.year.registers import happenings
from server.sandbox.year.town import Resident, Town, each

REGISTERS_FROM: Final = at("01-05 12:00")
#: Points that one award of the campaign with too little money takes.
_RUN_OUT_AWARD: Final = 20
_TOP_UP: Final = 5


@dataclass(slots=True)
class Story:
    """The year, day by day. `told_until`: until when the registers have told what happened; `note`: what the day came
    to."""

    town: Town
    ids: Ids
    clock: MovedClock
    chance: random.Random
    folder: Path
    told_until: datetime = REGISTERS_FROM
    note: str = ""

    # -- the days -----------------------------------------------------------------------------------------------------

    async def opening(self) -> None:
        """Two administrators make the whole plan; two thirds of the residents join."""
        await self.town.open()
        await offers.make_offers(self.town.office, self.town.merchants, self.ids)
        await offers.all_settled(self.town.office, self.ids)
        people = self.town.city.residents
        await self._join(people[: len(people) * 2 // 3])
        self.note = f"{len(CAMPAIGNS)} 活动, {len(TEMPLATES)} 券模板, {len(self.town.residents)} 居民加入"

    async def month(self) -> None:
        """An ordinary day: registers tell, residents exchange and use coupons, some orders are taken back."""
        await self._registers()
        await self._shop()

    async def red_claims(self) -> None:
        """A working day before the festival: everybody claims the red coupon, which cannot be used yet."""
        await self.month()

        async def claim(resident: Resident) -> Coupon:
            return await self.town.claim(resident, "red", self.ids.templates["red"])

        coupons = await each(self.town.joined, claim)
        found = await self.town.scan(coupons[0])
        if found["result"] != "outside_window" or not found["usable_at"]:
            raise Unexpected(f"the red coupon on a working day: {found}")
        self.note += f"; {len(coupons)} 人领红包, 工作日不可用, 最早 {found['usable_at'][:10]}"

    async def red_days(self) -> None:
        """In the festival: all but two use the red coupon; the campaign of the holidays pays twice at most."""
        used = self._live("red")[2:]
        used += [one for one in self._live("noodles") if self.chance.random() < 0.3]
        await self._use(used)
        self.note = f"{len(used)} 次节日核销"

    async def late_joiners(self) -> None:
        """The rest joins, bands rise, and the lottery is open: its prize cannot be claimed by who is quickest."""
        await self._registers()
        await self._join(self.town.city.residents[len(self.town.residents) :], raised=True)
        await self._shop()
        path = f"/lotteries/{self.ids.lottery}/entries"
        entering = [one for one in self.town.joined if self.chance.random() < 0.5]

        async def enter(resident: Resident) -> None:
            key = {"Idempotency-Key": str(client_id(resident.phone.unix()))}
            await resident.phone.call("POST", path, None, **key)
            self.town.account.tickets[resident.key] += 1

        entered = [one for one in entering if not self.town.account.tickets[one.key]]
        await each(entered, enter)
        try:
            await self.town.claim(entering[0], "prize", self.ids.templates["prize"])
        except Refusal as refusal:
            if refusal.code != "claimed_by_lottery":
                raise
        else:
            raise Unexpected("a coupon that is drawn was claimed")
        self.note += f"; {len(entered)} 人自行报名抽奖"

    async def rush(self) -> None:
        """Ten coupons and everybody at once; then five more by two people."""
        await self.month()
        await self.settle()  # what the counters of today earned is there before it is spent
        stock = self.town.account.offers["scarce"].stock
        price = self.town.account.offers["scarce"].price_points
        today = self.clock.today()
        crowd = [one for one in self.town.joined if self.town.account.people[one.key].purse.points(today) >= price]
        self.chance.shuffle(crowd)
        won = await each(crowd, self._try_scarce, at_once=len(crowd) or 1)
        if sum(won) != min(stock, len(crowd)):
            raise Unexpected(f"{sum(won)} of {len(crowd)} got one of {stock} coupons")
        await offers.top_up(self.town.office, self.ids, "scarce", _TOP_UP)
        self.town.account.topped_up["scarce"] += _TOP_UP
        losers = [one for one, has in zip(crowd, won, strict=True) if not has]
        more = await each(losers, self._try_scarce, at_once=1)
        if sum(more) != min(_TOP_UP, len(losers)):
            raise Unexpected(f"{sum(more)} of {len(losers)} got one of {_TOP_UP} coupons that were added")
        self.note += f"; {len(crowd)} 人抢 {stock} 张, 追加 {_TOP_UP} 张"

    async def draw(self) -> None:
        """The lottery is drawn; anybody repeats it from the published file."""
        office, path = self.town.office, f"/lotteries/{self.ids.lottery}"

        async def look() -> dict[str, Any]:
            shown: dict[str, Any] = await office.call("editor", "GET", path)
            return shown

        drawn = await until("the draw", look, lambda seen: seen["status"] == "drawn" and seen["owed_at"])
        tickets = {who: min(3, count) for who, count in self.town.account.tickets.items() if count}
        if (drawn["entries"], drawn["tickets"]) != (len(tickets), sum(tickets.values())):
            raise Unexpected(f"{drawn['entries']} entries with {drawn['tickets']} tickets, expected {tickets}")
        file = self.folder / "lottery.jsonl"
        file.write_bytes(await office.public_file(f"{path}/file"))
        verdict = verify(file)
        if not verdict.holds:
            raise Unexpected(f"the published file does not repeat the draw: {verdict.checks}")
        for who in tickets:
            mine = await self.town.residents[who].phone.call("GET", f"{path}/entry")
            self.town.account.owed_coupons[who, "prize"] += int(mine["result"] == "won")
        self.note = f"{len(tickets)} 人, {sum(tickets.values())} 张奖券, {verdict.winners} 份奖品, 公示文件可复核"

    async def gifts(self) -> None:
        """A coupon to a segment; an ordinary month besides."""
        await self.month()
        given = await offers.give_to_segment(self.town.office, self.ids)
        for resident in self.town.joined:
            self.town.account.owed_coupons[resident.key, "gift"] += 1
        if given != len(self.town.joined):
            raise Unexpected(f"{given} of {len(self.town.joined)} residents of the segment were given one")
        self.note += f"; 按人群发放 {given} 张"

    async def vouchers(self) -> None:
        """Printed codes are typed in, one of them by two people."""
        await self.month()
        await offers.upload_vouchers(self.town.office, self.ids)
        typing = list(zip(self.chance.sample(self.town.joined, min(len(self.town.joined), 10)), VOUCHERS, strict=False))

        async def type_in(one: tuple[Resident, str]) -> None:
            resident, code = one
            await resident.phone.call("POST", "/coupons/codes", {"code": code.lower()})
            self.town.account.owed_coupons[resident.key, "anniversary"] += 1

        await each(typing, type_in)
        try:
            await typing[1][0].phone.call("POST", "/coupons/codes", {"code": typing[0][1]})
        except Refusal:
            self.note += f"; {len(typing)} 个兑换码, 第二人用同码被拒"
        else:
            raise Unexpected("a code was exchanged twice")

    async def summer(self) -> None:
        """A campaign with too little money: it gives to the last point and then ends; the noodle coupon is revised."""
        await self._registers(volunteer_at_most=1)
        account = self.town.account
        asked = sorted(account.contenders)
        for who, seen in zip(asked, await each(asked, partial(self._outcome, CONTENDED)), strict=True):
            if seen == "posted":
                last = [fact for key, fact in account.people[who].life.given if key == CONTENDED][-1]
                account.earned(CONTENDED, who, last.local.date(), _RUN_OUT_AWARD)
            elif seen != "sold_out":
                raise Unexpected(f"{CONTENDED} of {who}: {seen}")
        if account.points[CONTENDED] != min(RUN_OUT_POINTS, _RUN_OUT_AWARD * len(asked)):
            raise Unexpected(f"{account.points[CONTENDED]} of {RUN_OUT_POINTS} points for {len(asked)} people")
        await self._shop()
        noodles = noodles_after(account.offers["noodles"])
        body = noodles.body(101, self.town.merchants)
        await offers.revise(self.town.office, "/coupon-templates", self.ids.templates["noodles"], body, ("stock",))
        account.offers["noodles"] = noodles
        self.note += f"; {len(asked)} 人争 {RUN_OUT_POINTS} 积分, 发至最后一分; 面馆券改版"

    async def stop(self) -> None:
        """The kill switch: every campaign is paused at once."""
        await self.month()
        await self.settle()
        done = await self.town.office.call(
            "approver", "POST", "/incentives/kill-switch", {"kind": "campaigns", "reason": "演练：疑似刷分"}
        )
        since = self.clock.now()
        for key, id in self.ids.campaigns.items():
            if id in done["campaigns"]:
                self.town.account.pauses.setdefault(key, []).append((since, None))
        await offers.all_settled(self.town.office, self.ids)
        self.note += f"; 紧急停止 {len(done['campaigns'])} 个活动"

    async def resume(self) -> None:
        """All but one go on; what happened in between is told, and earns nothing."""
        account, stopped = self.town.account, []
        for key, pauses in account.pauses.items():
            path = f"/campaigns/{self.ids.campaigns[key]}"
            if key == "autumn":
                await self.town.office.call("approver", "POST", f"{path}/end")
                continue
            await self.town.office.call("approver", "POST", f"{path}/resume")
            pauses[-1] = (pauses[-1][0], self.clock.now())
            stopped.append(key)
        await offers.all_settled(self.town.office, self.ids)
        await self._registers()
        self.note += f"; 恢复 {len(stopped)} 个, 停办 1 个, 其间不计"

    async def stars(self) -> None:
        """A coupon for everybody on an uploaded list; the library's campaign is revised."""
        await self.month()
        chosen = self.chance.sample(self.town.joined, min(8, len(self.town.joined)))
        list_id, given = await offers.give_to_list(self.town.office, self.ids, [one.id for one in chosen])
        if given != len(chosen):
            raise Unexpected(f"{given} of {len(chosen)} residents of the list were given one")
        for resident in chosen:
            self.town.account.owed_coupons[resident.key, "star"] += 1
        honoured_at = await offers.honour(self.town.office, list_id)
        for resident in chosen:
            told = {"occasion": HONOUR}
            self.town.account.tell(Happening(resident.key, "administrator_grant", honoured_at, told))
        library = next(one for one in CAMPAIGNS if one.key == "library")
        body = library.body(3) | {"rule": library_rule(LIBRARY_AFTER)}
        self.town.account.switches.library_at = await offers.revise(
            self.town.office, "/campaigns", self.ids.campaigns["library"], body, ("budget_points",)
        )
        self.note += f"; 名单发放 {given} 张并表彰; 还书活动改版"

    async def national(self) -> None:
        """A day that a campaign waited for has passed: whoever had joined by then was called."""
        for resident in self.town.joined:
            self.town.account.tell(Happening(resident.key, "date", at("10-01 00:00")))
        await self.month()

    async def quiet(self) -> None:
        """Nothing happens; what has ended ends."""
        self.note = "无事"

    async def closing(self) -> None:
        """Everything is over: each campaign ended as it had to, and the console can tell of the whole year."""
        office, ids = self.town.office, self.ids
        whole = f"/campaigns/calendar?since=2026-01-01T00:00:00Z&until={CLOSING:%Y-%m-%dT%H:%M:%SZ}"
        listed = (await office.call("editor", "GET", whole))["items"]
        if len(listed) != len(CAMPAIGNS) + len(TEMPLATES) + 1:  # the lottery
            raise Unexpected(f"the calendar has {len(listed)} entries")
        for key, id in ids.campaigns.items():
            wanted = {CONTENDED: "budget_exhausted", "autumn": "manual"}.get(key, "time")
            path = f"/campaigns/{id}"
            await until(
                f"the end of {key} by {wanted}", partial(office.call, "editor", "GET", path),
                lambda seen, wanted=wanted: seen["status"] == "ended" and seen["end_reason"] == wanted,  # type: ignore[misc]
            )  # fmt: skip
        (budget,) = (await office.call("editor", "GET", f"/campaigns/{ids.campaigns[CONTENDED]}"))["budgets"]
        alerts = (await office.call("editor", "GET", "/budget-alerts?limit=100"))["items"]
        raised = {one["threshold_percent"] for one in alerts if one["budget_id"] == budget["id"]}
        if raised != {50, 80, 95, 100}:
            raise Unexpected(f"alerts of the budget that ran out: {raised}")
        uplift = await office.call("editor", "GET", f"/campaigns/{ids.campaigns[TRIAL]}/uplift")
        withheld = uplift["withheld"]["points"]
        told = "人数过少不公布" if withheld is None else f"未发 {withheld} 积分"
        self.note = f"活动全部结束; 试点对照组{told}, 共 {len(alerts)} 次预算提醒"

    # -- what days have in common -------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Waits until every wallet has what the account says, and every coupon that is owed has come."""
        keys = {id: key for key, id in self.ids.templates.items()}
        asked = sorted(self.town.account.undecided)
        for who, seen in zip(asked, await each(asked, partial(self._outcome, TRIAL)), strict=True):
            if seen not in ("posted", "withheld"):
                raise Unexpected(f"{TRIAL} of {who}: {seen}")
            self.town.account.drawn(who, held_out=seen == "withheld")
        await until("coupons that are owed", lambda: self.town.pick_up(keys), lambda owed: not owed)
        today = self.clock.today()
        expected = {key: one["points"] for key, one in self.town.account.residents(today).items()}

        async def one(resident: Resident) -> None:
            async def look() -> int:
                return int((await resident.phone.call("GET", "/wallet"))["points"])

            mine = expected[resident.key]
            await until(f"the {mine} points of {resident.key}", look, lambda seen: seen == mine)

        await each(self.town.joined, one)

    async def _outcome(self, campaign: str, who: str) -> str:
        """What became of somebody's newest fact in a campaign, as its explanation tells him: posted, withheld, or why
        it was refused."""
        path = f"/campaigns/{self.ids.campaigns[campaign]}/explanation"

        async def look() -> Any:
            return (await self.town.residents[who].phone.call("GET", path))["given"]

        given = await until(f"{campaign} of {who}", look, lambda seen: seen and seen["status"] != "pending")
        return str(given["reason"] if given["status"] == "refused" else given["status"])

    async def _join(self, people: Sequence[Any], *, raised: bool = False) -> None:
        """New residents; then the import of bands, in which some rise by one when `raised`."""
        await self.town.join(people)
        codes, account = self.town.account.bands, self.town.account
        told = {}
        for resident in self.town.joined:
            place = codes.index(account.people[resident.key].band or resident.sample.band)
            up = raised and self.chance.random() < 0.4
            told[resident.key] = codes[min(place + up, len(codes) - 1)]
        await self.town.import_bands(told, self.clock.today())

    async def _registers(self, volunteer_at_most: int = 3) -> None:
        """What happened outside since the last time."""
        now = self.clock.now()
        people = [one.key for one in self.town.joined]
        facts = happenings(self.chance, people, self.told_until, now - timedelta(minutes=5), volunteer_at_most)
        self.told_until = now
        await self.town.tell(facts)
        self.note = f"{len(facts)} 条事实"

    async def _shop(self) -> None:
        """Residents exchange what they can afford and use some of what they have."""
        await self.settle()
        today = self.clock.today()

        async def exchange(resident: Resident) -> None:
            template = wanted[resident.key]
            offer = self.town.account.offers[template]
            mine = sum(
                one.who == resident.key and one.template == template for one in self.town.account.coupons.values()
            )
            rich = self.town.account.people[resident.key].purse.points(today) >= offer.price_points
            if rich and mine < offer.per_person:
                await self.town.claim(resident, template, self.ids.templates[template])

        wanted = {one.key: self.chance.choice(("noodles", "books", "park")) for one in self.town.joined}
        before = len(self.town.account.coupons)
        await each([one for one in self.town.joined if self.chance.random() < 0.6], exchange)
        live = [one for one in self._live() if one.template != "red" and self.chance.random() < 0.45]
        receipts = await self._use(live)
        taken_back = [one for one in zip(live, receipts, strict=True) if self.chance.random() < 0.12]
        await each(taken_back, lambda one: self.town.take_back(*one))
        self.note += f", {len(self.town.account.coupons) - before} 次兑换, {len(live)} 次核销, {len(taken_back)} 次撤销"

    async def _use(self, coupons: Sequence[Coupon]) -> list[Any]:
        orders = [self.chance.randrange(one.offer.threshold_fen or 900, 20_000) for one in coupons]
        pairs = list(zip(coupons, orders, strict=True))
        return await each(pairs, lambda pair: self.town.use(*pair))

    def _live(self, template: str | None = None) -> list[Coupon]:
        today = self.clock.today()
        live = [
            one for one in self.town.account.coupons.values()
            if one.state == "issued" and not one.is_over(today) and template in (None, one.template)
        ]  # fmt: skip
        return sorted(live, key=lambda one: (one.who, one.template, one.last_day))

    async def _try_scarce(self, resident: Resident) -> bool:
        try:
            await self.town.claim(resident, "scarce", self.ids.templates["scarce"])
        except Refusal as refusal:
            if refusal.code != "sold_out":
                raise
            return False
        return True
