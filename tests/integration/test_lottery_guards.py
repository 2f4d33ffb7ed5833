"""Drafts that cannot be, and changes that the database refuses whoever asks for them."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from server.incentives.lottery.published import Prize
from server.kit.errors import InvalidField
from tests.support.databases import connected
from tests.support.lottery_house import MAKER, LotteryHouse, house

__all__ = ["house"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": " "}, "title"), ({"max_tickets": 0}, "max_tickets"), ({"max_tickets": 51}, "max_tickets"),
        ({"prizes": ()}, "prizes"), ({"prizes": (Prize(2, "奖", "1", 1),)}, "prizes[0].rank"),
        ({"prizes": (Prize(1, "奖", "1", 0),)}, "prizes[0].count"),
        ({"prizes": (Prize(1, "", "1", 1),)}, "prizes[0].name"),
        ({"prizes": (Prize(1, "奖", "1", 1_000_001),)}, "prizes"), ({"beacon_source": " "}, "beacon_source"),
    ],
)  # fmt: skip
async def test_a_draft_that_can_not_be_is_refused_and_named(
    house: LotteryHouse, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidField) as told:
        await house.services.lotteries.create(await house.draft(**changes), MAKER)
    assert told.value.field == field


async def test_times_the_wrong_way_round_are_named(house: LotteryHouse) -> None:
    draft = await house.draft()
    for name, at, field in (
        ("closes_at", draft.opens_at, "closes_at"), ("draw_at", draft.opens_at, "draw_at"),
        ("opens_at", draft.opens_at.replace(tzinfo=None), "opens_at"),
    ):  # fmt: skip
        with pytest.raises(InvalidField) as told:
            await house.services.lotteries.create(await house.draft(prizes=draft.prizes, **{name: at}), MAKER)
        assert told.value.field == field


TAMPERING = {
    "published": [
        "UPDATE lottery SET title = 'x'",
        "UPDATE lottery SET prizes = '[{}]'",
        "UPDATE lottery SET closes_at = closes_at + interval '1 hour', draw_at = draw_at + interval '1 hour'",
        "UPDATE lottery SET commitment = sha256('x')",
        "UPDATE lottery SET secret_sealed = 'x'",
        "UPDATE lottery SET announcement = announcement || ' '",
        "UPDATE lottery SET max_tickets = 9",
        "UPDATE lottery SET status = 'draft'",
        "UPDATE lottery SET status = 'drawn'",
        "DELETE FROM lottery",
        "DELETE FROM lottery_entry",
        "UPDATE lottery_entry SET code = '00000000000000000000'",
        "UPDATE lottery_entry SET resident_id = 1 WHERE resident_id = 6000001",
        "UPDATE lottery_entry SET tickets = 51",
        "TRUNCATE lottery_entry CASCADE",
    ],
    "closed": [
        "UPDATE lottery SET status = 'published'",
        "UPDATE lottery SET status = 'cancelled', cancelled_by = 1, cancelled_at = now(), cancel_reason = 'x'",
        "UPDATE lottery SET digest = sha256('x')",
        "UPDATE lottery SET entries = 9",
        "UPDATE lottery SET beacon = 'x', beacon_by = 1",
        "UPDATE lottery SET status = 'drawn', secret = 'x', drawn_at = draw_at, winners = 0",
        "INSERT INTO lottery_entry (lottery_id, resident_id, code, tickets, sources, entered_at)"
        " SELECT id, 1, '00000000000000000000', 1, '[\"x\"]', now() FROM lottery",
        "UPDATE lottery_entry SET tickets = 1",
        "DELETE FROM lottery_entry",
    ],
    "drawn": [
        "UPDATE lottery SET secret = NULL, status = 'closed', drawn_at = NULL, winners = NULL",
        "UPDATE lottery SET secret = sha256('x')",
        "UPDATE lottery SET drawn_at = drawn_at + interval '1 day'",
        "UPDATE lottery SET winners = 1",
        "UPDATE lottery_winner SET code = '00000000000000000000'",
        "UPDATE lottery_winner SET resident_id = 1",
        "DELETE FROM lottery_winner",
        "INSERT INTO lottery_winner (lottery_id, rank, place, code, ticket, resident_id)"
        " SELECT id, 9, 9, '00000000000000000000', 1, 1 FROM lottery",
        "TRUNCATE lottery_winner",
    ],
}  # fmt: skip


async def test_the_database_itself_refuses_whatever_would_change_what_was_published(house: LotteryHouse) -> None:
    made = await house.published(max_tickets=2)
    await house.crowd(made.id, 6, tickets=2)
    for hours, status in ((0, "published"), (1, "closed"), (1, "drawn")):
        await house.pass_time(hours=hours)
        await house.work()
        assert (await house.row(made.id)).status == status
        async with connected(house.ledger.database.owner) as owner:
            for attempt in TAMPERING[status]:
                with pytest.raises(asyncpg.PostgresError):
                    await owner.execute(attempt)
                    raise AssertionError(f"{status}: {attempt}")
    assert (await house.verdict(made.id)).holds


WHAT_NO_DRAFT_IS = (
    "closes_at = opens_at", "draw_at = opens_at", "max_tickets = 0", "prizes = '[]'", "prizes = '{}'",
    "title = ' '",
    "status = 'other'", "status = 'published'", "commitment = 'x'", "announcement = 'x'", "owed_at = now()",
    "status = 'closed', closed_at = closes_at", "digest = sha256('x')", "beacon = '1', beacon_by = 1",
)  # fmt: skip


async def test_a_draft_in_the_table_can_not_be_what_no_lottery_is(house: LotteryHouse) -> None:
    await house.services.lotteries.create(await house.draft(), MAKER)
    for sets in WHAT_NO_DRAFT_IS:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await house.ledger.owner.execute(f"UPDATE lottery SET {sets}")
            raise AssertionError(sets)
