"""Limits (D17): how much one person may have in a period, or how much may happen at one place, whoever does it.

Who writes them is an editor; who counts them is the vault, exactly, under names that belong to the campaign or template
and not to a version, so that a new version counts on. What campaigns give that is not points the house counts itself,
just as exactly (`counting`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from server.incentives.errors import LimitNeverGives, LimitNotCounted
from server.incentives.models import CampaignVersion, CouponTemplateVersion
from server.kit.errors import InvalidField
from server.people.attributes import profiles_of
from wallet import PersonLimit, ScopedLimit
from wallet.directories import Directory

MAX_LIMITS = 8
MAX_CAP = 1_000_000_000_000
#: What an action can be measured by; what it costs the budget is counted at places only.
MEASURES = {
    "earn": ("count", "points"),
    "issue": ("count", "points", "face_value_fen", "fen"),
    "redeem": ("count", "face_value_fen", "fen"),
}
SCOPES = ("resident", "campaign", "merchant", "store", "town")
PERIODS = ("total", "day", "week", "month")
#: Versions whose limits are remembered per process.
KEPT = 10_000


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `cap` of `measure` in each `period`, for one person or at one place.

    scope resident: a person is one ID number, however many accounts it has. campaign: all together. merchant, store:
    where coupons are redeemed. town: where residents live, for redemptions where the store is. face_value_fen: what a
    coupon is worth, redeemed what it saved; fen: what it costs the budget. Weeks begin on Monday.
    """

    cap: int
    action: str
    measure: str = "count"
    period: str = "total"
    scope: str = "resident"


def check_limits(limits: tuple[Limit, ...], actions: tuple[str, ...]) -> None:
    """Raise InvalidField for a limit that cannot be, LimitNotCounted for one that nothing would count."""
    if len(limits) > MAX_LIMITS:
        raise InvalidField(field="limits")
    seen = set()
    for place, limit in enumerate(limits):
        at = f"limits[{place}]"
        if limit.action not in actions:
            raise InvalidField(field=f"{at}.action")
        if limit.scope not in SCOPES:
            raise InvalidField(field=f"{at}.scope")
        if limit.measure not in ("count", "points", "face_value_fen", "fen"):
            raise InvalidField(field=f"{at}.measure")
        if limit.period not in PERIODS:
            raise InvalidField(field=f"{at}.period")
        if not 1 <= limit.cap <= MAX_CAP:
            raise InvalidField(field=f"{at}.cap")
        if limit.scope in ("merchant", "store") and limit.action != "redeem":
            raise LimitNotCounted(field=f"{at}.scope")
        if limit.measure not in MEASURES[limit.action] or (limit.scope, limit.measure) == ("resident", "fen"):
            raise LimitNotCounted(field=f"{at}.measure")
        way = (limit.scope, limit.action, limit.measure, limit.period)
        if way in seen:
            raise InvalidField(field=at)
        seen.add(way)


def check_reachable(limits: tuple[Limit, ...], least: Mapping[tuple[str, str], int]) -> None:
    """Raise LimitNeverGives for a limit into which not even one fits. `least`: the least that one counts as, by action
    and measure; what is not named has no such bound."""
    for place, limit in enumerate(limits):
        one = least.get((limit.action, limit.measure), 0)
        if limit.cap < one:
            raise LimitNeverGives(limit.cap, one, field=f"limits[{place}].cap")


def person_limits(
    owner: str, usual: Literal["earn", "issue"], limits: Iterable[dict[str, Any]]
) -> tuple[PersonLimit, ...]:
    """The limits of a person as the vault counts them. `usual`: the action whose limits bear the owner's plain name."""
    return tuple(
        PersonLimit(
            limit_id=owner if limit["action"] == usual else f"{owner}:{limit['action']}",
            cap=limit["cap"], action=limit["action"], measure=limit["measure"], period=limit["period"],
        )
        for limit in limits if limit["scope"] == "resident"
    )  # fmt: skip


def scoped_limits(owner: str, limits: Iterable[dict[str, Any]]) -> tuple[ScopedLimit, ...]:
    """The limits at places as the vault counts them."""
    return tuple(
        ScopedLimit(
            limit_id=f"{owner}:{limit['action']}", scope=limit["scope"], cap=limit["cap"], action=limit["action"],
            measure=limit["measure"], period=limit["period"],
        )
        for limit in limits if limit["scope"] != "resident"
    )  # fmt: skip


class Homes:
    """Where residents live, for limits by town; for versions without one nobody is looked up."""

    def __init__(self, versions: type[CampaignVersion] | type[CouponTemplateVersion]) -> None:
        self._versions = versions
        self._by_town: dict[int, bool] = {}
        self._asked = Directory[int](self._read)

    async def town(self, version_id: int, resident_id: int, at: datetime) -> str | None:
        """The resident's town at an instant; None when it is not known, or nothing of this version asks for it."""
        asks = self._by_town.get(version_id)
        if asks is None:
            _, asks = await self._asked.find(version_id)
        if not asks:
            return None
        profile = (await profiles_of([resident_id], at)).get(resident_id)
        return profile.town if profile is not None else None

    async def _read(self, version_ids: list[int]) -> list[tuple[int, bool]]:
        """Once for a whole crowd, who goes on in the order in which it came."""
        found = dict.fromkeys(version_ids, False)
        for version in await self._versions.filter(id__in=version_ids):
            asks = any(one["scope"] == "town" and one["action"] != "redeem" for one in version.limits)
            found[version.id] = asks
            if version.approved_at is not None:  # from here on it never changes
                if len(self._by_town) >= KEPT:
                    self._by_town.clear()
                self._by_town[version.id] = asks
        return list(found.items())
