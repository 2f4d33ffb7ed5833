"""Merchants and stores on a real database, and the vault's open flags beside them."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from tortoise.exceptions import IntegrityError

from server.kit.audit import AuditEntry
from server.kit.errors import AppError
from server.merchants.acceptors import ACCEPTOR_CHANGED
from server.merchants.errors import (
    MerchantExists,
    MerchantSuspended,
    StoreClosed,
    StoreExists,
)
from server.merchants.models import Merchant, Terminal
from tests.support.merchant_house import ADMIN, House, Opened, claims, make_service
from tests.support.patience import relay_all
from wallet import VaultUnavailable


async def test_a_new_merchant_and_store_are_open_in_the_vault_and_audited(house: House) -> None:
    merchant, _ = await house.merchant()
    store = await house.store(merchant.id)
    assert await house.register.is_open("merchant", merchant.id) is True
    assert await house.register.is_open("store", store.id) is True
    entry = await AuditEntry.get(object_kind="merchant", object_id=str(merchant.id))
    assert (entry.action, entry.actor_kind, entry.before) == ("merchant.create", "admin", None)
    assert entry.after["status"] == "active"


async def test_the_same_licence_number_or_store_name_twice_is_refused(house: House) -> None:
    registry = house.merchants.registry
    number = "91320000MA1ABCDE0X"
    await registry.create_merchant(name="甲", owner_name="王", licence_number=number, actor=ADMIN, request_id="r")
    with pytest.raises(MerchantExists):
        await registry.create_merchant(name="乙", owner_name="李", licence_number=number, actor=ADMIN, request_id="r")
    merchant, _ = await house.merchant()
    await house.store(merchant.id, "一店")
    with pytest.raises(StoreExists):
        await house.store(merchant.id, "一店")


async def test_a_suspended_merchant_is_shut_in_the_vault_at_once_and_may_still_read(house: House) -> None:
    merchant, store, owner = await house.shop()
    tokens = await house.tokens(f"owner-{merchant.id}", store.id)
    suspended = await house.merchants.registry.suspend_merchant(
        merchant.id, reason="投诉核查", actor=ADMIN, request_id="r"
    )
    assert (suspended.status, suspended.status_reason) == ("suspended", "投诉核查")
    assert await house.register.accepts(owner) is False
    caller = await house.merchants.check_counter(claims(tokens))
    assert caller.scopes == {"merchant_suspended"}
    assert (await house.merchants.staff.page(caller)).items
    with pytest.raises(MerchantSuspended):
        await house.merchants.staff.invite(caller, role="auditor", display_name="李", store_id=None, request_id="r")
    await house.merchants.registry.suspend_merchant(merchant.id, reason="又一次", actor=ADMIN, request_id="r")
    entries = await AuditEntry.filter(object_kind="merchant", object_id=str(merchant.id), action="merchant.suspend")
    assert [(e.before["status"], e.after["status"]) for e in entries] == [("active", "suspended")]
    await house.merchants.registry.reopen_merchant(merchant.id, reason="核查完毕", actor=ADMIN, request_id="r")
    assert await house.register.accepts(owner) is True
    assert (await house.merchants.check_counter(claims(tokens))).scopes == frozenset()


async def test_a_closed_store_accepts_nothing_and_takes_no_log_in(house: House) -> None:
    merchant, store, owner = await house.shop()
    await house.merchants.registry.close_store(store.id, actor=ADMIN, request_id="r")
    assert await house.register.accepts(owner) is False
    with pytest.raises(StoreClosed):
        await house.log_in(f"owner-{merchant.id}", store.id)
    await house.merchants.registry.reopen_store(store.id, actor=ADMIN, request_id="r")
    assert await house.register.accepts(owner) is True


async def test_when_the_vault_was_away_the_worker_tells_it_later(house: House) -> None:
    merchant, store, owner = await house.shop()
    house.register.down = True
    with pytest.raises(VaultUnavailable):
        await house.merchants.registry.suspend_merchant(merchant.id, reason="x", actor=ADMIN, request_id="r")
    house.register.down = False
    caller = await house.merchants.check_counter(claims(await house.tokens(f"owner-{merchant.id}", store.id)))
    assert caller.scopes == {"merchant_suspended"}, "the house says so although the vault does not know yet"
    assert await house.register.accepts(owner) is True
    kinds: list[str] = []

    async def handle(event: Any) -> None:
        kinds.append(event.kind)
        await house.merchants.redrive(event)

    await relay_all("test.acceptors", handle)
    assert set(kinds) == {ACCEPTOR_CHANGED}
    assert await house.register.accepts(owner) is False


async def test_what_opens_answers_although_the_vault_is_away_and_the_next_log_in_repairs_it(house: House) -> None:
    _, store, owner = await house.shop()
    invited = await house.merchants.staff.invite(
        owner, role="manager", display_name="李", store_id=store.id, request_id="r"
    )
    issued = await house.merchants.terminals.create(owner, store_id=store.id, kind="gate", label="", request_id="r")
    house.register.down = True
    staff = await house.merchants.join("while-away", invited.code, request_id="r")
    machine = await house.merchants.terminals.enrol(issued.code, request_id="r")
    manager = await house.log_in("while-away", store.id)
    house.register.down = False
    assert await house.register.is_open("staff", staff.id) is None
    assert (await house.log_in("while-away", store.id)).terminal_id == manager.terminal_id
    assert await house.register.accepts(manager) is True
    assert await house.register.is_open("terminal", machine.terminal.id) is False

    await relay_all("test.repair", house.merchants.redrive)
    assert await house.register.is_open("terminal", machine.terminal.id) is True


async def test_of_two_commands_that_overtake_each_other_the_last_one_stands_in_the_vault(house: House) -> None:
    merchant, _, owner = await house.shop()
    registry = house.merchants.registry
    await registry.suspend_merchant(merchant.id, reason="x", actor=ADMIN, request_id="r")

    async def suspend_meanwhile() -> None:
        await registry.suspend_merchant(merchant.id, reason="y", actor=ADMIN, request_id="r")

    house.register.before.append(suspend_meanwhile)
    await registry.reopen_merchant(merchant.id, reason="z", actor=ADMIN, request_id="r")
    assert (await Merchant.get(id=merchant.id)).status == "suspended"
    assert await house.register.accepts(owner) is False


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE merchant SET status = 'odd' WHERE id = $1",
        "UPDATE terminal SET kind = 'gate' WHERE merchant_id = $1",
        "UPDATE staff_member SET all_stores = false WHERE merchant_id = $1",
        "UPDATE staff_member SET status = 'revoked' WHERE merchant_id = $1",
        "UPDATE store SET merchant_id = merchant_id - 1 WHERE merchant_id = $1",
        "UPDATE terminal SET secret_hash = '\\x00' WHERE merchant_id = $1",
    ],
)
async def test_the_database_itself_refuses_what_may_not_be(house: House, opened: Opened, change: str) -> None:
    await house.shop()
    merchant, _, _ = await house.shop()
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await opened.owner.execute(change, merchant.id)


async def test_a_terminal_cannot_belong_to_another_merchants_store(house: House) -> None:
    merchant, _, _ = await house.shop()
    _, foreign, _ = await house.shop()
    with pytest.raises(IntegrityError):
        await Terminal.create(
            merchant_id=merchant.id, store_id=foreign.id, kind="pc", status="pending", created_at=house.clock.now()
        )


async def test_the_vault_itself_fits_where_a_register_is_asked_for(house: House, opened: Opened) -> None:
    direct = make_service(house.clock, opened.vault, house.sessions)
    merchant, _ = await direct.registry.create_merchant(name="直连", owner_name="王", actor=ADMIN, request_id="r")
    assert await house.register.is_open("merchant", merchant.id) is True


@pytest.mark.parametrize("number", [2**63 - 1, 0, -1])
async def test_a_number_that_is_nobodys_id_is_not_found(house: House, number: int) -> None:
    _, _, owner = await house.shop()
    registry = house.merchants.registry
    for command in (
        registry.merchant(number),
        registry.suspend_merchant(number, reason="x", actor=ADMIN, request_id="r"),
        registry.create_store(number, town="镇", name="店", actor=ADMIN, request_id="r"),
        registry.close_store(number, actor=ADMIN, request_id="r"),
        house.merchants.staff.revoke(owner, number, request_id="r"),
        house.merchants.terminals.revoke(owner, number, request_id="r"),
    ):
        with pytest.raises(AppError) as refused:
            await command
        assert refused.value.status == 404
