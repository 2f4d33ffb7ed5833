"""What rules and decisions say in Chinese."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from server.incentives.rules import (
    CHINA,
    FACTS,
    NO_NAMES,
    Names,
    Tally,
    explain,
    judge,
    needs,
    progress,
    read,
    reasons,
    text,
)
from server.incentives.rules.catalogue import FEN, MINUTES
from tests.support.rules import FIVE_POINTS, LOGIN, RULES, VOLUNTEER, Somebody, case_of, rule_of

SAID = {
    "every login day gives a point": "当日首次登录时，可获得1积分。",
    "seven logins in seven days": "当日首次登录时，须近7天内（含当天）“登录日”累计达到7次（含本次），"
    "可获得抽奖〔31〕的抽奖券2张。",
    "welcome, in two towns, for who joined this spring": "完成实名认证时，须居住在「澄江街道」、「华士镇」，"
    "且于2026年3月1日至2026年5月31日加入计划，且此前从未有过同类记录，可获得50积分。",
    "a coupon for a band": "信用等级提升（升入的等级为〔AA〕、〔AAA〕）时，"
    "须信用等级为〔AA〕，或信用等级不低于〔AAA〕，可获得优惠券〔7〕1张。",
    "volunteer hours by tiers of a year": "志愿服务时长入账时，须服务时长不少于30分钟且不超过12小时，可获得积分，"
    "服务时长按当年累计计算（至20小时的部分每满1小时得1积分，至80小时的部分每满2小时得1积分，"
    "至200小时的部分每满3小时得1积分，其余部分每满4小时得1积分），一次最多40积分。",
    "lunch on working days": "核销一张优惠券时，须商户类别为〔canteen〕，"
    "且发生在工作日（含调休上班日）11:00至13:30，且发生在2026年4月1日至2026年6月30日，且当日内没有“核销优惠券”记录（不含本次），可获得2积分。",
    "parking after three exits of a campaign": "停车离场后按时缴费时，"
    "须活动开始以来“停车缴费”的停车费合计达到30元（含本次），可获得停车免费时长60分钟。",
    "books, not at weekends": "图书按期归还时，须不属于以下情形（发生在周六、周日全天），可获得积分，"
    "归还册数每次单独计算（每满1册得1积分），一次最多10积分。",
    "national day": "2026年10月1日到来时，须历来“志愿服务”累计达到1次，可获得优惠券〔8〕1张。",
    "an administrator's grant": "由管理员授予（授予事由为〔flood-helpers〕）时，可获得200积分。",
    "a file of recipients": "列入导入的名单（名单编号为〔12〕）时，可获得100积分。",
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_says_all_that_is_in_it(name: str) -> None:
    assert text(read(RULES[name])) == SAID[name]


def test_the_city_s_names_stand_for_codes_as_long_as_they_are_the_city_s_only_ones() -> None:
    rule = rule_of({"kind": "band_in", "bands": ["a", "b", "c", "d"]}, effect={"kind": "coupon", "template_id": "7"})
    names = Names(
        bands={"a": "优秀", "b": "良好", "c": "良好", "d": "「优」"}, templates={"7": "停车券"}, lotteries={"7": "迎新"}
    )
    assert text(rule, names) == "当日首次登录时，须信用等级为「优秀」、〔b〕、〔c〕、〔d〕，可获得优惠券「停车券」1张。"


def condition_said(condition: Any, trigger: Any = LOGIN) -> str:
    return text(rule_of(condition, trigger)).partition("须")[2].removesuffix("，可获得5积分。")


def test_days_may_be_open_at_one_end() -> None:
    assert condition_said({"kind": "between", "first_day": "2026-01-31"}) == "发生在2026年1月31日及以后"
    assert condition_said({"kind": "between", "last_day": "2026-01-31"}) == "发生在2026年1月31日及以前"
    assert condition_said({"kind": "enrolled_between", "last_day": "2026-01-31"}) == "于2026年1月31日及以前加入计划"


def test_what_was_not_done_says_how_often_and_whether_this_time_counts() -> None:
    def said(at_least: int, fact: str) -> str:
        measure = {"kind": "times", "at_least": at_least}
        within = {"kind": "this", "period": "week"}
        return condition_said({"kind": "has_not_done", "fact": fact, "within": within, "measure": measure})

    assert said(1, "login_day") == "当周内没有“登录日”记录（不含本次）"
    assert said(1, "parking_exit_paid") == "当周内没有“停车缴费”记录"
    assert said(3, "login_day") == "当周内“登录日”累计少于3次（不含本次）"
    assert said(3, "parking_exit_paid") == "当周内“停车缴费”累计少于3次"


def test_brackets_tell_which_conditions_belong_together() -> None:
    a, b, c = {"kind": "town_in", "towns": ["a"]}, {"kind": "band_in", "bands": ["B"]}, {"kind": "first_time"}

    def nested(outer: str, inner: str, left: bool) -> str:
        inside = {"kind": inner, "of": [a, b] if left else [b, c]}
        return text(rule_of({"kind": outer, "of": [inside, c] if left else [a, inside]}))

    said = {nested(outer, inner, left) for outer, inner in (("any", "all"), ("any", "any")) for left in (True, False)}
    assert len(said) == 4
    assert "须（居住在「a」，且信用等级为〔B〕），或此前从未有过同类记录，" in nested("any", "all", True)


def test_amounts_are_said_exactly() -> None:
    assert [MINUTES.say(minutes) for minutes in (0, 59, 60, 90, 1440)] == [
        "0分钟",
        "59分钟",
        "1小时",
        "1小时30分钟",
        "24小时",
    ]
    assert [FEN.say(fen) for fen in (0, 99, 100, 1250)] == ["0分", "99分", "1元", "12元50分"]


def test_no_two_entries_of_the_catalogue_are_called_the_same() -> None:
    for names in ([fact.name for fact in FACTS.values()], [fact.happens for fact in FACTS.values()]):
        assert len(set(names)) == len(names)
    for fact in FACTS.values():
        assert len({attribute.name for attribute in fact.attributes.values()}) == len(fact.attributes)
        assert all(
            (attribute.unit is not None) == (attribute.type == "amount") for attribute in fact.attributes.values()
        )


def told(condition: Any, trigger: Any = LOGIN, names: Names = NO_NAMES, **case: Any) -> tuple[str, str, bool]:
    rule = rule_of(condition, trigger)
    part = explain(judge(rule, case_of(rule, **case)), names)[1]
    return part.code, part.seen, part.met


def test_what_was_seen_is_said_beside_what_is_asked() -> None:
    assert told({"kind": "band_in", "bands": ["AA"]}) == ("band_in", "〔A〕", False)
    assert told({"kind": "band_at_least", "band": "A"}, person=Somebody(band=None)) == (
        "band_at_least",
        "暂无信用等级",
        False,
    )
    assert told({"kind": "band_in", "bands": ["A"]}, names=Names(bands={"A": "优秀"}))[1] == "「优秀」"
    assert told({"kind": "town_in", "towns": ["华士镇"]}) == ("town_in", "「华士镇」", True)
    assert told({"kind": "town_in", "towns": ["x"]}, person=Somebody(town=None))[1] == "暂无居住镇街信息"
    assert told({"kind": "enrolled_between", "first_day": "2026-05-01"})[1] == "2026年4月1日"
    assert told({"kind": "between", "first_day": "2026-05-01"}) == ("between", "2026年5月1日", True)
    assert told({"kind": "weekly", "day": "workday"}) == ("weekly", "2026年5月1日周五12:00，休息日", False)
    assert told({"kind": "first_time"})[1] == "此前0次"
    minutes = {"kind": "amount", "attribute": "minutes", "at_least": 60}
    assert told(minutes, VOLUNTEER, attributes={"minutes": 45}) == ("amount", "45分钟", False)
    assert told(minutes, VOLUNTEER) == ("amount", "未提供", False)
    project = {"kind": "value_in", "attribute": "project_id", "values": ["7"]}
    assert told(project, VOLUNTEER, attributes={"project_id": "8"}) == ("value_in", "〔8〕", False)
    category = {"kind": "merchant_category_in", "categories": ["gym"]}
    assert told(category, {"kind": "fact", "fact": "redemption_made"})[1] == "商户类别未知"


def test_a_year_without_published_holidays_is_said_to_be_guessed() -> None:
    at = datetime(max(CHINA.years) + 1, 6, 1, 4, 0, tzinfo=UTC)
    assert "放假安排尚未公布，按周一至周五推定" in told({"kind": "weekly", "day": "workday"}, at=at)[1]


def test_the_triggers_and_effects_of_a_decision_are_told_too() -> None:
    rule = read(RULES["volunteer hours by tiers of a year"])
    history = {need: Tally(3, 1190) for need in needs(rule).history}
    trigger, condition, effect = explain(judge(rule, case_of(rule, attributes={"minutes": 90}, history=history)))
    assert (trigger.code, trigger.seen, trigger.met) == ("fact", "志愿服务时长入账", True)
    assert (condition.code, condition.seen) == ("amount", "1小时30分钟")
    assert (effect.code, effect.seen, effect.met) == ("points_per", "1积分", True)
    nothing = explain(judge(rule, case_of(rule, fact=None)))
    assert (nothing[0].seen, nothing[0].met, nothing[2].seen) == ("尚未发生", False, "")
    national_day = rule_of(None, {"kind": "date", "on": "2026-10-01"})
    assert explain(judge(national_day, case_of(national_day)))[0].seen == "2026年5月1日"


def test_progress_and_reasons_are_told_in_the_units_of_people() -> None:
    measure = {"kind": "sum", "attribute": "minutes", "at_least": 180}
    month = {"kind": "has_done", "fact": "volunteer_hours_recorded", "within": {"kind": "this", "period": "month"}}
    rule = rule_of({**month, "measure": measure}, VOLUNTEER)
    history = {need: Tally(1, 30) for need in needs(rule).history}
    decision = judge(rule, case_of(rule, attributes={"minutes": 90}, history=history))
    (part,) = progress(decision)
    assert part.progress is not None
    assert (part.progress.done, part.progress.needed) == (120, 180)
    assert part.progress.text == "已完成2小时，共需3小时"
    (reason,) = reasons(decision)
    assert (reason.text, reason.seen) == ("当月内“志愿服务”的服务时长合计达到3小时（含本次）", "2小时")


def test_a_reason_that_ought_not_to_hold_is_told_as_such() -> None:
    rule = rule_of({"kind": "not", "of": {"kind": "first_time"}})
    (reason,) = reasons(judge(rule, case_of(rule)))
    assert (reason.code, reason.text, reason.met) == ("not", "不属于以下情形（此前从未有过同类记录）", False)
    assert reason.seen == "此前0次"


def test_a_trigger_that_is_narrowed_says_which_part_was_missing() -> None:
    trigger = {**VOLUNTEER, "where": [{"kind": "amount", "attribute": "minutes", "at_least": 60}]}
    rule = rule_of(None, trigger, FIVE_POINTS)
    (reason,) = reasons(judge(rule, case_of(rule, attributes={"minutes": 30})))
    assert (reason.code, reason.seen) == ("amount", "30分钟")
    (reason,) = reasons(judge(rule, case_of(rule, attributes={"minutes": 30}, fact="login_day")))
    assert (reason.code, reason.seen) == ("fact", "当日首次登录")
