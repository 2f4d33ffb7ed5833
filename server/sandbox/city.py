"""A small Jiangyin that never was: towns, merchants, residents, campaigns and coupons as plain data.

    sample_city(seed, residents=…)  ->  City( merchants( stores, staff ), residents, campaigns, templates )

The same seed gives the same city, and a larger city begins with the people of the smaller one. Nobody in it exists:

- ID numbers have a right check character and a real day of birth, and so pass our check, but their region is 329900.
  Jiangsu is 32; its prefectures are 3201 to 3213, and no place was ever given 3299.
- Phone numbers begin with 100, which no subscriber's number does.
- Unified social credit codes carry the same region and a right check character.
- Every merchant says 示例 in its name.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from server.incentives.usable import UsableTime
from server.people.id_number import check_character

REGION: Final = "329900"
MAX_RESIDENTS: Final = 2_000_000

TOWNS: Final = (
    "澄江街道", "城东街道", "南闸街道", "云亭街道", "夏港街道", "申港街道", "利港街道", "璜土镇", "月城镇", "青阳镇",
    "徐霞客镇", "华士镇", "周庄镇", "新桥镇", "长泾镇", "顾山镇", "祝塘镇",
)  # fmt: skip

#: code, name; the lowest first. REC: nobody is shown a band below the standard one.
BANDS: Final = (("S", "标准"), ("A", "A级"), ("A+", "A+级"), ("AA", "AA级"), ("AAA", "AAA级"))
BAND_WEIGHTS: Final = (40, 30, 16, 10, 4)
INTERESTS: Final = (
    ("reading", "阅读"), ("sport", "运动健身"), ("volunteering", "志愿服务"), ("nature", "自然户外"),
    ("dining", "本地美食"), ("travel", "绿色出行"), ("culture", "文化演出"),
)  # fmt: skip
CATEGORIES: Final = (
    ("book", "书店"), ("market", "超市便利"), ("restaurant", "餐饮"), ("pharmacy", "药店"), ("parking", "停车"),
    ("scenic", "景区"), ("cinema", "影院"), ("sport", "健身"), ("care", "家政"), ("transport", "交通出行"),
)  # fmt: skip

_SURNAMES: Final = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田"
    "任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文缪承"
)
_DOUBLE_SURNAMES: Final = ("欧阳", "上官", "司徒", "诸葛", "司马")
_GIVEN: Final = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂英华文玉兰春梅建国志红海燕晓云雪婷宇浩然子涵欣怡梓轩思远嘉诚雨泽若曦书瑶俊"
    "豪佳琪天佑安宁永康立新秋月立群德培荣根福生"
)
_LONG_NAMES: Final = ("阿依古丽·买买提", "玛依拉·吐尔逊", "扎西·多吉", "巴特尔·乌恩其")
_LICENCE_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"


@dataclass(frozen=True, slots=True)
class SampleResident:
    """One person. `openid` is what the stand-in's login codes are minted for."""

    key: str
    name: str
    id_number: str = field(repr=False)
    phone: str = field(repr=False)
    openid: str
    born: date
    town: str
    band: str


@dataclass(frozen=True, slots=True)
class SampleStaff:
    """Somebody behind a counter. role: owner | manager | cashier | auditor; `store` is a store's key, None for all."""

    key: str
    name: str
    openid: str
    role: str
    store: str | None


@dataclass(frozen=True, slots=True)
class SampleStore:
    key: str
    name: str
    town: str


@dataclass(frozen=True, slots=True)
class SampleMerchant:
    """`kind`: a code of `CATEGORIES`."""

    key: str
    kind: str
    name: str
    licence_number: str
    stores: tuple[SampleStore, ...]
    staff: tuple[SampleStaff, ...]


@dataclass(frozen=True, slots=True)
class SampleCampaign:
    """Days count from the day of loading."""

    key: str
    title: str
    document: str
    trigger: str
    points: int
    budget_points: int
    per_person: int = 1
    validity_months: int = 24
    starts_in_days: int = -1
    ends_in_days: int = 180


@dataclass(frozen=True, slots=True)
class SampleTemplate:
    """A coupon template; `merchants` are keys, empty for any. Fields as in `incentives.commands.TemplateDraft`."""

    key: str
    title: str
    document: str
    kind: str
    stock: int
    face_value_fen: int = 0
    pay_bp: int = 0
    cap_fen: int = 0
    threshold_fen: int = 0
    platform_bp: int = 0
    sponsor_bp: int = 10_000
    price_points: int = 0
    per_person: int = 1
    valid_days: int = 30
    windows: tuple[UsableTime, ...] = ()
    merchants: tuple[str, ...] = ()
    stacking_group: str | None = None
    goods_name: str = ""
    goods_quantity: int = 0
    notice: str = ""
    starts_in_days: int = -1
    ends_in_days: int = 180


