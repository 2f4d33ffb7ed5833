"""Directories: whose a handle or a redemption is, read before the vault is asked (docs/decisions/0015).

A code tells nothing but its handle and a void nothing but its redemption; the resident, and with him the node that is
asked, is found here by one read. A directory decides nothing (D28): the vault judges the showing and the redemption
themselves, under its locks, and one that is not the resident's is refused as if it were unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import asyncpg

from wallet.setup import Setup

Key = TypeVar("Key")
SHOWN = "SELECT handle, b, owner, credential_id FROM vault.credential_handle WHERE handle = ANY ($1::bigint[])"
REDEEMED = "SELECT redemption_id, b, owner FROM vault.redemption_ref WHERE redemption_id = ANY ($1::uuid[])"


class Shown(NamedTuple):
    """Whose showing a handle is."""

    b: int
    owner: int
    credential_id: UUID


class Redeemed(NamedTuple):
    """Whose redemption an id is."""

    b: int
    owner: int


class Directory(Generic[Key]):
    """Reads of one directory, grouped as lanes group postings: while one read is under way, what is asked waits for
    the next. `read` finds rows, each led by its key."""

    def __init__(self, read: Callable[[list[Key]], Awaitable[Sequence[Any]]]) -> None:
        self._read = read
        self._asked: list[tuple[Key, asyncio.Future[Any]]] = []
        self._reader: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody asks now."""
        return self._reader is None

    async def find(self, key: Key) -> Any:
        """The row of a key, None when there is none. Raises what the read raised."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked.append((key, future))
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_all(), name="directory")
        return await future

    async def _read_all(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            problem, found = None, dict[Key, Any]()
            try:
                found = {row[0]: row for row in await self._read(list({key for key, _ in asked}))}
            except Exception as failed:  # every caller is told
                problem = failed
            for key, future in asked:
                if future.done():  # its caller hung up
                    continue
                if problem is not None:
                    future.set_exception(problem)
                else:
                    future.set_result(found.get(key))
        self._reader = None


class Directories(Setup):
    """The two directories, over the pool. Both raise `VaultUnavailable` when the database cannot be reached."""

    def __init__(self, pool: asyncpg.Pool, budget_slots: int) -> None:
        super().__init__(pool, budget_slots)
        self._shown = Directory[int](lambda handles: self._rows(SHOWN, handles))
        self._redeemed = Directory[UUID](lambda ids: self._rows(REDEEMED, ids))

    async def shown_under(self, handle: int) -> Shown | None:
        """The showing of a handle, None when there is none."""
        row = await self._shown.find(handle) if handle.bit_length() <= 63 else None
        return None if row is None else Shown(*row[1:])

    async def redeemed_under(self, redemption_id: UUID) -> Redeemed | None:
        """The redemption of an id, None when there is none."""
        row = await self._redeemed.find(redemption_id)
        return None if row is None else Redeemed(*row[1:])
