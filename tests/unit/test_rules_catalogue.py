"""The catalogue of facts against those who tell them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from server.incentives import value_facts
from server.incentives.rules import FACTS
from server.people.attribute_import import BAND_REACHED
from server.people.residents import IDENTITY_BOUND
from wallet.items import Op
from wallet.stream import Posting

ID = UUID("019a0000-0000-7000-8000-000000000000")


def posting(op: Op, detail: dict[str, Any]) -> Posting:
    return Posting(
        resident_id=1, id=ID, seq=1, op=op, status=0, points=-30, points_held=0, points_peer=30, payable_fen=0, peer=5,
        terms_id=7, ref=ID, at=datetime(2026, 5, 1, tzinfo=UTC), detail=detail,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("op", "detail"),
    [
        (Op.REDEEM, {"store_id": 3, "discount_fen": 500, "platform_fen": 100, "sponsor_fen": 300}),
        (Op.VOID, {}),
        (Op.EXPIRE_POINTS, {}),
    ],
)
def test_facts_of_value_carry_what_the_catalogue_says(op: Op, detail: dict[str, Any]) -> None:
    told = value_facts._fact(posting(op, detail))
    assert told is not None
    kind, attributes = told
    assert set(FACTS[kind].attributes) - {value_facts.CATEGORY} == set(attributes), "the house adds the category"
    for name, value in attributes.items():
        assert isinstance(value, int if FACTS[kind].attributes[name].type == "amount" else str), name


def test_facts_about_people_are_in_the_catalogue() -> None:
    assert set(FACTS[IDENTITY_BOUND].attributes) == {"provider"}
    assert set(FACTS[BAND_REACHED].attributes) == {"band"}
