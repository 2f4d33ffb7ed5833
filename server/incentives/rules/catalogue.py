"""The facts that rules may speak of: what they are called, what they carry, and who tells them.

A kind that is not here, or an attribute that its kind does not have, cannot be used in a rule. Facts carry places,
amounts and codes; what a person is (guard rails 5, 11) is not among them and is not to be added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Unit:
    """How amounts are said: `size` of the small unit make one of the big one (60 分钟 are 1 小时)."""

    name: str
    big: str = ""
    size: int = 1

    def say(self, amount: int) -> str:
        """The amount in Chinese, exactly."""
        if not self.big or amount < self.size:
            return f"{amount}{self.name}"
        whole, rest = divmod(amount, self.size)
        return f"{whole}{self.big}" + (f"{rest}{self.name}" if rest else "")


MINUTES: Final = Unit("分钟", "小时", 60)
FEN: Final = Unit("分", "元", 100)
BOOKS: Final = Unit("册")
POINTS: Final = Unit("积分")
TIMES: Final = Unit("次")


@dataclass(frozen=True, slots=True)
class Attribute:
    """What a fact carries. amount: an integer in `unit`; code: a text that is compared whole, ids included."""

    name: str
    type: Literal["amount", "code"]
    unit: Unit | None = None


@dataclass(frozen=True, slots=True)
class FactKind:
    """`happens`: how a rule's text begins; `source`: who tells the intake."""

    kind: str
    name: str
    happens: str
    source: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


def _amount(name: str, unit: Unit) -> Attribute:
    return Attribute(name, "amount", unit)


def _code(name: str) -> Attribute:
    return Attribute(name, "code")


_KINDS: Final = (
    FactKind("login_day", "登录日", "当日首次登录", "会话", {}),
    FactKind("identity_bound", "实名认证", "完成实名认证", "实名认证", {"provider": _code("登录渠道")}),
    FactKind("band_reached", "升入信用等级", "信用等级提升", "等级导入", {"band": _code("升入的等级")}),
    FactKind(
        "volunteer_hours_recorded", "志愿服务", "志愿服务时长入账", "志愿服务登记系统",
        {"minutes": _amount("服务时长", MINUTES), "project_id": _code("志愿项目编号")},
    ),
    FactKind(
        "redemption_made", "核销优惠券", "核销一张优惠券", "积分钱包账本",
        {
            "discount_fen": _amount("优惠金额", FEN), "subsidy_fen": _amount("补贴金额", FEN),
            "terms_id": _code("券模板编号"), "merchant_id": _code("商户编号"), "store_id": _code("门店编号"),
            "merchant_category": _code("商户类别"),
        },
    ),
    FactKind(
        "redemption_voided", "核销撤销", "一次核销被撤销", "积分钱包账本",
        {"terms_id": _code("券模板编号"), "redemption_id": _code("核销编号")},
    ),
    FactKind("points_expired", "积分过期", "积分到期失效", "积分钱包账本", {"points": _amount("过期积分", POINTS)}),
    FactKind(
        "parking_exit_paid", "停车缴费", "停车离场后按时缴费", "停车场运营方",
        {
            "fee_fen": _amount("停车费", FEN), "stay_minutes": _amount("停放时长", MINUTES),
            "lot_id": _code("停车场编号"),
        },
    ),
    FactKind(
        "library_returned_on_time", "按期还书", "图书按期归还", "图书馆",
        {"books": _amount("归还册数", BOOKS), "library_id": _code("图书馆编号")},
    ),
    FactKind("date", "日期", "日期到来", "日历", {}),
    FactKind(
        "administrator_grant", "管理员授予", "由管理员授予", "管理后台", {"occasion": _code("授予事由")}
    ),
    FactKind(
        "recipients_file", "名单导入", "列入导入的名单", "管理后台", {"file_id": _code("名单编号")}
    ),
)  # fmt: skip

#: Every kind of fact by its code.
FACTS: Final[Mapping[str, FactKind]] = {each.kind: each for each in _KINDS}
