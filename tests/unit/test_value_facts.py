"""Postings told to the intake together: whoever gives up waiting troubles nobody else."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID

from server.incentives.facts import Told
from server.incentives.value_facts import POINTS_EXPIRED, _tell

AT = datetime(2026, 11, 23, 8, tzinfo=UTC)


def told(resident_id: int) -> tuple[Told, asyncio.Future[None]]:
    fact = Told(resident_id, POINTS_EXPIRED, str(UUID(int=resident_id)), AT, {"points": 1})
    return fact, asyncio.get_running_loop().create_future()


async def test_a_caller_who_gave_up_is_not_told_that_it_failed_and_the_others_are() -> None:
    batch = [told(1), told(2)]
    batch[0][1].cancel()
    await _tell(batch)  # no house is open here
    assert batch[0][1].cancelled()
    assert batch[1][1].exception() is not None
