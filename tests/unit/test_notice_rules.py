"""When notices are due and what they say; how breakage is named; how a job rests."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from server.config import Settings
from server.expiry.points import posting_id
from server.kit.clock import Clock
from server.kit.ids import version_of
from server.kit.pace import Pace
from server.notices.wording import (
    COUPON,
    POINTS,
    MessageTemplate,
    chinese_day,
    coupon_text,
    lead_due,
    leads_of,
    points_text,
)
from server.sandbox.engines import ROLES, EngineUrls
from server.sandbox.environment import sandbox_environment
from server.sandbox.wechat.messages import VALUES
from wallet.due import OwnedLot

LEADS = (30, 7)
KEY = b"job key of the tests, 32 bytes.."


@pytest.mark.parametrize(
    ("today", "last_day", "lead"),
    [
        ("2026-10-30", "2026-11-30", None),  # 31 days left
        ("2026-10-31", "2026-11-30", 30),
        ("2026-11-22", "2026-11-30", 30),  # 8 days left: a job that did not run tells it late
        ("2026-11-23", "2026-11-30", 7),
        ("2026-11-30", "2026-11-30", 7),  # the last day itself
        ("2026-12-01", "2026-11-30", None),
        ("2026-12-01", "2026-12-31", 30),  # over a year's end
        ("2026-12-24", "2026-12-31", 7),
        ("2027-01-01", "2027-01-31", 30),
        ("2027-01-29", "2027-02-28", 30),
        ("2028-01-30", "2028-02-29", 30),  # a leap year's February
        ("2028-02-22", "2028-02-29", 7),
    ],
)
def test_a_notice_is_due_from_its_lead_on_and_the_nearest_lead_is_told(
    today: str, last_day: str, lead: int | None
) -> None:
    assert lead_due(date.fromisoformat(today), date.fromisoformat(last_day), LEADS) == lead


def test_every_lot_is_told_each_lead_once_when_every_day_is_looked_at() -> None:
    last_day = date(2026, 12, 31)
    told = {lead_due(last_day - timedelta(days=left), last_day, LEADS) for left in range(60)}
    assert told == {None, 30, 7}


def test_leads_are_read_from_a_setting_longest_first() -> None:
    assert leads_of("7,30,7") == (30, 7)
    assert leads_of("") == ()


def test_the_city_s_day_decides_when_a_lot_is_past_its_day() -> None:
    clock = Clock("Asia/Shanghai")
    assert clock.midnight_after(date(2026, 12, 31)) == datetime(2026, 12, 31, 16, tzinfo=UTC)
    assert clock.midnight_after(date(2028, 2, 29)) == datetime(2028, 2, 29, 16, tzinfo=UTC)


def test_a_breakage_has_one_name_that_carries_its_midnight() -> None:
    clock, lot = Clock("Asia/Shanghai"), OwnedLot(7, date(2026, 12, 31), 50)
    name = posting_id(clock, KEY, lot)
    assert name == posting_id(clock, KEY, OwnedLot(7, date(2026, 12, 31), 60)), "whatever is in the lot"
    assert version_of(name) == 8
    assert name.int >> 80 == int(datetime(2026, 12, 31, 16, tzinfo=UTC).timestamp() * 1000)
    others = {OwnedLot(8, date(2026, 12, 31), 50), OwnedLot(7, date(2027, 1, 31), 50)}
    assert name not in {posting_id(clock, KEY, other) for other in others}
    assert name != posting_id(clock, b"x" * 32, lot)


def test_a_notice_says_how_many_points_and_through_which_day() -> None:
    text = points_text(120, date(2026, 11, 30), date(2026, 10, 31))
    assert "120 积分" in text
    assert "2026年11月30日" in text
    assert "还有 30 天" in text
    assert "今天是最后一天" in coupon_text("老街面馆十元券", date(2026, 11, 30), date(2026, 11, 30))
    assert "优惠券" in coupon_text("", date(2026, 11, 30), date(2026, 11, 29))


def test_the_longest_notice_fits_its_column() -> None:
    assert len(points_text(10**18, date(2026, 12, 31), date(2026, 12, 1))) <= 200
    assert len(coupon_text("券" * 60, date(2026, 12, 31), date(2026, 12, 1))) <= 200


def test_what_is_sent_fits_what_wechat_takes() -> None:
    template = MessageTemplate.parse("id-1;title=thing1;name=thing2;points=number3;day=date4;advice=phrase5")
    assert template is not None
    values = template.values(
        COUPON, last_day=date(2026, 12, 31), points=None, name="影城首映兑换券（限量十张）加长版本加长版本"
    )
    assert values["thing2"] == "影城首映兑换券（限量十张）加长版本加长…"
    values |= template.values(POINTS, last_day=date(2026, 12, 31), points=120, name="")
    assert (values["number3"], values["date4"]) == ("120", chinese_day(date(2026, 12, 31)))
    for key in ("thing1", "thing2", "number3", "date4"):
        assert VALUES[key.rstrip("0123456789")].fullmatch(values[key]), (key, values[key])


def test_without_a_template_nothing_goes_through_wechat() -> None:
    assert MessageTemplate.parse("") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("notice_points_message", "id-1"),
        ("notice_points_message", "id-1;name=thing1"),
        ("notice_points_message", "id 1;title=thing1"),
        ("notice_points_message", "id-1;title=thing"),
        ("notice_coupon_message", "id-1;points=number1"),
        ("notice_points_days", "0"),
        ("notice_points_days", "30;7"),
        ("notice_points_days", "100"),
        ("notice_page", "/pages/index"),
        ("expiry_share", "0"),
    ],
)
def test_a_setting_that_cannot_be_meant_ends_the_start(name: str, value: str) -> None:
    urls = EngineUrls(1, Path("nowhere"), dict.fromkeys(ROLES, "x"), None)
    plain = sandbox_environment(urls, database="x", wechat_base="x", appid="x", app_secret="x", realname_key="x")
    good = {name.removeprefix("CHENGXIN_").lower(): text for name, text in plain.items()}
    Settings(**good)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match=name):
        Settings(**(good | {name: value}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pace", "pieces", "took_s", "rest_s"),
    [
        (Pace(), 64, 0.5, 0.0),
        (Pace(per_second=64), 64, 0.25, 0.75),
        (Pace(per_second=64), 64, 1.5, 0.0),
        (Pace(share=50), 64, 0.5, 0.5),  # a slow database makes it rest longer
        (Pace(share=20), 0, 0.1, 0.4),
        (Pace(per_second=640, share=50), 64, 0.02, 0.08),
        (Pace(per_second=640, share=50), 64, 0.2, 0.2),
    ],
)
def test_a_job_rests_for_its_rate_and_for_its_share_whichever_is_longer(
    pace: Pace, pieces: int, took_s: float, rest_s: float
) -> None:
    assert pace.rest_s(pieces, took_s) == pytest.approx(rest_s)
