"""What can be asked of a small town's ledger, with every kind of mistake; `tests.support.trial` compares answers."""

from __future__ import annotations

import secrets
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.support.ledger import COUNTER, TOWNS, Ledger
from tests.support.oracle import Oracle
from tests.support.oracle_coupons import Credential
from tests.support.oracle_points import Campaign
from tests.support.oracle_state import CITY, Wallet, city_day, month_end
from tests.support.town_offers import CAMPAIGNS, HOMES, PLACES, TEMPLATES
from tests.support.trial import Trial, call, changed, client_id, job_id
from wallet import Acceptor, CouponTerms, EarnTerms, PersonLimit, Refused, ScopedLimit

NOW = timedelta(0)


def midnight_after(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=CITY) + timedelta(days=1)


class TownLife:
    """One town: its residents, what they hold, and everything that was asked of it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.terms: dict[str, int] = {}
        self.templates: dict[str, CouponTerms] = {}
        self.holds: list[tuple[int, UUID]] = []
        self.spendings: list[tuple[int, UUID]] = []
        self.locks: list[tuple[int, UUID, UUID]] = []
        self.tickets: list[tuple[int, UUID, UUID, Acceptor]] = []
        self.shut: set[tuple[str, int]] = set()
        self._handles: dict[UUID, int] = {}

    async def begin(self, start: datetime, points: int) -> None:
        months = await self.ledger.owner.fetchrow(
            "SELECT vault.id_time(min(lower_id::text)::uuid) AS first,"
            " vault.id_time(max(upper_id::text)::uuid) AS after"
            " FROM vault.journal_month"
        )
        assert months is not None
        self.oracle = Oracle(months["first"], months["after"], towns=TOWNS)
        self.trial = Trial(self.ledger, self.oracle)
        await self.ledger.stop_clock(start)
        for _ in range(3):
            self.oracle.wallets[await self.ledger.resident()] = Wallet()
        self.people = list(self.oracle.wallets)
        if points:
            await self.worker(
                0, "adjust", points=points, actor=1, approver=2, reason="x", document="x", validity_months=1
            )

    @property
    def now(self) -> datetime:
        return self.ledger.now()

    async def reopen(self) -> None:
        """What this town closed at the counters is open again for the next one."""
        for kind, id in self.shut:
            await self._acceptor(kind, id, True)
        self.shut.clear()

    # -- budgets and terms, made when they are first used -------------------------------------------------------------

    async def budget(self, unit: str, total: int) -> int:
        budget = await self.ledger.budget(unit, total)
        self.oracle.budgets.left[budget] = total
        return budget

    async def campaign(self, which: str) -> int:
        if which not in self.terms:
            points, months, limits, total = CAMPAIGNS[which]
            terms, budget = self.ledger.number(), await self.budget("points", total)
            caps = tuple(
                PersonLimit(limit_id=f"c{terms}:{n}", action="earn", measure=measure, period=period, cap=cap)
                for n, (measure, period, cap) in enumerate(limits)
            )
            places = self._places(which, f"c{terms}")
            await self.ledger.worker.put_earn_terms(
                EarnTerms(id=terms, points_budget=budget, points=points, validity_months=months, person_limits=caps,
                          scoped_limits=places)
            )  # fmt: skip
            self.oracle.campaigns[terms] = Campaign(budget, points, months, caps, places)
            self.terms[which] = terms
        return self.terms[which]

    @staticmethod
    def _places(which: str, owner: str) -> tuple[ScopedLimit, ...]:
        return tuple(
            ScopedLimit(limit_id=f"{owner}:{n}", scope=scope, action=action, measure=measure, period=period, cap=cap)  # type: ignore[arg-type]
            for n, (scope, action, measure, period, cap) in enumerate(PLACES.get(which, ()))
        )

    async def template(self, which: str) -> CouponTerms:
        if which not in self.templates:
            changes = {"valid_days": 12, **TEMPLATES[which]}
            limits, stock = changes.pop("limits", ()), changes.pop("stock", 20)
            changes["stock_budget"] = await self.budget("coupons", stock)
            if "fen_budget" not in changes:
                changes["fen_budget"] = await self.budget("fen", 9000)
            if changes["valid_days"] == 0:
                changes["valid_until"] = month_end(city_day(self.now))
            number = self.ledger.number()
            caps = tuple(
                PersonLimit(limit_id=f"t{number}:{n}", action=action, measure=measure, period=period, cap=cap)
                for n, (action, measure, period, cap) in enumerate(limits)
            )
            made = await self.ledger.template(
                person_limits=caps, scoped_limits=self._places(which, f"t{number}"), **changes
            )
            self.templates[which] = self.oracle.templates[made.id] = made
        return self.templates[which]

    # -- one request --------------------------------------------------------------------------------------------------

    async def app(self, who: int, op: str, age: timedelta = NOW, **args: Any) -> Any:
        owner, id = self.people[who % 3], client_id(self.now - age)
        result = await self.trial.ask(call(op, owner, id, **args))
        if result is not None:
            self._keep(op, owner, id, args)
        return result

    def _keep(self, op: str, owner: int, id: UUID, args: dict[str, Any]) -> None:
        if op == "hold":
            self.holds.append((owner, id))
        elif op in ("spend", "capture"):
            self.spendings.append((owner, id))
        elif op == "lock_coupon":
            self.locks.append((owner, args["coupon_id"], id))

    async def worker(self, who: int, op: str, age: timedelta = NOW, **args: Any) -> Any:
        return await self.trial.ask(call(op, self.people[who % 3], job_id(self.now - age), "worker", **args))

    async def adjust(self, who: int, points: int, *, approver: int = 2, reason: str = "x", months: int = 24) -> None:
        await self.worker(who, "adjust", points=points, actor=1, approver=approver, reason=reason, document="doc 7",
                          validity_months=months)  # fmt: skip

    def _who(self, owner: int, stranger: int) -> int:
        return self.people.index(owner) + stranger

    async def earn(self, who: int, which: str, age: timedelta = NOW, ago: int = 0, points: int | None = None) -> None:
        """`points`: so many, where the terms allow as many; None: what the terms say."""
        day, named = city_day(self.now) - timedelta(days=ago), {} if points is None else {"points": points}
        await self.worker(who, "earn", age, terms=await self.campaign(which), on=day, town=HOMES[who % 3], **named)

    async def of_hold(
        self, op: str, pick: int, age: timedelta = NOW, stranger: int = 0, *, job: bool = False, **args: Any
    ) -> None:
        owner, id = self.holds[pick % len(self.holds)]
        ask = self.worker if job else self.app
        await ask(self._who(owner, stranger), op, age, hold_id=id, **args)

    async def refund(self, pick: int, points: int, age: timedelta = NOW, stranger: int = 0, reason: str = "x") -> None:
        owner, id = self.spendings[pick % len(self.spendings)]
        await self.app(self._who(owner, stranger), "refund", age, posting_id=id, points=points, reason=reason)

    # -- coupons ------------------------------------------------------------------------------------------------------

    async def claim(self, who: int, which: str, age: timedelta = NOW) -> None:
        terms = await self.template(which)
        await self.app(who, "claim", age, template=terms.template_id, terms=terms.id, town=HOMES[who % 3])

    async def grant(self, who: int, which: str, age: timedelta = NOW, source: str = "job:7") -> None:
        terms = await self.template(which)
        await self.worker(who, "grant", age, template=terms.template_id, terms=terms.id, source=source,
                          town=HOMES[who % 3])  # fmt: skip

    def _coupon(self, pick: int) -> tuple[UUID, Any]:
        id = list(self.oracle.coupons)[pick % len(self.oracle.coupons)]
        return id, self.oracle.coupons[id]

    async def of_coupon(self, op: str, pick: int, age: timedelta = NOW, stranger: int = 0, **args: Any) -> None:
        id, coupon = self._coupon(pick)
        await self.app(self._who(coupon.owner, stranger), op, age, coupon_id=id, **args)

    async def coupon_job(self, pick: int, op: str, stranger: int = 0) -> None:
        id, coupon = self._coupon(pick)
        await self.worker(self._who(coupon.owner, stranger), op, coupon_id=id)

    async def scan(
        self, pick: int, counter: Acceptor, code_ok: bool = True, own: bool = False, *, fresh: bool = True
    ) -> None:
        """Shows a coupon, or takes a showing there is, and scans it."""
        shown: UUID | None
        if fresh or not self.oracle.credentials:
            shown = await self._show(pick)
        else:
            shown = list(self.oracle.credentials)[-1 - pick % len(self.oracle.credentials)]
        if shown is None:
            return
        redemption, void = client_id(self.now), client_id(self.now)
        of = self.oracle.credentials[shown].owner if own else None
        why = self.oracle.scan(shown, counter, self.now, code_ok=code_ok, own=of)
        try:
            seen = await self.ledger.app.scan(
                self._handles[shown], code_ok=code_ok, acceptor=counter, own_resident=of, redemption_id=redemption,
                void_id=void,
            )  # fmt: skip
        except Refused as refused:
            assert refused.code in why, f"scan: the vault says {refused.code}, the oracle {why or 'usable'}"
            self.trial.note("scan", refused.code)
            if not code_ok:
                self.oracle.missed(shown, self.now)
            return
        assert not why, f"scan: the vault says usable, the oracle {why}"
        self.trial.note("scan", "usable")
        assert seen.redemption_id == self.oracle.scanned(shown, counter, redemption, void)
        assert (seen.owner, seen.coupon_id) == (
            self.oracle.credentials[shown].owner,
            self.oracle.credentials[shown].coupon,
        )
        ticket = (seen.owner, shown, seen.redemption_id, counter)
        self.tickets += [] if ticket in self.tickets else [ticket]

    async def _show(self, pick: int) -> UUID | None:
        id, coupon = self._coupon(pick)
        usable = coupon.now(self.now) == "issued" and coupon.expires_on >= city_day(self.now)
        credential, handle = client_id(self.now), secrets.randbelow(10**10)
        try:
            await self.ledger.app.issue_credentials(coupon.owner, id, [credential], [handle], [600])
        except Refused as refused:
            assert not usable and refused.code in ("coupon_not_usable", "coupon_expired"), refused
            self.trial.note("show", refused.code)
            return None
        assert usable, "a coupon that cannot be used was shown"
        epoch = self.oracle.wallets[coupon.owner].epoch
        self.oracle.credentials[credential] = Credential(coupon.owner, id, epoch, self.now + timedelta(seconds=600))
        self._handles[credential] = handle
        return credential

    async def redeem(
        self, pick: int, amount: int | None = None, ticket_s: int = 300, *, elsewhere: Acceptor | None = None,
        order_no: str | None = None,
    ) -> None:  # fmt: skip
        owner, shown, redemption, at = self.tickets[pick % len(self.tickets)]
        place = elsewhere or at
        until = self.now + timedelta(seconds=ticket_s)
        await self.trial.ask(
            call("redeem", owner, redemption, credential=shown, at=place, ticket_until=until, amount=amount,
                 order_no=order_no)
        )  # fmt: skip

    async def counter(self, pick: int, counter: Acceptor, amount: int | None, order_no: str | None = None) -> None:
        """Shown, scanned and redeemed in one go, with the order's amount only where the terms want one."""
        before = len(self.tickets)
        await self.scan(pick, counter)
        if len(self.tickets) > before:
            terms = self._coupon(pick)[1].terms
            wanted = terms.kind == "discount" or terms.threshold_fen > 0
            await self.redeem(before, amount if wanted else None, order_no=order_no)

    async def unlock(self, pick: int, age: timedelta = NOW, job: bool = False, stale: bool = False) -> None:
        owner, coupon, lock = self.locks[pick % len(self.locks)]
        ask = self.worker if job else self.app
        await ask(self._who(owner, 0), "unlock_coupon", age, coupon_id=coupon,
                  lock_id=client_id(self.now) if stale else lock, reason="x")  # fmt: skip

    async def redeem_locked(
        self, pick: int, counter: Acceptor, amount: int | None, age: timedelta = NOW, void_id: UUID | None = None,
        order_no: str | None = None,
    ) -> None:  # fmt: skip
        owner, coupon, lock = self.locks[pick % len(self.locks)]
        await self.app(self._who(owner, 0), "redeem_locked", age, coupon_id=coupon, lock_id=lock, at=counter,
                       amount=amount, order_no=order_no, void_id=void_id or client_id(self.now))  # fmt: skip

    async def void(self, pick: int, reason: str) -> None:
        id = list(self.oracle.redemptions)[pick % len(self.oracle.redemptions)]
        made = self.oracle.redemptions[id]
        await self.trial.ask(call("void", made.owner, made.void, redemption=id, at=made.at, reason=reason))

    # -- around -------------------------------------------------------------------------------------------------------

    async def again(self, pick: int) -> None:
        past = self.trial.past
        await self.trial.ask(past[-1 - pick % len(past)])

    async def another_body(self, pick: int) -> None:
        first = self.trial.past[-1 - pick % len(self.trial.past)]
        await self.trial.ask(changed(first, self.now))

    async def office(self, what: str, pick: int) -> None:
        """What the office does to a resident, a budget or a counter."""
        if what in ("close", "open", "topup", "cut"):
            if self.oracle.budgets.left:
                await self.fund(pick, what)
        elif what in ("suspend", "resume"):
            await self.suspend(("merchant", "terminal", "staff")[pick % 3], COUNTER, what == "resume")
        elif what == "expire":
            await self.worker(pick, "expire_points")
        elif what == "unfreeze":
            await self.app(pick, "unfreeze", authority="court", reason="x", actor=9)
        else:
            await self.log_out(pick)

    async def fund(self, pick: int, what: str) -> None:
        budgets = self.oracle.budgets
        budget = list(budgets.left)[pick % len(budgets.left)]
        if what == "close":
            budgets.closed.add(budget)
            await self.ledger.app.close_budget(budget)
        elif what == "open":
            budgets.closed.discard(budget)
            await self.ledger.app.open_budget(budget)
        elif amount := 7 if what == "topup" else budgets.left[budget] // 3:
            budgets.move((budget, -amount if what == "topup" else amount))
            await self.ledger.top_up(budget, amount, kind=what)

    async def suspend(self, kind: str, at: Acceptor, open: bool) -> None:
        id = getattr(at, f"{kind}_id")
        await self._acceptor(kind, id, open)
        for shut in (self.shut, self.oracle.shut):
            shut.discard((kind, id)) if open else shut.add((kind, id))

    async def _acceptor(self, kind: str, id: int, open: bool) -> None:
        store = COUNTER.store_id if kind == "terminal" else None
        await self.ledger.app.set_acceptor(kind, id, COUNTER.merchant_id, store, open)

    async def arrange(self, year: int, holidays: list[date], workdays: list[date]) -> None:
        """China's days of a year, as they were published."""
        await self.ledger.worker.put_calendar_year(year, holidays, workdays)
        self.oracle.special_days = dict.fromkeys(holidays, "holiday") | dict.fromkeys(workdays, "workday")

    async def log_out(self, who: int) -> None:
        owner = self.people[who % 3]
        await self.ledger.app.bump_epoch(owner)
        self.oracle.wallets[owner].epoch += 1

    async def without_wallet(self) -> None:
        await self.trial.ask(call("spend", 6_999_999, client_id(self.now), points=1, payee=1))

    async def at_the_wrong_door(self, who: int) -> None:
        """A job's id at the clients' door, a client's at the jobs'."""
        owner = self.people[who % 3]
        await self.trial.ask(call("spend", owner, job_id(self.now), points=1, payee=1))
        await self.trial.ask(call("expire_points", owner, client_id(self.now), "worker"))

    async def one_id_twice(self, who: int) -> None:
        """The id of one operation for another."""
        owner, id = self.people[who % 3], client_id(self.now)
        await self.trial.ask(call("freeze", owner, id, kind="frozen", authority="x", reason="x", until=None, actor=9))
        await self.trial.ask(call("unfreeze", owner, id, authority="x", reason="x", actor=9))

    async def set_clock(self, at: datetime) -> None:
        await self.ledger.stop_clock(at)

    async def outlive(self, latest: datetime) -> None:
        """Everybody's points past their day, and booked."""
        lots = [day for wallet in self.oracle.wallets.values() for day in wallet.lots]
        if lots:
            await self.set_clock(max(min(midnight_after(max(lots)), latest), self.now))
        for who in range(3):
            await self.worker(who, "expire_points")

    async def to_edge(self, edge: str, off: timedelta, latest: datetime) -> None:
        """To the very instant at which something ends, or a millisecond beside it."""
        day = city_day(self.now)
        ends = {
            "midnight": [midnight_after(day)],
            "month": [midnight_after(month_end(day))],
            "hold": [one.until for wallet in self.oracle.wallets.values() for one in wallet.holds.values()],
            "lock": [one.locked_until for one in self.oracle.coupons.values() if one.locked_until],
            "void": [one.void_until for one in self.oracle.redemptions.values()],
            "coupon": [midnight_after(one.expires_on) for one in self.oracle.coupons.values()],
        }[edge]
        after = [end for end in ends if end > self.now]
        if after:
            await self.set_clock(min(min(after) + off, latest))
