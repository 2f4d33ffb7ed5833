"""Bands and towns come in: read in pieces, checked whole, then written page by page.

    lines ──check──> attribute_line (keyed hashes) ──all of it is fit──> pages of PAGE people
                          └── one line is not: nothing is written        spans end, spans begin, fact `band_reached`

Memory is bounded by a piece, transactions by a page. Who is not enrolled is counted and leaves no trace (guard rail 1);
ID numbers are hashed as they are read, and never stored or logged. The same file again changes nothing; broken off in
the middle, it is simply imported again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from itertools import islice
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import msgspec
import structlog
from tortoise.backends.base.client import BaseDBAsyncClient

from server.kit import audit
from server.kit.audit import Actor
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex
from server.kit.db import fetch, retry_on_conflict, transaction
from server.kit.errors import InvalidField
from server.kit.ids import uuid7
from server.people import city_lists
from server.people.attributes import BAND, TOWN
from server.people.errors import AsOfInFuture, AsOfTooOld, NoBandScale
from server.people.id_number import is_valid
from server.people.ports import RecordFacts
from server.people.residents import ID_NUMBER_PURPOSE, clean_id_number

BAND_REACHED: Final = "band_reached"
PIECE: Final = 10_000
PAGE: Final = 5_000
#: So many unfit lines are named; the others are counted.
NAMED: Final = 20
#: What a broken-off import left is deleted by the first one after so long.
LEFT_OVER_HOURS: Final = 24
HOUSE: Final = Actor("system", "import-bands")

Wrong = Literal["id_number", "band", "town", "twice"]
log = structlog.get_logger(__name__)


class Told(NamedTuple):
    """One line of a file; None or "" where it says nothing."""

    line: int
    id_number: str
    band: str | None
    town: str | None


class Unfit(msgspec.Struct, frozen=True):
    """What is wrong with a line: no ID number, a band or town that is not listed, or a person who is there twice."""

    line: int
    what: Wrong


class ImportReport(msgspec.Struct, frozen=True):
    """What an import did, or in a dry run would have done. `risen`: people who reached a higher band. When
    `unfit_lines` is not 0, nothing was written."""

    batch_id: str
    source: str
    as_of: date
    dry_run: bool
    lines: int
    unfit_lines: int
    unfit: list[Unfit]
    enrolled: int = 0
    unknown: int = 0
    bands_changed: int = 0
    towns_changed: int = 0
    risen: int = 0


class Progress(msgspec.Struct, frozen=True):
    """Where an import is: `read` grows to `lines` in the first half, `written` in the second."""

    read: int
    written: int


class _Change(NamedTuple):
    resident_id: int
    kind: str
    value: str
    before: str | None


class AttributeImport:
    """The one way by which bands and towns of residents change. `record_facts` is the intake of facts (D37)."""

    def __init__(self, *, clock: Clock, index: BlindIndex, record_facts: RecordFacts, page: int = PAGE) -> None:
        self._clock, self._index, self._record_facts, self._page = clock, index, record_facts, page

    async def run(
        self,
        told: Iterable[Told],
        *,
        source: str,
        as_of: date,
        dry_run: bool = False,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> ImportReport:
        """Import what is told of the city day `as_of`.

        Raises AsOfInFuture; AsOfTooOld when later values were told already; NoBandScale; InvalidField("source").
        """
        if not source.strip() or len(source) > 60 or not source.isprintable():
            raise InvalidField(field="source")
        if as_of > self._clock.today():
            raise AsOfInFuture(field="as_of")
        await fetch("DELETE FROM attribute_line WHERE staged_at < clock_timestamp() - make_interval(hours => $1)",
                    LEFT_OVER_HOURS)  # fmt: skip
        batch = _Batch(uuid7(self._clock.now()), source.strip(), as_of, await city_lists.bands_on(as_of))
        try:
            await self._stage(batch, told, progress)
            await self._check_day(batch)
            if not batch.unfit_lines:
                await self._write(batch, dry_run, progress)
        finally:
            await fetch("DELETE FROM attribute_line WHERE batch_id = $1", batch.id)
        report = batch.report(dry_run)
        log.info("attributes_imported", **{name: getattr(report, name) for name in _COUNTS}, dry_run=dry_run)
        return report

    async def _stage(self, batch: _Batch, told: Iterable[Told], progress: Callable[[Progress], None]) -> None:
        towns, today = frozenset(await city_lists.towns()), self._clock.today()
        lines = iter(told)
        while piece := list(islice(lines, PIECE)):
            fit: dict[bytes, Told] = {}
            for one in piece:
                number = clean_id_number(one.id_number)
                wrong = _wrong(one, number, today, batch, towns)
                digest = b"" if wrong else self._index.of(number, purpose=ID_NUMBER_PURPOSE)
                if wrong or digest in fit:
                    batch.refuse(one.line, wrong or "twice")
                    continue
                fit[digest] = one
                batch.tells_bands |= bool(one.band)
                batch.tells_towns |= bool(one.town)
            batch.lines += len(piece)
            rows = await fetch(
                _STAGE, batch.id, list(fit), [one.band or None for one in fit.values()],
                [one.town or None for one in fit.values()],
            )  # fmt: skip
            if len(rows) < len(fit):
                taken = {bytes(row["id_number_hmac"]) for row in rows}
                for digest, one in fit.items():
                    if digest not in taken:
                        batch.refuse(one.line, "twice")
            progress(Progress(batch.lines, 0))

    async def _check_day(self, batch: _Batch) -> None:
        if batch.tells_bands and not batch.ranks:
            raise NoBandScale(field="as_of")
        rows = await fetch(
            "SELECT max(as_of) AS day FROM attribute_batch"
            " WHERE ((tells_bands AND $1) OR (tells_towns AND $2)) AND lines > unknown",
            batch.tells_bands,
            batch.tells_towns,
        )
        if rows[0]["day"] is not None and batch.as_of < rows[0]["day"]:
            raise AsOfTooOld(field="as_of")

    async def _write(self, batch: _Batch, dry_run: bool, progress: Callable[[Progress], None]) -> None:
        dry_run |= not (batch.tells_bands or batch.tells_towns)
        if not dry_run:
            await fetch(_BEGIN, batch.id, batch.source, batch.as_of, batch.tells_bands, batch.tells_towns, batch.lines,
                        self._clock.now())  # fmt: skip
        after: bytes | None = b""
        written = 0
        while after is not None:
            position = after

            async def page(position: bytes = position) -> tuple[bytes | None, int]:
                return await self._write_page(batch, position, dry_run)

            after, people = await retry_on_conflict(page)
            written += people
            progress(Progress(batch.lines, written))
        if not dry_run:
            await self._finish(batch)

    async def _write_page(self, batch: _Batch, after: bytes, dry_run: bool) -> tuple[bytes | None, int]:
        """Write the next people by hash; returns the last hash, None behind the end, and how many they were."""
        async with transaction() as tx:
            await tx.execute_query("SELECT pg_advisory_xact_lock(hashtextextended('resident_attribute', 0))", [])
            (page,) = await fetch(_PAGE, batch.id, after, self._page, using=tx)
            if not page["people"]:
                return None, 0
            rows = await fetch(_CHANGES, batch.id, after, page["last"], using=tx)
            changes = [_Change(**row) for row in rows]
            risen = [one for one in changes if one.kind == BAND and batch.rises(one)]
            if not dry_run and changes:
                await self._change(tx, batch, changes, risen)
        batch.count(page["people"], page["enrolled"], changes, len(risen))
        return (bytes(page["last"]) if page["people"] == self._page else None), page["people"]

    async def _change(self, tx: BaseDBAsyncClient, batch: _Batch, changes: list[_Change], risen: list[_Change]) -> None:
        people, kinds = [one.resident_id for one in changes], [one.kind for one in changes]
        over = [one for one in changes if one.before is not None]
        if over:
            await fetch(_END, [one.resident_id for one in over], [one.kind for one in over], batch.as_of, using=tx)
        values = [one.value for one in changes]
        await fetch(_ADD, people, kinds, values, batch.as_of, batch.id, self._clock.now(), using=tx)
        if risen:
            since, _ = self._clock.span(batch.as_of, None)
            assert since is not None
            await self._record_facts(
                tx,
                kind=BAND_REACHED,
                occurred_at=since,
                told=[
                    (one.resident_id, f"{one.resident_id}:{batch.as_of}:{one.value}", batch.tell(one)) for one in risen
                ],
            )

    async def _finish(self, batch: _Batch) -> None:
        now = self._clock.now()
        counts = (batch.unknown, batch.changed[BAND], batch.changed[TOWN], batch.risen)
        async with transaction() as tx:
            await fetch(_FINISH, batch.id, now, *counts, using=tx)
            report = batch.report(dry_run=False)
            after = {name: getattr(report, name) for name in _COUNTS}
            await audit.record(
                tx, actor=HOUSE, action="attributes.imported", object_kind="attribute_batch", object_id=str(batch.id),
                before=None, after={"source": batch.source, "as_of": str(batch.as_of)} | after, at=now, request_id="",
            )  # fmt: skip


class _Batch:
    """What is known of an import while it goes on."""

    def __init__(self, id: UUID, source: str, as_of: date, bands: list[city_lists.Band]) -> None:
        self.id, self.source, self.as_of = id, source, as_of
        self.ranks = {band.code: band.rank for band in bands}
        self.tells_bands = self.tells_towns = False
        self.lines = self.unfit_lines = self.enrolled = self.unknown = self.risen = 0
        self.unfit: list[Unfit] = []
        self.changed = {BAND: 0, TOWN: 0}

    def refuse(self, line: int, what: Wrong) -> None:
        self.unfit_lines += 1
        if len(self.unfit) < NAMED:
            self.unfit.append(Unfit(line, what))

    def rises(self, change: _Change) -> bool:
        """Whether somebody reached a higher band. A first band counts unless it is the lowest, where everybody
        begins; after a band that the scale does not know any more nothing is comparable, and nothing is claimed."""
        before = min(self.ranks.values()) if change.before is None else self.ranks.get(change.before)
        return before is not None and self.ranks[change.value] > before

    def tell(self, change: _Change) -> dict[str, Any]:
        """The attributes of the fact."""
        return {"band": change.value, "rank": self.ranks[change.value], "band_before": change.before}

    def count(self, people: int, enrolled: int, changes: list[_Change], risen: int) -> None:
        self.enrolled += enrolled
        self.unknown += people - enrolled
        self.risen += risen
        for one in changes:
            self.changed[one.kind] += 1

    def report(self, dry_run: bool) -> ImportReport:
        return ImportReport(
            str(self.id), self.source, self.as_of, dry_run, self.lines, self.unfit_lines,
            sorted(self.unfit, key=lambda one: one.line), self.enrolled, self.unknown, self.changed[BAND],
            self.changed[TOWN], self.risen,
        )  # fmt: skip


_COUNTS: Final = ("lines", "unfit_lines", "enrolled", "unknown", "bands_changed", "towns_changed", "risen")


def _wrong(one: Told, number: str, today: date, batch: _Batch, towns: frozenset[str]) -> Wrong | None:
    if not is_valid(number, today=today):
        return "id_number"
    if one.band and one.band not in batch.ranks and batch.ranks:
        return "band"
    if one.town and one.town not in towns:
        return "town"
    return None


_STAGE: Final = """
INSERT INTO attribute_line (batch_id, id_number_hmac, band, town)
SELECT $1, u.hmac, u.band, u.town FROM unnest($2::bytea[], $3::text[], $4::text[]) u (hmac, band, town)
ON CONFLICT (batch_id, id_number_hmac) DO NOTHING RETURNING id_number_hmac
"""
_BEGIN: Final = """
INSERT INTO attribute_batch (id, source, as_of, tells_bands, tells_towns, lines, started_at, unknown, bands_changed,
    towns_changed, risen)
VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, 0)
"""
_FINISH: Final = (
    "UPDATE attribute_batch SET finished_at = $2, unknown = $3, bands_changed = $4, towns_changed = $5, risen = $6"
    " WHERE id = $1"
)
_PAGE: Final = """
SELECT count(*) AS people, count(r.id) AS enrolled,
    (array_agg(p.id_number_hmac ORDER BY p.id_number_hmac DESC))[1] AS last
FROM (SELECT id_number_hmac FROM attribute_line WHERE batch_id = $1 AND id_number_hmac > $2
      ORDER BY id_number_hmac LIMIT $3) p
LEFT JOIN resident r ON r.id_number_hmac = p.id_number_hmac
"""
# By LIMIT 1, which takes nothing away, each person is looked up in the index, however many there are.
_CHANGES: Final = """
SELECT r.id AS resident_id, told.kind, told.value, a.value AS before
FROM attribute_line p
JOIN resident r ON r.id_number_hmac = p.id_number_hmac
CROSS JOIN LATERAL (VALUES ('band', p.band), ('town', p.town)) told (kind, value)
LEFT JOIN LATERAL (SELECT a.value FROM resident_attribute a
    WHERE a.kind = told.kind AND a.resident_id = r.id AND a.until_day IS NULL LIMIT 1) a ON true
WHERE p.batch_id = $1 AND p.id_number_hmac > $2 AND p.id_number_hmac <= $3
  AND told.value IS NOT NULL AND a.value IS DISTINCT FROM told.value
"""
_END: Final = """
UPDATE resident_attribute a SET until_day = $3
FROM unnest($1::bigint[], $2::text[]) u (resident_id, kind)
WHERE a.kind = u.kind AND a.resident_id = u.resident_id AND a.until_day IS NULL
"""
_ADD: Final = """
INSERT INTO resident_attribute (resident_id, kind, value, as_of, batch_id, recorded_at)
SELECT u.resident_id, u.kind, u.value, $4, $5, $6
FROM unnest($1::bigint[], $2::text[], $3::text[]) u (resident_id, kind, value)
"""
