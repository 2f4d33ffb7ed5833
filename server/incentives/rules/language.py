"""The language of rules: when something happens to a resident, and the conditions hold, he is given something.

    {"trigger":   what must happen,
     "condition": what else must hold (null: nothing else),
     "effect":    what he is given}

Every part is an object whose `kind` says which of the classes below it is; its other fields are the fields of that
class. A field with a default may be left out, any other name is refused. Days and hours are the city's. This module
says what can be written; `check` says what may be saved, `judge` what a rule means for one person, `text` what it says
in Chinese. docs/rules.md has examples.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct

MAX_POINTS = 1_000_000
MAX_AMOUNT = 1_000_000_000_000

#: What the city calls bands, towns, categories, files: any text without the brackets in which rules quote it.
Code = Annotated[str, Meta(max_length=40, pattern=r"^[^\s「」〔〕]([^\n\r\t「」〔〕]*[^\s「」〔〕])?$")]
Id = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,17}$")]
Codes = Annotated[tuple[Code, ...], Meta(min_length=1, max_length=200)]
#: 00:00 to 23:59, and 24:00 for the end of a day.
HourAndMinute = Annotated[str, Meta(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
#: 1 is Monday, 7 is Sunday.
Weekday = Annotated[int, Meta(ge=1, le=7)]
Points = Annotated[int, Meta(ge=1, le=MAX_POINTS)]
Amount = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
AtLeastOne = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]


class Part(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """A piece of a rule."""


# How far back one looks


class LastDays(Part, frozen=True, tag="last_days"):
    """The day of the fact and the days before it, so many together: 1 is that day alone."""

    days: Annotated[int, Meta(ge=1, le=1_100)]


class ThisPeriod(Part, frozen=True, tag="this"):
    """The calendar day, week, month or year of the fact. Weeks begin on Monday."""

    period: Literal["day", "week", "month", "year"]


class SinceCampaignBegan(Part, frozen=True, tag="campaign"):
    """From the beginning of the campaign."""


class Ever(Part, frozen=True, tag="ever"):
    """All that is known of a resident."""


Within = LastDays | ThisPeriod | SinceCampaignBegan | Ever


# What must hold


class AmountIs(Part, frozen=True, tag="amount"):
    """A number that the fact carries is not smaller, or not greater, than this: minutes, fen, books …"""

    attribute: Code
    at_least: Amount | None = None
    at_most: Amount | None = None


class ValueIn(Part, frozen=True, tag="value_in"):
    """A code that the fact carries is one of these: a car park, a library, a file of recipients …"""

    attribute: Code
    values: Codes


class AllOf(Part, frozen=True, tag="all"):
    """Every one of these holds."""

    of: Annotated[tuple[Condition, ...], Meta(min_length=2)]


class AnyOf(Part, frozen=True, tag="any"):
    """At least one of these holds."""

    of: Annotated[tuple[Condition, ...], Meta(min_length=2)]


class Not(Part, frozen=True, tag="not"):
    """This does not hold. Bands do not stand in a `not`: a band opens doors and closes none."""

    of: Condition


class BandIn(Part, frozen=True, tag="band_in"):
    """His band, on the day of the fact, is one of these."""

    bands: Codes


class BandAtLeast(Part, frozen=True, tag="band_at_least"):
    """His band, on the day of the fact, is this one or a higher one, by the ranks of the city's scale."""

    band: Code


class TownIn(Part, frozen=True, tag="town_in"):
    """He lives in one of these towns."""

    towns: Codes


class EnrolledBetween(Part, frozen=True, tag="enrolled_between"):
    """He joined the programme on one of these days; both are included, one may be left open."""

    first_day: date | None = None
    last_day: date | None = None


class FirstTime(Part, frozen=True, tag="first_time"):
    """Nothing of the trigger's kind was known of him before."""


class Between(Part, frozen=True, tag="between"):
    """The fact's day is one of these; both are included, one may be left open."""

    first_day: date | None = None
    last_day: date | None = None


