"""How the counter shows things to people: personal data masked."""

from __future__ import annotations

from typing import Final

from miniprogram_api.schemas.coupons import BenefitReply
from miniprogram_api.schemas.wallet import EntryKind
from server.incentives.counting import CAMPAIGN_FULL
from server.incentives.explanations import Given
from server.incentives.lottery.errors import LotteryClosed, LotteryNotFound, LotteryNotOpenYet
from server.scenes.counter import Benefit
from wallet import STATUSES, Entry, Op, statuses


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


#: The machine word, the words for what was done, and the name of the deed, for one that was refused.
_ENTRIES: Final[dict[Op, tuple[EntryKind, str, str]]] = {
    Op.EARN: ("earned", "获得积分", "获得积分"),
    Op.CLAIM: ("coupon_claimed", "领取电子券", "领取电子券"),
    Op.REDEEM: ("coupon_redeemed", "电子券已核销", "核销电子券"),
    Op.VOID: ("redemption_voided", "核销已撤销，电子券已退回", "撤销核销"),
    Op.EXPIRE_COUPON: ("coupon_expired", "电子券已过期", "电子券过期登记"),
    Op.RELEASE_SUBSIDY: ("subsidy_released", "补贴余额已释放", "释放补贴余额"),
    Op.EXPIRE_POINTS: ("points_expired", "积分已过期", "积分过期登记"),
    Op.SPEND: ("points_spent", "使用积分", "使用积分"),
    Op.HOLD: ("points_held", "预扣积分", "预扣积分"),
    Op.CAPTURE: ("hold_captured", "预扣积分已使用", "使用预扣积分"),
    Op.RELEASE: ("hold_released", "预扣积分已退回", "退回预扣积分"),
    Op.REFUND: ("points_refunded", "积分已退还", "退还积分"),
    Op.ADJUST: ("points_adjusted", "积分更正", "更正积分"),
    Op.LOCK_COUPON: ("coupon_locked", "电子券已锁定，等待订单完成", "锁定电子券"),
    Op.UNLOCK_COUPON: ("coupon_unlocked", "电子券已解锁", "解锁电子券"),
    Op.VOID_COUPON: ("coupon_voided", "电子券已作废", "作废电子券"),
    Op.FREEZE: ("account_frozen", "积分账户已冻结", "冻结积分账户"),
    Op.UNFREEZE: ("account_unfrozen", "积分账户已解冻", "解冻积分账户"),
}
_OPS: Final = {kind: op for op, (kind, _, _) in _ENTRIES.items()}


def entry_kind(row: Entry) -> EntryKind:
    """The machine word for a statement line; a refusal that was written is "refused"."""
    return _ENTRIES[row.op][0] if row.status == 0 else "refused"


def entry_filter(kind: EntryKind | None) -> tuple[list[Op] | None, bool | None]:
    """Operations and refusedness of the lines of a kind, as `wallet.Vault.read.entries` takes them."""
    if kind is None:
        return None, None
    return (None, True) if kind == "refused" else ([_OPS[kind]], False)


def entry_title(row: Entry) -> str:
    """The words for a statement line."""
    if row.status != 0:
        return f"{_ENTRIES[row.op][2]}未成功：{STATUSES[row.status].message}"
    if row.op is Op.CLAIM and row.points < 0:
        return "积分兑换电子券"
    if row.op is Op.CLAIM and row.detail.get("granted"):
        return "获得赠送的电子券"
    return _ENTRIES[row.op][1]


def benefit_reply(benefit: Benefit) -> BenefitReply:
    """What a coupon gives, as residents and merchants both read it."""
    return BenefitReply(
        str(benefit.template_id), benefit.title, benefit.terms_text, benefit.needs_order_amount, benefit.needs_order_no
    )


#: Why an award was refused for good, where the general message says too much or too little.
_NOT_GIVEN: Final = {
    ("coupon", statuses.CLOSED.code): "优惠券发放已结束",
    ("points", statuses.CLOSED.code): "活动已结束",
    ("lottery_ticket", LotteryNotOpenYet.code): LotteryNotOpenYet.message,
    ("lottery_ticket", LotteryClosed.code): LotteryClosed.message,
    ("lottery_ticket", LotteryNotFound.code): LotteryNotFound.message,
}
_MESSAGES: Final = {answer.code: answer.message for answer in STATUSES.values()} | {CAMPAIGN_FULL: "本活动名额已发完"}


def award_text(given: Given) -> str:
    """The words for what became of an award."""
    if given.status == "pending":
        return "奖励正在发放，请稍后查看"
    if given.status == "withheld":
        return "您在本活动的对照组（由抽签确定），本期未发放"
    if given.status == "posted":
        return _posted(given)
    known = _NOT_GIVEN.get((given.effect, given.reason)) or _MESSAGES.get(given.reason)
    return f"未能发放：{known}" if known else "未能发放"


def _posted(given: Given) -> str:
    if given.effect == "points":
        return f"已发放{given.points}积分"
    if given.valid_until is None:
        return "奖励已发放"
    last = given.valid_until
    return f"已发放停车免费时长{given.minutes}分钟，有效期至{last.year}年{last.month}月{last.day}日"
