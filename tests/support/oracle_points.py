"""The oracle's rules about points: earning, spending, holding, giving back, expiring, freezing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from tests.support.oracle_state import (
    LONGEST_HOLD,
    Budgets,
    Call,
    Hold,
    Judgement,
    Spent,
    Wallet,
    city_day,
    month_end,
    period_start,
    put,
    split,
    take,
)


@dataclass(frozen=True)
class Campaign:
    """Earning terms as the oracle knows them. `limits` have limit_id, action, measure, period, cap; `places` a scope,
    too."""

    budget: int
    points: int
    months: int
    limits: tuple[Any, ...]
    places: tuple[Any, ...] = ()


Counted = tuple[str, str, date]


@dataclass
class Books:
    """What all rules look at."""

    wallets: dict[int, Wallet] = field(default_factory=dict, kw_only=True)
    budgets: Budgets = field(default_factory=Budgets, kw_only=True)
    campaigns: dict[int, Campaign] = field(default_factory=dict, kw_only=True)
    templates: dict[int, Any] = field(default_factory=dict, kw_only=True)
    #: What happened at each place: by limit, place and first day of the period.
    counted: dict[Counted, int] = field(default_factory=dict, kw_only=True)


def of_text(text: str | None, most: int) -> set[str]:
    """A reason to refuse a text that is missing or too long."""
    return set() if text is not None and 1 <= len(text) <= most else {"invalid_item"}


class Limited(Books):
    """Per-person limits by period. What is counted in another measure or period is counted anew."""

    @staticmethod
    def _key(limit: Any, day: date) -> tuple[str, date]:
        return f"{limit.limit_id}/{limit.measure}/{limit.period}", period_start(limit.period, day)

    def _over(self, wallet: Wallet, uses: list[tuple[Any, int]], today: date) -> set[str]:
        over = any(
            amount and wallet.used.get(self._key(limit, today), 0) + amount > limit.cap for limit, amount in uses
        )
        return {"limit_reached"} if over else set()

    def _use(self, wallet: Wallet, uses: list[tuple[Any, int]], day: date, sign: int = 1) -> None:
        for limit, amount in uses:
            if amount:
                key = self._key(limit, day)
                wallet.used[key] = wallet.used.get(key, 0) + sign * amount


@dataclass
class Places(Limited):
    """Limits at places by period, whoever does it. What a place is depends on the limit's scope."""

    #: Where each store is.
    towns: dict[int, str] = field(default_factory=dict, kw_only=True)

    def _counts(
        self, limits: Any, action: str, amounts: dict[str, int], day: date, *, town: str | None = None, at: Any = None
    ) -> list[tuple[Counted, int, int]]:
        """What an action counts: where, how much, and what is allowed there."""
        here = {"campaign": "", "town": town or ""}
        if at is not None:
            here |= {"merchant": str(at.merchant_id), "store": str(at.store_id), "town": self.towns[at.store_id]}
        return [
            ((f"{one.limit_id}/{one.scope}/{one.measure}/{one.period}", here[one.scope],
              period_start(one.period, day)), amounts[one.measure], one.cap)
            for one in limits if one.action == action and amounts[one.measure]
        ]  # fmt: skip

    def _full(self, counts: list[tuple[Counted, int, int]]) -> set[str]:
        over = any(self.counted.get(key, 0) + amount > cap for key, amount, cap in counts)
        return {"limit_reached"} if over else set()

    def _count(self, counts: list[tuple[Counted, int, int]], sign: int = 1) -> None:
        for key, amount, _ in counts:
            self.counted[key] = self.counted.get(key, 0) + sign * amount


