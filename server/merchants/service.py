"""The merchants' room as one part: what `server.services` wires and routes call.

MerchantService
  .registry   merchants and stores            (administrators)
  .staff      invitations, staff              (owners, managers)
  .terminals  enrolment, terminals            (owners, managers, machines)
  .access     counter sessions and the check of every request
  .acceptors  the vault's open flags          (worker: redrive)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.kit.caller import Caller
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex, Envelope
from server.kit.outbox import Event
from server.merchants.acceptors import AcceptorRegister, Acceptors
from server.merchants.access import CounterAccess, Sessions
from server.merchants.invitations import Invitations
from server.merchants.registry import Registry
from server.merchants.staff import Staff
from server.merchants.standing import Standings
from server.merchants.terminals import Terminals
from server.merchants.views import StaffView
from server.people.tokens import TokenKeys


class MerchantService:
    """Everything about merchants, wired once per process."""

    def __init__(
        self,
        *,
        clock: Clock,
        vault: AcceptorRegister,
        sessions: Sessions,
        envelope: Envelope,
        index: BlindIndex,
        keys: TokenKeys,
        access_ttl_s: int = 600,
    ) -> None:
        self._sessions = sessions
        self._standings = Standings()
        self.acceptors = Acceptors(vault)
        invitations = Invitations(index=index, envelope=envelope)
        self.registry = Registry(
            clock=clock, acceptors=self.acceptors, invitations=invitations, standings=self._standings
        )
        self.staff = Staff(
            clock=clock,
            envelope=envelope,
            acceptors=self.acceptors,
            invitations=invitations,
            standings=self._standings,
        )
        self.terminals = Terminals(clock=clock, index=index, acceptors=self.acceptors, standings=self._standings)
        self.access = CounterAccess(
            clock=clock,
            sessions=sessions,
            terminals=self.terminals,
            standings=self._standings,
            keys=keys,
            access_ttl_s=access_ttl_s,
        )

    async def check_counter(
        self, claims: Mapping[str, Any], terminal_claims: Mapping[str, Any] | None = None
    ) -> Caller:
        """The caller behind verified claims of aud merchant or terminal; see `CounterAccess.check`."""
        return await self.access.check(claims, terminal_claims)

    async def join(self, code: str, invitation_code: str, *, request_id: str) -> StaffView:
        """A WeChat login and an invitation make a staff member."""
        identity_id = await self._sessions.identify(code)
        return await self.staff.join(identity_id, invitation_code, request_id=request_id)

    async def redrive(self, event: Event) -> None:
        """Handle an outbox event of this room; others are left alone. For the worker."""
        await self.acceptors.redrive(event)
