"""What a fact means for the campaigns that were live when it occurred: everything a rule needs is read, then judged.

Rules are immutable once approved, so a process decodes each once. What is counted of the past are the facts that were
told before the one that is judged; `facts` sees to it that their ids say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import msgspec
from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.rules import Case, Decision, Need, Rule, Tally, judge, needs, speaks_of
from server.kit.clock import Clock
from server.kit.db import fetch
from server.people.attributes import Profile, profiles_of
from server.people.city_lists import band_ranks

RULES_KEPT: Final = 10_000
EVERY_FACT: Final = 2**63 - 1
#: Resident, the fact before which is counted, what is counted, and when the campaign began.
Asked = tuple[int, int, Need, datetime]

_TALLIES = """
SELECT n.k, told.times, told.total
FROM unnest($1::bigint[], $2::int[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::bigint[])
  n (resident_id, k, kind, since, until, attribute, before),
LATERAL (SELECT count(f.id) AS times, coalesce(sum(
    CASE WHEN jsonb_typeof(f.attributes -> n.attribute) = 'number' THEN (f.attributes ->> n.attribute)::numeric END),
    0)::bigint AS total
  FROM fact f WHERE f.resident_id = n.resident_id AND f.kind = n.kind AND f.id < n.before
    AND (n.since IS NULL OR f.occurred_at >= n.since) AND (n.until IS NULL OR f.occurred_at < n.until)) told
"""


@dataclass(frozen=True, slots=True)
class Happened:
    """A fact as it was told. `id` is beyond every fact and `kind` None when only somebody's standing is asked for."""

    id: int
    resident_id: int
    kind: str | None
    occurred_at: datetime
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Offer:
    """A version of a campaign to judge by. `began_at`: of the campaign, whatever version."""

    campaign_id: int
    version_id: int
    rule: dict[str, Any]
    limits: list[dict[str, Any]]
    validity_months: int
    began_at: datetime
    hold_out: dict[str, Any] | None = None


class Judge:
    """Judges facts; reads and writes nothing but what it reads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rules: dict[int, Rule] = {}

    async def decide(
        self, fact: Happened, offers: Sequence[Offer], tx: BaseDBAsyncClient | None = None
    ) -> list[tuple[Offer, Decision]]:
        """A decision for each offer, in their order."""
        return list(zip(offers, await self.decide_all([(fact, offer) for offer in offers], tx), strict=True))

    async def decide_all(
        self, pairs: Sequence[tuple[Happened, Offer]], tx: BaseDBAsyncClient | None = None
    ) -> list[Decision]:
        """A decision for each fact by its offer, in their order, in a few statements for all of them."""
        asked = [needs(self.rule_of(offer)) for _, offer in pairs]
        profiles = await self.profiles([fact for (fact, _), one in zip(pairs, asked, strict=True) if one.profile])
        ranks: dict[date, dict[str, int]] = {}
        for (fact, _), one in zip(pairs, asked, strict=True):
            if one.bands and self.day_of(fact) not in ranks:
                ranks[self.day_of(fact)] = await band_ranks(fact.occurred_at)
        tallies = await self._tallies([
            (fact, need, offer.began_at)
            for (fact, offer), one in zip(pairs, asked, strict=True) for need in one.history
        ], tx)  # fmt: skip
        decided = []
        for (fact, offer), one in zip(pairs, asked, strict=True):
            day, category = self.day_of(fact), fact.attributes.get("merchant_category")
            case = Case(
                at=fact.occurred_at, person=profiles.get((fact.resident_id, day), _stranger(fact)),
                zone=self._clock.zone, fact=fact.kind, attributes=fact.attributes, ranks=ranks.get(day, {}),
                history={need: tallies[fact.resident_id, fact.id, need, offer.began_at] for need in one.history},
                began_at=offer.began_at, merchant_category=category if isinstance(category, str) else None,
            )  # fmt: skip
            decided.append(judge(self.rule_of(offer), case))
        return decided

    def speaks_of(self, fact: Happened, offer: Offer) -> bool:
        """Whether the fact is what the offer's rule waits for, narrowed as its trigger says."""
        case = Case(
            at=fact.occurred_at, person=_stranger(fact), zone=self._clock.zone, fact=fact.kind,
            attributes=fact.attributes,
        )  # fmt: skip
        return speaks_of(self.rule_of(offer), case)

    async def profiles(self, facts: Sequence[Happened]) -> dict[tuple[int, date], Profile]:
        """Whom these facts are about, as he was on the city day of each; who is not enrolled is missing."""
        by_day: dict[date, list[Happened]] = {}
        for fact in facts:
            by_day.setdefault(self.day_of(fact), []).append(fact)
        found: dict[tuple[int, date], Profile] = {}
        for day, those in by_day.items():
            people = await profiles_of({fact.resident_id for fact in those}, those[0].occurred_at)
            found |= {(resident_id, day): profile for resident_id, profile in people.items()}
        return found

    def day_of(self, fact: Happened) -> date:
        """The city day on which a fact occurred."""
        return fact.occurred_at.astimezone(self._clock.zone).date()

    def rule_of(self, offer: Offer) -> Rule:
        """The version's rule, decoded once."""
        known = self._rules.get(offer.version_id)
        if known is None:
            if len(self._rules) >= RULES_KEPT:
                self._rules.clear()
            known = self._rules[offer.version_id] = msgspec.convert(offer.rule, Rule)
        return known

    async def _tallies(
        self, wanted: Sequence[tuple[Happened, Need, datetime]], tx: BaseDBAsyncClient | None
    ) -> dict[Asked, Tally]:
        """Every need answered in one statement."""
        keys = {(fact.resident_id, fact.id, need, began_at): (fact, need, began_at) for fact, need, began_at in wanted}
        if not keys:
            return {}
        windows = [need.window(fact.occurred_at, began_at, self._clock.zone) for fact, need, began_at in keys.values()]
        rows = await fetch(
            _TALLIES, [fact.resident_id for fact, _, _ in keys.values()], list(range(len(keys))),
            [need.fact for _, need, _ in keys.values()], [since for since, _ in windows],
            [until for _, until in windows], [need.attribute or "" for _, need, _ in keys.values()],
            [fact.id for fact, _, _ in keys.values()], using=tx,
        )  # fmt: skip
        places = list(keys)
        return {places[row["k"]]: Tally(row["times"], row["total"]) for row in rows}


def _stranger(fact: Happened) -> Profile:
    """Somebody of whom nothing is known: in no band, no town, and not enrolled on any day a rule could name."""
    return Profile(fact.resident_id, None, None, date.max, False)


def offer_of(row: dict[str, Any]) -> Offer:
    """An offer from its row."""
    return Offer(
        row["campaign_id"], row["version_id"], decoded(row["rule"]), decoded(row["limits"]), row["validity_months"],
        row["began_at"], decoded(row["hold_out"]),
    )  # fmt: skip


def happened(row: dict[str, Any]) -> Happened:
    """A fact from its row."""
    return Happened(row["id"], row["resident_id"], row["kind"], row["occurred_at"], decoded(row["attributes"]))


def decoded(value: Any) -> Any:
    """A jsonb column, however the driver gives it."""
    return msgspec.json.decode(value) if isinstance(value, str) else value