class PointRules(Places):
    """`_<operation>`: every reason to refuse, and what it does."""

    def _earn(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        today, terms = city_day(at), self.campaigns.get(call.args["terms"])
        if terms is None:
            return Judgement({"terms_not_found"})
        day = month_end(call.args["on"], terms.months)
        points = call.args.get("points", terms.points)
        if not 1 <= points <= terms.points:
            return Judgement({"invalid_item"})
        measures = {"count": 1, "points": points}
        uses = [(one, measures.get(one.measure, 0)) for one in terms.limits if one.action == "earn"]
        counts = self._counts(terms.places, "earn", measures, call.args["on"], town=call.args.get("town"))
        why = self._over(wallet, uses, call.args["on"]) | self.budgets.reasons((terms.budget, points))
        why |= self._full(counts)
        why |= {"invalid_item"} if call.args["on"] > today else set()
        why |= {"outside_window"} if day < today else set()

        def effect() -> dict[str, Any]:
            self.budgets.move((terms.budget, points))
            self._use(wallet, uses, call.args["on"])
            self._count(counts)
            put(wallet.lots, [(day, points)])
            wallet.write("earn", points=(points, 0, -points))
            wallet.bury(today)
            return {"points": points, "expires_on": day}

        return Judgement(why, effect)

    @staticmethod
    def _short(wallet: Wallet, points: int, at: datetime) -> set[str]:
        return {"insufficient_points"} if take(dict(wallet.lots), points, city_day(at)) is None else set()

    def _spend(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        points = call.args["points"]
        if points < 1:
            return Judgement({"invalid_item"})
        why = self._short(wallet, points, at)

        def effect() -> dict[str, Any]:
            parts = take(wallet.lots, points, city_day(at)) or []
            wallet.spent[call.id] = Spent(parts)
            wallet.write("spend", points=(-points, 0, points))
            wallet.bury(city_day(at))
            return {"points": points, "payee": call.args["payee"]}

        return Judgement(why, effect)

    def _hold(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        points, life = call.args["points"], timedelta(seconds=call.args["life_s"])
        if points < 1 or not timedelta(seconds=1) <= life <= LONGEST_HOLD:
            return Judgement({"invalid_item"})
        why = self._short(wallet, points, at)

        def effect() -> dict[str, Any]:
            parts = take(wallet.lots, points, city_day(at)) or []
            wallet.holds[call.id] = Hold(parts, call.args["payee"], at + life)
            wallet.write("hold", points=(-points, points, 0))
            wallet.bury(city_day(at))
            return {"points": points, "until": at + life}

        return Judgement(why, effect)

    def _capture(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        hold, points = wallet.holds.get(call.args["hold_id"]), call.args["points"]
        why = {"invalid_item"} if points is not None and points < 1 else set()
        if hold is None:
            return Judgement(why | {"hold_not_found"})
        whole = sum(amount for _, amount in hold.parts)
        points = whole if points is None else points
        why |= {"hold_expired"} if at >= hold.until else set()
        why |= {"capture_too_large"} if points > whole else set()

        def effect() -> dict[str, Any]:
            del wallet.holds[call.args["hold_id"]]
            captured, back = split(hold.parts, points)
            wallet.spent[call.id] = Spent(captured)
            put(wallet.lots, back)
            wallet.write("capture", points=(whole - points, -whole, points))
            if back:
                wallet.bury(city_day(at))
            return {"points": points, "given_back": whole - points}

        return Judgement(why, effect)

    def _release(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        hold = wallet.holds.get(call.args["hold_id"])
        if hold is None:
            return Judgement({"hold_not_found"})
        points = sum(amount for _, amount in hold.parts)

        def effect() -> dict[str, Any]:
            del wallet.holds[call.args["hold_id"]]
            put(wallet.lots, hold.parts)
            wallet.write("release", points=(points, -points, 0))
            wallet.bury(city_day(at))
            return {"points": points}

        return Judgement({"not_due"} if call.door == "worker" and at < hold.until else set(), effect)

    def _refund(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        posting, points = wallet.spent.get(call.args["posting_id"]), call.args["points"]
        why = of_text(call.args["reason"], 200) | ({"invalid_item"} if points < 1 else set())
        if posting is None:
            return Judgement(why | {"posting_not_found"})
        most = sum(amount for _, amount in posting.parts) - posting.done

        def effect() -> dict[str, Any]:
            wallet.give_back(posting, points, city_day(at))
            wallet.write("refund", points=(points, 0, -points))
            wallet.bury(city_day(at))
            return {"points": points, "refunded_points": posting.done}

        return Judgement(why | ({"refund_too_large"} if points > most else set()), effect)

    def _adjust(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        points, today = call.args["points"], city_day(at)
        why = of_text(call.args["reason"], 200) | of_text(call.args["document"], 100)
        lasting = points < 0 or 1 <= call.args.get("validity_months", 24) <= 24
        why |= {"invalid_item"} if points == 0 or not lasting else set()
        why |= {"two_people_required"} if call.args["actor"] == call.args["approver"] else set()
        why |= self._short(wallet, -points, at) if points < 0 else set()

        def effect() -> dict[str, Any]:
            if points > 0:
                put(wallet.lots, [(month_end(today, call.args.get("validity_months", 24)), points)])
            else:
                take(wallet.lots, -points, today)
            wallet.write("adjust", points=(points, 0, -points))
            wallet.bury(today)
            return {"points": points}

        return Judgement(why, effect)

    def _expire_points(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        today = city_day(at)
        dead = sum(points for day, points in wallet.lots.items() if day < today)

        def effect() -> dict[str, Any]:
            wallet.bury(today)
            return {"points": dead}

        return Judgement(set() if dead else {"not_due"}, effect)

    def _freeze(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        until = call.args["until"]
        why = of_text(call.args["authority"], 100) | of_text(call.args["reason"], 200)
        why |= {"invalid_item"} if until is not None and until <= at else set()

        def effect() -> dict[str, Any]:
            wallet.status, wallet.frozen_until = call.args["kind"], until
            wallet.write("freeze")
            return {}

        return Judgement(why, effect)

    def _unfreeze(self, wallet: Wallet, call: Call, at: datetime) -> Judgement:
        def effect() -> dict[str, Any]:
            wallet.status, wallet.frozen_until = "open", None
            wallet.write("unfreeze")
            return {}

        why = of_text(call.args["authority"], 100) | of_text(call.args["reason"], 200)
        return Judgement(why | ({"account_not_frozen"} if wallet.frozen(at) == "open" else set()), effect)