class Weekly(Part, frozen=True, tag="weekly"):
    """The fact's moment is on one of these weekdays and on a day of this kind, from `from_time` until before
    `until_time`.

    workday: a day on which China works, the weekend days that make up for a holiday included; holiday: any other day.
    A window across midnight is two windows, joined by `any`.
    """

    weekdays: Annotated[tuple[Weekday, ...], Meta(min_length=1, max_length=7)] = (1, 2, 3, 4, 5, 6, 7)
    day: Literal["any", "workday", "holiday"] = "any"
    from_time: HourAndMinute = "00:00"
    until_time: HourAndMinute = "24:00"


class MerchantCategoryIn(Part, frozen=True, tag="merchant_category_in"):
    """The merchant of the fact belongs to one of these categories."""

    categories: Codes


class TimesDone(Part, frozen=True, tag="times"):
    """So many facts."""

    at_least: AtLeastOne = 1


class SumDone(Part, frozen=True, tag="sum"):
    """Facts whose numbers add up to so much."""

    attribute: Code
    at_least: AtLeastOne


Measure = TimesDone | SumDone


class HasDone(Part, frozen=True, tag="has_done"):
    """Facts of this kind within this time reach the measure; the fact that is judged counts, when it is of the kind."""

    fact: Code
    within: Within
    measure: Measure = TimesDone()


class HasNotDone(Part, frozen=True, tag="has_not_done"):
    """Before the fact that is judged, facts of this kind within this time do not reach the measure."""

    fact: Code
    within: Within
    measure: Measure = TimesDone()


Condition = (
    AllOf
    | AnyOf
    | Not
    | BandIn
    | BandAtLeast
    | TownIn
    | EnrolledBetween
    | FirstTime
    | Between
    | Weekly
    | MerchantCategoryIn
    | AmountIs
    | ValueIn
    | HasDone
    | HasNotDone
)


# What must happen


class FactTrigger(Part, frozen=True, tag="fact"):
    """A fact of this kind is told. `where` narrows which: of other facts the rule does not speak."""

    fact: Code
    where: Annotated[tuple[AmountIs | ValueIn, ...], Meta(max_length=8)] = ()


class DateTrigger(Part, frozen=True, tag="date"):
    """This day comes, for everybody who takes part."""

    on: date


Trigger = FactTrigger | DateTrigger


# What is given


class GivePoints(Part, frozen=True, tag="points"):
    """So many points."""

    points: Points


class Tier(Struct, frozen=True, forbid_unknown_fields=True):
    """Until the sum passes `up_to` (null: without end), `points` for every full `per` units of the attribute."""

    per: AtLeastOne
    points: Points = 1
    up_to: AtLeastOne | None = None


class GivePointsPer(Part, frozen=True, tag="points_per"):
    """Points by a number that the fact carries.

    over: the tiers are climbed by each fact alone (each), or by the sum of the calendar month or year of the fact; what
    does not fill a unit is then kept for the next fact. One fact never gives more than `at_most_points`.
    """

    attribute: Code
    tiers: Annotated[tuple[Tier, ...], Meta(min_length=1, max_length=12)]
    at_most_points: Points
    over: Literal["each", "month", "year"] = "each"


class GiveCoupon(Part, frozen=True, tag="coupon"):
    """One coupon of this template."""

    template_id: Id


class GiveFreeMinutes(Part, frozen=True, tag="free_minutes"):
    """So many minutes for which a scene asks nothing."""

    minutes: Annotated[int, Meta(ge=1, le=10_080)]
    scene: Literal["parking"] = "parking"


class GiveLotteryTickets(Part, frozen=True, tag="lottery_ticket"):
    """So many tickets of this lottery."""

    lottery_id: Id
    tickets: Annotated[int, Meta(ge=1, le=100)] = 1


#: There is no effect that takes anything away, and no number below 1 (guard rail 2).
Effect = GivePoints | GivePointsPer | GiveCoupon | GiveFreeMinutes | GiveLotteryTickets


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """When the trigger happens and the condition holds, the effect is given."""

    trigger: Trigger
    effect: Effect
    condition: Condition | None = None
