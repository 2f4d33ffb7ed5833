"""What administrators ask of a lottery, checked before it is written; the database checks the same again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from server.incentives.commands import FIRST_DAY, LAST_DAY
from server.incentives.lottery.published import Prize
from server.kit.errors import InvalidField

MAX_RANKS: Final = 20
MAX_PRIZES: Final = 1_000_000
MAX_TICKETS: Final = 50


@dataclass(frozen=True, slots=True)
class LotteryDraft:
    """A lottery as its editor wants it.

    `max_tickets`: of one person; `self_entry`: whether residents may enter themselves, with one ticket, or campaigns
    alone give tickets; `beacon_source`: the outside public number that goes into the draw, empty for none.
    """

    title: str
    document: str
    opens_at: datetime
    closes_at: datetime
    draw_at: datetime
    prizes: tuple[Prize, ...]
    max_tickets: int = 1
    self_entry: bool = True
    beacon_source: str = ""

    def check(self) -> None:
        """Raise InvalidField for the first field that cannot be."""
        _text("title", self.title, 60)
        _text("document", self.document, 100)
        if self.beacon_source:
            _text("beacon_source", self.beacon_source, 200)
        for name in ("opens_at", "closes_at", "draw_at"):
            at = getattr(self, name)
            if at.tzinfo is None or not FIRST_DAY <= at <= LAST_DAY:
                raise InvalidField(field=name)
        if self.closes_at <= self.opens_at:
            raise InvalidField(field="closes_at")
        if self.draw_at < self.closes_at:
            raise InvalidField(field="draw_at")
        if not 1 <= self.max_tickets <= MAX_TICKETS:
            raise InvalidField(field="max_tickets")
        self._check_prizes()

    def _check_prizes(self) -> None:
        if not 1 <= len(self.prizes) <= MAX_RANKS:
            raise InvalidField(field="prizes")
        for number, prize in enumerate(self.prizes):
            if prize.rank != number + 1:
                raise InvalidField(field=f"prizes[{number}].rank")
            _text(f"prizes[{number}].name", prize.name, 40)
            if prize.count < 1:
                raise InvalidField(field=f"prizes[{number}].count")
        if sum(prize.count for prize in self.prizes) > MAX_PRIZES:
            raise InvalidField(field="prizes")

    def columns(self) -> dict[str, object]:
        """The rule as columns of `lottery`."""
        return {
            "title": self.title, "document": self.document, "opens_at": self.opens_at, "closes_at": self.closes_at,
            "draw_at": self.draw_at, "max_tickets": self.max_tickets, "self_entry": self.self_entry,
            "beacon_source": self.beacon_source, "prizes": msgspec.to_builtins(self.prizes),
        }  # fmt: skip


def check_note(field: str, text: str, limit: int = 200) -> str:
    """A reason or an outside number without spaces around it. Raises InvalidField when it says nothing."""
    _text(field, text.strip(), limit)
    return text.strip()


def _text(name: str, value: str, limit: int) -> None:
    if not value.strip() or len(value) > limit or not value.isprintable():
        raise InvalidField(field=name)
