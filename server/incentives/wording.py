"""What versions of campaigns and templates say in Chinese, made from them so that text and promise cannot disagree."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from server.incentives.models import CampaignVersion, CouponTemplateVersion
from server.incentives.rules import NO_NAMES, Names, Rule, text
from server.incentives.usable import usable_times, windows_text

A_MINUTE = timedelta(minutes=1)
#: Up to so many merchants or stores are told by their numbers.
NUMBERS_TOLD = 10
_SCOPES = {
    "resident": "每人", "campaign": "全部合计", "merchant": "每家商户", "store": "每家门店", "town": "每个镇街",
}  # fmt: skip
#: By effect what ends with the months of the campaign's validity, and what ends the campaign before its time.
_GIFTS = {
    "points": ("积分", "预算用完即止"), "points_per": ("积分", "预算用完即止"), "free_minutes": ("免费时长", ""),
    "coupon": ("", "优惠券发完即止"),
}  # fmt: skip
_PERIODS = {"total": "", "day": "每日", "week": "每周", "month": "每月"}


def yuan(fen: int) -> str:
    """An amount in yuan without needless zeros: 2000 is 20元, 1250 is 12.5元."""
    whole, rest = divmod(fen, 100)
    return f"{whole}{f'.{rest:02d}'.rstrip('0') if rest else ''}元"


def tenths(pay_bp: int) -> str:
    """What the customer pays, as shops say it: 8500 is 8.5折, 8000 is 8折."""
    whole, rest = divmod(pay_bp, 1000)
    return f"{whole}{f'.{rest:03d}'.rstrip('0') if rest else ''}折"


def moment_text(at: datetime, zone: ZoneInfo) -> str:
    """2026年1月1日08:00, by the city's clock."""
    local = at.astimezone(zone)
    return f"{local.year}年{local.month}月{local.day}日{local:%H:%M}"


def _period(starts_at: datetime, ends_at: datetime, zone: ZoneInfo) -> str:
    """The full minutes of a time: nothing is promised for the rest of one that has begun."""
    begun = starts_at.replace(second=0, microsecond=0)
    first = starts_at if begun == starts_at else begun + A_MINUTE
    return f"{moment_text(first, zone)}至{moment_text(ends_at, zone)}"


def limits_text(limits: list[dict[str, Any]]) -> list[str]:
    """What one person may have at most, or what may happen at one place, a clause for each limit."""
    return [f"{_SCOPES[limit['scope']]}{_PERIODS[limit['period']]}{_limit(limit)}" for limit in limits]


def _limit(limit: dict[str, Any]) -> str:
    action, measure, cap = limit["action"], limit["measure"], limit["cap"]
    if measure == "face_value_fen":
        return f"{'限领' if action == 'issue' else '限用'}面值{yuan(cap)}"
    if measure == "fen":
        return f"{'限占用' if action == 'issue' else '限支付'}补贴{yuan(cap)}"
    if measure == "points":
        return f"限得{cap}积分" if action == "earn" else f"限兑{cap}积分"
    return {"earn": f"限{cap}次", "issue": f"限领{cap}张", "redeem": f"限用{cap}张"}[action]


def campaign_text(version: CampaignVersion, zone: ZoneInfo, names: Names = NO_NAMES) -> str:
    """What a resident may expect of a campaign, in Chinese sentences."""
    rule = msgspec.convert(version.rule, Rule)
    gift, ends = _GIFTS.get(str(rule.effect.__struct_config__.tag), ("", ""))
    validity = f"{gift}自获得之日起{version.validity_months}个月内有效，至到期当月最后一日"
    return "；".join(
        [
            text(rule, names).removesuffix("。"),
            *limits_text(version.limits),
            *_hold_out(version.hold_out),
            *([validity] if gift else []),
            f"活动时间：{_period(version.starts_at, version.ends_at, zone)}",
            *([ends] if ends else []),
        ]
    ) + "。"  # fmt: skip


def _hold_out(said: dict[str, Any] | None) -> list[str]:
    """That a share goes without, by lot: who reads the rule must be able to know."""
    if said is None:
        return []
    percent = yuan(said["share_bp"]).removesuffix("元")  # of 10000, as fen are of a hundred yuan
    return [f"为评估活动效果，按抽签另设{percent}%的居民为对照组，符合条件也不予发放；抽签与个人情况无关，活动期间不变"]


