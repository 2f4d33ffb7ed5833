"""The oracle's rules about coupons: claiming, showing, scanning, locking, redeeming, taking back, expiring."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID

from tests.support.oracle_points import Counted, Places, of_text
from tests.support.oracle_state import CITY, LONGEST_LOCK, Call, Judgement, Spent, Wallet, city_day, share, take

FOR_EVER = 36_500
DEAREST_ORDER_FEN = 10**11
WRONG_CODES = 5


@dataclass
class Coupon:
    owner: int
    terms: Any
    first_day: date
    expires_on: date
    reserved: int
    paid: Spent
    state: str = "issued"
    lock_id: UUID | None = None
    locked_until: datetime | None = None
    redemption: UUID | None = None

    def now(self, at: datetime) -> str:
        """The state at this instant: a lock past its life counts as none."""
        over = self.state == "locked" and self.locked_until is not None and at >= self.locked_until
        return "issued" if over else self.state

    def become(self, state: str, **also: Any) -> None:
        self.state, self.lock_id, self.locked_until, self.redemption = state, None, None, None
        for name, value in also.items():
            setattr(self, name, value)


@dataclass
class Credential:
    owner: int
    coupon: UUID
    epoch: int
    expires_at: datetime
    state: str = "open"
    wrong_codes: int = 0
    at: Any = None
    redemption: UUID | None = None
    void: UUID | None = None


@dataclass(frozen=True)
class Redemption:
    owner: int
    coupon: UUID
    terms: Any
    at: Any
    void: UUID
    order: str | None
    amount: int | None
    discount: int
    paid: int
    day: date
    void_until: datetime
    counts: list[tuple[Counted, int, int]]


def borne(terms: Any, fen: int) -> tuple[int, int, int]:
    """What the platform, the sponsor and the merchant bear of it: whole fen, the rest by the largest fractions."""
    due = [Fraction(fen * one, 10_000) for one in (terms.platform_bp, terms.sponsor_bp, terms.merchant_bp)]
    parts = [int(one) for one in due]
    for place in sorted(range(3), key=lambda one: (parts[one] - due[one], one))[: fen - sum(parts)]:
        parts[place] += 1
    return parts[0], parts[1], parts[2]


def most_paid(terms: Any) -> int:
    return sum(borne(terms, terms.cap_fen if terms.kind == "discount" else terms.face_value_fen)[:2])


def discount_of(terms: Any, amount: int | None) -> tuple[set[str], int]:
    """What a customer saves on an order, and the reason when the order does not fit the coupon."""
    if terms.kind != "discount" and terms.threshold_fen == 0:
        return ({"order_amount_refused"} if amount is not None else set()), terms.face_value_fen
    if amount is None or not 0 < amount <= DEAREST_ORDER_FEN:
        return {"order_amount_required"}, 0
    if amount < terms.threshold_fen:
        return {"below_threshold"}, 0
    if terms.kind == "discount":
        return set(), min(terms.cap_fen, share(amount, 10_000 - terms.pay_bp))
    return set(), min(amount, terms.face_value_fen)


@dataclass
class CouponRules(Places):
    """`_<operation>`: every reason to refuse, and what it does. Counters in `shut` are suspended."""

    coupons: dict[UUID, Coupon] = field(default_factory=dict, kw_only=True)
    credentials: dict[UUID, Credential] = field(default_factory=dict, kw_only=True)
    redemptions: dict[UUID, Redemption] = field(default_factory=dict, kw_only=True)
    voided: set[UUID] = field(default_factory=set, kw_only=True)
    shut: set[tuple[str, int]] = field(default_factory=set, kw_only=True)
    special_days: dict[date, str] = field(default_factory=dict, kw_only=True)

    def _suspended(self, at: Any) -> set[str]:
        parties = ("merchant", at.merchant_id), ("store", at.store_id), ("terminal", at.terminal_id)
        return {"merchant_suspended"} if self.shut & {*parties, ("staff", at.staff_id)} else set()

    def _out_of_time(self, coupon: Coupon, at: datetime) -> set[str]:
        """A reason, when no window is open at this instant or the first day has not come."""
        here = at.astimezone(CITY)
        clock = timedelta(hours=here.hour, minutes=here.minute, seconds=here.second)
        weekend = here.isoweekday() in (6, 7)
        kind = self.special_days.get(here.date(), "holiday" if weekend else "workday")
        fits = [
            one for one in coupon.terms.windows
            if here.isoweekday() in one.weekdays and one.day in ("any", kind)
            and timedelta(minutes=one.from_minute) <= clock < timedelta(minutes=one.until_minute)
        ]  # fmt: skip
        waits = coupon.terms.starts_after_days > 0 or coupon.terms.valid_from is not None
        closed = (coupon.terms.windows and not fits) or (waits and here.date() < coupon.first_day)
        return {"outside_window"} if closed else set()

    @staticmethod
    def _elsewhere(terms: Any, at: Any) -> bool:
        """Whether the terms name others than this merchant, or other stores."""
        merchants, stores = terms.merchants or (at.merchant_id,), terms.stores or (at.store_id,)
        return at.merchant_id not in merchants or at.store_id not in stores

    @staticmethod
    def _uses(terms: Any, action: str, points: int, fen: int) -> list[tuple[Any, int]]:
        amounts = {"count": 1, "points": points, "face_value_fen": fen}
        return [(one, amounts[one.measure]) for one in terms.person_limits if one.action == action]

    def _claim(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        return self._issue(wallet, call, at, granted=False)

    def _grant(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        """A present costs nothing and keeps no hours; whoever gives it says why."""
        given = self._issue(wallet, call, at, granted=True)
        given.reasons |= of_text(call.args["source"], 120)
        return given

    def _issue(self, wallet: Wallet, call: Call, at: datetime, *, granted: bool) -> Judgement:
        today, terms = city_day(at), self.templates.get(call.args["terms"])
        if terms is None:
            return Judgement({"terms_not_found"})
        first = max(today + timedelta(days=terms.starts_after_days), terms.valid_from or today)
        days = [
            first + timedelta(days=terms.valid_days or FOR_EVER),
            *([terms.valid_until] if terms.valid_until else []),
        ]
        expires, price, reserved = min(days), 0 if granted else terms.price_points, most_paid(terms)
        uses = self._uses(terms, "issue", price, terms.face_value_fen)
        amounts = {"count": 1, "points": price, "face_value_fen": terms.face_value_fen, "fen": reserved}
        counts = self._counts(terms.scoped_limits, "issue", amounts, today, town=call.args.get("town"))
        takes = (terms.stock_budget, 1), (terms.fen_budget, reserved)
        early = terms.claim_from is not None and at < terms.claim_from
        late = terms.claim_until is not None and at >= terms.claim_until
        why = self._over(wallet, uses, today) | self.budgets.reasons(*takes) | self._full(counts)
        why |= {"outside_window"} if ((early or late) and not granted) or expires < first else set()
        if price and take(dict(wallet.lots), price, today) is None:
            why |= {"insufficient_points"}

        def effect() -> dict[str, Any]:
            self.budgets.move(*takes)
            self._use(wallet, uses, today)
            self._count(counts)
            paid = (take(wallet.lots, price, today) or []) if price else []
            self.coupons[call.id] = Coupon(call.owner, terms, first, expires, reserved, Spent(paid))
            wallet.write("claim", points=(-price, 0, price), coupons=(-1, 1, 0, 0), fen=(-reserved, reserved, 0))
            if price:
                wallet.bury(today)
            return {
                "coupon_id": call.id,
                "price_points": price,
                "usable_from": first,
                "expires_on": expires,
                "granted": call.args.get("source"),
            }

        return Judgement(why, effect)

    def scan(self, id: UUID, counter: Any, at: datetime, *, code_ok: bool, own: int | None) -> set[str]:
        """Why a code is no good at this counter now; `scanned` and `missed` remember what was answered."""
        shown = self.credentials[id]
        coupon, wallet = self.coupons[shown.coupon], self.wallets[shown.owner]
        elsewhere = shown.at is not None and (shown.at.merchant_id, shown.at.terminal_id) != (
            counter.merchant_id, counter.terminal_id)  # fmt: skip
        foreign = self._elsewhere(coupon.terms, counter)
        bad = (
            shown.state in ("burnt", "redeemed") or shown.epoch != wallet.epoch or shown.expires_at <= at
            or not code_ok or own == shown.owner or coupon.now(at) != "issued" or coupon.expires_on < city_day(at)
            or foreign or elsewhere or wallet.frozen(at) == "frozen"
        )  # fmt: skip
        return {"not_valid"} if bad else self._suspended(counter) or self._out_of_time(coupon, at)

    def scanned(self, id: UUID, counter: Any, redemption: UUID, void: UUID) -> UUID:
        """The code is this counter's from here on; the redemption's id that it always had."""
        shown = self.credentials[id]
        if shown.state == "open":
            shown.state, shown.at, shown.redemption, shown.void = "claimed", counter, redemption, void
        assert shown.redemption is not None
        return shown.redemption

    def missed(self, id: UUID, at: datetime) -> None:
        """One more wrong code on a showing that still could be used; the fifth kills it."""
        shown = self.credentials[id]
        alive = shown.epoch == self.wallets[shown.owner].epoch and shown.expires_at > at
        if shown.state == "open" and alive:
            shown.wrong_codes += 1
            shown.state = "burnt" if shown.wrong_codes == WRONG_CODES else "open"

    def _redeem(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        shown, counter = self.credentials[call.args["credential"]], call.args["at"]
        if shown.owner != call.owner or shown.redemption != call.id:
            return Judgement({"credential_spent"})
        why = {"ticket_expired"} if call.args["ticket_until"] <= at else set()
        if shown.at.merchant_id != counter.merchant_id or shown.at.terminal_id != counter.terminal_id:
            why |= {"ticket_foreign"}
        if shown.state != "claimed" or shown.epoch != wallet.epoch:
            why |= {"credential_spent"}
        return self._burn(wallet, call, at, shown.coupon, why, shown)

    def _redeem_locked(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        coupon = self._own(call)
        if coupon is None:
            return Judgement({"coupon_not_usable"} | self._suspended(call.args["at"]))
        inside = coupon.state == "locked" and coupon.lock_id == call.args["lock_id"] and coupon.now(at) == "locked"
        why = set() if inside else {"lock_expired", "coupon_not_usable"}
        made = self.redemptions.get(call.id)
        why |= {"invalid_item"} if made is not None and made.owner != call.owner else set()
        return self._burn(wallet, call, at, call.args["coupon_id"], why, None)

    def _burn(
        self, wallet: Wallet, call: Call, at: datetime, coupon_id: UUID, why: set[str], shown: Credential | None
    ) -> Judgement:
        coupon, counter, today = self.coupons[coupon_id], call.args["at"], city_day(at)
        terms = coupon.terms
        unfit, discount = discount_of(terms, call.args["amount"])
        crowded, discount = self._on_order(call, terms, discount)
        platform, sponsor, merchant = borne(terms, max(discount, 0))
        paid = platform + sponsor
        uses = self._uses(terms, "redeem", 0, discount)
        amounts = {"count": 1, "face_value_fen": max(discount, 0), "fen": paid}
        counts = self._counts(terms.scoped_limits, "redeem", amounts, today, at=counter)
        why = why | unfit | crowded | self._suspended(counter) | self._over(wallet, uses, today)
        why |= self._full(counts)
        why |= self._out_of_time(coupon, at) | ({"not_valid"} if self._elsewhere(terms, counter) else set())
        why |= {"coupon_not_usable"} if shown and coupon.now(at) != "issued" else set()
        why |= {"coupon_expired"} if coupon.expires_on < today else set()

        def effect() -> dict[str, Any]:
            void = shown.void if shown else call.args["void_id"]
            coupon.become("redeemed", redemption=call.id)
            coupon.reserved -= paid
            if shown:
                shown.state = "redeemed"
            self._use(wallet, uses, today)
            self._count(counts)
            until = at + timedelta(seconds=terms.void_window_s)
            self.redemptions[call.id] = Redemption(
                call.owner, coupon_id, terms, counter, void, call.args["order_no"], call.args["amount"], discount, paid,
                today, until, counts)  # fmt: skip
            wallet.write("redeem", coupons=(0, -1, 1, 0), fen=(0, -paid, paid))
            return {"coupon_id": coupon_id, "order_no": call.args["order_no"], "discount_fen": discount,
                    "platform_fen": platform, "sponsor_fen": sponsor, "merchant_fen": merchant,
                    "void_until": until}  # fmt: skip

        return Judgement(why, effect)

    def _on_order(self, call: Call, terms: Any, discount: int) -> tuple[set[str], int]:
        """Whether the coupon fits on the order beside his others there, and what it still saves."""
        order, here = call.args["order_no"], call.args["at"].merchant_id
        if order is None:
            return ({"order_no_required"} if terms.stacking_group else set()), discount
        others = [
            one for id, one in self.redemptions.items()
            if (one.owner, one.at.merchant_id, one.order) == (call.owner, here, order) and id not in self.voided
        ]  # fmt: skip
        alike = [
            one.terms for one in others if terms.stacking_group and one.terms.stacking_group == terms.stacking_group
        ]
        crowded = len(alike) >= min(one.most_per_order for one in [terms, *alike])
        amounts = [one for one in [call.args["amount"], *(one.amount for one in others)] if one is not None]
        if amounts:
            left = min(amounts) - sum(one.discount for one in others)
            crowded, discount = crowded or left < min(discount, 1), min(discount, left)
        return ({"not_stackable"} if crowded else set()) | of_text(order, 64), discount

    def _void(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        made, counter, today = self.redemptions[call.args["redemption"]], call.args["at"], city_day(at)
        coupon = self.coupons[made.coupon]
        why = self._suspended(counter) | of_text(call.args["reason"], 200)
        why |= {"void_window_closed"} if at > made.void_until else set()
        if coupon.state != "redeemed" or coupon.redemption != call.args["redemption"]:
            why |= {"coupon_not_usable"}

        def effect() -> dict[str, Any]:
            coupon.become("issued")
            self.voided.add(call.args["redemption"])
            coupon.reserved += made.paid
            if made.terms.grace_days:
                coupon.expires_on = max(coupon.expires_on, today + timedelta(days=made.terms.grace_days))
            self._use(wallet, self._uses(made.terms, "redeem", 0, made.discount), made.day, -1)
            self._count(made.counts, -1)
            wallet.write("void", coupons=(0, 1, -1, 0), fen=(0, made.paid, -made.paid))
            if coupon.expires_on < today:
                self._end(wallet, coupon, "expire_coupon", "expired")
            return {"coupon_id": made.coupon, "discount_fen": made.discount}

        return Judgement(why, effect)

    def _end(self, wallet: Wallet, coupon: Coupon, op: str, state: str, price: int = 0) -> None:
        """The coupon is gone; its stock when the terms say so, and what the sponsor reserved, go back."""
        back = 1 if coupon.terms.return_stock else 0
        self.budgets.move((coupon.terms.stock_budget, -back), (coupon.terms.fen_budget, -coupon.reserved))
        reserved, coupon.reserved = coupon.reserved, 0
        coupon.become(state)
        wallet.write(op, points=(price, 0, -price), coupons=(back, -1, 0, 1 - back), fen=(reserved, -reserved, 0))

    def _expire_coupon(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        coupon = self._own(call)
        if coupon is None or coupon.now(at) != "issued":
            return Judgement({"coupon_not_usable"})

        def effect() -> dict[str, Any]:
            self._end(wallet, coupon, "expire_coupon", "expired")
            return {"coupon_id": call.args["coupon_id"]}

        return Judgement({"not_due"} if coupon.expires_on >= city_day(at) else set(), effect)

    def _own(self, call: Call) -> Coupon | None:
        coupon = self.coupons.get(call.args["coupon_id"])
        return coupon if coupon is not None and coupon.owner == call.owner else None

    def _release_subsidy(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        coupon = self._own(call)
        if coupon is None or coupon.redemption is None or coupon.reserved == 0:
            return Judgement({"coupon_not_usable"})

        def effect() -> dict[str, Any]:
            rest, coupon.reserved = coupon.reserved, 0
            self.budgets.move((coupon.terms.fen_budget, -rest))
            wallet.write("release_subsidy", fen=(rest, -rest, 0))
            return {"coupon_id": call.args["coupon_id"]}

        return Judgement({"not_due"} if at <= self.redemptions[coupon.redemption].void_until else set(), effect)

    def _lock_coupon(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        coupon, life = self._own(call), timedelta(seconds=call.args["life_s"])
        why: set[str] = set() if timedelta(seconds=1) <= life <= LONGEST_LOCK else {"invalid_item"}
        if coupon is None or coupon.now(at) != "issued":
            return Judgement(why | {"coupon_not_usable"})

        def effect() -> dict[str, Any]:
            coupon.become("locked", lock_id=call.id, locked_until=at + life)
            wallet.write("lock_coupon")
            return {"coupon_id": call.args["coupon_id"]}

        return Judgement(why | ({"coupon_expired"} if coupon.expires_on < city_day(at) else set()), effect)

    def _unlock_coupon(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        coupon = self._own(call)
        why = of_text(call.args["reason"], 200)
        if coupon is None or coupon.state != "locked" or coupon.lock_id != call.args["lock_id"]:
            return Judgement(why | {"coupon_not_usable"})

        def effect() -> dict[str, Any]:
            coupon.become("issued")
            wallet.write("unlock_coupon")
            return {"coupon_id": call.args["coupon_id"]}

        early = call.door == "worker" and coupon.now(at) == "locked"
        return Judgement(why | ({"not_due"} if early else set()), effect)

    def _void_coupon(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        coupon = self._own(call)
        why = of_text(call.args["reason"], 200)
        if coupon is None or coupon.state not in ("issued", "locked"):
            return Judgement(why | {"coupon_not_usable"})
        why |= {"coupon_expired"} if coupon.expires_on < city_day(at) else set()

        def effect() -> dict[str, Any]:
            price = sum(points for _, points in coupon.paid.parts)
            wallet.give_back(coupon.paid, price, city_day(at))
            self._end(wallet, coupon, "void_coupon", "voided", price)
            if price:
                wallet.bury(city_day(at))
            return {"coupon_id": call.args["coupon_id"], "points": price}

        return Judgement(why, effect)
