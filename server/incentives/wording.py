"""The Chinese text of a rule, made from the rule itself so that the two cannot disagree."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from server.incentives.effects import most_points
from server.incentives.models import CampaignVersion, CouponTemplateVersion
from server.incentives.rules import NO_NAMES, Names, Rule, text

_PERIODS = {"total": "", "day": "每日", "week": "每周", "month": "每月"}


def yuan(fen: int) -> str:
    """An amount in yuan without needless zeros: 2000 is 20元, 1250 is 12.5元."""
    whole, rest = divmod(fen, 100)
    return f"{whole}{f'.{rest:02d}'.rstrip('0') if rest else ''}元"


def tenths(pay_bp: int) -> str:
    """What the customer pays, as shops say it: 8500 is 8.5折, 8000 is 8折."""
    whole, rest = divmod(pay_bp, 1000)
    return f"{whole}{f'.{rest:03d}'.rstrip('0') if rest else ''}折"


def _moment(at: datetime, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    return f"{local.year}年{local.month}月{local.day}日{local:%H:%M}"


def _period(starts_at: datetime, ends_at: datetime, zone: ZoneInfo) -> str:
    return f"{_moment(starts_at, zone)}至{_moment(ends_at, zone)}"


def limits_text(limits: list[dict[str, Any]]) -> list[str]:
    """What one person may have at most, a clause for each limit."""
    return [f"每人{_PERIODS[limit['period']]}{_limit(limit)}" for limit in limits]


def _limit(limit: dict[str, Any]) -> str:
    action, measure, cap = limit["action"], limit["measure"], limit["cap"]
    if measure == "face_value_fen":
        return f"{'限领' if action == 'issue' else '限用'}面值{yuan(cap)}"
    if measure == "points":
        return f"限得{cap}积分" if action == "earn" else f"限兑{cap}积分"
    return {"earn": f"限{cap}次", "issue": f"限领{cap}张", "redeem": f"限用{cap}张"}[action]


def campaign_text(version: CampaignVersion, zone: ZoneInfo, names: Names = NO_NAMES) -> str:
    """What a resident may expect of a campaign, in Chinese sentences."""
    rule = msgspec.convert(version.rule, Rule)
    in_points = most_points(rule) > 0
    validity = f"积分自获得之日起{version.validity_months}个月内有效，至到期当月最后一日"
    return "；".join(
        [
            text(rule, names).removesuffix("。"),
            *limits_text(version.limits),
            *([validity] if in_points else []),
            f"活动时间：{_period(version.starts_at, version.ends_at, zone)}",
            *(["预算用完即止"] if in_points else []),
        ]
    ) + "。"  # fmt: skip


def benefit_text(template: CouponTemplateVersion) -> str:
    """The benefit alone, as a clerk reads it at the counter."""
    condition = f"满{yuan(template.threshold_fen)}" if template.threshold_fen else ""
    if template.kind == "amount_off":
        return f"{condition}减{yuan(template.face_value_fen)}" if condition else f"立减{yuan(template.face_value_fen)}"
    if template.kind == "discount":
        return f"{condition}{tenths(template.pay_bp)}，最高优惠{yuan(template.cap_fen)}"
    return f"凭券兑换「{template.title}」1份"


def template_text(template: CouponTemplateVersion, zone: ZoneInfo) -> str:
    """What a resident may expect of a coupon, in Chinese sentences."""
    price = f"使用{template.price_points}积分兑换" if template.price_points else "免费领取"
    if not template.claimable:
        price = "定向发放，不开放领取"
    until = template.valid_until
    fixed = f"{until.year}年{until.month}月{until.day}日" if until else ""
    if template.valid_days and fixed:
        validity = f"领取后{template.valid_days}天内有效，且不晚于{fixed}"
    else:
        validity = f"有效期至{fixed}" if fixed else f"领取后{template.valid_days}天内有效"
    grace = [f"核销被撤销的，券退回后至少可用{template.grace_days}天"] if template.grace_days else []
    return "；".join(
        [
            benefit_text(template),
            price,
            *limits_text(template.limits),
            validity,
            *grace,
            f"限{len(template.merchants)}家指定商户使用" if template.merchants else "参与活动的商户均可使用",
            f"{'领取' if template.claimable else '发放'}时间：{_period(template.starts_at, template.ends_at, zone)}",
            "领完即止" if template.claimable else "发完即止",
            "仅限本人使用，不可转让、不兑换现金",
        ]
    ) + "。"  # fmt: skip
