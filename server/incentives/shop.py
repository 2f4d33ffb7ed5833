"""The shop on the resident's phone: every coupon that is offered, what is left of it, and what it is for who looks.

The order is the same for everybody (guard rail 12): soonest to end first. What is offered is read once a second for
all; what it is for one resident takes a fixed number of reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from server.incentives.counting import period_days, period_of
from server.incentives.effects import most_fen
from server.incentives.lottery.models import Lottery
from server.incentives.models import CouponTemplateVersion
from server.incentives.templates import Offered, TemplateService
from server.incentives.wording import limits_text, moment_text
from server.kit.clock import Clock
from server.kit.db import fetch
from server.people.attributes import profiles_of
from wallet import LimitAsked, Vault

State = Literal["open", "lottery", "not_yet", "paused", "sold_out", "limit_reached", "full", "insufficient_points"]
#: (end in µs, id): what a page goes on from.
Position = tuple[int, int]

_DRAWN: Final = """
SELECT DISTINCT ON (t.id) t.id AS template_id, l.id AS lottery_id
FROM unnest($1::bigint[]) t (id) JOIN lottery l ON l.status IN ('published', 'closed')
  AND l.prizes @> jsonb_build_array(jsonb_build_object('template_id', t.id::text))
ORDER BY t.id, l.status = 'published' DESC, l.closes_at, l.id
"""


@dataclass(frozen=True, slots=True)
class ShopItem:
    """A template for one resident. `left`: coupons for everybody, as far as stock and money reach; `reason`: one
    sentence; `opens_at`: when its state will have changed for the better, None when nobody knows; `mine_left`: coupons
    that he may still have in the periods of now, None without such a limit; `short_points`: how many he lacks for the
    price; `usable_at`: when one claimed now could first be used."""

    offered: Offered
    left: int
    state: State
    reason: str
    opens_at: datetime | None
    mine_left: int | None
    short_points: int
    usable_at: datetime | None
    lottery: Lottery | None


class Shop:
    """Shows what is offered; claiming decides."""

    def __init__(self, *, templates: TemplateService, vault: Vault, clock: Clock) -> None:
        self._templates, self._vault, self._clock = templates, vault, clock

    async def page(
        self, resident_id: int, price: Literal["any", "free", "points"], after: Position | None, limit: int
    ) -> tuple[list[ShopItem], Position | None]:
        """Up to `limit` items after a position, and the position of the last when there are more."""
        wanted = [
            one for one in await self._templates.offered()
            if price == "any" or (one.version.price_points > 0) == (price == "points")
        ]  # fmt: skip
        rest = [one for one in wanted if after is None or _place(one) > after]
        items = await self._told(resident_id, rest[:limit])
        return items, _place(rest[limit - 1]) if len(rest) > limit else None

    async def _told(self, resident_id: int, offered: Sequence[Offered]) -> list[ShopItem]:
        if not offered:
            return []
        left = await self._templates.left(offered)
        limits = await self._limits(resident_id, offered)
        wallet = await self._vault.read.wallet(resident_id)
        points = 0 if wallet is None else wallet.points
        usable = await self._vault.read.usable_at([one.version.id for one in offered])
        draws = await self._draws([one.template_id for one in offered if one.version.by_lottery])
        return [
            self._item(one, left[one.template_id], limits[one.template_id], points, usable.get(one.version.id),
                       draws.get(one.template_id))
            for one in offered
        ]  # fmt: skip

    def _item(
        self, one: Offered, left: int, limits: list[tuple[dict[str, Any], int]], points: int,
        usable_at: datetime | None, drawn: Lottery | None,
    ) -> ShopItem:  # fmt: skip
        version, now = one.version, self._clock.now()
        state: State = "open"
        reason, opens_at = "可以领取" if not version.price_points else f"可用{version.price_points}积分兑换", None
        reached = [limit for limit, rest in limits if rest < 1]
        short = max(0, version.price_points - points)
        if version.by_lottery:
            state, reason, opens_at = "lottery", self._draw_text(drawn), drawn.draw_at if drawn else None
        elif one.status == "paused":
            state, reason = "paused", "暂停领取"
        elif now < version.starts_at:
            state, opens_at = "not_yet", version.starts_at
            reason = f"{moment_text(opens_at, self._clock.zone)}开始领取"
        elif left < 1:
            state, reason = "sold_out", "已经领完了"
        elif reached:
            own = [limit for limit in reached if limit["scope"] == "resident"] or reached
            ends = [period_of(limit, now, self._clock.zone)[1] for limit in own]
            opens_at = None if None in ends else max(end for end in ends if end is not None)
            if opens_at is not None and opens_at >= version.ends_at:
                opens_at = None
            state = "limit_reached" if own[0]["scope"] == "resident" else "full"
            said = "您已达到上限" if state == "limit_reached" else "本期名额已满"
            again = f"，{moment_text(opens_at, self._clock.zone)}起可再领取" if opens_at else ""
            reason = f"{said}：{'、'.join(limits_text(own))}{again}"
        elif short:
            state, reason = "insufficient_points", f"还差{short}积分"
        mine = [rest for limit, rest in limits if limit["scope"] == "resident"]
        return ShopItem(one, left, state, reason, opens_at, min(mine) if mine else None, short, usable_at, drawn)

    async def _limits(
        self, resident_id: int, offered: Sequence[Offered]
    ) -> dict[int, list[tuple[dict[str, Any], int]]]:
        """The limits on claiming by template, each with how many more coupons it allows this resident now."""
        found: dict[int, list[tuple[dict[str, Any], int]]] = {one.template_id: [] for one in offered}
        of_persons, at_places = [
            [(one, limit) for one in offered for limit in one.version.limits
             if limit["action"] == "issue" and (limit["scope"] == "resident") is own]
            for own in (True, False)
        ]  # fmt: skip
        today = self._clock.today()
        since = {period: period_days(period, today)[0] for period in ("total", "day", "week", "month")}
        if of_persons:
            asked = [
                LimitAsked(f"template:{one.template_id}", limit["measure"], limit["period"], since[limit["period"]])
                for one, limit in of_persons
            ]
            used = await self._vault.read.used(resident_id, asked)
            for (one, limit), amount in zip(of_persons, used, strict=True):
                coupons = _coupons(limit, limit["cap"] - amount, one.version)
                found[one.template_id] += [] if coupons is None else [(limit, coupons)]
        if at_places:
            town = await self._town(resident_id) if any(limit["scope"] == "town" for _, limit in at_places) else ""
            asked = [
                LimitAsked(f"template:{one.template_id}:issue", limit["measure"], limit["period"],
                           since[limit["period"]], limit["scope"], town if limit["scope"] == "town" else "")
                for one, limit in at_places
            ]  # fmt: skip
            for (one, limit), rest in zip(at_places, await self._vault.read.left_at_places(asked), strict=True):
                coupons = _coupons(limit, limit["cap"] if rest is None else rest, one.version)
                found[one.template_id] += [] if coupons is None else [(limit, coupons)]
        return found

    async def _town(self, resident_id: int) -> str:
        profile = (await profiles_of([resident_id], self._clock.now())).get(resident_id)
        return (profile.town if profile is not None else None) or ""

    async def _draws(self, templates: Sequence[int]) -> dict[int, Lottery]:
        """By template the lottery in which it is drawn next."""
        if not templates:
            return {}
        rows = await fetch(_DRAWN, list(templates))
        lotteries = {one.id: one for one in await Lottery.filter(id__in=[row["lottery_id"] for row in rows])}
        return {row["template_id"]: lotteries[row["lottery_id"]] for row in rows}

    def _draw_text(self, drawn: Lottery | None) -> str:
        now, zone = self._clock.now(), self._clock.zone
        if drawn is None:
            return "通过抽签发放，报名时间待公布"
        if now < drawn.opens_at:
            return f"通过抽签发放，{moment_text(drawn.opens_at, zone)}开始报名"
        if drawn.status == "published" and now < drawn.closes_at:
            how = "报名" if drawn.self_entry else "参加活动获取抽奖券"
            return f"通过抽签发放，{moment_text(drawn.closes_at, zone)}前可{how}"
        return f"通过抽签发放，{moment_text(drawn.draw_at, zone)}开奖"


def _place(one: Offered) -> Position:
    return int(one.version.ends_at.timestamp() * 1_000_000), one.template_id


def _coupons(limit: dict[str, Any], rest: int, version: CouponTemplateVersion) -> int | None:
    """How many coupons the rest of a limit allows; None when it does not bound them."""
    each = {
        "count": 1, "points": version.price_points, "face_value_fen": version.face_value_fen,
        "fen": most_fen(version),
    }[limit["measure"]]  # fmt: skip
    return max(0, rest) // each if each else None
