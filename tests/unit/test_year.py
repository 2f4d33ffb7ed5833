"""The year's own arithmetic, and that its reconciliation can fail: by one fen, by a book that says nothing."""

from __future__ import annotations

import io
from copy import deepcopy
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from server.sandbox.year import report
from server.sandbox.year.account import Account, Book, Unexpected
from server.sandbox.year.plan import CAMPAIGNS, TEMPLATES, at
from server.sandbox.year.promises import PROMISES, Happening
from server.sandbox.year.reconcile import Difference, differences
from server.sandbox.year.worth import Purse, discount_fen, most_paid_fen, shares_fen

OFFERS = {one.key: one for one in TEMPLATES}
BANDS = ("S", "A", "A+", "AA", "AAA")


def lived() -> Account:
    """One resident, one welcome, one coupon used."""
    account = Account(BANDS)
    account.join("resident-1", "华士镇")
    account.tell(Happening("resident-1", "identity_bound", at("01-05 10:00")))
    coupon = account.got("resident-1", "noodles", "c-1", "2026-02-20", date(2026, 1, 6), paid=True)
    account.redeemed(coupon, "restaurant-1", 2_680, receipt())
    return account


def receipt(**changes: int) -> dict[str, int]:
    return {"discount_fen": 1_000, "platform_fen": 0, "sponsor_fen": 800, "merchant_fen": 200} | changes


def test_a_year_shows_at_least_twelve_kinds_and_every_campaign_is_promised_by_hand() -> None:
    kinds = [one.kind for one in (*CAMPAIGNS, *TEMPLATES)]
    assert len(set(kinds)) == len(kinds) >= 12
    assert {one.key for one in CAMPAIGNS} == PROMISES.keys()


def test_equal_books_do_not_differ() -> None:
    book = lived().templates(date(2026, 1, 7))
    assert differences("账本", book, deepcopy(book)) == []


def test_one_fen_too_few_in_one_book_is_named() -> None:
    book = lived().templates(date(2026, 1, 7))
    seen = deepcopy(book)
    seen["noodles"]["sponsor_fen"] -= 1
    assert differences("账本", book, seen) == [Difference("账本", "noodles", "sponsor_fen", 800, 799)]


@pytest.mark.parametrize("of_whom", ["expected", "seen"])
def test_a_figure_that_only_one_book_has_differs(of_whom: str) -> None:
    books: dict[str, Book] = {"expected": {"a": {"points": 1}}, "seen": {"a": {"points": 1}}}
    books[of_whom]["b"] = {"points": 0}
    assert [one.key for one in differences("账本", books["expected"], books["seen"])] == ["b"]


def test_a_figure_that_is_asked_for_and_that_nobody_has_differs() -> None:
    assert differences("账本", {"a": {}}, {"a": {}}, ["points"]) == [Difference("账本", "a", "points", None, None)]


def test_a_receipt_that_is_one_fen_off_is_noticed_when_it_comes() -> None:
    account = Account(BANDS)
    account.join("resident-1", "华士镇")
    coupon = account.got("resident-1", "noodles", "c-1", "2026-02-20", date(2026, 1, 6), paid=False)
    with pytest.raises(Unexpected, match="receipt"):
        account.redeemed(coupon, "restaurant-1", 2_680, receipt(sponsor_fen=799, merchant_fen=201))


def test_a_last_day_other_than_the_plan_s_is_noticed() -> None:
    with pytest.raises(Unexpected, match="last day"):
        lived().got("resident-1", "noodles", "c-2", "2026-02-21", date(2026, 1, 6), paid=False)


def test_the_table_shows_what_differs() -> None:
    account, out = lived(), io.StringIO()
    today = date(2026, 1, 7)
    expected = {"campaigns": account.campaigns(), "templates": account.templates(today), "city": account.city(today),
                "merchants": account.merchants()}  # fmt: skip
    report.show(Console(file=out, width=200), account, expected, [Difference("账本", "noodles", "paid_fen", 800, 799)])
    told = out.getvalue()
    assert told.count("不符") == 1 and told.count("相符") == len(CAMPAIGNS) + len(TEMPLATES) - 1
    assert "expected 800, seen 799" in told


def test_points_end_with_their_month_and_the_soonest_is_spent_first() -> None:
    purse = Purse()
    purse.earn(date(2026, 1, 10), 24, 100)
    purse.earn(date(2026, 2, 5), 1, 30)
    purse.spend(date(2026, 3, 1), 50)
    assert purse.lots == {date(2028, 1, 31): 80}
    with pytest.raises(ValueError, match="81 points"):
        purse.spend(date(2026, 3, 2), 81)
    assert (purse.points(date(2028, 1, 31)), purse.points(date(2028, 2, 1)), purse.expired) == (80, 0, 80)


@given(st.sampled_from(TEMPLATES), st.integers(1, 100_000))
def test_three_shares_are_the_whole_and_never_more_than_was_reserved(offer: object, order_fen: int) -> None:
    template = OFFERS[offer.key]  # type: ignore[attr-defined]
    needs_amount = template.benefit == "discount" or template.threshold_fen
    saved = discount_fen(template, max(order_fen, template.threshold_fen) if needs_amount else None)
    shares = shares_fen(template, saved)
    assert sum(shares) == saved and min(shares) >= 0
    assert sum(shares[:2]) <= most_paid_fen(template)


def test_a_fen_that_is_left_goes_to_the_largest_fraction() -> None:
    assert shares_fen(OFFERS["red"], 888) == (296, 296, 296)
    assert shares_fen(OFFERS["books"], 1) == (1, 0, 0)
    assert discount_fen(OFFERS["books"], 1_003) == 201


def test_what_happens_while_a_campaign_is_paused_earns_nothing() -> None:
    account = lived()
    account.pauses["library"] = [(at("08-12 12:00"), at("08-14 10:00"))]
    for when in ("08-12 11:59", "08-13 09:00", "08-14 10:00"):
        account.tell(Happening("resident-1", "library_returned_on_time", at(when)))
    assert account.points["library"] == 4


def test_nothing_is_promised_outside_a_campaign_s_days() -> None:
    account = lived()
    account.tell(Happening("resident-1", "identity_bound", datetime(2027, 2, 1, tzinfo=UTC)))
    assert account.points["welcome"] == 100
