"""A long random life of a small town against an oracle that knows the rules and nothing of the SQL.

Every answer must be the oracle's; so must balances, lots, coupons and budgets in the end, and the books must balance.
A failing seed reproduces the run.
"""

from __future__ import annotations

import calendar
import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

import pytest

from tests.support.databases import Database
from tests.support.ledger import COUNTER, Ledger, open_ledger
from wallet import CouponTerms, Refused, ScannedCredential

STEPS = 450


def share(amount: int, basis_points: int) -> int:
    return int((Decimal(amount) * basis_points / 10_000).quantize(Decimal(1), ROUND_HALF_UP))


def lot_day(earned: date, months: int) -> date:
    years, month = divmod(earned.month - 1 + months, 12)
    year = earned.year + years
    return date(year, month + 1, calendar.monthrange(year, month + 1)[1])


@dataclass
class Coupon:
    owner: int
    terms: CouponTerms
    expires_on: date
    reserved: int
    state: str = "issued"


@dataclass
class Town:
    """The oracle. Its methods say what the vault must answer, and remember it."""

    today: date
    lots: dict[int, dict[date, int]] = field(default_factory=dict)
    seq: dict[int, int] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    used: dict[tuple[int, str, int], int] = field(default_factory=dict)
    coupons: dict[UUID, Coupon] = field(default_factory=dict)

    def take(self, *wanted: tuple[int | None, int]) -> str:
        real = [(budget, amount) for budget, amount in wanted if budget is not None and amount]
        if any(budget in self.closed for budget, _ in real):
            return "terms_closed"
        if any(self.left[budget] < amount for budget, amount in real):
            return "sold_out"
        for budget, amount in real:
            self.left[budget] -= amount
        return "done"

    def earn(self, who: int, campaign: dict[str, int]) -> str:
        limit = (who, "campaign", campaign["terms"])
        if self.used.get(limit, 0) >= campaign["per_person"]:
            return "limit_reached"
        answer = self.take((campaign["budget"], campaign["points"]))
        if answer == "done":
            self.used[limit] = self.used.get(limit, 0) + 1
            dead = [day for day in self.lots[who] if day < self.today]
            self.seq[who] += 1 + bool(dead)
            for day in dead:
                del self.lots[who][day]
            day = lot_day(self.today, campaign["months"])
            self.lots[who][day] = self.lots[who].get(day, 0) + campaign["points"]
        return answer

    def claim(self, who: int, id: UUID, terms: CouponTerms) -> str:
        limit, price = (who, "template", terms.template_id), terms.price_points
        if self.used.get(limit, 0) >= terms.per_person:
            return "limit_reached"
        live = sorted(day for day in self.lots[who] if day >= self.today)
        if sum(self.lots[who][day] for day in live) < price:
            self.seq[who] += 1
            return "insufficient_points"
        most = terms.cap_fen if terms.kind == "discount" else terms.face_value_fen
        reserved = share(most, terms.sponsor_bp)
        answer = self.take((terms.stock_budget, 1), (terms.fen_budget, reserved))
        if answer == "done":
            self.used[limit] = self.used.get(limit, 0) + 1
            self.seq[who] += 1
            for day in live:
                part = min(price, self.lots[who][day])
                price -= part
                self.lots[who][day] -= part
            self.lots[who] = {day: points for day, points in self.lots[who].items() if points}
            self.coupons[id] = Coupon(who, terms, self.today + timedelta(days=terms.valid_days), reserved)
        return answer

    def redeem(self, id: UUID, amount: int | None) -> tuple[str, int, int]:
        coupon, terms = self.coupons[id], self.coupons[id].terms
        if coupon.state != "issued":
            return "coupon_not_usable", 0, 0
        if coupon.expires_on < self.today:
            return "coupon_expired", 0, 0
        if terms.kind != "discount" and not terms.threshold_fen:
            if amount is not None:
                return "order_amount_refused", 0, 0
            discount = terms.face_value_fen
        elif not amount:
            return "order_amount_required", 0, 0
        elif amount < terms.threshold_fen:
            return "below_threshold", 0, 0
        elif terms.kind == "discount":
            discount = min(terms.cap_fen, share(amount, 10_000 - terms.pay_bp))
        else:
            discount = min(amount, terms.face_value_fen)
        sponsor = min(share(discount, terms.sponsor_bp), coupon.reserved)
        coupon.state, coupon.reserved = "redeemed", coupon.reserved - sponsor
        self.seq[coupon.owner] += 1
        return "done", discount, sponsor

    def void(self, id: UUID, sponsor: int, in_time: bool) -> str:
        if not in_time:
            return "void_window_closed"
        self.coupons[id].state = "issued"
        self.coupons[id].reserved += sponsor
        self.seq[self.coupons[id].owner] += 1
        return "done"

    def expire(self, id: UUID) -> str:
        coupon = self.coupons[id]
        if coupon.state != "issued":
            return "coupon_not_usable"
        if coupon.expires_on >= self.today:
            return "not_due"
        coupon.state = "expired"
        self.seq[coupon.owner] += 1
        if coupon.terms.return_stock:
            self.left[coupon.terms.stock_budget] += 1
        if coupon.terms.fen_budget is not None:
            self.left[coupon.terms.fen_budget] += coupon.reserved
        coupon.reserved = 0
        return "done"


