"""Rules as documents: what can be written, and that what is written comes back."""

from __future__ import annotations

import msgspec
import pytest

from server.incentives.rules import FACTS, Rule, RuleRefused, check, read, text
from server.incentives.rules.forbidden import forbidden
from tests.support.rules import LOGIN, RULES, rule_of


@pytest.mark.parametrize("document", RULES.values(), ids=RULES.keys())
def test_a_rule_may_be_saved_and_comes_back_from_json_as_it_was(document: dict[str, object]) -> None:
    rule = read(document)
    check(rule)
    assert msgspec.json.decode(msgspec.json.encode(rule), type=Rule) == rule
    assert read(msgspec.to_builtins(rule)) == rule


def test_the_words_of_the_catalogue_are_not_among_the_forbidden_ones() -> None:
    for kind, fact in FACTS.items():
        assert [word for word in (kind, fact.name, *fact.attributes) if forbidden(word)] == []


@pytest.mark.parametrize(
    "word",
    ["age", "minAge", "AGE_GROUP", "ａｇｅ", "birth-date", "sex", "年龄", "年 龄", "满60周岁", "满 60 岁", "六十岁",
     "性 别", "男", "户籍", "hukou",
     "信仰佛教", "religion", "慢性疾病", "illness", "血型", "无偿献血", "blood_donation", "income", "工资",
     "婚姻状况", "married", "party_member", "partyMember", "党员", "信访", "petition", "基因", "投诉", "民族", "保险"],
)  # fmt: skip
def test_a_forbidden_word_is_refused_with_its_reason_wherever_it_stands(word: str) -> None:
    assert forbidden(word)
    for condition in ({"kind": "town_in", "towns": [word]}, {"kind": word}, {"kind": "first_time", word: 1}):
        with pytest.raises(RuleRefused) as refused:
            check(read({"trigger": LOGIN, "condition": condition, "effect": {"kind": "points", "points": 1}}))
        assert "不得涉及" in refused.value.message
        assert str(refused.value.field).startswith("condition")


@pytest.mark.parametrize(
    "word", ["average", "Essex", "澄江街道", "岁末感恩", "华士镇", "A+", "AAA", "volunteer", "package", "monday"]
)
def test_a_word_that_only_holds_a_forbidden_one_is_no_forbidden_word(word: str) -> None:
    assert forbidden(word) is None


@pytest.mark.parametrize(
    "effect",
    [{"kind": "points", "points": -5}, {"kind": "deduct", "points": 5}, {"kind": "扣分", "points": 5},
     {"kind": "points", "points": 5, "penalty": 1}, {"kind": "points", "points": 5, "penalty": "none"},
     {"kind": "free_minutes", "minutes": -30},
     {"kind": "points_per", "attribute": "minutes", "at_most_points": 9, "tiers": [{"per": 1, "points": -1}]},
     {"kind": "block", "scene": "parking"}, {"kind": "points", "points": -0.5}],
)  # fmt: skip
def test_an_effect_that_takes_away_is_refused_with_the_reason(effect: dict[str, object]) -> None:
    with pytest.raises(RuleRefused, match="rule_refused") as refused:
        read({"trigger": LOGIN, "effect": effect})
    assert "只能给予" in refused.value.message
    assert str(refused.value.field).startswith("effect.")


def test_the_text_is_one_chinese_sentence() -> None:
    rule = rule_of({"kind": "band_at_least", "band": "A"}, effect={"kind": "points", "points": 5})
    assert text(rule) == "当日首次登录时，须信用等级不低于〔A〕，可获得5积分。"
