"""What a write changed, or would change: field by field, and in budgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one thing, before and after."""

    what: str
    id: str
    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Funding:
    """An amount that would be added to a budget, in its unit."""

    unit: str
    budget_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class Effects:
    """What a write would change in the house, and in budgets."""

    changes: list[Change]
    budgets: list[Funding]
