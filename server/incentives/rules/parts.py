"""What the parts of a rule are called where somebody puts one together; their fields are those of `language`."""

from __future__ import annotations

from typing import Final

TRIGGERS: Final = {"fact": "发生某项事实", "date": "到达某个日期"}
CONDITIONS: Final = {
    "all": "全部满足",
    "any": "满足其一",
    "not": "不满足",
    "band_in": "信用等级为其中之一",
    "band_at_least": "信用等级不低于",
    "town_in": "居住镇街为其中之一",
    "enrolled_between": "加入日期在期间内",
    "first_time": "首次发生",
    "between": "发生日期在期间内",
    "weekly": "星期、工作日或时段",
    "merchant_category_in": "商户类别为其中之一",
    "amount": "数量在范围内",
    "value_in": "取值为其中之一",
    "has_done": "已完成",
    "has_not_done": "未曾完成",
}
EFFECTS: Final = {
    "points": "发放积分",
    "points_per": "按数量分档发放积分",
    "coupon": "发放优惠券",
    "free_minutes": "发放停车免费时长",
    "lottery_ticket": "发放抽奖券",
}