class Life:
    """Throws the dice, asks both, compares."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger, self.dice = ledger, random.Random(seed)
        self.town = Town(ledger.today())
        self.campaigns: list[dict[str, int]] = []
        self.templates: list[CouponTerms] = []
        self.past: list[tuple[str, Any, Any]] = []  # a call that was answered for good, and its answer
        self.scans: dict[UUID, list[ScannedCredential]] = {}
        self.redemptions: list[tuple[UUID, Any, int]] = []
        self.counts: dict[str, int] = {}

    async def begin(self) -> None:
        ledger, town = self.ledger, self.town
        for _ in range(6):
            who = await ledger.resident()
            town.lots[who], town.seq[who] = {}, 0
        for points, months, per_person in ((30, 1, 50), (17, 3, 40), (100, 12, 6)):
            budget = await self.budget("points", 1500)
            terms = await ledger.campaign(points=points, months=months, per_person=per_person, budget=budget)
            self.campaigns.append(
                {"terms": terms, "points": points, "months": months, "per_person": per_person, "budget": budget})
        shared = await self.budget("fen", 60_000)
        for changes in (
            {"price_points": 25, "return_stock": True}, {"kind": "discount", "pay_bp": 8750, "cap_fen": 1999},
            {"threshold_fen": 5000, "sponsor_bp": 3333, "price_points": 10},
            {"sponsor_bp": 0, "fen_budget": None, "price_points": 3}, {"face_value_fen": 777, "sponsor_bp": 5000},
        ):  # fmt: skip
            stock = await self.budget("coupons", 20)
            changes = {"fen_budget": shared, "valid_days": 12, "per_person": 7, **changes}
            self.templates.append(await ledger.template(stock_budget=stock, **changes))

    async def budget(self, unit: str, total: int) -> int:
        budget = await self.ledger.budget(unit, total)
        self.town.left[budget] = total
        return budget

    async def step(self) -> None:
        names = ("earn", "claim", "redeem", "void", "expire", "fund", "again", "time")
        name = self.dice.choices(names, (20, 26, 26, 8, 6, 7, 10, 3))[0]
        await getattr(self, name)()

    async def ask(self, kind: str, call: Any, expected: str) -> Any:
        """Calls the vault; its answer must be the oracle's. Returns the result when it is done."""
        self.ledger.app._sold_out_until.clear()
        self.ledger.worker._sold_out_until.clear()
        try:
            done = await call()
        except Refused as refused:
            assert refused.code == expected, f"{kind}: the vault says {refused.code}, the oracle {expected}"
            done = None
        else:
            assert expected == "done", f"{kind}: the vault did it, the oracle says {expected}"
            assert not done.replayed
        self.counts[f"{kind} {expected}"] = self.counts.get(f"{kind} {expected}", 0) + 1
        if done is not None or expected == "insufficient_points":
            self.past.append((expected, call, done and done.result))
        return done and done.result

    async def earn(self) -> None:
        who, campaign = self.dice.choice(list(self.town.lots)), self.dice.choice(self.campaigns)
        id, day = self.ledger.id8(), self.town.today
        expected = self.town.earn(who, campaign)
        await self.ask("earn", lambda: self.ledger.earn(who, campaign["terms"], id=id, on=day), expected)

    async def claim(self) -> None:
        who, terms, id = self.dice.choice(list(self.town.lots)), self.dice.choice(self.templates), self.ledger.id7()
        await self.ask("claim", lambda: self.ledger.claim(who, terms, id=id), self.town.claim(who, id, terms))

    async def redeem(self) -> None:
        if not self.town.coupons:
            return
        id = self.dice.choice(list(self.town.coupons))
        coupon = self.town.coupons[id]
        if coupon.state == "issued" and coupon.expires_on >= self.town.today:
            self.scans.setdefault(id, []).append(await self.ledger.scan(await self.ledger.show(coupon.owner, id)))
        if not self.scans.get(id):
            return
        scanned = self.scans[id][-1]
        if self.ledger.now().timestamp() * 1000 - (scanned.redemption_id.int >> 80) > 47 * 3_600_000:
            return  # near or past the window of ids
        amount = self.dice.choice((None, 1, 4999, 5000, 7777, self.dice.randrange(1, 40_000)))
        expected, discount, sponsor = self.town.redeem(id, amount)
        if expected == "coupon_not_usable" and coupon.state == "redeemed":
            return  # this very showing was spent; `again` replays it
        if expected == "coupon_not_usable" and any(one[0] == id for one in self.redemptions):
            return
        done = await self.ask("redeem", lambda: self.ledger.redeem(scanned, amount=amount), expected)
        if done is not None:
            assert (done.discount_fen, done.sponsor_fen) == (discount, sponsor)
            self.redemptions.append((id, done, sponsor))
            self.scans[id].clear()

    async def void(self) -> None:
        standing = [one for one in self.redemptions if self.town.coupons[one[0]].state == "redeemed"]
        if not standing:
            return
        id, done, sponsor = self.dice.choice(standing[-3:])
        last = next(one for one in reversed(self.redemptions) if one[0] == id)
        if last[1].id != done.id:
            return
        in_time = self.ledger.now() <= done.void_until
        await self.ask("void", lambda: self.ledger.app.void(done.id, acceptor=COUNTER, reason="x"),
                       self.town.void(id, sponsor, in_time))

    async def expire(self) -> None:
        for coupon_id in self.dice.sample(list(self.town.coupons), min(4, len(self.town.coupons))):
            owner, id = self.town.coupons[coupon_id].owner, self.ledger.id8()
            await self.ask(
                "expire", lambda o=owner, i=id, c=coupon_id: self.ledger.worker.expire_coupon(o, i, coupon_id=c),
                self.town.expire(coupon_id))

    async def fund(self) -> None:
        budget = self.dice.choice(list(self.town.left))
        choice = self.dice.choice(("topup", "cut", "close", "open", "open"))
        if choice == "close":
            self.town.closed.add(budget)
            await self.ledger.app.close_budget(budget)
        elif choice == "open":
            self.town.closed.discard(budget)
            await self.ledger.app.open_budget(budget)
        else:
            amount = self.dice.randrange(1, 200) if choice == "topup" else self.town.left[budget] // 3
            if amount:
                self.town.left[budget] += amount if choice == "topup" else -amount
                await self.ledger.top_up(budget, amount, kind=choice)

    async def again(self) -> None:
        if not self.past:
            return
        expected, call, result = self.dice.choice(self.past)
        try:
            done = await call()
        except Refused as refused:
            assert (refused.code, refused.replayed) == (expected, True)
        else:
            assert done.replayed and done.result == result
        self.counts["again"] = self.counts.get("again", 0) + 1

    async def time(self) -> None:
        await self.ledger.move_clock(hours=self.dice.choice((0.4, 1, 26, 70)))
        await self.ledger.worker.ensure_partitions(1)
        self.town.today = self.ledger.today()

    async def compare(self) -> None:
        ledger, town = self.ledger, self.town
        for who, lots in town.lots.items():
            assert await ledger.lots(who) == dict(sorted(lots.items())), who
            assert await ledger.balance(who) == sum(lots.values()) and await ledger.rows(who) == town.seq[who], who
        for id, coupon in town.coupons.items():
            row = await ledger.coupon_row(coupon.owner, id)
            seen = (row["state"], row["reserved_fen"], row["expires_on"])
            assert seen == (coupon.state, coupon.reserved, coupon.expires_on), id
        for budget, left in town.left.items():
            assert await ledger.left(budget) == left, budget


@pytest.mark.parametrize("seed", [20261123, 2, 3])
async def test_the_vault_answers_what_the_oracle_answers(fresh_database: Database, seed: int) -> None:
    async with open_ledger(fresh_database) as ledger:
        life = Life(ledger, seed)
        await life.begin()
        for step in range(STEPS):
            try:
                await life.step()
            except AssertionError as wrong:
                raise AssertionError(f"seed {seed}, step {step}: {wrong}") from wrong
            if step % 150 == 149:
                await life.compare()
        assert await ledger.broken() == []
        assert len(life.counts) >= 12 and life.counts["claim done"] > 20, life.counts
