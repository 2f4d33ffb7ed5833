"""Segments in the console: made, changed, found, and looked at by size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.exceptions import IntegrityError

from server.incentives.commands import Signed
from server.incentives.errors import RevisionChanged
from server.incentives.segments import definition as definitions
from server.incentives.segments.definition import Definition, Lists
from server.incentives.segments.errors import SegmentNameTaken, SegmentNotFound, SegmentRefused
from server.incentives.segments.models import Segment
from server.incentives.segments.selection import WINDOW, WINDOW_END, members
from server.incentives.segments.suppression import told, told_total
from server.incentives.simulation import change
from server.kit import audit
from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from server.people import city_lists

NAME_MAX = 60
#: The cell of those of whom nothing was told, or something that is listed no more.
OTHERS = "其他或未记录"


@dataclass(frozen=True, slots=True)
class SegmentView:
    """A segment, what it asks in Chinese, and whether only residents who turned personalisation on are picked."""

    row: Segment
    definition: Definition
    text: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of a segment; `code` None: `OTHERS`; `size` None: not told."""

    code: str | None
    name: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Preview:
    """How large a segment was at an instant, rounded down; `size` None: too small to be told, and so is every cell."""

    at: datetime
    size: int | None
    bands: list[Cell]
    towns: list[Cell]


class SegmentService:
    """What administrators do with segments. `small_cell`: no size below it is told."""

    def __init__(self, *, clock: Clock, small_cell: int) -> None:
        self._clock, self._small_cell = clock, small_cell

    async def create(self, name: str, document: Mapping[str, Any], signed: Signed) -> SegmentView:
        """Write a new segment. Raises SegmentRefused with the reason, SegmentNameTaken."""
        lists = await self._lists()
        definition = self._checked(name, document, lists)
        now = self._clock.now()
        try:
            async with change(signed) as tx:
                row = await Segment.create(
                    using_db=tx, name=name.strip(), definition=definition.stored(), revision=1,
                    created_by=signed.admin_id, created_at=now, changed_by=signed.admin_id, changed_at=now,
                )  # fmt: skip
                await self._record(tx, "created", row, None, signed)
        except IntegrityError:
            raise SegmentNameTaken(field="name") from None
        return _view(row, lists)

    async def edit(
        self, segment_id: int, name: str, document: Mapping[str, Any], signed: Signed, revision: int | None = None
    ) -> SegmentView:
        """Replace a segment's content. Snapshots that were taken stay as they are. Raises RevisionChanged when another
        `revision` stands by now, SegmentRefused, SegmentNameTaken, SegmentNotFound."""
        lists = await self._lists()
        definition = self._checked(name, document, lists)
        try:
            async with change(signed) as tx:
                row = await Segment.filter(id=segment_id).using_db(tx).select_for_update().first()
                if row is None:
                    raise SegmentNotFound
                if revision is not None and row.revision != revision:
                    raise RevisionChanged
                before = _snapshot(row)
                row.update_from_dict(
                    {"name": name.strip(), "definition": definition.stored(), "revision": row.revision + 1,
                     "changed_by": signed.admin_id, "changed_at": self._clock.now()}
                )  # fmt: skip
                await row.save(using_db=tx)
                await self._record(tx, "edited", row, before, signed)
        except IntegrityError:
            raise SegmentNameTaken(field="name") from None
        return _view(row, lists)

    async def copy(self, segment_id: int, name: str, signed: Signed) -> SegmentView:
        """A new segment of another name that asks for the same. Raises SegmentNotFound, SegmentNameTaken, and
        SegmentRefused when the city's lists have changed meanwhile."""
        return await self.create(name, (await self._find(segment_id)).definition, signed)

    async def get(self, segment_id: int) -> SegmentView:
        """One segment. Raises SegmentNotFound."""
        return _view(await self._find(segment_id), await self._lists())

    async def page(self, before_id: int | None, limit: int, search: str | None = None) -> list[SegmentView]:
        """Up to `limit` segments with an id below `before_id`, newest first; `search`: a part of the name."""
        chosen = Segment.all() if before_id is None else Segment.filter(id__lt=before_id)
        if search:
            chosen = chosen.filter(name__icontains=search)
        lists = await self._lists()
        return [_view(row, lists) for row in await chosen.order_by("-id").limit(limit)]

    async def preview(self, segment_id: int, signed: Signed) -> Preview:
        """Its size now, by band and by town. Who looks at which sizes stays in the audit trail: a row of such looks is
        how one would look for single people."""
        row = await self._find(segment_id)
        definition, lists, at = definitions.stored(row.definition), await self._lists(), self._clock.now()
        async with transaction() as tx:
            await self._record(tx, "previewed", row, None, signed)
        bands: Counter[str | None] = Counter()
        towns: Counter[str | None] = Counter()
        low = 0
        while (high := (await fetch(WINDOW_END, low, WINDOW))[0]["high"]) is not None:
            source, arguments = members(definition, at, low, high, cells=True)
            counted = f"SELECT band.value AS band, town.value AS town, count(*) AS n {source} GROUP BY 1, 2"
            for cell in await fetch(counted, *arguments):
                bands[cell["band"]] += cell["n"]
                towns[cell["town"]] += cell["n"]
            low = high
        names = {band.code: band.name for band in lists.bands}
        band_names = {code: names.get(code, code) for code in (definition.bands or names)}
        town_names = {town: town for town in (definition.towns or lists.towns)}
        return Preview(
            at,
            told_total(bands.total(), self._small_cell),
            self._cells(bands, band_names, whole=not definition.bands),
            self._cells(towns, town_names, whole=not definition.towns),
        )

    def _cells(self, counts: Counter[str | None], names: Mapping[str, str], *, whole: bool) -> list[Cell]:
        """The table of `names`, and of everybody else when the segment does not ask for them."""
        sizes: list[int] = [counts[code] for code in names]
        heads: list[tuple[str | None, str]] = list(names.items())
        if whole:
            sizes.append(counts.total() - sum(sizes))
            heads.append((None, OTHERS))
        if counts.total() < self._small_cell:
            return [Cell(code, name, None) for code, name in heads]
        shown: Sequence[int | None] = told(sizes, self._small_cell)
        return [Cell(code, name, size) for (code, name), size in zip(heads, shown, strict=True)]

    def _checked(self, name: str, document: Mapping[str, Any], lists: Lists) -> Definition:
        if not name.strip() or len(name) > NAME_MAX or not name.isprintable():
            raise SegmentRefused("name", "名称为空或不合规范")
        return definitions.check(name, definitions.read(document), lists)

    async def _lists(self) -> Lists:
        return Lists(
            await city_lists.bands_on(self._clock.today()), await city_lists.towns(), await city_lists.interests()
        )

    async def _find(self, segment_id: int) -> Segment:
        row = await Segment.get_or_none(id=segment_id)
        if row is None:
            raise SegmentNotFound
        return row

    async def _record(
        self, tx: BaseDBAsyncClient, what: str, row: Segment, before: dict[str, Any] | None, signed: Signed
    ) -> None:
        await audit.record(
            tx, actor=signed.actor, action=f"segment.{what}", object_kind="segment", object_id=str(row.id),
            before=before, after=_snapshot(row), at=self._clock.now(), request_id=signed.request_id,
        )  # fmt: skip


def _view(row: Segment, lists: Lists) -> SegmentView:
    definition = definitions.stored(row.definition)
    return SegmentView(row, definition, definitions.text(definition, lists))


def _snapshot(row: Segment) -> dict[str, Any]:
    return {"name": row.name, "definition": row.definition, "revision": row.revision}
