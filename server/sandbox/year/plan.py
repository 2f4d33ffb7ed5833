"""The year 2026 as its editor plans it: what is written here is sent to the console's API and to nothing else.

Bodies are those of POST /api/admin/v1/campaigns, /coupon-templates, /segments and /lotteries. What begins with @ is
the id that another thing of the plan was given; merchants stand by their keys of the sample city.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

from server.sandbox.moved_clock import CITY


def at(text: str) -> datetime:
    """A moment of the city's year, `MM-DD HH:MM`."""
    return datetime.strptime(f"2026-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=CITY)


def day(text: str) -> date:
    """A day of the year, `MM-DD`."""
    return date.fromisoformat(f"2026-{text}")


OPENING: Final = at("01-05 09:00")
LAST: Final = datetime(2027, 1, 3, 23, 0, tzinfo=CITY)
CLOSING: Final = datetime(2027, 1, 4, 10, 0, tzinfo=CITY)


@dataclass(frozen=True, slots=True)
class PlannedCampaign:
    """`kind`: what it shows; everything else as the API takes it. Without `cap` a person is given once."""

    key: str
    kind: str
    title: str
    rule: dict[str, Any]
    budget_points: int | None = None
    cap: tuple[int, str] | None = None
    validity_months: int = 24
    since: datetime = OPENING
    until: datetime = LAST
    hold_out: dict[str, Any] | None = None

    def body(self, number: int) -> dict[str, Any]:
        """As POST /campaigns takes it."""
        told: dict[str, Any] = {
            "title": self.title, "document": f"澄信办〔2026〕{number}号", "rule": self.rule,
            "starts_at": self.since.isoformat(), "ends_at": self.until.isoformat(),
            "validity_months": self.validity_months,
        }  # fmt: skip
        if self.budget_points is not None:
            told["budget_points"] = self.budget_points
        if self.cap is not None:
            told["limits"] = [{"action": "earn", "cap": self.cap[0], "period": self.cap[1]}]
        if self.hold_out is not None:
            told["hold_out"] = self.hold_out
        return told


@dataclass(frozen=True, slots=True)
class PlannedTemplate:
    """`kind`: what it shows; `worth` and `more` as the API takes them. `per_person` in all."""

    key: str
    kind: str
    title: str
    benefit: str
    stock: int
    price_points: int = 0
    face_value_fen: int = 0
    pay_bp: int = 0
    cap_fen: int = 0
    threshold_fen: int = 0
    platform_bp: int = 0
    sponsor_bp: int = 10_000
    per_person: int = 1
    valid_days: int = 30
    valid_until: date | None = None
    merchants: tuple[str, ...] = ()
    claimable: bool = True
    since: datetime = OPENING
    until: datetime = LAST
    more: tuple[tuple[str, Any], ...] = ()

    def body(self, number: int, merchant_ids: dict[str, str]) -> dict[str, Any]:
        """As POST /coupon-templates takes it."""
        told = {
            "title": self.title, "document": f"澄信办〔2026〕{number}号", "kind": self.benefit, "stock": self.stock,
            "starts_at": self.since.isoformat(), "ends_at": self.until.isoformat(),
            "face_value_fen": self.face_value_fen, "pay_bp": self.pay_bp, "cap_fen": self.cap_fen,
            "threshold_fen": self.threshold_fen, "platform_bp": self.platform_bp, "sponsor_bp": self.sponsor_bp,
            "price_points": self.price_points, "valid_days": self.valid_days, "claimable": self.claimable,
            "merchants": [merchant_ids[key] for key in self.merchants],
            "limits": [{"action": "issue", "cap": self.per_person}],
            **dict(self.more),
        }  # fmt: skip
        return told | ({"valid_until": str(self.valid_until)} if self.valid_until else {})


def _fact(fact: str, **more: Any) -> dict[str, Any]:
    return {"kind": "fact", "fact": fact, **more}


def _points(points: int) -> dict[str, Any]:
    return {"kind": "points", "points": points}


def _between(first: str, last: str) -> dict[str, Any]:
    return {"kind": "between", "first_day": f"2026-{first}", "last_day": f"2026-{last}"}


def _all(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "all", "of": list(parts)}


HOLIDAY_HOURS: Final = {"day": "holiday", "from_time": "09:00", "until_time": "21:00"}
OUTER_TOWNS: Final = ("华士镇", "周庄镇", "新桥镇", "长泾镇", "顾山镇", "祝塘镇", "青阳镇", "徐霞客镇")
HONOUR: Final = "诚信典型"
RUN_OUT_POINTS: Final = 100
LIBRARY_BEFORE, LIBRARY_AFTER = 2, 3


def library_rule(points: int) -> dict[str, Any]:
    """Books returned on time; the only rule that is revised in the year."""
    return {"trigger": _fact("library_returned_on_time"), "effect": _points(points)}


CAMPAIGNS: Final = (
    PlannedCampaign(
        "welcome", "实名", "实名有礼", {"trigger": _fact("identity_bound"), "effect": _points(100)}, 50_000
    ),
    PlannedCampaign(
        "volunteer", "志愿时长, 年度阶梯", "志愿时长兑积分",
        {
            "trigger": _fact("volunteer_hours_recorded"),
            "condition": {"kind": "amount", "attribute": "minutes", "at_least": 30},
            "effect": {
                "kind": "points_per", "attribute": "minutes", "over": "year", "at_most_points": 40,
                "tiers": [{"per": 60, "points": 10, "up_to": 600}, {"per": 60, "points": 6, "up_to": 1200},
                          {"per": 120, "points": 5}],
            },
        },
        100_000, (20, "month"), 6,
    ),
    PlannedCampaign(
        "library", "按期还书, 每月三次", "按期还书有礼", library_rule(LIBRARY_BEFORE), 20_000, (3, "month"), 3
    ),
    PlannedCampaign(
        "band", "等级提升, 终身一次", "信用等级提升贺礼",
        {
            "trigger": _fact(
                "band_reached", where=[{"kind": "value_in", "attribute": "band", "values": ["AA", "AAA"]}]
            ),
            "effect": _points(30),
        },
        10_000, None, 12,
    ),
    PlannedCampaign(
        "towns", "镇街条件", "镇区书香",
        {
            "trigger": _fact("library_returned_on_time"),
            "condition": {"kind": "town_in", "towns": list(OUTER_TOWNS)},
            "effect": _points(4),
        },
        20_000, (1, "month"), 12,
    ),
    PlannedCampaign(
        "spring", "春节假日时段", "新春消费有礼",
        {
            "trigger": _fact("redemption_made"),
            "condition": _all(_between("02-15", "02-23"), {"kind": "weekly", **HOLIDAY_HOURS}),
            "effect": _points(8),
        },
        2_000, (2, "total"), 2, at("02-01 00:00"), at("03-10 00:00"),
    ),
    PlannedCampaign(
        "lunch", "工作日午间", "工作日午间消费有礼",
        {
            "trigger": _fact("redemption_made"),
            "condition": {"kind": "weekly", "day": "workday", "from_time": "11:00", "until_time": "13:30"},
            "effect": _points(2),
        },
        # No campaign by working days may reach into a year whose holidays are not published.
        5_000, (1, "day"), 12, OPENING, at("12-30 00:00"),
    ),
    PlannedCampaign(
        "parking", "停车免费时长", "文明停车奖时长",
        {
            "trigger": _fact("parking_exit_paid"),
            "condition": {
                "kind": "has_done", "fact": "parking_exit_paid", "within": {"kind": "this", "period": "month"},
                "measure": {"kind": "times", "at_least": 3},
            },
            "effect": {"kind": "free_minutes", "minutes": 60},
        },
        None, (1, "month"), 2,
    ),
    PlannedCampaign(
        "trial", "三成对照组", "绿色停车试点", {"trigger": _fact("parking_exit_paid"), "effect": _points(1)}, 5_000,
        (31, "month"), 12, hold_out={"share_bp": 3_000, "outcome": "parking_exit_paid", "days": 30},
    ),
    PlannedCampaign(
        "visits", "每月首次登录", "每月首登有礼",
        {
            "trigger": _fact("login_day"),
            "condition": {
                "kind": "has_not_done", "fact": "login_day", "within": {"kind": "this", "period": "month"},
            },
            "effect": _points(1),
        },
        5_000, (1, "month"), 12,
    ),
    PlannedCampaign(
        "national", "指定日期", "国庆同庆",
        {"trigger": {"kind": "date", "on": "2026-10-01"}, "effect": _points(6)}, 5_000, None, 12,
    ),
    PlannedCampaign(
        "honour", "管理员授予", "诚信典型表彰",
        {
            "trigger": _fact(
                "administrator_grant", where=[{"kind": "value_in", "attribute": "occasion", "values": [HONOUR]}]
            ),
            "effect": _points(25),
        },
        2_000, None, 24,
    ),
    PlannedCampaign(
        "first_service", "首次志愿送券", "首次志愿送咖啡",
        {
            "trigger": _fact("volunteer_hours_recorded"), "condition": {"kind": "first_time"},
            "effect": {"kind": "coupon", "template_id": "@coffee"},
        },
    ),
    PlannedCampaign(
        "tickets", "志愿得抽奖券", "志愿得抽奖券",
        {
            "trigger": _fact("volunteer_hours_recorded"),
            "condition": _all(_between("03-01", "04-12"), {"kind": "amount", "attribute": "minutes", "at_least": 60}),
            "effect": {"kind": "lottery_ticket", "lottery_id": "@draw"},
        },
        None, (2, "total"), 24, at("03-01 00:00"), at("04-12 20:00"),
    ),
    PlannedCampaign(
        "summer", "预算用尽", "夏日送清凉",
        {
            "trigger": _fact("volunteer_hours_recorded"), "condition": _between("06-25", "07-31"),
            "effect": _points(20),
        },
        RUN_OUT_POINTS, None, 24, at("06-25 00:00"), at("09-30 00:00"),
    ),
    PlannedCampaign(
        "autumn", "紧急停止, 不再恢复", "金秋还书加倍",
        {"trigger": _fact("library_returned_on_time"), "effect": _points(5)},
        5_000, (5, "total"), 24, at("07-21 00:00"), at("11-30 00:00"),
    ),
)  # fmt: skip


def noodles_after(before: PlannedTemplate) -> PlannedTemplate:
    """The version that the noodle coupon is given in July."""
    return replace(before, face_value_fen=1_200, price_points=50, threshold_fen=2_500)


TEMPLATES: Final = (
    PlannedTemplate(
        "noodles", "满减, 七月改版", "老街面馆十元券", "amount_off", 1_200, 40, face_value_fen=1_000,
        threshold_fen=2_000, sponsor_bp=8_000, per_person=6, valid_days=45, merchants=("restaurant-1",),
    ),
    PlannedTemplate(
        "books", "折扣, 三方分担", "澄江书苑八折券", "discount", 1_000, 30, pay_bp=8_000, cap_fen=3_000,
        platform_bp=5_000, sponsor_bp=3_333, per_person=5, valid_days=40, merchants=("book-1",),
        more=(("stacking_group", "图书"),),
    ),
    PlannedTemplate(
        "park", "积分兑换实物", "景区门票兑换券", "exchange", 600, 60, face_value_fen=4_000, sponsor_bp=5_000,
        per_person=3, valid_days=60, merchants=("scenic-1",),
        more=(("goods_name", "景区成人门票"), ("goods_quantity", 1)),
    ),
    PlannedTemplate(
        "red", "春节红包, 假日可用", "新春诚信红包券", "amount_off", 200, face_value_fen=888, platform_bp=3_333,
        sponsor_bp=3_333, valid_days=0, valid_until=day("02-23"), merchants=("market-1",),
        since=at("02-09 00:00"), until=at("02-23 12:00"), more=(("windows", [HOLIDAY_HOURS]),),
    ),
    PlannedTemplate(
        "scarce", "限量抢兑, 两人追加", "影城首映兑换券", "exchange", 10, 20, face_value_fen=6_000, platform_bp=2_500,
        sponsor_bp=2_500, valid_days=60, merchants=("cinema-1",), since=at("04-08 00:00"), until=at("04-30 00:00"),
    ),
    PlannedTemplate(
        "coffee", "活动赠券", "志愿者咖啡券", "exchange", 200, face_value_fen=1_500, valid_days=50,
        merchants=("restaurant-1",), claimable=False,
    ),
    PlannedTemplate(
        "prize", "以抽签代抢兑", "抽签影票", "exchange", 8, face_value_fen=4_500, platform_bp=10_000, sponsor_bp=0,
        valid_days=90, merchants=("cinema-1",), claimable=False, more=(("by_lottery", True),),
    ),
    PlannedTemplate(
        "gift", "按人群发放", "健康关爱券", "amount_off", 200, face_value_fen=2_000, threshold_fen=10_000,
        sponsor_bp=5_001, valid_days=60, merchants=("pharmacy-1",), claimable=False,
    ),
    PlannedTemplate(
        "star", "按名单发放", "志愿之星健身券", "exchange", 50, face_value_fen=3_500, sponsor_bp=7_000, valid_days=80,
        merchants=("sport-1",), claimable=False,
    ),
    PlannedTemplate(
        "anniversary", "上传兑换码", "图书馆周年券", "amount_off", 30, face_value_fen=500, platform_bp=10_000,
        sponsor_bp=0, per_person=2, valid_days=30, merchants=("book-1", "restaurant-1"), claimable=False,
    ),
)  # fmt: skip

SEGMENT: Final = {"name": "一季度前加入的居民", "definition": {"enrolled_until": "2026-03-31"}}

LOTTERY: Final = {
    "title": "春日志愿抽奖", "document": "澄信办〔2026〕60号", "opens_at": at("03-01 00:00").isoformat(),
    "closes_at": at("04-12 20:00").isoformat(), "draw_at": at("04-13 10:00").isoformat(), "max_tickets": 3,
    "prizes": [
        {"rank": 1, "name": "影票", "template_id": "@prize", "count": 2},
        {"rank": 2, "name": "影票", "template_id": "@prize", "count": 5},
    ],
}  # fmt: skip

VOUCHERS: Final = tuple(f"TUSHUGUAN{number:05d}" for number in range(73_001, 73_001 + 15))
