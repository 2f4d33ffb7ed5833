"""The one table of answers the vault can give (D8).

Each row says what a status number means, the error code and HTTP status it becomes, whether the vault writes a
journal row for it, and whether a replay of the same id must answer it again for ever (sticky). A test holds the
table against the numbers in `migrations/sql/vault`, and `ANSWERS` (which operation gives which) against its functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wallet.items import Op


@dataclass(frozen=True, slots=True)
class Status:
    """One possible answer. `message` is what a person reads."""

    number: int
    code: str
    http: int
    message: str
    written: bool = False
    sticky: bool = False


DONE = Status(0, "done", 200, "成功", written=True, sticky=True)
MISMATCH = Status(2, "idempotency_mismatch", 422, "同一请求编号已用于其他内容，请更换后重试")
ID_EXPIRED = Status(3, "idempotency_key_expired", 422, "请求编号已过期或时间不正确，请校准时间后重新提交")
WALLET_MISSING = Status(4, "wallet_not_open", 409, "积分钱包尚未开通，请先完成实名认证")
INVALID = Status(5, "invalid_item", 422, "提交的内容有误，请检查后重试")
NOT_PERMITTED = Status(6, "operation_not_permitted", 403, "不允许进行此操作")

SHORT = Status(10, "insufficient_points", 409, "可用积分不足", written=True, sticky=True)
REFILL = Status(11, "budget_busy", 503, "参与人数较多，请稍后再试")
SOLD_OUT = Status(12, "sold_out", 409, "已经领完了")
CLOSED = Status(13, "terms_closed", 409, "活动未开放或已暂停")
LIMIT_REACHED = Status(14, "limit_reached", 409, "已达到限领或限用的上限")
TERMS_UNKNOWN = Status(15, "terms_not_found", 404, "未找到该活动或优惠券")
OUTSIDE_WINDOW = Status(16, "outside_window", 409, "不在规定的时间内")

NOT_VALID = Status(20, "not_valid", 409, "此码不可用")
MERCHANT_SUSPENDED = Status(21, "merchant_suspended", 403, "商户、门店、设备或员工已停用")

TICKET_EXPIRED = Status(30, "ticket_expired", 409, "核销凭据已过期，请重新扫码")
TICKET_FOREIGN = Status(31, "ticket_foreign", 403, "此核销凭据不属于当前设备")
BELOW_THRESHOLD = Status(32, "below_threshold", 409, "订单金额未达到使用门槛")
AMOUNT_REQUIRED = Status(33, "order_amount_required", 422, "请填写订单金额")
AMOUNT_REFUSED = Status(34, "order_amount_refused", 422, "此优惠券不需要订单金额")
COUPON_EXPIRED = Status(35, "coupon_expired", 409, "优惠券已过期")
COUPON_STATE = Status(36, "coupon_not_usable", 409, "优惠券当前状态不可用")
VOID_WINDOW_CLOSED = Status(37, "void_window_closed", 409, "已超过可撤销时间")
REDEMPTION_UNKNOWN = Status(38, "redemption_not_found", 404, "未找到该核销记录")
CREDENTIAL_SPENT = Status(39, "credential_spent", 409, "此码已失效，请居民重新出示")
NOT_DUE = Status(40, "not_due", 409, "尚未到处理时间")
WRONG_STORE = Status(41, "wrong_store", 403, "该核销记录属于其他门店")
LOCK_EXPIRED = Status(42, "lock_expired", 409, "锁券已超时，请重新下单")
ORDER_NO_REQUIRED = Status(43, "order_no_required", 422, "此优惠券限制叠加使用，请填写订单编号")
NOT_STACKABLE = Status(44, "not_stackable", 409, "此订单不能再叠加使用该优惠券")

HOLD_UNKNOWN = Status(50, "hold_not_found", 409, "未找到该笔预扣积分，可能已完成或已释放", written=True, sticky=True)
HOLD_EXPIRED = Status(51, "hold_expired", 409, "预扣积分已超时，请重新发起", written=True, sticky=True)
REFUND_TOO_LARGE = Status(52, "refund_too_large", 409, "退还积分超过原支出积分", written=True, sticky=True)
POSTING_UNKNOWN = Status(53, "posting_not_found", 404, "未找到可退还的积分支出")
ACCOUNT_FROZEN = Status(54, "account_frozen", 409, "积分账户已冻结，请联系管理部门")
CAPTURE_TOO_LARGE = Status(55, "capture_too_large", 422, "扣减积分超过预扣积分")
TWO_PEOPLE = Status(56, "two_people_required", 422, "申请人与审批人须为不同的人")
NOT_FROZEN = Status(57, "account_not_frozen", 409, "积分账户未冻结")

STATUSES: dict[int, Status] = {
    status.number: status for status in list(globals().values()) if isinstance(status, Status)
}

_ANY: Final = (INVALID, NOT_PERMITTED)
_KEYED: Final = (*_ANY, MISMATCH, ID_EXPIRED)
_OWN: Final = (*_KEYED, WALLET_MISSING)
_STOCK: Final = (REFILL, SOLD_OUT, CLOSED, LIMIT_REACHED)
_REDEEMED: Final = (
    REFILL, CLOSED, LIMIT_REACHED, OUTSIDE_WINDOW, NOT_VALID, MERCHANT_SUSPENDED, TICKET_EXPIRED, TICKET_FOREIGN,
    BELOW_THRESHOLD, AMOUNT_REQUIRED, AMOUNT_REFUSED, COUPON_EXPIRED, COUPON_STATE, CREDENTIAL_SPENT, LOCK_EXPIRED,
    ORDER_NO_REQUIRED, NOT_STACKABLE, ACCOUNT_FROZEN,
)  # fmt: skip

#: What each operation can be answered, except done.
ANSWERS: Final[dict[Op, frozenset[Status]]] = {
    op: frozenset(answers)
    for op, answers in {
        Op.EARN: (*_OWN, *_STOCK, TERMS_UNKNOWN, OUTSIDE_WINDOW, ACCOUNT_FROZEN),
        Op.CLAIM: (*_OWN, *_STOCK, TERMS_UNKNOWN, OUTSIDE_WINDOW, SHORT, ACCOUNT_FROZEN),
        Op.REDEEM: (*_OWN, *_REDEEMED),
        Op.VOID: (*_KEYED, REDEMPTION_UNKNOWN, WRONG_STORE, MERCHANT_SUSPENDED, VOID_WINDOW_CLOSED, COUPON_STATE),
        Op.EXPIRE_COUPON: (*_OWN, COUPON_STATE, NOT_DUE),
        Op.RELEASE_SUBSIDY: (*_OWN, COUPON_STATE, NOT_DUE),
        Op.EXPIRE_POINTS: (*_OWN, NOT_DUE),
        Op.SPEND: (*_OWN, SHORT, ACCOUNT_FROZEN),
        Op.HOLD: (*_OWN, SHORT, ACCOUNT_FROZEN),
        Op.CAPTURE: (*_OWN, HOLD_UNKNOWN, HOLD_EXPIRED, CAPTURE_TOO_LARGE, ACCOUNT_FROZEN),
        Op.RELEASE: (*_OWN, HOLD_UNKNOWN, NOT_DUE),
        Op.REFUND: (*_OWN, POSTING_UNKNOWN, REFUND_TOO_LARGE, ACCOUNT_FROZEN),
        Op.ADJUST: (*_OWN, TWO_PEOPLE, SHORT),
        Op.LOCK_COUPON: (*_OWN, COUPON_STATE, COUPON_EXPIRED, ACCOUNT_FROZEN),
        Op.UNLOCK_COUPON: (*_OWN, COUPON_STATE, NOT_DUE),
        Op.VOID_COUPON: (*_OWN, COUPON_STATE, COUPON_EXPIRED),
        Op.FREEZE: _OWN,
        Op.UNFREEZE: (*_OWN, NOT_FROZEN),
        Op.CLAIM_CREDENTIAL: (*_ANY, NOT_VALID, MERCHANT_SUSPENDED, OUTSIDE_WINDOW),
    }.items()
}
