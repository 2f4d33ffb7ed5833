"""The words that chapters are told in: one step, and the answer that the teller expects."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.support.oracle_state import CITY
from tests.support.town_life import TownLife

MS = timedelta(milliseconds=1)


def on(year: int, month: int, day: int, *time: int) -> datetime:
    return datetime(year, month, day, *time, tzinfo=CITY)


async def sees(life: TownLife, expected: str, step: Awaitable[Any]) -> None:
    """The step's answer is this one, whatever else agrees about it."""
    life.trial.last = ""
    await step
    assert life.trial.last == expected, f"the teller expected {expected}, everybody else {life.trial.last}"


def spend(life: TownLife, points: int, who: int = 0) -> Awaitable[Any]:
    return life.app(who, "spend", points=points, payee=501)


def hold(life: TownLife, points: int, life_s: int = 60, who: int = 0) -> Awaitable[Any]:
    return life.app(who, "hold", points=points, payee=502, life_s=life_s)


def refund(life: TownLife, id: UUID, points: int, who: int = 0) -> Awaitable[Any]:
    return life.app(who, "refund", posting_id=id, points=points, reason="x")


def lock(life: TownLife, pick: int, life_s: int) -> Awaitable[Any]:
    return life.of_coupon("lock_coupon", pick, life_s=life_s, request_no="r 1", actor=9)


def last(pairs: list[tuple[int, UUID]]) -> UUID:
    return pairs[-1][1]


def freeze(life: TownLife, kind: str, days: int | None = None) -> Awaitable[Any]:
    until = None if days is None else life.now + timedelta(days=days)
    return life.app(0, "freeze", kind=kind, authority="court", reason="x", until=until, actor=9)
