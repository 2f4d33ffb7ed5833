"""What a draft may say, and how its rule reads in Chinese."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs

from server.incentives.commands import CampaignDraft, TemplateDraft, rule_of
from server.incentives.errors import LimitNeverGives, LimitNotCounted, SecondPersonRequired, WrongStatus
from server.incentives.limits import Limit
from server.incentives.models import CampaignVersion, CouponTemplateVersion
from server.incentives.rules import RuleRefused, read
from server.incentives.usable import UsableTime
from server.incentives.wording import benefit_text, campaign_text, limits_text, template_text, tenths, yuan
from server.kit.errors import AppError, InvalidField
from tests.support.incentives import per_person, points_rule

CITY = ZoneInfo("Asia/Shanghai")
STARTS = datetime(2026, 12, 1, tzinfo=CITY).astimezone(UTC)
ENDS = datetime(2026, 12, 31, 15, 59, tzinfo=UTC)

CAMPAIGN = CampaignDraft("实名有礼", "澄信办〔2026〕1号", points_rule(), STARTS, ENDS, 10_000)
AMOUNT_OFF = TemplateDraft(
    "早餐券", "澄信办〔2026〕2号", "amount_off", STARTS, ENDS, 10, face_value_fen=2_000, threshold_fen=10_000
)
DISCOUNT = TemplateDraft("图书券", "澄信办〔2026〕3号", "discount", STARTS, ENDS, 10, pay_bp=8_500, cap_fen=3_001)
EXCHANGE = TemplateDraft(
    "环保袋", "澄信办〔2026〕4号", "exchange", STARTS, ENDS, 10, face_value_fen=500, price_points=80
)
LUNCH = UsableTime(day="workday", from_time="11:00", until_time="13:30")


@pytest.mark.parametrize("draft", [CAMPAIGN, AMOUNT_OFF, DISCOUNT, EXCHANGE])
def test_a_plain_draft_of_each_kind_is_accepted(draft: CampaignDraft | TemplateDraft) -> None:
    draft.check()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "  "), ("title", "长" * 61), ("title", "换\n行"), ("document", ""), ("budget_points", 99),
        ("validity_months", 25), ("validity_months", 0), ("ends_at", STARTS),
        ("starts_at", datetime(2026, 12, 1)),  # noqa: DTZ001
    ],
)  # fmt: skip
def test_a_campaign_that_cannot_be_names_its_field(field: str, value: object) -> None:
    with pytest.raises(InvalidField) as refusal:
        replace(CAMPAIGN, **{field: value}).check()  # type: ignore[arg-type]
    assert refusal.value.field == field


def dated(on: str, condition: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"trigger": {"kind": "date", "on": on}, "condition": condition, "effect": {"kind": "points", "points": 5}}


def between(first: str | None = None, last: str | None = None) -> dict[str, Any]:
    condition = {"kind": "between", "first_day": first, "last_day": last}
    fact = {"kind": "fact", "fact": "login_day"}
    return {"trigger": fact, "condition": condition, "effect": {"kind": "points", "points": 5}}


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (between(first="2026-12-31"), None), (between(first="2027-01-01"), "rule.condition"),
        (between(last="2026-12-01"), None), (between(last="2026-11-30"), "rule.condition"),
        (dated("2026-12-01"), None), (dated("2026-11-30"), "rule.trigger.on"),
        (dated("2026-12-31"), None), (dated("2027-01-01"), "rule.trigger.on"),
        (dated("2026-12-05", {"kind": "weekly", "weekdays": [6]}), None),
        (dated("2026-12-05", {"kind": "weekly", "weekdays": [7]}), "rule.condition"),
    ],
)  # fmt: skip
def test_what_contradicts_the_campaign_s_own_days_in_the_city_is_refused(rule: Any, field: str | None) -> None:
    draft = replace(CAMPAIGN, rule=read(rule))
    if field is None:
        draft.check_days(CITY, STARTS - timedelta(days=1))
        return
    with pytest.raises(RuleRefused) as refused:
        draft.check_days(CITY, STARTS - timedelta(days=1))
    assert refused.value.field == field


def test_a_date_whose_midnight_is_over_or_before_the_campaign_is_refused() -> None:
    draft = replace(CAMPAIGN, rule=read(dated("2026-12-01")))
    draft.check_days(CITY, STARTS - timedelta(seconds=1))
    for late in (draft, replace(draft, starts_at=STARTS + timedelta(hours=9))):
        with pytest.raises(RuleRefused) as refused:
            late.check_days(CITY, STARTS - timedelta(seconds=late is not draft))
        assert refused.value.field == "rule.trigger.on"


@pytest.mark.parametrize(
    ("draft", "field", "value"),
    [
        (AMOUNT_OFF, "kind", "cash"), (AMOUNT_OFF, "face_value_fen", 0), (AMOUNT_OFF, "pay_bp", 9_000),
        (AMOUNT_OFF, "cap_fen", 1), (AMOUNT_OFF, "threshold_fen", 1_999), (AMOUNT_OFF, "sponsor_bp", 10_001),
        (AMOUNT_OFF, "stock", 0), (AMOUNT_OFF, "merchants", (7, 7)), (AMOUNT_OFF, "valid_days", 0),
        (AMOUNT_OFF, "valid_until", date(2200, 1, 1)), (AMOUNT_OFF, "budget_fen", 1_999),
        (AMOUNT_OFF, "void_window_s", -1), (DISCOUNT, "cap_fen", 0), (DISCOUNT, "pay_bp", 0),
        (DISCOUNT, "pay_bp", 10_000), (DISCOUNT, "face_value_fen", 1),
        (EXCHANGE, "threshold_fen", 1), (EXCHANGE, "price_points", -1),
        (AMOUNT_OFF, "grace_days", -1), (AMOUNT_OFF, "grace_days", 366),
        (AMOUNT_OFF, "platform_bp", 10_001), (AMOUNT_OFF, "merchant_bp", 1), (AMOUNT_OFF, "stores", (7, 7)),
        (AMOUNT_OFF, "starts_after_days", -1), (AMOUNT_OFF, "valid_from", date(1999, 12, 31)),
        (AMOUNT_OFF, "stacking_group", " "), (AMOUNT_OFF, "most_per_order", 2), (AMOUNT_OFF, "notice", "换\n行"),
        (AMOUNT_OFF, "goods_name", "米"), (AMOUNT_OFF, "goods_quantity", 1), (EXCHANGE, "goods_quantity", 1),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_names_its_field(draft: TemplateDraft, field: str, value: object) -> None:
    with pytest.raises(InvalidField) as refusal:
        replace(draft, **{field: value}).check()  # type: ignore[arg-type]
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"platform_bp": 4_000}, "sponsor_bp"), ({"platform_bp": 4_000, "sponsor_bp": 6_001}, "sponsor_bp"),
        ({"platform_bp": 1, "sponsor_bp": 1, "merchant_bp": 9_999}, "merchant_bp"),
        ({"valid_until": date(2027, 1, 5), "valid_from": date(2027, 1, 6)}, "valid_from"),
        ({"stacking_group": "餐饮", "most_per_order": 0}, "most_per_order"),
        ({"windows": (UsableTime(),)}, "windows[0]"),
        ({"windows": (UsableTime(weekdays=()),)}, "windows[0].weekdays"),
        ({"windows": (UsableTime(weekdays=(2, 1)),)}, "windows[0].weekdays"),
        ({"windows": (UsableTime(weekdays=(1, 8)),)}, "windows[0].weekdays"),
        ({"windows": (LUNCH, UsableTime(from_time="13:30", until_time="11:00"))}, "windows[1].until_time"),
        ({"windows": (LUNCH, LUNCH)}, "windows"),
    ],
)  # fmt: skip
def test_fields_that_do_not_go_together_are_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        replace(AMOUNT_OFF, **changes).check()
    assert refusal.value.field == field


JUNE = datetime(2026, 6, 1, tzinfo=CITY)


@pytest.mark.parametrize("zone", [CITY, UTC, ZoneInfo("America/New_York")])
@pytest.mark.parametrize(
    ("ends_at", "after", "field"),
    [
        (JUNE, 0, None), (JUNE + timedelta(microseconds=1), 0, "valid_until"),
        (JUNE + timedelta(hours=4), 0, "valid_until"),
        (JUNE - timedelta(days=2), 2, None), (JUNE - timedelta(days=2), 3, "starts_after_days"),
    ],
)  # fmt: skip
def test_the_last_day_of_a_coupon_is_held_against_the_city_s_day_of_the_last_claim_however_it_was_written(
    ends_at: datetime, after: int, field: str | None, zone: ZoneInfo
) -> None:
    draft = replace(
        AMOUNT_OFF, starts_at=JUNE - timedelta(days=9), ends_at=ends_at.astimezone(zone),
        valid_until=date(2026, 5, 31), starts_after_days=after,
    )  # fmt: skip
    draft.check()
    if field is None:
        draft.check_days(CITY)
        return
    with pytest.raises(InvalidField) as refusal:
        draft.check_days(CITY)
    assert refusal.value.field == field


def test_who_bears_nothing_of_a_coupon_that_costs_nothing() -> None:
    shares = {"platform_bp": 4_000, "sponsor_bp": 3_500}
    columns = replace(AMOUNT_OFF, **shares, merchant_bp=2_500).columns()  # type: ignore[arg-type]
    assert [columns[name] for name in ("platform_bp", "sponsor_bp", "merchant_bp")] == [4_000, 3_500, 2_500]
    assert replace(AMOUNT_OFF, **shares).planned() == {"coupons": 10, "fen": 15_000}  # type: ignore[arg-type]
    free = replace(EXCHANGE, face_value_fen=0, **shares).columns()  # type: ignore[arg-type]
    assert [free[name] for name in ("platform_bp", "sponsor_bp", "merchant_bp")] == [0, 0, 10_000]


def test_the_terms_of_a_coupon_tell_hours_places_orders_shares_and_the_notice() -> None:
    draft = replace(
        AMOUNT_OFF, starts_after_days=2, valid_days=7, valid_from=date(2026, 12, 8), stores=(11,),
        windows=(LUNCH, UsableTime(weekdays=(6, 7), until_time="12:00")), stacking_group="餐饮", most_per_order=2,
        platform_bp=4_000, sponsor_bp=3_333, void_window_s=90_060, return_stock=True, notice="堂食、外带均可。",
    )  # fmt: skip
    draft.check()
    assert template_text(CouponTemplateVersion(**draft.columns()), CITY) == (
        "满100元减20元；免费领取；每人限领1张；领取后第2天起可用，且不早于2026年12月8日，起用后7天内有效；"
        "可用时段：工作日（含调休上班日）11:00至13:30，或周六、周日00:00至12:00；限1家指定门店使用（编号11）；"
        "同一订单最多使用2张“餐饮”类优惠券；核销后1天1小时1分钟内可由商户撤销并退券；过期未用的券退回库存；"
        "优惠由平台承担40%、补贴方承担33.33%、商户承担26.67%；领取时间：2026年12月1日00:00至2026年12月31日23:59；"
        "领完即止；仅限本人使用，不可转让、不兑换现金。须知：堂食、外带均可。"
    )


@pytest.mark.parametrize(
    ("draft", "limit", "field", "refused"),
    [
        (CAMPAIGN, Limit(0, "earn"), "limits[1].cap", InvalidField),
        (CAMPAIGN, Limit(1, "issue"), "limits[1].action", InvalidField),
        (CAMPAIGN, Limit(1, "earn", period="year"), "limits[1].period", InvalidField),
        (CAMPAIGN, Limit(1, "earn", measure="yuan"), "limits[1].measure", InvalidField),
        (CAMPAIGN, Limit(7, "earn"), "limits[1]", InvalidField),
        (CAMPAIGN, Limit(7, "earn", "fen", scope="town"), "limits[1].measure", LimitNotCounted),
        (CAMPAIGN, Limit(7, "earn", "points", scope="store"), "limits[1].scope", LimitNotCounted),
        (CAMPAIGN, Limit(7, "earn", scope="city"), "limits[1].scope", InvalidField),
        (EXCHANGE, Limit(7, "redeem", "fen"), "limits[1].measure", LimitNotCounted),
        (EXCHANGE, Limit(7, "redeem", "points"), "limits[1].measure", LimitNotCounted),
        (EXCHANGE, Limit(7, "earn"), "limits[1].action", InvalidField),
        (EXCHANGE, Limit(7, "issue", scope="merchant"), "limits[1].scope", LimitNotCounted),
    ],
)
def test_a_limit_that_nobody_would_count_names_its_field(
    draft: CampaignDraft | TemplateDraft, limit: Limit, field: str, refused: type[AppError]
) -> None:
    with pytest.raises(refused) as refusal:
        replace(draft, limits=(*draft.limits, limit)).check()
    assert refusal.value.field == field


def test_limits_of_several_kinds_are_all_told() -> None:
    limits = (
        Limit(2, "issue", period="week"),
        Limit(10_000, "issue", "face_value_fen"),
        Limit(1, "redeem", period="day"),
        Limit(500, "redeem", period="day", scope="store"),
        Limit(900_000, "redeem", "fen", "week", "merchant"),
        Limit(70, "issue", scope="town"),
        Limit(80_050, "issue", "fen", "month", "campaign"),
    )
    draft = replace(AMOUNT_OFF, limits=limits)
    draft.check()
    told = template_text(CouponTemplateVersion(**draft.columns()), CITY).split("；")
    assert {
        "每人每周限领2张", "每人限领面值100元", "每人每日限用1张", "每家门店每日限用500张",
        "每家商户每周限支付补贴9000元", "每个镇街限领70张", "全部合计每月限占用补贴800.5元",
    } <= set(told)  # fmt: skip
    assert limits_text(
        [{"action": "earn", "measure": "points", "period": "month", "scope": "resident", "cap": 50}]
    ) == ["每人每月限得50积分"]


@pytest.mark.parametrize(
    ("draft", "limit", "one"),
    [
        (CAMPAIGN, Limit(99, "earn", "points", "day"), 100),
        (replace(AMOUNT_OFF, price_points=60), Limit(59, "issue", "points"), 60),
        (AMOUNT_OFF, Limit(1_999, "issue", "face_value_fen", "week"), 2_000),
        (AMOUNT_OFF, Limit(1_999, "issue", "fen", "day", "campaign"), 2_000),
        (AMOUNT_OFF, Limit(1_999, "redeem", "face_value_fen", "day", "store"), 2_000),
        (replace(AMOUNT_OFF, sponsor_bp=5_000), Limit(999, "redeem", "fen", "day", "merchant"), 1_000),
        (DISCOUNT, Limit(3_000, "issue", "face_value_fen"), 3_001),
    ],
)
def test_a_limit_into_which_not_even_one_fits_is_refused_with_its_reason(draft: Any, limit: Limit, one: int) -> None:
    with pytest.raises(LimitNeverGives) as refused:
        replace(draft, limits=(limit,)).check()
    assert refused.value.field == "limits[0].cap"
    assert f"上限{limit.cap}小于单次数量{one}" in refused.value.message
    replace(draft, limits=(structs.replace(limit, cap=one),)).check()


def test_a_discount_may_save_little_so_no_limit_of_its_redemptions_is_too_small() -> None:
    replace(DISCOUNT, limits=(Limit(1, "redeem", "face_value_fen"),)).check()


def test_a_budget_of_points_that_nothing_would_draw_on_or_that_gives_nothing_is_refused_with_its_reason() -> None:
    minutes = read({"trigger": {"kind": "fact", "fact": "login_day"}, "effect": {"kind": "free_minutes", "minutes": 9}})
    for draft, said in ((replace(CAMPAIGN, rule=minutes), "不发放积分"), (replace(CAMPAIGN, budget_points=99), "不足")):
        with pytest.raises(InvalidField) as refused:
            draft.check()
        assert refused.value.field == "budget_points" and said in refused.value.message
    replace(CAMPAIGN, rule=minutes, budget_points=None).check()


def test_a_number_out_of_bounds_is_refused_with_its_bounds_and_one_that_says_nothing_here_as_such() -> None:
    for draft, field, said in (
        (replace(DISCOUNT, pay_bp=10_000), "pay_bp", "须在1至9999之间"),
        (replace(AMOUNT_OFF, pay_bp=1), "pay_bp", "此项在这里不适用"),
        (replace(AMOUNT_OFF, claimable=False, price_points=5), "price_points", "此项在这里不适用"),
    ):
        with pytest.raises(InvalidField) as refused:
            draft.check()
        assert (refused.value.field, refused.value.message) == (field, f"字段“{field}”有误：{said}")


def test_the_money_budget_covers_every_coupon_at_its_dearest() -> None:
    assert AMOUNT_OFF.planned() == {"coupons": 10, "fen": 20_000}
    assert replace(DISCOUNT, sponsor_bp=5_000).planned() == {"coupons": 10, "fen": 15_010}  # 1500.5 fen, rounded up
    assert replace(AMOUNT_OFF, budget_fen=4_000).planned() == {"coupons": 10, "fen": 4_000}


def test_a_template_without_a_sponsor_has_no_money_budget() -> None:
    with pytest.raises(InvalidField):
        replace(AMOUNT_OFF, sponsor_bp=0, budget_fen=100).check()
    free = replace(EXCHANGE, face_value_fen=0)
    assert (free.planned(), free.columns()["sponsor_bp"]) == ({"coupons": 10}, 0)
    assert replace(AMOUNT_OFF, sponsor_bp=0).planned() == {"coupons": 10}


def test_amounts_read_as_people_write_them() -> None:
    assert [yuan(0), yuan(2_000), yuan(1_250), yuan(1_205), yuan(5)] == ["0元", "20元", "12.5元", "12.05元", "0.05元"]
    assert [tenths(8_500), tenths(8_000), tenths(9_950), tenths(500)] == ["8.5折", "8折", "9.95折", "0.5折"]


def test_a_benefit_reads_as_its_rule_says() -> None:
    def text(draft: TemplateDraft) -> str:
        return benefit_text(CouponTemplateVersion(**draft.columns()))

    assert text(AMOUNT_OFF) == "满100元减20元"
    assert text(replace(AMOUNT_OFF, threshold_fen=0)) == "立减20元"
    assert text(DISCOUNT) == "8.5折，最高优惠30.01元"
    assert text(replace(DISCOUNT, threshold_fen=5_000)) == "满50元8.5折，最高优惠30.01元"
    assert text(EXCHANGE) == "凭券兑换「环保袋」1份（价值5元）"
    goods = replace(EXCHANGE, goods_name="棉布袋", goods_quantity=2, face_value_fen=0)
    assert text(goods) == "凭券兑换「棉布袋」2份"


def test_the_terms_of_a_coupon_tell_price_limit_validity_scope_and_window() -> None:
    draft = replace(EXCHANGE, limits=per_person(2, action="issue"), valid_until=date(2027, 1, 31), merchants=(3, 4))
    assert template_text(CouponTemplateVersion(**draft.columns()), CITY) == (
        "凭券兑换「环保袋」1份（价值5元）；使用80积分兑换；每人限领2张；领取后30天内有效，且不晚于2027年1月31日；"
        "限2家指定商户使用（编号3、4）；核销后30分钟内可由商户撤销并退券；优惠由补贴方承担；"
        "领取时间：2026年12月1日00:00至2026年12月31日23:59；领完即止；仅限本人使用，不可转让、不兑换现金。"
    )


def test_the_terms_of_a_campaign_tell_points_cap_and_expiry() -> None:
    assert campaign_text(CampaignVersion(**CAMPAIGN.columns()), CITY) == (
        "完成实名认证时，可获得100积分；每人限1次；积分自获得之日起24个月内有效，至到期当月最后一日；"
        "活动时间：2026年12月1日00:00至2026年12月31日23:59；预算用完即止。"
    )


@pytest.mark.parametrize(
    ("effect", "told"),
    [
        ({"kind": "coupon", "template_id": "7"}, ["优惠券发完即止"]),
        ({"kind": "free_minutes", "minutes": 60}, ["免费时长自获得之日起3个月内有效，至到期当月最后一日"]),
        ({"kind": "lottery_ticket", "lottery_id": "7"}, []),
    ],
)
def test_the_terms_of_a_campaign_tell_until_when_what_it_gives_is_valid_and_until_when_it_is_given(
    effect: dict[str, Any], told: list[str]
) -> None:
    rule = rule_of({"trigger": {"kind": "fact", "fact": "identity_bound"}, "effect": effect})
    draft = replace(CAMPAIGN, rule=rule, budget_points=None, validity_months=3)
    clauses = campaign_text(CampaignVersion(**draft.columns()), CITY).removesuffix("。").split("；")
    assert [one for one in clauses if "有效" in one or "即止" in one] == told


@pytest.mark.parametrize(
    ("period", "words"),
    [("total", "每人限{}"), ("day", "每人每日限{}"), ("week", "每人每周限{}"), ("month", "每人每月限{}")],
)
def test_a_cap_is_told_with_its_period(period: str, words: str) -> None:
    campaign = replace(CAMPAIGN, limits=per_person(2, period))
    template = replace(EXCHANGE, limits=per_person(2, period, "issue"))
    campaign.check()
    template.check()
    assert words.format("2次") in campaign_text(CampaignVersion(**campaign.columns()), CITY).split("；")
    assert words.format("领2张") in template_text(CouponTemplateVersion(**template.columns()), CITY).split("；")


def test_a_grace_is_told_only_where_there_is_one() -> None:
    draft = replace(AMOUNT_OFF, grace_days=3)
    draft.check()
    replace(draft, grace_days=365).check()
    assert "核销被撤销的，券退回后至少可用3天" in template_text(CouponTemplateVersion(**draft.columns()), CITY).split(
        "；"
    )
    assert "退回" not in template_text(CouponTemplateVersion(**AMOUNT_OFF.columns()), CITY)


def test_needing_a_second_person_is_said_in_chinese_with_its_own_code() -> None:
    assert (SecondPersonRequired.code, SecondPersonRequired.status) == ("second_person_required", 403)
    assert "另一位管理员" in SecondPersonRequired.message


def test_a_wrong_status_says_what_stands_what_is_needed_and_what_to_do_first() -> None:
    told = WrongStatus("rejected", "draft", hint="请先修改再提交")
    assert told.message == "当前状态为“已驳回”，此操作须为“草稿”，请先修改再提交"
    assert WrongStatus("active", "in_review", "draft").message == "当前状态为“进行中”，此操作须为“审核中”或“草稿”"
    assert WrongStatus("stopped").message == "当前状态为“已停用”，不能进行此操作"
