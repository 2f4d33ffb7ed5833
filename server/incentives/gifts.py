"""What rules give of templates and lotteries: whether it can come at all, and whether it still comes now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.budgets import BudgetBoard
from server.incentives.effects import coupons_left, most_fen
from server.incentives.models import CouponTemplateVersion
from server.incentives.rows import OVER
from server.incentives.rules import Rule, RuleRefused
from server.incentives.rules.language import GiveCoupon, GiveLotteryTickets
from server.incentives.wording import moment_text
from server.incentives.words import STATUSES
from server.kit.clock import Clock
from server.kit.db import fetch

_AGREED: Final = ("live", "approved")
_WRITTEN: Final = (*_AGREED, "draft", "in_review", "rejected")
_SHUT: Final = ("closed", "drawn", "cancelled", "discarded")
_TEMPLATE: Final = """
SELECT t.status, (SELECT v.ends_at FROM coupon_template_version v
  WHERE v.template_id = t.id AND v.status = ANY($2::text[]) ORDER BY v.number DESC LIMIT 1) AS ends_at
FROM coupon_template t WHERE t.id = $1
"""
_LOTTERY: Final = "SELECT status, opens_at, closes_at, second_of FROM lottery WHERE id = $1"
_TEMPLATES: Final = """
SELECT t.id, t.status, t.live_version, v.ends_at, c.id AS coupons, f.id AS fen
FROM coupon_template t JOIN coupon_template_version v ON v.id = t.live_version
JOIN budget c ON c.template_id = t.id AND c.unit = 'coupons'
LEFT JOIN budget f ON f.template_id = t.id AND f.unit = 'fen'
WHERE t.id = ANY($1::bigint[])
"""
_ENDED: Final = """
SELECT FROM coupon_template t LEFT JOIN coupon_template_version v ON v.id = t.live_version
WHERE t.id = $1 AND (t.ended_at <= $2 OR v.ends_at <= $2)
"""
_LOTTERIES: Final = "SELECT id, status, closes_at FROM lottery WHERE id = ANY($1::bigint[])"


async def is_template_over(tx: BaseDBAsyncClient, template_id: int, at: datetime) -> bool:
    """Whether a template was over at an instant, by time, by exhaustion or by hand: it owes nothing for what happens
    then or later."""
    return bool(await fetch(_ENDED, template_id, at, using=tx))


async def check_gift(rule: Rule, starts_at: datetime, ends_at: datetime, clock: Clock, *, approval: bool) -> None:
    """Raise RuleRefused for a rule that promises of a template or a lottery what cannot come on all days of its
    campaign. While it is written both may be drafts; at its `approval` they stand."""
    effect = rule.effect
    if isinstance(effect, GiveCoupon):
        if said := await _of_template(int(effect.template_id), ends_at, clock, _AGREED if approval else _WRITTEN):
            raise RuleRefused("rule.effect.template_id", said)
    elif isinstance(effect, GiveLotteryTickets):
        begins = max(starts_at, clock.now())
        if said := await _of_lottery(int(effect.lottery_id), begins, ends_at, clock, approval):
            raise RuleRefused("rule.effect.lottery_id", said)


async def _of_template(template_id: int, ends_at: datetime, clock: Clock, versions: tuple[str, ...]) -> str:
    """What stands against coupons of this template until then; "": nothing."""
    rows = await fetch(_TEMPLATE, template_id, list(versions))
    if not rows:
        return "没有这个券模板"
    status, given_until = rows[0]["status"], rows[0]["ends_at"]
    if status in OVER:
        return f"该券模板{STATUSES[status]}，不再发放"
    if given_until is None:
        return "该券模板尚未批准"
    if given_until < ends_at:
        return f"该券模板只发放至{moment_text(given_until, clock.zone)}，早于活动结束时间"
    return ""


async def _of_lottery(lottery_id: int, begins: datetime, ends_at: datetime, clock: Clock, approval: bool) -> str:
    """What stands against tickets of this lottery between these instants; "": nothing."""
    rows = await fetch(_LOTTERY, lottery_id)
    if not rows:
        return "没有这个抽奖"
    status, opens_at, closes_at = rows[0]["status"], rows[0]["opens_at"], rows[0]["closes_at"]
    if status in _SHUT:
        return f"该抽奖{STATUSES[status]}，不再接受报名"
    if rows[0]["second_of"] is not None:
        return "该抽奖为补抽，不接受报名"
    if approval and status != "published":
        return "该抽奖尚未公布"
    if opens_at > begins:
        return f"该抽奖{moment_text(opens_at, clock.zone)}才开始报名，晚于活动开始时间"
    if closes_at < ends_at:
        return f"该抽奖{moment_text(closes_at, clock.zone)}截止报名，早于活动结束时间"
    return ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a gift does not come now, in Chinese: for good (exhausted), or later (paused)."""

    state: Literal["exhausted", "paused"]
    reason: str


class GiftBoard:
    """What of templates and lotteries does not come now, in a fixed number of statements for all of them; what is left
    is at most a second old."""

    def __init__(self, *, board: BudgetBoard, clock: Clock) -> None:
        self._board, self._clock = board, clock

    async def stops(self, rules: Iterable[Rule]) -> list[Stop | None]:
        """For each rule what stands against its gift, None where nothing does; points are another's business."""
        effects = [rule.effect for rule in rules]
        templates = await self._templates({int(one.template_id) for one in effects if isinstance(one, GiveCoupon)})
        lotteries = await self._lotteries(
            {int(one.lottery_id) for one in effects if isinstance(one, GiveLotteryTickets)}
        )
        return [
            templates.get(int(one.template_id)) if isinstance(one, GiveCoupon)
            else lotteries.get(int(one.lottery_id)) if isinstance(one, GiveLotteryTickets) else None
            for one in effects
        ]  # fmt: skip

    async def _templates(self, ids: set[int]) -> dict[int, Stop]:
        if not ids:
            return {}
        rows = await fetch(_TEMPLATES, sorted(ids))
        terms = {
            one.id: one for one in await CouponTemplateVersion.filter(id__in=[row["live_version"] for row in rows])
        }
        left = await self._board.left([id for row in rows for id in (row["coupons"], row["fen"]) if id is not None])
        stops: dict[int, Stop] = {}
        for row in rows:
            each_fen = most_fen(terms[row["live_version"]])
            if row["status"] in OVER or row["ends_at"] <= self._clock.now():
                stops[row["id"]] = Stop("exhausted", "优惠券发放已结束")
            elif coupons_left(left.get(row["coupons"], 0), left.get(row["fen"], 0), each_fen) < 1:
                stops[row["id"]] = Stop("exhausted", "优惠券已发完")
            elif row["status"] == "paused":
                stops[row["id"]] = Stop("paused", "优惠券暂停发放，符合条件的待恢复后补发")
        return stops

    async def _lotteries(self, ids: set[int]) -> dict[int, Stop]:
        if not ids:
            return {}
        return {
            row["id"]: Stop("exhausted", "抽奖已取消" if row["status"] == "cancelled" else "抽奖报名已截止")
            for row in await fetch(_LOTTERIES, sorted(ids))
            if row["status"] in _SHUT or row["closes_at"] <= self._clock.now()
        }