def benefit_text(template: CouponTemplateVersion) -> str:
    """The benefit alone, as a clerk reads it at the counter."""
    condition = f"满{yuan(template.threshold_fen)}" if template.threshold_fen else ""
    if template.kind == "amount_off":
        return f"{condition}减{yuan(template.face_value_fen)}" if condition else f"立减{yuan(template.face_value_fen)}"
    if template.kind == "discount":
        return f"{condition}{tenths(template.pay_bp)}，最高优惠{yuan(template.cap_fen)}"
    worth = f"（价值{yuan(template.face_value_fen)}）" if template.face_value_fen else ""
    return f"凭券兑换「{template.goods_name or template.title}」{template.goods_quantity or 1}份{worth}"


def template_text(template: CouponTemplateVersion, zone: ZoneInfo) -> str:
    """What a resident may expect of a coupon, in Chinese sentences."""
    price = f"使用{template.price_points}积分兑换" if template.price_points else "免费领取"
    if not template.claimable:
        price = "通过抽签发放，凭报名参加，不按先后领取" if template.by_lottery else "定向发放，不开放领取"
    return "；".join(
        [
            benefit_text(template),
            price,
            *limits_text(template.limits),
            _validity(template),
            *windows_text(usable_times(template.windows)),
            *_places(template),
            *_stacking(template),
            *_returns(template),
            _shares(template),
            f"{'领取' if template.claimable else '发放'}时间：{_period(template.starts_at, template.ends_at, zone)}",
            "领完即止" if template.claimable else "发完即止",
            "仅限本人使用，不可转让、不兑换现金",
        ]
    ) + f"。{f'须知：{template.notice}' if template.notice else ''}"  # fmt: skip


def _day(day: date) -> str:
    return f"{day.year}年{day.month}月{day.day}日"


def _validity(template: CouponTemplateVersion) -> str:
    """From which day, and until when."""
    after, first, last = template.starts_after_days, template.valid_from, template.valid_until
    begins = f"领取后第{after}天起可用" if after else ""
    if first:
        begins += f"，且不早于{_day(first)}" if after else f"{_day(first)}起可用"
    life = f"{'起用' if begins else '领取'}后{template.valid_days}天内有效" if template.valid_days else ""
    ends = (f"且不晚于{_day(last)}" if life else f"有效期至{_day(last)}") if last else ""
    return "，".join(one for one in (begins, life, ends) if one)


def _places(template: CouponTemplateVersion) -> list[str]:
    """Which merchants and stores; their numbers as long as there are few."""
    told = [
        f"限{len(ids)}家指定{noun}使用" + (f"（编号{'、'.join(map(str, ids))}）" if len(ids) <= NUMBERS_TOLD else "")
        for noun, ids in (("商户", template.merchants), ("门店", template.stores)) if ids
    ]  # fmt: skip
    return told or ["参与活动的商户均可使用"]


def _stacking(template: CouponTemplateVersion) -> list[str]:
    """How many of its group an order carries."""
    group, most = template.stacking_group, template.most_per_order
    return [f"同一订单最多使用{most}张“{group}”类优惠券"] if group else []


def _returns(template: CouponTemplateVersion) -> list[str]:
    """What happens to a coupon whose redemption is taken back, and to one that nobody used."""
    window, grace = template.void_window_s, template.grace_days
    return [
        f"核销后{_duration(window)}内可由商户撤销并退券" if window else "核销后不可撤销",
        *([f"核销被撤销的，券退回后至少可用{grace}天"] if grace else []),
        *(["过期未用的券退回库存"] if template.return_stock else []),
    ]


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    parts = ((days, "天"), (hours, "小时"), (rest // 60, "分钟"), (rest % 60, "秒"))
    return "".join(f"{amount}{unit}" for amount, unit in parts if amount)


def _shares(template: CouponTemplateVersion) -> str:
    """Who bears what the customer saves."""
    shares = (("平台", template.platform_bp), ("补贴方", template.sponsor_bp), ("商户", template.merchant_bp))
    told = [(who, yuan(bp).removesuffix("元")) for who, bp in shares if bp]  # of 10000, as fen are of a hundred yuan
    if len(told) == 1:
        return f"优惠由{told[0][0]}承担"
    return f"优惠由{'、'.join(f'{who}承担{percent}%' for who, percent in told)}"
