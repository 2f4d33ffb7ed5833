"""Rules of many kinds, and cases to judge them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from server.incentives.rules import Case, Need, Rule, Tally, check, needs, read
from server.incentives.rules.needs import kind_of

CITY: Final = ZoneInfo("Asia/Shanghai")
#: Friday, 1 May 2026, noon in the city: a public holiday.
NOON: Final = datetime(2026, 5, 1, 4, 0, tzinfo=UTC)
RANKS: Final = {"B": 1, "A": 2, "A+": 3, "AA": 4, "AAA": 5}
LOGIN: Final = {"kind": "fact", "fact": "login_day"}
VOLUNTEER: Final = {"kind": "fact", "fact": "volunteer_hours_recorded"}
FIVE_POINTS: Final = {"kind": "points", "points": 5}


def rule_of(
    condition: dict[str, Any] | None, trigger: dict[str, Any] = LOGIN, effect: dict[str, Any] = FIVE_POINTS
) -> Rule:
    """A rule that may be saved."""
    rule = read({"trigger": trigger, "condition": condition, "effect": effect})
    check(rule)
    return rule


@dataclass(frozen=True)
class Somebody:
    """A person as rules see him."""

    band: str | None = "A"
    town: str | None = "华士镇"
    enrolled_on: date = date(2026, 4, 1)


def case_of(
    rule: Rule,
    *,
    at: datetime = NOON,
    person: Somebody = Somebody(),
    attributes: Mapping[str, object] | None = None,
    history: Mapping[Need, Tally] | None = None,
    **more: Any,
) -> Case:
    """A fact of the rule's kind, told of somebody without a past unless one is given."""
    nothing = dict.fromkeys(needs(rule).history, Tally(0))
    values = {"fact": kind_of(rule), "zone": CITY, "ranks": RANKS, "began_at": datetime(2026, 1, 1, tzinfo=UTC)} | more
    return Case(at=at, person=person, attributes=attributes or {}, history=nothing | dict(history or {}), **values)


#: One rule of each kind of trigger, and every kind of condition and effect at least once.
RULES: Final[dict[str, dict[str, Any]]] = {
    "every login day gives a point": {"trigger": LOGIN, "effect": {"kind": "points", "points": 1}},
    "seven logins in seven days": {
        "trigger": LOGIN,
        "condition": {
            "kind": "has_done", "fact": "login_day", "within": {"kind": "last_days", "days": 7},
            "measure": {"kind": "times", "at_least": 7},
        },
        "effect": {"kind": "lottery_ticket", "lottery_id": "31", "tickets": 2},
    },
    "welcome, in two towns, for who joined this spring": {
        "trigger": {"kind": "fact", "fact": "identity_bound"},
        "condition": {
            "kind": "all",
            "of": [
                {"kind": "town_in", "towns": ["澄江街道", "华士镇"]},
                {"kind": "enrolled_between", "first_day": "2026-03-01", "last_day": "2026-05-31"},
                {"kind": "first_time"},
            ],
        },
        "effect": {"kind": "points", "points": 50},
    },
    "a coupon for a band": {
        "trigger": {
            "kind": "fact", "fact": "band_reached",
            "where": [{"kind": "value_in", "attribute": "band", "values": ["AA", "AAA"]}],
        },
        "condition": {
            "kind": "any",
            "of": [{"kind": "band_in", "bands": ["AA"]}, {"kind": "band_at_least", "band": "AAA"}],
        },
        "effect": {"kind": "coupon", "template_id": "7"},
    },
    "volunteer hours by tiers of a year": {
        "trigger": VOLUNTEER,
        "condition": {"kind": "amount", "attribute": "minutes", "at_least": 30, "at_most": 720},
        "effect": {
            "kind": "points_per", "attribute": "minutes", "over": "year", "at_most_points": 40,
            "tiers": [
                {"per": 60, "up_to": 1200}, {"per": 120, "up_to": 4800}, {"per": 180, "up_to": 12000}, {"per": 240},
            ],
        },
    },
    "lunch on working days": {
        "trigger": {"kind": "fact", "fact": "redemption_made"},
        "condition": {
            "kind": "all",
            "of": [
                {"kind": "merchant_category_in", "categories": ["canteen"]},
                {"kind": "weekly", "day": "workday", "from_time": "11:00", "until_time": "13:30"},
                {"kind": "between", "first_day": "2026-04-01", "last_day": "2026-06-30"},
                {"kind": "has_not_done", "fact": "redemption_made", "within": {"kind": "this", "period": "day"}},
            ],
        },
        "effect": {"kind": "points", "points": 2},
    },
    "parking after three exits of a campaign": {
        "trigger": {"kind": "fact", "fact": "parking_exit_paid"},
        "condition": {
            "kind": "has_done", "fact": "parking_exit_paid", "within": {"kind": "campaign"},
            "measure": {"kind": "sum", "attribute": "fee_fen", "at_least": 3000},
        },
        "effect": {"kind": "free_minutes", "minutes": 60},
    },
    "books, not at weekends": {
        "trigger": {"kind": "fact", "fact": "library_returned_on_time"},
        "condition": {"kind": "not", "of": {"kind": "weekly", "weekdays": [6, 7]}},
        "effect": {"kind": "points_per", "attribute": "books", "tiers": [{"per": 1}], "at_most_points": 10},
    },
    "national day": {
        "trigger": {"kind": "date", "on": "2026-10-01"},
        "condition": {
            "kind": "has_done", "fact": "volunteer_hours_recorded", "within": {"kind": "ever"},
        },
        "effect": {"kind": "coupon", "template_id": "8"},
    },
    "an administrator's grant": {
        "trigger": {
            "kind": "fact", "fact": "administrator_grant",
            "where": [{"kind": "value_in", "attribute": "occasion", "values": ["flood-helpers"]}],
        },
        "effect": {"kind": "points", "points": 200},
    },
    "a file of recipients": {
        "trigger": {
            "kind": "fact", "fact": "recipients_file",
            "where": [{"kind": "value_in", "attribute": "file_id", "values": ["12"]}],
        },
        "effect": {"kind": "points", "points": 100},
    },
}  # fmt: skip