@dataclass(frozen=True, slots=True)
class City:
    """The whole city; frozen, without ids, ready to be loaded through the services."""

    name: str
    towns: tuple[str, ...]
    bands: tuple[tuple[str, str], ...]
    interests: tuple[tuple[str, str], ...]
    categories: tuple[tuple[str, str], ...]
    merchants: tuple[SampleMerchant, ...]
    residents: tuple[SampleResident, ...]
    campaigns: tuple[SampleCampaign, ...]
    templates: tuple[SampleTemplate, ...]

    def people(self) -> list[tuple[str, str]]:
        """(name, ID number) of everybody: what the name-and-ID check must know."""
        return [(resident.name, resident.id_number) for resident in self.residents]


#: kind, name, its stores as (name, town)
_MERCHANTS: Final[tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]] = (
    ("book", "澄江书苑（示例）", (("人民路店", "澄江街道"), ("大学城店", "城东街道"))),
    ("market", "暨阳惠民超市（示例）", (("虹桥店", "澄江街道"), ("要塞店", "城东街道"), ("青阳店", "青阳镇"))),
    ("restaurant", "老街面馆（示例）", (("北大街店", "澄江街道"), ("华士店", "华士镇"))),
    ("pharmacy", "康和大药房（示例）", (("朝阳路店", "澄江街道"), ("周庄店", "周庄镇"))),
    ("parking", "城中停车（示例）", (("中山公园停车场", "澄江街道"), ("火车站停车场", "南闸街道"))),
    ("scenic", "江尾海头景区（示例）", (("景区南门", "夏港街道"),)),
    ("cinema", "暨阳影城（示例）", (("万象店", "澄江街道"),)),
    ("sport", "滨江健身（示例）", (("滨江店", "申港街道"), ("新桥店", "新桥镇"))),
    ("care", "邻里家政（示例）", (("南闸服务站", "南闸街道"),)),
    ("transport", "澄畅出行（示例）", (("客运中心", "云亭街道"),)),
)

_CAMPAIGNS: Final = (
    SampleCampaign("welcome", "实名有礼", "澄信办〔2026〕1号", "identity_bound", 100, 100_000_000),
    SampleCampaign(
        "opening",
        "诚信江阴开通纪念",
        "澄信办〔2026〕2号",
        "identity_bound",
        20,
        2_000_000,
        validity_months=12,
        ends_in_days=30,
    ),
)

_TEMPLATES: Final = (
    SampleTemplate(
        "noodles", "老街面馆十元券", "澄信办〔2026〕11号", "amount_off", 20_000,
        face_value_fen=1_000, threshold_fen=2_000, price_points=60, per_person=2, merchants=("restaurant-1",),
    ),
    SampleTemplate(
        "books", "澄江书苑八折券", "澄信办〔2026〕12号", "discount", 5_000,
        pay_bp=8_000, cap_fen=3_000, price_points=40, merchants=("book-1",),
    ),
    SampleTemplate(
        "park", "景区门票兑换券", "澄信办〔2026〕13号", "exchange", 3_000,
        face_value_fen=4_000, price_points=80, valid_days=60, merchants=("scenic-1",),
        goods_name="景区成人门票", goods_quantity=1, notice="入园当日凭码换票，节假日请提前预约。",
    ),
    SampleTemplate(
        "lunch", "工作日午餐立减五元", "澄信办〔2026〕18号", "amount_off", 10_000,
        face_value_fen=500, threshold_fen=1_500, platform_bp=5_000, sponsor_bp=3_000, price_points=20, per_person=3,
        windows=(UsableTime(day="workday", from_time="11:00", until_time="13:30"),), merchants=("restaurant-1",),
        stacking_group="餐饮",
    ),
    SampleTemplate(
        "market", "惠民超市五元券", "澄信办〔2026〕14号", "amount_off", 50_000,
        face_value_fen=500, price_points=0, per_person=1, merchants=("market-1",),
    ),
    SampleTemplate(
        "pharmacy", "药房满百减二十", "澄信办〔2026〕15号", "amount_off", 4_000,
        face_value_fen=2_000, threshold_fen=10_000, sponsor_bp=5_000, price_points=50, merchants=("pharmacy-1",),
    ),
    SampleTemplate(
        "everywhere", "诚信商户通用三元券", "澄信办〔2026〕16号", "amount_off", 100_000,
        face_value_fen=300, price_points=10, per_person=5, valid_days=15,
    ),
    SampleTemplate(
        "scarce", "影城首映兑换券（限量十张）", "澄信办〔2026〕17号", "exchange", 10,
        face_value_fen=6_000, price_points=20, merchants=("cinema-1",),
    ),
)  # fmt: skip


