"""How the counter shows things to people: personal data masked."""

from __future__ import annotations

from miniprogram_api.schemas.coupons import BenefitReply
from server.scenes.counter import Benefit
from wallet import STATUSES, Entry, Op


def mask_name(name: str) -> str:
    """The first character and at most two stars: 张*, 欧**."""
    return name[:1] + "*" * min(max(len(name) - 1, 1), 2)


def mask_id_number(id_number: str) -> str:
    """The first and the last four characters: 3202**********1234."""
    if len(id_number) <= 8:
        return "*" * len(id_number)
    return id_number[:4] + "*" * (len(id_number) - 8) + id_number[-4:]


def mask_phone(phone: str) -> str:
    """The first three and the last four digits: 138****0000. A number too short for that shows its last two."""
    if len(phone) < 9:
        return "*" * max(len(phone) - 2, 0) + phone[-2:]
    return phone[:3] + "*" * (len(phone) - 7) + phone[-4:]


_ENTRY_KINDS = {
    Op.EARN: "earned",
    Op.CLAIM: "coupon_claimed",
    Op.REDEEM: "coupon_redeemed",
    Op.VOID: "redemption_voided",
    Op.EXPIRE_COUPON: "coupon_expired",
    Op.RELEASE_SUBSIDY: "subsidy_released",
    Op.EXPIRE_POINTS: "points_expired",
}
_ENTRY_TITLES = {
    Op.EARN: "获得积分",
    Op.CLAIM: "领取电子券",
    Op.REDEEM: "电子券已核销",
    Op.VOID: "核销已撤销，电子券已退回",
    Op.EXPIRE_COUPON: "电子券已过期",
    Op.RELEASE_SUBSIDY: "补贴余额已释放",
    Op.EXPIRE_POINTS: "积分已过期",
}


def entry_kind(row: Entry) -> str:
    """The machine word for a statement line; a refusal that was written is "refused"."""
    return _ENTRY_KINDS[row.op] if row.status == 0 else "refused"


def entry_title(row: Entry) -> str:
    """The words for a statement line."""
    if row.status != 0:
        return f"{_ENTRY_TITLES[row.op]}未成功：{STATUSES[row.status].message}"
    if row.op is Op.CLAIM and row.points < 0:
        return "积分兑换电子券"
    return _ENTRY_TITLES[row.op]


def benefit_reply(benefit: Benefit) -> BenefitReply:
    """What a coupon gives, as residents and merchants both read it."""
    return BenefitReply(str(benefit.id), benefit.title, benefit.terms_text, benefit.needs_order_amount)
