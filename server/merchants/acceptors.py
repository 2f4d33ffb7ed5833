"""Keeps the vault's open flags in step with the house's statuses.

    command:  house transaction (status, version + 1, event) ── commit ── settle() ── vault.set_acceptor
    worker:   event acceptor.changed ── settle()                          (when the first settle was lost)

House and vault share no transaction (D18). `settle` tells the vault what the house says *now* and looks again
afterwards: if the version moved meanwhile it tells once more, so two commands that overtake each other still end on the
last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

import structlog
from tortoise.backends.base.client import BaseDBAsyncClient

from server.kit.errors import TemporarilyUnavailable
from server.kit.outbox import Event, emit
from server.merchants.models import Merchant, StaffMember, Store, Terminal
from wallet import VaultError

AcceptorKind = Literal["merchant", "store", "terminal", "staff"]
ACCEPTOR_CHANGED = "acceptor.changed"
SETTLE_ROUNDS = 8
_log = structlog.get_logger(__name__)


class AcceptorRegister(Protocol):
    """The part of the vault this room needs: an idempotent upsert of one open flag, and of a store's town."""

    async def set_acceptor(
        self,
        kind: AcceptorKind,
        acceptor_id: int,
        merchant_id: int,
        store_id: int | None,
        is_open: bool,
        town: str | None,
        /,
    ) -> None: ...


@dataclass(frozen=True)
class AcceptorState:
    """What the house says about one acceptor at one version."""

    merchant_id: int
    store_id: int | None
    is_open: bool
    version: int
    town: str | None = None


class Acceptors:
    """Tells the vault who may accept credentials."""

    def __init__(self, vault: AcceptorRegister) -> None:
        self._vault = vault

    async def announce(self, tx: BaseDBAsyncClient, kind: AcceptorKind, acceptor_id: int, at: datetime) -> None:
        """Record inside the house transaction that the vault must be told; the worker re-drives it."""
        await emit(tx, ACCEPTOR_CHANGED, f"acceptor:{kind}:{acceptor_id}", {"kind": kind, "id": str(acceptor_id)}, at)

    async def settle(self, kind: AcceptorKind, acceptor_id: int) -> None:
        """Make the vault say what the house says. Idempotent; call it after the house transaction has committed."""
        state = await _read(kind, acceptor_id)
        for _ in range(SETTLE_ROUNDS):
            if state is None:
                return
            await self._vault.set_acceptor(
                kind, acceptor_id, state.merchant_id, state.store_id, state.is_open, state.town
            )
            told, state = state, await _read(kind, acceptor_id)
            if state == told:
                return
        raise TemporarilyUnavailable(retry_after_s=1)

    async def settle_soon(self, kind: AcceptorKind, acceptor_id: int) -> None:
        """`settle` for what opens: when the vault is away the command still answers (its codes are shown once) and the
        worker tells the vault later. What closes uses `settle`, so that nobody is told "done" too early."""
        try:
            await self.settle(kind, acceptor_id)
        except (VaultError, TemporarilyUnavailable) as error:
            _log.warning("acceptor_not_told", kind=kind, id=acceptor_id, error=type(error).__name__)

    async def redrive(self, event: Event) -> None:
        """Handle an outbox event; kinds of other rooms are left alone."""
        if event.kind != ACCEPTOR_CHANGED:
            return
        kind: AcceptorKind = event.payload["kind"]
        await self.settle(kind, int(event.payload["id"]))


async def _read(kind: AcceptorKind, acceptor_id: int) -> AcceptorState | None:
    """The acceptor as the house has it now; None when there is no such row."""
    if kind == "merchant":
        merchant = await Merchant.get_or_none(id=acceptor_id)
        if merchant is None:
            return None
        return AcceptorState(merchant.id, None, merchant.status == "active", merchant.version)
    if kind == "store":
        store = await Store.get_or_none(id=acceptor_id)
        if store is None:
            return None
        return AcceptorState(store.merchant_id, store.id, store.status == "open", store.version, store.town)
    if kind == "terminal":
        terminal = await Terminal.get_or_none(id=acceptor_id)
        if terminal is None:
            return None
        return AcceptorState(terminal.merchant_id, terminal.store_id, terminal.status == "active", terminal.version)
    staff = await StaffMember.get_or_none(id=acceptor_id)
    if staff is None:
        return None
    return AcceptorState(staff.merchant_id, None, staff.status == "active", staff.version)
