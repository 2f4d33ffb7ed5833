"""The course of campaigns and of templates as the console sees it: one service for both, and what it answers.

drafting   what versions say           follow       how the vault follows
moves      the steps that people make  simulation   one way to write, and to see what a write would do
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic
from zoneinfo import ZoneInfo

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.budgets import BudgetService, BudgetState
from server.incentives.changes import Effects
from server.incentives.commands import Signed
from server.incentives.drafting import Draft, Drafting, content_of
from server.incentives.follow import Follow
from server.incentives.models import Budget
from server.incentives.moves import Moves
from server.incentives.rows import Kind, L, Rows, V, plain
from server.incentives.search import Search, find
from server.incentives.simulation import differences, write
from server.kit.clock import Clock
from server.kit.errors import AppError
from wallet import Vault

#: A row, the version that stands for it, the newest one, and its budgets.
Seen = tuple[L, V, V, list[Budget]]


@dataclass(frozen=True, slots=True)
class View(Generic[L, V]):
    """A campaign or a template, its version that stands for it with its rule in Chinese, and its budgets as they stand.

    `draft`: the version that is worked on beside the live one. `effects`: only of a simulated write.
    """

    row: L
    version: V
    terms_text: str
    budgets: list[BudgetState]
    draft: V | None = None
    draft_text: str = ""
    effects: Effects | None = None


@dataclass(frozen=True, slots=True)
class Difference(Generic[V]):
    """Two versions, what differs between them field by field, and what each says in Chinese."""

    before: V
    after: V
    fields: list[tuple[str, Any, Any]]
    before_text: str
    after_text: str


class Course(ABC, Generic[L, V]):
    """What administrators do with campaigns, or with templates. A `Signed` that only simulates changes nothing."""

    def __init__(self, *, kind: Kind[L, V], vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock
        self._budgets = BudgetService(vault=vault, clock=clock)
        self._rows = Rows(kind, clock)
        self._drafting = Drafting(self._rows)
        self._moves = Moves(self._rows)
        self._follow = Follow(rows=self._rows, moves=self._moves, vault=vault, put_terms=self._put_terms)

    @property
    def zone(self) -> ZoneInfo:
        """Where the city's days and hours are told."""
        return self._clock.zone

    @abstractmethod
    async def texts(self, versions: Sequence[V]) -> list[str]:
        """What each version promises, in Chinese."""

    @abstractmethod
    async def _put_terms(self, row: L, version: V, budgets: dict[str, int]) -> None:
        """Write a version's terms into the vault; again is a no-op."""

    async def _check(self, draft: Draft) -> None:
        """Refuse what cannot be, before anything is written."""
        draft.check()

    # Versions

    async def create(self, draft: Draft, signed: Signed) -> View[L, V]:
        """Write a first draft. Raises InvalidField for what cannot be."""
        await self._check(draft)
        return await self._write(signed, lambda tx: self._drafting.create(tx, draft, signed))

    async def edit(self, row_id: int, draft: Draft, signed: Signed, revision: int | None = None) -> View[L, V]:
        """Replace the draft's content. Raises AlreadyLive without a draft, RevisionChanged on an old `revision`."""
        await self._check(draft)
        return await self._write(signed, lambda tx: self._drafting.edit(tx, row_id, draft, signed, revision))

    async def revise(self, row_id: int, draft: Draft, signed: Signed) -> View[L, V]:
        """Draft a new version of what was approved. Raises DraftOpen when one is being worked on."""
        await self._check(draft)
        return await self._write(signed, lambda tx: self._drafting.revise(tx, row_id, draft, signed))

    async def copy(self, row_id: int, signed: Signed, number: int | None = None) -> View[L, V]:
        """A new draft that says what a version of this one says."""
        return await self._write(signed, lambda tx: self._drafting.copy(tx, row_id, number, signed))

    async def versions(self, row_id: int) -> list[tuple[V, str]]:
        """Every version with its text, newest first."""
        found = await self._rows.versions(await self._rows.find(row_id))
        return list(zip(found, await self.texts(found), strict=True))

    async def difference(self, row_id: int, before: int, after: int) -> Difference[V]:
        """What differs between two versions, by number. Raises VersionNotFound."""
        row = await self._rows.find(row_id)
        old, new = await self._rows.version(row, before), await self._rows.version(row, after)
        then, now = ({name: plain(value) for name, value in content_of(one).items()} for one in (old, new))
        return Difference(old, new, differences(then, now), *await self.texts([old, new]))

    # Moves

    async def submit(self, row_id: int, signed: Signed) -> View[L, V]:
        """Hand the draft over for review."""
        return await self._write(signed, lambda tx: self._moves.submit(tx, row_id, signed))

    async def withdraw(self, row_id: int, signed: Signed) -> View[L, V]:
        """Take the draft back from review."""
        return await self._write(signed, lambda tx: self._moves.withdraw(tx, row_id, signed))

    async def reject(self, row_id: int, comment: str, signed: Signed) -> View[L, V]:
        """Send the version under review back to its editor."""
        return await self._write(signed, lambda tx: self._moves.reject(tx, row_id, comment, signed))

    async def discard(self, row_id: int, signed: Signed) -> View[L, V]:
        """Put away the version that is worked on; what never was anything else goes with it."""
        return await self._write(signed, lambda tx: self._moves.discard(tx, row_id, signed))

    async def approve(self, row_id: int, signed: Signed, revision: int | None = None) -> View[L, V]:
        """Approve what was reviewed: it becomes live within seconds. Refused to the last editor."""
        return await self._write(signed, lambda tx: self._moves.approve(tx, row_id, signed, revision))

    async def pause(self, row_id: int, signed: Signed) -> View[L, V]:
        """Stop giving at once; what was given stays."""
        return await self._write(signed, lambda tx: self._moves.pause(tx, row_id, signed))

    async def resume(self, row_id: int, signed: Signed) -> View[L, V]:
        """Go on after a pause."""
        return await self._write(signed, lambda tx: self._moves.resume(tx, row_id, signed))

    async def end(self, row_id: int, signed: Signed) -> View[L, V]:
        """End for good; what was given stays."""
        return await self._write(signed, lambda tx: self._moves.end(tx, row_id, signed))

    async def archive(self, row_id: int, signed: Signed) -> View[L, V]:
        """Put away what has ended."""
        return await self._write(signed, lambda tx: self._moves.archive(tx, row_id, signed))

    async def kill_all(self, tx: BaseDBAsyncClient, signed: Signed) -> list[L]:
        """Pause all that runs or is about to, in the caller's transaction; `tell_stopped` each when it has
        committed."""
        life = self._rows.kind.life
        going = life.filter(status__in=("approved", "scheduled", "active")).using_db(tx).order_by("id")
        stopped = [await self._moves.kill(tx, row.id, signed) for row in await going]
        return [row for row in stopped if row is not None]

    async def tell_stopped(self, row: L) -> bool:
        """Close the budgets of a row that was killed; False: the vault could not be reached, and the worker does it."""
        return (await self._follow.tell_now(row)).pending is None

    async def end_exhausted(self, row_id: int) -> bool:
        """For the worker: end what has nothing left to give; False when it does not run any more."""
        return await self._follow.end_exhausted(row_id)

    async def redrive(self) -> int:
        """For the worker, every few seconds: finish, start and end what is due; returns how much it did."""
        return await self._follow.redrive()

    # Reads

    async def get(self, row_id: int) -> View[L, V]:
        """One row, or the kind's own not-found error."""
        return await self._view(await self._look(await self._rows.find(row_id)))

    async def search(
        self, search: Search, after: tuple[int, int] | None, limit: int
    ) -> tuple[list[View[L, V]], tuple[int, int] | None]:
        """Up to `limit` rows behind `after` in the search's order, and where the next begin, None on the last page."""
        found = await find(self._rows.kind, search, after, limit)
        rows = {row.id: row for row in await self._rows.kind.life.filter(id__in=[row_id for _, row_id in found])}
        views = await self.views([rows[row_id] for _, row_id in found if row_id in rows])
        return views, found[-1] if len(found) == limit else None

    async def check_count(self, search: Search, most: int, refusal: type[AppError]) -> None:
        """Raise `refusal` when a search finds more than `most`."""
        if len(await find(self._rows.kind, search, None, most + 1)) > most:
            raise refusal

    async def views(self, rows: list[L]) -> list[View[L, V]]:
        """Many rows at once, in their order."""
        kind, ids = self._rows.kind, [row.id for row in rows]
        newest: dict[int, V] = {}
        live: dict[int, V] = {}
        for version in await kind.version.filter(**{f"{kind.owner}__in": ids}).order_by("number"):
            owner = getattr(version, kind.owner)
            newest[owner] = version
            if version.status == "live":
                live[owner] = version
        budgets = await Budget.filter(**{f"{kind.owner}__in": ids}).order_by("id")
        states: dict[int, list[BudgetState]] = {row_id: [] for row_id in ids}
        for budget, state in zip(budgets, await self._budgets.states(budgets), strict=True):
            states[getattr(budget, kind.owner)].append(state)
        pairs = [(live.get(row.id) or newest[row.id], newest[row.id]) for row in rows]
        texts = iter(await self.texts([one for pair in pairs for one in pair]))
        return [
            self._as_view(row, shown, last, states[row.id], next(texts), next(texts))
            for row, (shown, last) in zip(rows, pairs, strict=True)
        ]

    @staticmethod
    def _as_view(row: L, shown: V, newest: V, states: list[BudgetState], text: str, newest_text: str) -> View[L, V]:
        if newest.id == shown.id or newest.status in ("live", "superseded", "discarded"):
            return View(row, shown, text, states)
        return View(row, shown, text, states, newest, newest_text)

    async def _look(self, row: L, tx: BaseDBAsyncClient | None = None) -> Seen[L, V]:
        shown, draft = await self._rows.shown(row, tx), await self._rows.open_version(row, tx)
        return row, shown, draft or shown, await self._rows.budgets(row, tx)

    async def _view(self, seen: Seen[L, V], effects: Effects | None = None) -> View[L, V]:
        row, shown, newest, budgets = seen
        texts = await self.texts([shown, newest])
        view = self._as_view(row, shown, newest, await self._budgets.states(budgets), *texts)
        return replace(view, effects=effects)

    async def _write(self, signed: Signed, act: Callable[[BaseDBAsyncClient], Awaitable[L]]) -> View[L, V]:
        async def seen(tx: BaseDBAsyncClient) -> Seen[L, V]:
            return await self._look(await act(tx), tx)

        try:
            return await self._view(*await write(signed, seen, follow=self._tell, pretend=self._pretend))
        finally:
            self._forget()

    @abstractmethod
    def _forget(self) -> None:
        """Read the lists for residents anew: who changes something here sees it here at once."""

    async def _tell(self, seen: Seen[L, V]) -> Seen[L, V]:
        row = seen[0]
        return seen if row.pending is None else await self._look(await self._follow.tell_now(row))

    async def _pretend(self, tx: BaseDBAsyncClient, seen: Seen[L, V]) -> Seen[L, V]:
        row = seen[0]
        return seen if row.pending is None else await self._look(await self._follow.mark_told(tx, row, []), tx)
