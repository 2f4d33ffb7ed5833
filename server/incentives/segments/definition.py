"""What a segment may ask of a resident; nothing else can be said.

    {"bands": [codes], "towns": [names], "interests": [codes], "enrolled_from": day, "enrolled_until": day}

Everything that is given must hold; one of a list is enough; what is left out is not asked. Age, sex, household
registration and their like are refused by name, with the reason (guard rails 5, 11).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from server.incentives.rules import forbidden
from server.incentives.segments.errors import SegmentRefused
from server.people.city_lists import Band

CodeList = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=40)], ...], Meta(max_length=1_000)]


class Definition(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Days are the city's, both included."""

    bands: CodeList = ()
    towns: CodeList = ()
    interests: CodeList = ()
    enrolled_from: date | None = None
    enrolled_until: date | None = None

    @property
    def personal(self) -> bool:
        """Whether it asks for what only residents who turned personalisation on are picked by."""
        return bool(self.bands or self.interests)

    def stored(self) -> dict[str, Any]:
        """As it lies in the database."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


@dataclass(frozen=True, slots=True)
class Lists:
    """What the city's lists hold now."""

    bands: Sequence[Band]
    towns: Sequence[str]
    interests: Mapping[str, str]


_NAMES: Final = tuple(field.name for field in msgspec.structs.fields(Definition))


def read(document: Mapping[str, Any]) -> Definition:
    """The definition that a decoded JSON object holds. Raises SegmentRefused with the field and the reason."""
    for name in document:
        if name not in _NAMES:
            label = forbidden(name)
            reason = f"人群不得涉及“{label}”" if label else "没有这一项条件"
            raise SegmentRefused(f"definition.{name[:40]}", reason)
    try:
        return msgspec.convert(document, Definition)
    except msgspec.ValidationError as error:
        path = str(error).rpartition("`$")[2].rstrip("`")
        raise SegmentRefused(f"definition{path}", "内容不合规范") from None


def check(name: str, definition: Definition, lists: Lists) -> Definition:
    """The definition in the order of the city's lists. Raises SegmentRefused for what is not in them, stands twice or
    asks for what no segment may ask."""
    label = forbidden(name)
    if label is not None:
        raise SegmentRefused("name", f"人群不得涉及“{label}”")
    known: dict[str, Sequence[str]] = {
        "bands": [band.code for band in lists.bands], "towns": lists.towns, "interests": list(lists.interests),
    }  # fmt: skip
    for field, offered in known.items():
        _check_codes(field, getattr(definition, field), offered)
    for place, code in enumerate(definition.interests):
        label = forbidden(code) or forbidden(lists.interests[code])
        if label is not None:
            raise SegmentRefused(f"definition.interests[{place}]", f"人群不得涉及“{label}”")
    since, until = definition.enrolled_from, definition.enrolled_until
    if since and until and until < since:
        raise SegmentRefused("definition.enrolled_until", "结束日早于开始日")
    ordered = {field: tuple(one for one in known[field] if one in getattr(definition, field)) for field in known}
    return msgspec.structs.replace(definition, **ordered)


def stored(document: Mapping[str, Any]) -> Definition:
    """What `Definition.stored` made."""
    return msgspec.convert(document, Definition)


def text(definition: Definition, lists: Lists) -> str:
    """The definition in Chinese, whole."""
    names = {band.code: band.name for band in lists.bands}
    since, until = (None if day is None else _day(day) for day in (definition.enrolled_from, definition.enrolled_until))
    parts = [
        _listed("信用等级为", [names.get(code, code) for code in definition.bands]),
        _listed("所在镇街为", definition.towns),
        _listed("关注", [lists.interests.get(code, code) for code in definition.interests]),
        f"{since}（含）以后实名" if since else "",
        f"{until}（含）以前实名" if until else "",
        "已开启个性化" if definition.personal else "",
    ]
    said = "；".join(part for part in parts if part)
    return said or "全体实名居民"


def _check_codes(field: str, codes: Sequence[str], offered: Sequence[str]) -> None:
    for place, code in enumerate(codes):
        if code not in offered:
            raise SegmentRefused(f"definition.{field}[{place}]", "不在现行目录中")
        if code in codes[:place]:
            raise SegmentRefused(f"definition.{field}[{place}]", "重复")


def _listed(before: str, names: Sequence[str]) -> str:
    return before + "、".join(names) if names else ""


def _day(day: date) -> str:
    return f"{day.year}年{day.month}月{day.day}日"
