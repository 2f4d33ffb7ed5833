"""What a coupon's text says: all that an approver puts his name to, so two templates never read the same."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import assume, given
from hypothesis import strategies as st

from server.incentives.commands import TemplateDraft
from server.incentives.errors import LimitNeverGives, LimitNotCounted
from server.incentives.limits import Limit
from server.incentives.models import CouponTemplateVersion
from server.incentives.usable import UsableTime
from server.incentives.wording import template_text
from server.kit.errors import InvalidField

CITY = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 12, 1, 4, tzinfo=UTC)
#: Shown beside the text (title), the paper's number, and what budgets say.
ELSEWHERE = {"title", "document", "stock", "budget_fen"}

words = st.text("米面油盐酱醋茶", min_size=1, max_size=6)
ids = st.lists(st.integers(1, 99), unique=True, max_size=4).map(tuple)
days = st.dates(date(2027, 1, 1), date(2027, 3, 1))
times = st.sampled_from(["00:00", "11:00", "13:30", "24:00"])
windows = st.builds(
    UsableTime,
    weekdays=st.lists(st.integers(1, 7), min_size=1, unique=True).map(lambda one: tuple(sorted(one))),
    day=st.sampled_from(["any", "workday", "holiday"]), from_time=times, until_time=times,
)  # fmt: skip
limits = st.builds(
    Limit, cap=st.integers(1, 5), action=st.sampled_from(["issue", "redeem"]),
    measure=st.sampled_from(["count", "face_value_fen", "fen"]),
    period=st.sampled_from(["total", "day", "week", "month"]),
    scope=st.sampled_from(["resident", "campaign", "merchant", "store", "town"]),
)  # fmt: skip
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "kind": st.sampled_from(["amount_off", "discount", "exchange"]),
    "starts_at": st.integers(0, 3).map(lambda n: NOON + timedelta(minutes=n)),
    "ends_at": st.integers(1, 4).map(lambda n: NOON + timedelta(days=9, minutes=n)),
    "face_value_fen": st.integers(0, 3000),
    "pay_bp": st.integers(0, 9999),
    "cap_fen": st.integers(0, 3000),
    "threshold_fen": st.integers(0, 9000),
    "platform_bp": st.integers(0, 10_000),
    "sponsor_bp": st.integers(0, 10_000),
    "merchant_bp": st.none(),
    "price_points": st.integers(0, 5),
    "limits": st.lists(limits, max_size=2).map(tuple),
    "starts_after_days": st.integers(0, 3),
    "valid_days": st.integers(0, 3),
    "valid_from": st.none() | days,
    "valid_until": st.none() | days,
    "windows": st.lists(windows, max_size=2).map(tuple),
    "merchants": ids,
    "stores": ids,
    "stacking_group": st.none() | words,
    "most_per_order": st.integers(1, 3),
    "goods_name": st.just("") | words,
    "goods_quantity": st.integers(0, 3),
    "notice": st.just("") | words,
    "void_window_s": st.integers(0, 604_800),
    "grace_days": st.integers(0, 3),
    "return_stock": st.booleans(),
    "claimable": st.booleans(),
    "by_lottery": st.booleans(),
}
PLAIN: dict[str, dict[str, Any]] = {
    "amount_off": {"face_value_fen": 1000},
    "discount": {"pay_bp": 8500, "cap_fen": 1000},
    "exchange": {"face_value_fen": 500},
}


def legal(draft: TemplateDraft) -> bool:
    try:
        draft.check()
    except (InvalidField, LimitNeverGives, LimitNotCounted):
        return False
    return True


@st.composite
def drafts(draw: st.DrawFn) -> TemplateDraft:
    """Any legal template: a plain one of its kind, and whichever other values still go together with it."""
    kind = draw(VALUES["kind"])
    draft = TemplateDraft("券", "文", kind, NOON, NOON + timedelta(days=9), 10, **PLAIN[kind])
    for name, values in VALUES.items():
        changed = replace(draft, **{name: draw(values)})
        draft = changed if legal(changed) else draft
    return draft


def read(draft: TemplateDraft) -> str:
    return template_text(CouponTemplateVersion(**draft.columns()), CITY)


def test_every_field_is_varied_or_stands_elsewhere() -> None:
    assert {one.name for one in fields(TemplateDraft)} == set(VALUES) | ELSEWHERE


@given(drafts(), st.data())
def test_another_value_of_any_field_is_another_text(draft: TemplateDraft, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(VALUES)))
    changed = replace(draft, **{name: data.draw(VALUES[name])})
    assume(legal(changed) and changed.columns() != draft.columns())
    assert read(changed) != read(draft)


@given(drafts(), drafts())
def test_two_templates_that_say_different_things_read_differently(one: TemplateDraft, other: TemplateDraft) -> None:
    assert (read(one) == read(other)) == (one.columns() == other.columns())
