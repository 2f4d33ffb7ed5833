"""What the volunteers' register, the library and the car parks would tell of some residents, by chance."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from server.sandbox.year.promises import Happening

_MINUTES = (20, 45, 60, 90, 120, 150, 180, 240)


def happenings(
    chance: random.Random, people: Sequence[str], since: datetime, until: datetime, volunteer_at_most: int
) -> list[Happening]:
    """Facts between two instants in the order in which they happened; no two of one person and kind at once."""
    since = since.replace(microsecond=0) + timedelta(seconds=1)
    seconds = int((until - since).total_seconds())
    found: list[Happening] = []

    def some(who: str, kind: str, share: float, most: int, told: dict[str, Any]) -> None:
        if chance.random() < share:
            for second in sorted(chance.sample(range(seconds), chance.randint(1, most))):
                more = {name: value() if callable(value) else value for name, value in told.items()}
                found.append(Happening(who, kind, since + timedelta(seconds=second), more))

    for who in people:
        some(who, "volunteer_hours_recorded", 0.55, volunteer_at_most,
             {"minutes": lambda: chance.choice(_MINUTES), "project_id": "河道清洁"})  # fmt: skip
        some(who, "library_returned_on_time", 0.45, 5, {"books": lambda: chance.randint(1, 6), "library_id": "城区馆"})
        some(who, "parking_exit_paid", 0.35, 5,
             {"fee_fen": lambda: chance.randrange(100, 3_000, 100), "stay_minutes": lambda: chance.randint(20, 400),
              "lot_id": "中山公园"})  # fmt: skip
    return sorted(found, key=lambda one: one.at)