def sample_city(seed: int = 1, *, residents: int = 200, today: date = date(2026, 11, 1)) -> City:
    """The city of `seed` with `residents` adults, all between 18 and 90 years old on `today`."""
    if not 1 <= residents <= MAX_RESIDENTS:
        raise ValueError(f"residents must be between 1 and {MAX_RESIDENTS}")
    return City(
        name="江阴市（示例）",
        towns=TOWNS,
        bands=BANDS,
        interests=INTERESTS,
        categories=CATEGORIES,
        merchants=tuple(_merchants(random.Random(f"{seed}:merchants"))),
        residents=tuple(_residents(random.Random(f"{seed}:residents"), residents, seed, today)),
        campaigns=_CAMPAIGNS,
        templates=_TEMPLATES,
    )


def licence_check_character(first_17: str) -> str:
    """The 18th character of a unified social credit code (GB 32100-2015): MOD 31 with the weights 3^i."""
    total = sum(_LICENCE_ALPHABET.index(char) * pow(3, place, 31) for place, char in enumerate(first_17))
    return _LICENCE_ALPHABET[-total % 31]


def id_number(born: date, sequence: int) -> str:
    """An ID number of nobody: right in every digit, from a region that does not exist."""
    first = f"{REGION}{born:%Y%m%d}{sequence:03d}"
    return first + check_character(first)


def _name(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.003:
        return chance.choice(_LONG_NAMES)
    surname = chance.choice(_DOUBLE_SURNAMES) if kind < 0.015 else chance.choice(_SURNAMES)
    return surname + "".join(chance.choice(_GIVEN) for _ in range(1 if chance.random() < 0.15 else 2))


def _residents(chance: random.Random, count: int, seed: int, today: date) -> list[SampleResident]:
    youngest = date(today.year - 18, 1, 1) - timedelta(days=1)
    span = (youngest - date(today.year - 90, 12, 31)).days
    taken: set[str] = set()
    people: list[SampleResident] = []
    while len(people) < count:
        born = youngest - timedelta(days=chance.randrange(span))
        number = id_number(born, chance.randrange(1, 1000))
        name, town = _name(chance), chance.choice(TOWNS)
        if number in taken:
            continue
        taken.add(number)
        place = len(people) + 1
        people.append(
            SampleResident(
                key=f"resident-{place}",
                name=name,
                id_number=number,
                phone=f"100{place:08d}",
                openid=f"oSample{seed:03d}R{place:08d}",
                born=born,
                town=town,
                # By a chance of its own, so that the people stay who they are.
                band=random.Random(f"{seed}:band:{place}").choices([code for code, _ in BANDS], BAND_WEIGHTS)[0],
            )
        )
    return people


def _merchants(chance: random.Random) -> list[SampleMerchant]:
    merchants = []
    for kind, name, places in _MERCHANTS:
        key = f"{kind}-1"
        stores = tuple(
            SampleStore(f"{key}-store-{place}", f"{name}{store}", town) for place, (store, town) in enumerate(places, 1)
        )
        first = f"91{REGION}MA{chance.randrange(10**7):07d}"
        merchants.append(
            SampleMerchant(key, kind, name, first + licence_check_character(first), stores, _staff(chance, key, stores))
        )
    return merchants


def _staff(chance: random.Random, merchant: str, stores: tuple[SampleStore, ...]) -> tuple[SampleStaff, ...]:
    def one(key: str, role: str, store: str | None) -> SampleStaff:
        return SampleStaff(key, _name(chance), f"oSampleStaff-{key}", role, store)

    return (
        one(f"{merchant}-owner", "owner", None),
        one(f"{merchant}-manager", "manager", None),
        one(f"{merchant}-auditor", "auditor", None),
        *(one(f"{store.key}-cashier", "cashier", store.key) for store in stores),
    )
