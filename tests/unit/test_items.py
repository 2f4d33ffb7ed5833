"""The shapes that cross the wire: what was answered cannot be changed afterwards, and is built by name."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from wallet import items, terms

ANSWERS = [
    one
    for one in vars(items).values()
    if isinstance(one, type) and issubclass(one, msgspec.Struct) and one not in (msgspec.Struct, items.Item)
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda one: one.__name__)
def test_an_answer_cannot_be_changed(answer: type[msgspec.Struct]) -> None:
    assert answer.__struct_config__.frozen
    kinds = {one.kind for one in inspect.signature(answer).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


def test_who_stands_at_the_counter_cannot_be_changed() -> None:
    place = items.Acceptor(merchant_id=1, store_id=2, terminal_id=3, staff_id=None)
    with pytest.raises(AttributeError):
        place.staff_id = 4  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        place.another = 4  # type: ignore[attr-defined]


def test_what_was_not_asked_for_is_not_sent() -> None:
    sent = msgspec.json.decode(msgspec.json.encode(items.Item(items.Op.SPEND, b=1, owner=1, n=0, points=5)))
    assert sent == {"op": 8, "b": 1, "owner": 1, "n": 0, "points": 5}


@pytest.mark.parametrize(("resident", "bucket"), [(0, 0), (1023, 1023), (1024, 0), (7_001_001, 7_001_001 % 1024)])
def test_a_resident_has_a_bucket(resident: int, bucket: int) -> None:
    assert items.bucket_of(resident) == bucket


def test_terms_default_to_two_years_and_to_no_condition_that_nobody_wrote() -> None:
    earning = terms.EarnTerms(id=1, points_budget=2, points=3)
    assert (earning.validity_months, earning.person_limits, earning.scoped_limits) == (24, (), ())
    coupon = terms.CouponTerms
    defaults = dict(zip(coupon.__struct_fields__[::-1], coupon.__struct_defaults__[::-1], strict=False))
    named = {name: value for name, value in defaults.items() if value is not msgspec.NODEFAULT}
    assert named == {
        "platform_bp": 0, "starts_after_days": 0, "valid_from": None, "windows": (), "stores": (),
        "stacking_group": None, "most_per_order": 1, "grace_days": 0, "scoped_limits": (),
    }  # fmt: skip
    always = terms.UsableWindow()
    assert (always.weekdays, always.day) == ((1, 2, 3, 4, 5, 6, 7), "any")
    assert (always.from_minute, always.until_minute) == (0, 1440)


@pytest.mark.parametrize("name", [name for name, _ in items._NUMBERS])
def test_a_number_fits_up_to_its_column(name: str) -> None:
    limit = dict(items._NUMBERS)[name]
    assert limit == {"life_s": 2**31, "validity_months": 2**15}.get(name, 2**63)
    for number, fits in ((limit - 1, True), (limit, False), (-limit, True), (-limit - 1, False), (None, True)):
        item = items.Item(items.Op.SPEND, b=1, owner=1)
        setattr(item, name, number)
        assert items.fits(item) is fits


@pytest.mark.parametrize("name", items._TEXTS)
def test_a_text_fits_when_postgresql_can_hold_it(name: str) -> None:
    for text, fits in (
        ("", True),
        ("好", True),
        ("\ud7ff\ue000", True),
        ("a\0", False),
        ("\ud800", False),
        ("\udfff", False),
    ):
        assert items.fits(items.Item(items.Op.SPEND, b=1, owner=1, **{name: text})) is fits
