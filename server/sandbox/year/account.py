"""The year's account as an outsider keeps it: from what was told, what the plan promises and what the API answered,
without the engine, the ledger or the database."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from server.sandbox.moved_clock import CITY
from server.sandbox.year.plan import CAMPAIGNS, TEMPLATES, PlannedCampaign, PlannedTemplate
from server.sandbox.year.promises import IN_KIND, PROMISES, Happening, Life, Switches
from server.sandbox.year.worth import Purse, discount_fen, most_paid_fen, shares_fen

#: Figures of one thing, each by its name, in its unit.
Figures = dict[str, int]
#: What a book says: campaigns, templates, residents and merchants by their keys.
Book = dict[str, Figures]

#: A budget that runs out: who is first is seen, how many there are is known.
CONTENDED: Final = "summer"
#: A campaign with a hold-out: the lot decides who gets something, and stays as it fell.
TRIAL: Final = "trial"
#: What fewer people did not get is told to nobody.
SMALL_CELL: Final = 10


class Unexpected(RuntimeError):
    """The API answered something that the plan does not promise; says what was seen and what was expected."""


@dataclass(slots=True)
class Coupon:
    """A coupon in somebody's hands, under the version of its template at its claim."""

    id: str
    who: str
    template: str
    offer: PlannedTemplate
    issued_on: date
    last_day: date
    state: str = "issued"

    def is_over(self, today: date) -> bool:
        return self.state == "issued" and self.last_day < today


@dataclass(slots=True)
class Person:
    life: Life
    purse: Purse = field(default_factory=Purse)
    band: str | None = None


