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

from server.incentives.rules import Case, Decision, Need, Rule, Tally, judge, needs
from server.kit.clock import Clock
from server.kit.db import fetch
from server.people.attributes import Profile, profiles_of
from server.people.city_lists import band_ranks

RULES_KEPT: Final = 10_000
EVERY_FACT: Final = 2**63 - 1

_TALLIES = """
SELECT n.k, count(f.id) AS times, coalesce(sum(
    CASE WHEN jsonb_typeof(f.attributes -> n.attribute) = 'number' THEN (f.attributes ->> n.attribute)::numeric END),
    0)::bigint AS total
FROM unnest($2::int[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[]) n (k, kind, since, until,
attribute) LEFT JOIN fact f ON f.resident_id = $1 AND f.kind = n.kind AND f.id < $7
  AND (n.since IS NULL OR f.occurred_at >= n.since) AND (n.until IS NULL OR f.occurred_at < n.until)
GROUP BY n.k
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
        rules = [self.rule_of(offer) for offer in offers]
        asked = [needs(rule) for rule in rules]
        person = _stranger(fact)
        if any(one.profile for one in asked):
            person = (await profiles_of([fact.resident_id], fact.occurred_at)).get(fact.resident_id, person)
        ranks = await band_ranks(fact.occurred_at) if any(one.bands for one in asked) else {}
        tallies = await self._tallies(fact, [
            (need, offer.began_at) for one, offer in zip(asked, offers, strict=True) for need in one.history
        ], tx)  # fmt: skip
        category = fact.attributes.get("merchant_category")
        decided = []
        for rule, one, offer in zip(rules, asked, offers, strict=True):
            case = Case(
                at=fact.occurred_at, person=person, zone=self._clock.zone, fact=fact.kind, attributes=fact.attributes,
                ranks=ranks, history={need: tallies[need, offer.began_at] for need in one.history},
                began_at=offer.began_at, merchant_category=category if isinstance(category, str) else None,
            )  # fmt: skip
            decided.append((offer, judge(rule, case)))
        return decided

    def rule_of(self, offer: Offer) -> Rule:
        """The version's rule, decoded once."""
        known = self._rules.get(offer.version_id)
        if known is None:
            if len(self._rules) >= RULES_KEPT:
                self._rules.clear()
            known = self._rules[offer.version_id] = msgspec.convert(offer.rule, Rule)
        return known

    async def _tallies(
        self, fact: Happened, wanted: list[tuple[Need, datetime]], tx: BaseDBAsyncClient | None
    ) -> dict[tuple[Need, datetime], Tally]:
        """Every need answered in one statement."""
        keys = list(dict.fromkeys(wanted))
        if not keys:
            return {}
        windows = [need.window(fact.occurred_at, began_at, self._clock.zone) for need, began_at in keys]
        rows = await fetch(
            _TALLIES, fact.resident_id, list(range(len(keys))), [need.fact for need, _ in keys],
            [since for since, _ in windows], [until for _, until in windows],
            [need.attribute or "" for need, _ in keys], fact.id, using=tx,
        )  # fmt: skip
        return {keys[row["k"]]: Tally(row["times"], row["total"]) for row in rows}


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
