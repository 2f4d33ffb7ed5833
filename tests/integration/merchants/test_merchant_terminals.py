"""Terminals on a real database: enrolled, checked at the counter, revoked."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from server.kit.audit import AuditEntry
from server.merchants.errors import (
    EnrolmentRejected,
    MerchantSuspended,
    StaffSessionRequired,
    TerminalElsewhere,
    TerminalRevoked,
    TerminalSecretRejected,
)
from server.merchants.models import Terminal
from tests.support.merchant_house import ADMIN, House, claims


async def test_a_terminal_is_enrolled_once_and_its_secret_is_stored_nowhere(house: House) -> None:
    _, store, owner = await house.shop()
    terminals = house.merchants.terminals
    issued = await terminals.create(owner, store_id=store.id, kind="gate", label="东门", request_id="r")
    assert await house.register.is_open("terminal", issued.terminal.id) is False
    answers = await asyncio.gather(
        *(terminals.enrol(issued.code, request_id="r") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(a, EnrolmentRejected) for a in answers) == 4, answers
    assert await house.register.is_open("terminal", issued.terminal.id) is True
    row = await Terminal.get(id=issued.terminal.id)
    assert row.secret_hash is not None and len(row.secret_hash) == 32
    entries = await AuditEntry.filter(object_kind="terminal", object_id=str(issued.terminal.id)).order_by("id")
    assert [e.action for e in entries] == ["terminal.create", "terminal.enrol"]


async def test_an_enrolment_code_dies_after_fifteen_minutes_and_needs_an_active_merchant(
    house: House,
) -> None:
    merchant, store, owner = await house.shop()
    terminals = house.merchants.terminals
    issued = await terminals.create(owner, store_id=store.id, kind="pc", label="", request_id="r")
    await house.merchants.registry.suspend_merchant(merchant.id, reason="x", actor=ADMIN, request_id="r")
    with pytest.raises(MerchantSuspended):
        await terminals.enrol(issued.code, request_id="r")
    house.clock.offset = timedelta(minutes=16)
    with pytest.raises(EnrolmentRejected):
        await terminals.enrol(issued.code, request_id="r")
    house.clock.offset = timedelta(0)
    with pytest.raises(EnrolmentRejected):
        await terminals.enrol("00000-00000", request_id="r")


async def test_a_gate_stands_alone_and_a_pc_needs_a_staff_session(house: House) -> None:
    merchant, store, owner = await house.shop()
    gate_id, _, gate = await house.enrolled(owner, store.id, "gate")
    caller = await house.merchants.check_counter(gate)
    assert (caller.kind, caller.terminal_id, caller.staff_id, caller.identity_id) == ("terminal", gate_id, None, None)
    assert await house.register.accepts(caller) is True
    pc_id, _, pc = await house.enrolled(owner, store.id, "pc")
    with pytest.raises(StaffSessionRequired):
        await house.merchants.check_counter(pc)
    session = claims(await house.tokens(f"owner-{merchant.id}", store.id))
    both = await house.merchants.check_counter(session, pc)
    assert (both.kind, both.terminal_id, both.staff_id) == ("staff", pc_id, owner.staff_id)
    assert await house.register.accepts(both) is True


async def test_a_terminal_of_another_store_or_merchant_is_refused_beside_a_session(house: House) -> None:
    merchant, store, owner = await house.shop()
    other = await house.store(merchant.id, "二店")
    _, far_store, far_owner = await house.shop()
    session = claims(await house.tokens(f"owner-{merchant.id}", store.id))
    for boss, place in ((owner, other.id), (far_owner, far_store.id)):
        _, _, machine = await house.enrolled(boss, place, "pc")
        with pytest.raises(TerminalElsewhere):
            await house.merchants.check_counter(session, machine)
    with pytest.raises(TerminalRevoked):
        await house.merchants.check_counter(session, session)


async def test_a_revoked_terminal_is_dead_at_once_with_its_secret(house: House) -> None:
    _, store, owner = await house.shop()
    gate_id, secret, gate = await house.enrolled(owner, store.id, "gate")
    await house.merchants.check_counter(gate)
    await house.merchants.terminals.revoke(owner, gate_id, request_id="r")
    assert await house.register.is_open("terminal", gate_id) is False
    with pytest.raises(TerminalRevoked):
        await house.merchants.check_counter(gate)
    with pytest.raises(TerminalRevoked):
        await house.merchants.access.open_terminal(secret)
    with pytest.raises(TerminalSecretRejected):
        await house.merchants.access.open_terminal("guessed")


async def test_a_revoked_phone_logs_in_again_as_a_new_terminal(house: House) -> None:
    merchant, store, owner = await house.shop()
    old = claims(await house.tokens(f"owner-{merchant.id}", store.id))
    await house.merchants.terminals.revoke(owner, owner.terminal_id or 0, request_id="r")
    with pytest.raises(TerminalRevoked):
        await house.merchants.check_counter(old)
    again = await house.log_in(f"owner-{merchant.id}", store.id)
    assert again.terminal_id != owner.terminal_id
