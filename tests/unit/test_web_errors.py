"""What an exception of the database becomes on the wire."""

from __future__ import annotations

import asyncpg
import pytest
from tortoise.exceptions import OperationalError

from server.web.errors import known


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
