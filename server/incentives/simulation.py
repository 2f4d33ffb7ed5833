"""One way to write for everybody in this room, and the same way to see what a write would do (`simulate`).

A simulated write makes every check and every change in a house transaction, reads the answer and the changes from
inside it, and then takes everything back. The vault is told nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.changes import Change, Effects, Funding
from server.incentives.commands import Signed
from server.kit.db import fetch, transaction

R = TypeVar("R")

_UNSEEN = frozenset({"revision", "changed_at", "created_at"})


class _TakenBack(Exception):
    """Rolls a simulated transaction back."""


async def write(
    signed: Signed,
    act: Callable[[BaseDBAsyncClient], Awaitable[R]],
    *,
    follow: Callable[[R], Awaitable[R]] | None = None,
    pretend: Callable[[BaseDBAsyncClient, R], Awaitable[R]] | None = None,
) -> tuple[R, Effects | None]:
    """Do `act` in one transaction and let the vault `follow`; (what came of it, its effects when simulated).

    `pretend` writes what the house would write after the vault had followed. What comes of a simulated act is the
    answer's only trace: it must hold all that is to be shown.
    """
    async with change(signed) as tx:
        done = await act(tx)
        if signed.simulate and pretend is not None:
            done = await pretend(tx, done)
    if signed.simulate:
        return done, signed.told[-1]
    return done if follow is None else await follow(done), None


@asynccontextmanager
async def change(signed: Signed) -> AsyncIterator[BaseDBAsyncClient]:
    """The transaction of a write. Simulated, it is taken back at its end, and its effects are what `signed` is told."""
    try:
        async with transaction() as tx:
            newest = "SELECT coalesce(max(id), 0) AS id FROM audit_entry"
            since = (await fetch(newest, using=tx))[0]["id"] if signed.simulate else 0
            yield tx
            if signed.simulate:
                signed.told.append(await _effects(tx, since))
                raise _TakenBack
    except _TakenBack:
        return


async def _effects(tx: BaseDBAsyncClient, since: int) -> Effects:
    """What this transaction wrote into the audit trail, first to last, and the requests that it approved."""
    told = await fetch(
        "SELECT object_kind, object_id, before, after FROM audit_entry"
        " WHERE id > $1 AND xmin = pg_current_xact_id()::xid ORDER BY id", since, using=tx,
    )  # fmt: skip
    first: dict[tuple[str, str], Any] = {}
    last: dict[tuple[str, str], Any] = {}
    for row in told:
        thing = (row["object_kind"], row["object_id"])
        first.setdefault(thing, _json(row["before"]))
        last[thing] = _json(row["after"])
    changes = [
        Change(what, thing, field, before, after)
        for (what, thing), state in last.items()
        for field, before, after in differences(first[what, thing] or {}, state or {})
    ]
    funded = await fetch(
        "SELECT b.unit, b.id, r.kind, r.amount FROM budget_request r JOIN budget b ON b.id = r.budget_id"
        " WHERE r.xmin = pg_current_xact_id()::xid AND r.approved_by IS NOT NULL ORDER BY b.id", using=tx,
    )  # fmt: skip
    return Effects(
        changes,
        [
            Funding(row["unit"], str(row["id"]), row["amount"] if row["kind"] == "topup" else -row["amount"])
            for row in funded
        ],
    )


def differences(before: dict[str, Any], after: dict[str, Any], under: str = "") -> list[tuple[str, Any, Any]]:
    """Field by field what differs, objects taken apart: `version.title`."""
    found: list[tuple[str, Any, Any]] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new or name in _UNSEEN:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{under}{name}.")
        else:
            found.append((f"{under}{name}", old, new))
    return found


def _json(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, str) else value
