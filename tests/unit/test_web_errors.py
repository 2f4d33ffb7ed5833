"""What an exception of the database becomes on the wire."""

from __future__ import annotations

import asyncpg
import pytest
from tortoise.exceptions import OperationalError

from server.kit.errors import InvalidField
from server.web.errors import UnknownField, known


def wrapped(cause: Exception) -> OperationalError:
    error = OperationalError(cause)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("by_the_house", [False, True])
def test_a_statement_that_took_too_long_is_to_be_tried_again_and_no_fault(by_the_house: bool) -> None:
    slow = asyncpg.QueryCanceledError("canceling statement due to statement timeout")
    refused = known(wrapped(slow) if by_the_house else slow)
    assert refused is not None
    assert (refused.code, refused.status, refused.retry_after_s) == ("temporarily_unavailable", 503, 1)


@pytest.mark.parametrize("by_the_house", [False, True])
@pytest.mark.parametrize("problem", [asyncpg.DiskFullError, asyncpg.OutOfMemoryError])
def test_a_database_without_room_is_to_be_tried_again_later_and_no_fault(
    problem: type[asyncpg.PostgresError], by_the_house: bool
) -> None:
    full = problem("no space left on device")
    refused = known(wrapped(full) if by_the_house else full)
    assert refused is not None
    assert (refused.code, refused.status, refused.retry_after_s) == ("temporarily_unavailable", 503, 10)


def test_a_refused_field_is_named_in_the_words_for_people_too() -> None:
    assert InvalidField(field="budget_points").message == "字段“budget_points”有误，请检查后重试"
    assert InvalidField(field="stock", reason="须为正数").message == "字段“stock”有误：须为正数"
    assert InvalidField().message == InvalidField.message
    assert UnknownField(field="score").message == "提交了无法识别的字段“score”"
