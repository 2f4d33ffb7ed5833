"""Every operation that writes a line has a word and a title for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args
from uuid import UUID

import pytest

from miniprogram_api.present import entry_filter, entry_kind, entry_title
from miniprogram_api.schemas.wallet import EntryKind
from server.admin_api.schemas.wallets import OpName
from wallet import STATUSES, Entry, Op

INSUFFICIENT = next(one for one in STATUSES.values() if one.sticky and one.number)
WRITTEN = [op for op in Op if op is not Op.CLAIM_CREDENTIAL]


def line(op: Op, status: int = 0, points: int = 0) -> Entry:
    return Entry(UUID(int=1), 1, op, status, points, 0, 0, 0, None, None, datetime(2026, 11, 23, tzinfo=UTC), {})


@pytest.mark.parametrize("op", WRITTEN)
def test_an_operation_has_a_word_of_its_own_a_title_and_a_filter(op: Op) -> None:
    kind = entry_kind(line(op))
    assert kind in get_args(EntryKind)
    assert entry_filter(kind) == ([op], False)
    assert any("\u4e00" <= letter <= "\u9fff" for letter in entry_title(line(op)))
    assert op.name.lower() in get_args(OpName)


def test_no_word_is_without_an_operation() -> None:
    assert {entry_kind(line(op)) for op in WRITTEN} | {"refused"} == set(get_args(EntryKind))
    assert {op.name.lower() for op in WRITTEN} == set(get_args(OpName))


@pytest.mark.parametrize("status", [one for one in STATUSES.values() if one.sticky and one.number])
def test_a_written_refusal_says_what_was_refused_and_why(status: object) -> None:
    row = line(Op.SPEND, status.number)  # type: ignore[attr-defined]
    assert (entry_kind(row), entry_filter("refused")) == ("refused", (None, True))
    assert entry_title(row) == f"使用积分未成功：{status.message}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("op", WRITTEN)
def test_a_refused_line_names_the_deed_and_not_what_it_would_have_become(op: Op) -> None:
    title = entry_title(line(op, INSUFFICIENT.number))
    deed, _, why = title.partition("未成功：")
    assert deed and why == INSUFFICIENT.message
    assert "已" not in deed and "，" not in deed, title


def test_refused_lines_read_as_sentences() -> None:
    assert entry_title(line(Op.REFUND, INSUFFICIENT.number)) == f"退还积分未成功：{INSUFFICIENT.message}"
    assert entry_title(line(Op.CAPTURE, INSUFFICIENT.number)) == f"使用预扣积分未成功：{INSUFFICIENT.message}"


def test_a_claim_that_costs_points_is_an_exchange() -> None:
    assert entry_title(line(Op.CLAIM, points=-5)) == "积分兑换电子券"
    assert entry_title(line(Op.CLAIM)) == "领取电子券"


def test_a_coupon_that_was_given_says_so() -> None:
    assert entry_title(replace(line(Op.CLAIM), detail={"granted": "job:7"})) == "获得赠送的电子券"
