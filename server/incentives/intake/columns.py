"""What a file of facts may hold: one column for who, one for which, one for when, and those of the catalogue.

A column that the catalogue does not know refuses the file (guard rail 4); a cell that is not fit refuses its line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Literal
from zoneinfo import ZoneInfo

from server.incentives.commands import FIRST_DAY
from server.incentives.intake.errors import FactColumnsUnfit
from server.incentives.rules import FACTS, forbidden
from server.incentives.rules.language import MAX_AMOUNT

#: The kinds that outside systems tell of.
IMPORTED: Final = ("volunteer_hours_recorded", "parking_exit_paid", "library_returned_on_time")
RESIDENT, ID_NUMBER, SOURCE_ID, OCCURRED_AT = "resident_id", "id_number", "source_id", "occurred_at"
_HEADINGS: Final = {
    RESIDENT: "居民编号", ID_NUMBER: "身份证号", SOURCE_ID: "来源编号", OCCURRED_AT: "发生时间",
}  # fmt: skip
_MOMENT: Final = re.compile(
    r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})"
    r"(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6})\d*)?)?)?\s*(Z|[+-]\d{2}:?\d{2})?"
)
_SERIAL: Final = re.compile(r"[3-7]\d{4}(\.\d+)?")  # as a spreadsheet keeps an instant: days since 30 December 1899
_SERIAL_ZERO: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - in the city's zone, which is added
_CODE: Final = re.compile(r"[^\s「」〔〕]([^\n\r\t「」〔〕]*[^\s「」〔〕])?")
_SOURCE_ID: Final = re.compile(r"[!-~]{1,50}")


@dataclass(frozen=True, slots=True)
class Line:
    """A line that can be taken. `who`: the resident's number or the ID number, as the file has it."""

    who: str
    source_id: str
    occurred_at: datetime
    attributes: dict[str, object]


@dataclass(frozen=True, slots=True)
class Unfit:
    """The column whose cell cannot be taken, and why."""

    column: str
    reason: Literal["unreadable", "in_future", "too_old"] = "unreadable"


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each column stands in a file about one kind of fact. `person`: RESIDENT or ID_NUMBER."""

    kind: str
    person: str
    places: Mapping[str, int]

    def read(self, cells: Sequence[str], zone: ZoneInfo, now: datetime, oldest: datetime = FIRST_DAY) -> Line | Unfit:
        """The line, or what is not fit of it; `oldest`: before it nothing is taken in."""

        def cell(name: str) -> str:
            place = self.places.get(name)
            return cells[place].strip() if place is not None and place < len(cells) else ""

        who, source_id, at = cell(self.person), cell(SOURCE_ID), moment(cell(OCCURRED_AT), zone)
        if not who:
            return Unfit(self.person)
        if not _SOURCE_ID.fullmatch(source_id):
            return Unfit(SOURCE_ID)
        if at is None or at < FIRST_DAY:
            return Unfit(OCCURRED_AT)
        if not oldest <= at <= now:
            return Unfit(OCCURRED_AT, "in_future" if at > now else "too_old")
        attributes: dict[str, object] = {}
        for name, attribute in FACTS[self.kind].attributes.items():
            text = cell(name)
            if attribute.type == "amount":
                if not (text.isascii() and text.isdecimal() and len(text) <= 13 and int(text) <= MAX_AMOUNT):
                    return Unfit(name)
                attributes[name] = int(text)
            elif text:
                if not is_code(text):
                    return Unfit(name)
                attributes[name] = text
        return Line(who, source_id, at, attributes)


def columns_of(kind: str, headings: Sequence[str]) -> Columns:
    """Where the columns of a file stand, by English or Chinese headings. Raises FactColumnsUnfit."""
    fact = FACTS[kind]
    names = {name: name for name in _HEADINGS} | {heading: name for name, heading in _HEADINGS.items()}
    names |= {name: name for name in fact.attributes}
    names |= {attribute.name: name for name, attribute in fact.attributes.items()}
    places: dict[str, int] = {}
    for place, heading in enumerate(heading.strip() for heading in headings):
        name = names.get(heading) or names.get(heading.casefold())
        if name is None and heading:
            raise FactColumnsUnfit(f"第{place + 1}列“{heading[:20]}”不在目录中")
        if name in places:
            raise FactColumnsUnfit(f"“{heading[:20]}”出现了两次")
        if name is not None:
            places[name] = place
    people = [name for name in (RESIDENT, ID_NUMBER) if name in places]
    if len(people) != 1:
        raise FactColumnsUnfit("“居民编号”与“身份证号”须有且只有一列")
    wanted = {SOURCE_ID: "来源编号", OCCURRED_AT: "发生时间"}
    wanted |= {name: attribute.name for name, attribute in fact.attributes.items() if attribute.type == "amount"}
    for name, heading in wanted.items():
        if name not in places:
            raise FactColumnsUnfit(f"缺少“{heading}”一列")
    return Columns(kind, people[0], places)


def is_code(text: str) -> bool:
    """Whether a rule could quote it: short, without the brackets of its text, about nothing that no rule may ask."""
    return len(text) <= 40 and _CODE.fullmatch(text) is not None and forbidden(text) is None


def moment(text: str, zone: ZoneInfo) -> datetime | None:
    """An instant as offices write it, in the city's zone unless it says another; a day alone is its midnight."""
    if _SERIAL.fullmatch(text):
        at = _SERIAL_ZERO + timedelta(seconds=round(float(text) * 86_400))
        return at.replace(tzinfo=zone).astimezone(UTC)
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    *numbers, fraction, offset = found.groups()
    year, month, day, hour, minute, second = (int(number or 0) for number in numbers)
    try:
        at = datetime(
            year, month, day, hour, minute, second, int((fraction or "").ljust(6, "0")), tzinfo=_zone(offset, zone)
        )
    except ValueError:
        return None
    return at.astimezone(UTC)


def _zone(offset: str | None, city: ZoneInfo) -> ZoneInfo | timezone:
    if offset is None:
        return city
    if offset == "Z":
        return UTC
    minutes = int(offset[1:3]) * 60 + int(offset[-2:])
    return timezone(timedelta(minutes=minutes if offset[0] == "+" else -minutes))