@dataclass(slots=True)
class Account:
    """Keeps count. Everything it is told comes from the story; nothing comes from the house's tables."""

    bands: tuple[str, ...]
    people: dict[str, Person] = field(default_factory=dict)
    coupons: dict[str, Coupon] = field(default_factory=dict)
    points: Counter[str] = field(default_factory=Counter)
    in_kind: Counter[str] = field(default_factory=Counter)
    price: Counter[str] = field(default_factory=Counter)
    shares: dict[str, Counter[str]] = field(default_factory=dict)
    payable: Counter[str] = field(default_factory=Counter)
    topped_up: Counter[str] = field(default_factory=Counter)
    offers: dict[str, PlannedTemplate] = field(default_factory=lambda: {one.key: one for one in TEMPLATES})
    pauses: dict[str, list[tuple[datetime, datetime | None]]] = field(default_factory=dict)
    contenders: set[str] = field(default_factory=set)
    held_out: dict[str, bool] = field(default_factory=dict)
    withheld: Counter[str] = field(default_factory=Counter)
    undecided: dict[str, list[tuple[date, int]]] = field(default_factory=dict)
    owed_coupons: Counter[tuple[str, str]] = field(default_factory=Counter)
    tickets: Counter[str] = field(default_factory=Counter)
    switches: Switches = field(default_factory=Switches)

    # -- facts --------------------------------------------------------------------------------------------------------

    def join(self, who: str, town: str) -> None:
        self.people[who] = Person(Life(town))

    def tell(self, fact: Happening) -> None:
        """A fact was told: every campaign that runs at its time gives what it promises."""
        person = self.people[fact.who]
        due = []
        for campaign in CAMPAIGNS:
            kind, promise = PROMISES[campaign.key]
            if kind == fact.kind and self._runs(campaign, fact.at):
                amount = promise(fact, person.life, self.switches)
                if amount:
                    due.append((campaign, amount))
        for campaign, amount in due:
            person.life.given.append((campaign.key, fact))
            self._give(campaign, fact, amount)
        person.life.past.append(fact)

    def _runs(self, campaign: PlannedCampaign, at: datetime) -> bool:
        paused = any(
            since <= at and (until is None or at < until) for since, until in self.pauses.get(campaign.key, [])
        )
        return campaign.since <= at < campaign.until and not paused

    def _give(self, campaign: PlannedCampaign, fact: Happening, amount: int) -> None:
        what = IN_KIND.get(campaign.key)
        if campaign.key == CONTENDED:
            self.contenders.add(fact.who)
        elif campaign.key == TRIAL:
            self.undecided.setdefault(fact.who, []).append((fact.local.date(), amount))
            if fact.who in self.held_out:
                self.drawn(fact.who, held_out=self.held_out[fact.who])
        elif what is None:
            self.earned(campaign.key, fact.who, fact.local.date(), amount)
        else:
            self.in_kind[campaign.key] += amount
            if what == "coupons":
                self.owed_coupons[fact.who, "coffee"] += amount
            elif what == "tickets":
                self.tickets[fact.who] += amount

    def earned(self, campaign: str, who: str, on: date, points: int) -> None:
        """Points came into somebody's purse."""
        months = next(one.validity_months for one in CAMPAIGNS if one.key == campaign)
        self.people[who].purse.earn(on, months, points)
        self.points[campaign] += points

    def drawn(self, who: str, *, held_out: bool) -> None:
        """The side to which the lot put somebody: known from his first award on, and never another."""
        self.held_out[who] = held_out
        for on, points in self.undecided.pop(who, []):
            if held_out:
                self.withheld[TRIAL] += points
            else:
                self.earned(TRIAL, who, on, points)

    def rises(self, who: str, band: str, as_of: date) -> None:
        """The import told a band; a higher one, or a first one above the lowest, is a fact of that day's midnight."""
        person = self.people[who]
        before = self.bands.index(person.band) if person.band else 0
        person.band = band
        if self.bands.index(band) > before:
            midnight = datetime.combine(as_of, datetime.min.time(), CITY)
            self.tell(Happening(who, "band_reached", midnight, {"band": band}))

    # -- coupons ------------------------------------------------------------------------------------------------------

    def got(self, who: str, template: str, coupon_id: str, told_last_day: str, on: date, *, paid: bool) -> Coupon:
        """Somebody has a coupon since `on`, for its price when he claimed it himself. Raises Unexpected when its last
        day is another than the plan's."""
        offer = self.offers[template]
        last = on + timedelta(days=offer.valid_days) if offer.valid_days else offer.valid_until
        last = min(last, offer.valid_until) if last and offer.valid_until else last
        if last is None or str(last) != told_last_day:
            raise Unexpected(f"{offer.title}: last day {told_last_day}, the plan says {last}")
        if paid and offer.price_points:
            self.people[who].purse.spend(on, offer.price_points)
            self.price[template] += offer.price_points
        coupon = self.coupons[coupon_id] = Coupon(coupon_id, who, template, offer, on, last)
        return coupon

    def redeemed(self, coupon: Coupon, merchant: str, order_fen: int | None, receipt: Figures, sign: int = 1) -> None:
        """A receipt (or with sign −1 its void). Raises Unexpected when it is another than the plan's arithmetic."""
        saved = discount_fen(coupon.offer, order_fen)
        names = ("platform_fen", "sponsor_fen", "merchant_fen")
        expected = dict(zip(names, shares_fen(coupon.offer, saved), strict=True)) | {"discount_fen": saved}
        if any(receipt[name] != amount for name, amount in expected.items()):
            raise Unexpected(f"{coupon.offer.title}, order {order_fen}: receipt {receipt}, the plan says {expected}")
        book = self.shares.setdefault(coupon.template, Counter())
        for name in names:
            book[name] += sign * expected[name]
        self.payable[merchant] += sign * (expected["platform_fen"] + expected["sponsor_fen"])
        coupon.state = "redeemed" if sign > 0 else "issued"

    # -- the books ----------------------------------------------------------------------------------------------------

    def campaigns(self) -> Book:
        """Points by campaign that gives points, and what its hold-out did not get, where that may be told."""
        is_told = sum(self.held_out.values()) >= SMALL_CELL
        return {
            one.key: {"points": self.points[one.key], "withheld_points": self.withheld[one.key] if is_told else 0}
            for one in CAMPAIGNS if one.budget_points is not None
        }  # fmt: skip

    def templates(self, today: date) -> Book:
        """Coupons, points and fen by template."""
        book: Book = {}
        for planned in TEMPLATES:
            mine = [one for one in self.coupons.values() if one.template == planned.key]
            expired = sum(one.is_over(today) for one in mine)
            live = [one for one in mine if one.state == "issued" and not one.is_over(today)]
            shares = self.shares.get(planned.key, Counter())
            book[planned.key] = {
                "stock": planned.stock + self.topped_up[planned.key], "issued": len(mine),
                "left": planned.stock + self.topped_up[planned.key] - len(mine),
                "redeemed": sum(one.state == "redeemed" for one in mine), "expired": expired, "live": len(live),
                "price_points": self.price[planned.key],
                **{name: shares[name] for name in ("platform_fen", "sponsor_fen", "merchant_fen")},
                "paid_fen": shares["platform_fen"] + shares["sponsor_fen"],
                "reserved_fen": sum(most_paid_fen(one.offer) for one in live),
            }  # fmt: skip
        return book

    def residents(self, today: date) -> Book:
        """What each can spend."""
        return {who: {"points": person.purse.points(today)} for who, person in self.people.items()}

    def merchants(self) -> Book:
        """What each is owed by platform and sponsors."""
        return {key: {"payable_fen": fen} for key, fen in self.payable.items() if fen}

    def city(self, today: date) -> Book:
        """The whole: points given, taken as prices, expired, and left in wallets."""
        left = sum(one["points"] for one in self.residents(today).values())
        return {
            "city": {
                "given_points": sum(self.points.values()), "price_points": sum(self.price.values()),
                "expired_points": sum(person.purse.expired for person in self.people.values()), "left_points": left,
            }
        }  # fmt: skip
