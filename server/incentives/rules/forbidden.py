"""What no rule may ask about a person, under whatever name (guard rails 5 and 11).

The words are looked for in every name and value of a rule: English and pinyin as whole words between the separators
of a code, Chinese anywhere in a text. The list refuses too much rather than too little: a code can be renamed.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class _Group:
    """`words`: between separators; `parts`: anywhere; `whole`: the text itself."""

    label: str
    words: str
    parts: str
    whole: str = ""


_GROUPS: Final = (
    _Group(
        "年龄",
        "age ages aged agegroup minage maxage birth birthday birthdate birthyear dob born elderly senior seniors youth"
        " teen teens teenager minor minors adult adults nianling nianji shengri laoren",
        "年龄 周岁 岁以上 岁以下 岁数 出生 生日 老年人 老人 长者 青年人 未成年",
    ),
    _Group(
        "性别",
        "sex sexes gender male female man men woman women lady ladies xingbie nanxing nvxing",
        "性别 男性 女性 男士 女士 妇女",
        "男 女",
    ),
    _Group(
        "户籍",
        "hukou huji household registeredresidence nativeplace birthplace hometown migrant migrants outsider"
        " immigrant nationality citizenship waidi bendi",
        "户籍 户口 籍贯 本地人 外地人 外来人口 外来务工 国籍 流动人口",
    ),
    _Group(
        "民族",
        "ethnic ethnicity ethnicities racial minzu tibetan uyghur uighur",
        "民族 汉族 回族 藏族 维吾尔 蒙古族 壮族 满族 少数族裔",
    ),
    _Group(
        "宗教信仰",
        "religion religions religious faith belief christian christianity church muslim islam islamic mosque buddhist"
        " buddhism buddha catholic taoist jewish zongjiao xinyang",
        "宗教 信仰 信徒 教徒 佛教 道教 基督 天主教 伊斯兰 穆斯林 清真寺 教堂",
    ),
    _Group(
        "健康与疾病",
        "illness ill disease diseases sick sickness patient patients medical medicine diagnosis diagnoses hospital"
        " health healthy hiv aids cancer covid vaccine vaccinated vaccination disabled disability disabilities handicap"
        " pregnant pregnancy mental jibing bingshi jiankang canji",
        "疾病 病史 患者 病人 病历 诊断 健康 残疾 残障 医疗 就诊 住院 疫苗 怀孕 孕妇 精神障碍 艾滋 癌",
    ),
    _Group("血型与献血", "blood bloodtype marrow xianxue xuexing", "血型 献血 骨髓 造血干细胞"),
    _Group(
        "基因与生物特征",
        "gene genes genetic genetics genome dna fingerprint fingerprints biometric biometrics iris faceprint voiceprint"
        " zhiwen jiyin",
        "基因 遗传 指纹 虹膜 声纹 人脸 生物特征",
    ),
    _Group(
        "收入与财产",
        "income incomes salary salaries wage wages earnings savings wealth wealthy rich poor poverty property"
        " properties realestate estate insurance insured securities stocks asset assets tax taxes taxpayer debt"
        " debts loan loans shouru gongzi cunkuan fangchan nashui",
        "收入 工资 薪资 薪酬 存款 储蓄 财产 资产 房产 不动产 保险 证券 股票 纳税 税额 负债 贷款 低保 贫困",
    ),
    _Group(
        "婚姻与家庭",
        "marriage married marital unmarried divorced divorce spouse husband wife widow widowed family families child"
        " children kids parent parents pregnancy fertility hunyin yihun weihun",
        "婚姻 已婚 未婚 离婚 离异 丧偶 配偶 家庭 子女 生育 独生",
    ),
    _Group(
        "政治面貌",
        "party partymember communist communists ccp cpc political politics dangyuan zhengzhi",
        "党员 党派 党籍 政党 政治面貌 共青团员 入党",
    ),
    _Group("信访", "petition petitions petitioner petitioners xinfang shangfang", "信访 上访 请愿"),
    _Group(
        "言论",
        "speech opinion opinions protest protests complaint complaints complainant yanlun",
        "言论 舆情 投诉 抗议",
    ),
    _Group("性取向", "lgbt gay lesbian homosexual sexual", "性取向 同性恋"),
    _Group(
        "违法犯罪记录",
        "criminal criminals crime crimes conviction convictions convict blacklist redlist offender offenders",
        "犯罪 前科 服刑 失信 黑名单 红名单",
    ),
)  # fmt: skip

_WORDS: Final = {word: group.label for group in _GROUPS for word in group.words.split()}
_PARTS: Final = {part: group.label for group in _GROUPS for part in group.parts.split()}
_WHOLE: Final = {word: group.label for group in _GROUPS for word in group.whole.split()}
_SO_OLD: Final = re.compile(r"[0-9一二三四五六七八九十百]岁")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ENGLISH: Final = re.compile(r"[a-z]+")
_NOT_CHINESE: Final = re.compile(r"[^\u4e00-\u9fff]")


def forbidden(text: str) -> str | None:
    """What the text asks about a person that no rule may ask, in Chinese, or None. Width, case, separators and spaces
    within a word make no difference."""
    plain = unicodedata.normalize("NFKC", text)
    english = _ENGLISH.findall(_CAMEL.sub(" ", plain).casefold())
    joined = [first + second for first, second in itertools.pairwise(english)]
    for word in (*english, *joined):
        if word in _WORDS:
            return _WORDS[word]
    chinese = _NOT_CHINESE.sub("", plain)
    if _SO_OLD.search("".join(plain.split())):
        return "年龄"
    if chinese in _WHOLE:
        return _WHOLE[chinese]
    return next((label for part, label in _PARTS.items() if part in chinese), None)
