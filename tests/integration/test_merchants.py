"""Merchants on a real database: house rows, the vault's open flags, and who may stand at the counter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import asyncpg
import jwt
import pytest
import pytest_asyncio
from tortoise.exceptions import IntegrityError

from server.kit.audit import Actor, AuditEntry
from server.kit.caller import Caller
from server.kit.clock import Clock
from server.kit.crypto import BlindIndex, Envelope, Keyring
from server.kit.db import close_house, open_house
from server.kit.outbox import relay_once
from server.merchants.acceptors import ACCEPTOR_CHANGED, AcceptorKind, AcceptorRegister
from server.merchants.errors import (
    AlreadyStaff,
    EnrolmentRejected,
    InvitationRejected,
    InvitationStoreRequired,
    LastOwner,
    MerchantExists,
    MerchantSuspended,
    NotStaffHere,
    RoleTooLow,
    StaffNotFound,
    StaffRevoked,
    StaffSessionRequired,
    StoreClosed,
    StoreExists,
    TerminalElsewhere,
    TerminalRevoked,
    TerminalSecretRejected,
)
from server.merchants.models import Merchant, Terminal
from server.merchants.service import MerchantService
from server.merchants.views import MerchantView, StoreView
from server.people.sessions import SessionService
from server.people.tokens import TokenKeys, Tokens
from tests.support.databases import Database
from wallet import Vault, VaultUnavailable

ADMIN = Actor("admin", "1")
KEYS = TokenKeys({"t1": b"s" * 32}, "t1")
_numbers = count(1)


@dataclass
class Login:
    openid: str


class Phones:
    """WeChat as these tests need it: the code names the phone."""

    async def code_to_session(self, code: str) -> Login:
        return Login(f"openid-{code}")

    async def phone_number(self, code: str) -> str:
        return "13800000000"


class NoWallet:
    async def open_wallet(self, resident_id: int) -> None: ...

    async def bump_epoch(self, resident_id: int) -> None: ...


@dataclass
class Register:
    """The real vault behind a line that may break (`down`) or be slow (`before` runs once, before the call)."""

    vault: Vault
    reader: asyncpg.Pool
    down: bool = False
    before: list[Any] = field(default_factory=list)

    async def set_acceptor(
        self, kind: AcceptorKind, acceptor_id: int, merchant_id: int, store_id: int | None, is_open: bool, /
    ) -> None:
        if self.down:
            raise VaultUnavailable
        if self.before:
            await self.before.pop()()
        await self.vault.set_acceptor(kind, acceptor_id, merchant_id, store_id, is_open)

    async def is_open(self, kind: str, acceptor_id: int) -> bool | None:
        sql = "SELECT open FROM vault.acceptor WHERE kind = $1 AND id = $2"
        found: bool | None = await self.reader.fetchval(sql, kind, acceptor_id)
        return found

    async def accepts(self, caller: Caller) -> bool:
        """What claim and redeem ask inside the vault."""
        accepts: bool = await self.reader.fetchval(
            "SELECT vault.acceptor_open($1, $2, $3, $4)",
            caller.merchant_id,
            caller.store_id,
            caller.terminal_id,
            caller.staff_id,
        )
        return accepts


@dataclass
class House:
    clock: Clock
    register: Register
    sessions: SessionService
    merchants: MerchantService

    def another_process(self) -> MerchantService:
        """A second service with a memory of its own."""
        return make_service(self.clock, self.register, self.sessions)

    async def merchant(self) -> tuple[MerchantView, str]:
        merchant, owner = await self.merchants.registry.create_merchant(
            name=f"诚信超市{next(_numbers)}", owner_name="王店主", actor=ADMIN, request_id="r"
        )
        return merchant, owner.code

    async def store(self, merchant_id: int, name: str = "总店") -> StoreView:
        return await self.merchants.registry.create_store(
            merchant_id, town="城关镇", name=name, actor=ADMIN, request_id="r"
        )

    async def shop(self) -> tuple[MerchantView, StoreView, Caller]:
        """A merchant with one store and its owner logged in."""
        merchant, code = await self.merchant()
        store = await self.store(merchant.id)
        phone = f"owner-{merchant.id}"
        await self.merchants.join(phone, code, request_id="r")
        return merchant, store, await self.log_in(phone, store.id)

    async def hire(self, boss: Caller, role: str, store_id: int | None) -> tuple[int, str]:
        """(staff id, phone) of somebody who joined by the boss's invitation."""
        invited = await self.merchants.staff.invite(
            boss, role=role, display_name="小李", store_id=store_id, request_id="r"
        )
        phone = f"phone-{next(_numbers)}"
        return (await self.merchants.join(phone, invited.code, request_id="r")).id, phone

    async def tokens(self, phone: str, store_id: int) -> Tokens:
        return (await self.merchants.access.log_in(phone, store_id, request_id="r")).tokens

    async def log_in(self, phone: str, store_id: int) -> Caller:
        return await self.merchants.check_counter(claims(await self.tokens(phone, store_id)))

    async def enrolled(self, boss: Caller, store_id: int, kind: str) -> tuple[int, str, dict[str, Any]]:
        """(terminal id, secret, claims of its token)."""
        issued = await self.merchants.terminals.create(boss, store_id=store_id, kind=kind, label="门口", request_id="r")
        machine = await self.merchants.terminals.enrol(issued.code, request_id="r")
        token = await self.merchants.access.open_terminal(machine.secret)
        return machine.terminal.id, machine.secret, read(token.access_token)


def read(token: str) -> dict[str, Any]:
    return jwt.decode(token, KEYS.keys["t1"], algorithms=["HS256"], options={"verify_aud": False})


def claims(tokens: Tokens) -> dict[str, Any]:
    return read(tokens.access_token)


def make_service(clock: Clock, register: AcceptorRegister, sessions: SessionService) -> MerchantService:
    return MerchantService(
        clock=clock,
        vault=register,
        sessions=sessions,
        envelope=Envelope(Keyring({1: b"d" * 32})),
        index=BlindIndex(b"i" * 32),
        keys=KEYS,
    )


@dataclass
class Opened:
    vault: Vault
    owner: asyncpg.Pool


@pytest_asyncio.fixture(scope="module")
async def opened(database: Database) -> AsyncIterator[Opened]:
    await open_house(database.app)
    vault: Vault = await Vault.connect(database.app, role="app")
    owner = await asyncpg.create_pool(database.owner, min_size=1, max_size=4)
    yield Opened(vault, owner)
    await owner.close()
    await vault.close()
    await close_house()


@pytest.fixture
def house(opened: Opened) -> House:
    clock, register = Clock(), Register(opened.vault, opened.owner)
    sessions = SessionService(
        clock=clock,
        wechat=Phones(),
        wallet=NoWallet(),
        envelope=Envelope(Keyring({1: b"d" * 32})),
        index=BlindIndex(b"i" * 32),
        keys=KEYS,
    )
    return House(clock, register, sessions, make_service(clock, register, sessions))


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


async def test_an_invitation_works_once_and_answers_its_own_user_again(house: House) -> None:
    _, code = await house.merchant()
    first = await house.merchants.join("p-first", code, request_id="r")
    again = await house.merchants.join("p-first", code.lower().replace("-", " "), request_id="r")
    assert first == again
    assert (first.role, first.all_stores, first.display_name) == ("owner", True, "王店主")
    assert await house.register.is_open("staff", first.id) is True
    with pytest.raises(InvitationRejected):
        await house.merchants.join("p-second", code, request_id="r")


async def test_ten_people_at_once_with_one_invitation_make_one_staff_member(house: House) -> None:
    _, code = await house.merchant()
    answers = await asyncio.gather(
        *(house.merchants.join(f"crowd-{n}", code, request_id="r") for n in range(10)), return_exceptions=True
    )
    refused = [a for a in answers if isinstance(a, InvitationRejected)]
    assert len(refused) == 9, answers


async def test_an_expired_invitation_and_one_of_a_revoked_inviter_are_refused(house: House) -> None:
    _, store, owner = await house.shop()
    late = await house.merchants.staff.invite(
        owner, role="cashier", display_name="小李", store_id=store.id, request_id="r"
    )
    house.clock.offset = timedelta(days=8)
    with pytest.raises(InvitationRejected):
        await house.merchants.join("late", late.code, request_id="r")
    house.clock.offset = timedelta(0)

    manager_id, phone = await house.hire(owner, "manager", None)
    manager = await house.log_in(phone, store.id)
    invited = await house.merchants.staff.invite(
        manager, role="cashier", display_name="小李", store_id=store.id, request_id="r"
    )
    await house.merchants.staff.revoke(owner, manager_id, request_id="r")
    with pytest.raises(InvitationRejected):
        await house.merchants.join("late", invited.code, request_id="r")


async def test_the_same_person_cannot_join_twice(house: House) -> None:
    _, store, owner = await house.shop()
    codes = [
        (
            await house.merchants.staff.invite(
                owner, role="cashier", display_name="李", store_id=store.id, request_id="r"
            )
        ).code
        for _ in range(4)
    ]
    answers = await asyncio.gather(
        *(house.merchants.join("twice", code, request_id="r") for code in codes), return_exceptions=True
    )
    assert sum(isinstance(a, AlreadyStaff) for a in answers) == 3, answers


async def test_a_staff_phone_is_one_terminal_of_its_store_however_often_it_logs_in(house: House) -> None:
    _, store, owner = await house.shop()
    _, phone = await house.hire(owner, "cashier", store.id)
    callers = await asyncio.gather(*(house.log_in(phone, store.id) for _ in range(6)))
    assert len({c.terminal_id for c in callers}) == 1
    caller = callers[0]
    assert (caller.kind, caller.roles, caller.store_id) == ("staff", frozenset({"cashier"}), store.id)
    assert await house.register.accepts(caller) is True


async def test_only_staff_of_a_store_log_in_there(house: House) -> None:
    merchant, store, owner = await house.shop()
    other = await house.store(merchant.id, "二店")
    _, phone = await house.hire(owner, "cashier", store.id)
    for stranger, place in ((phone, other.id), ("nobody", store.id), (phone, 10**15)):
        with pytest.raises(NotStaffHere):
            await house.log_in(stranger, place)


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


async def test_revoked_staff_are_refused_at_once_here_and_within_a_second_elsewhere(house: House) -> None:
    _, store, owner = await house.shop()
    staff_id, phone = await house.hire(owner, "cashier", store.id)
    session = claims(await house.tokens(phone, store.id))
    elsewhere = house.another_process()
    cashier = await elsewhere.check_counter(session)
    revoked = await house.merchants.staff.revoke(owner, staff_id, request_id="r")
    assert revoked.status == "revoked"
    assert await house.register.is_open("staff", staff_id) is False
    assert await house.register.is_open("terminal", cashier.terminal_id or 0) is False
    with pytest.raises(StaffRevoked):
        await house.merchants.check_counter(session)
    await asyncio.sleep(1.05)
    with pytest.raises(StaffRevoked):
        await elsewhere.check_counter(session)
    with pytest.raises(NotStaffHere):
        await house.log_in(phone, store.id)
    assert (await house.merchants.staff.revoke(owner, staff_id, request_id="r")).status == "revoked"


async def test_a_revoked_person_may_be_invited_again_and_gets_a_new_row(house: House) -> None:
    _, store, owner = await house.shop()
    staff_id, phone = await house.hire(owner, "cashier", store.id)
    await house.merchants.staff.revoke(owner, staff_id, request_id="r")
    invited = await house.merchants.staff.invite(
        owner, role="cashier", display_name="小李", store_id=store.id, request_id="r"
    )
    back = await house.merchants.join(phone, invited.code, request_id="r")
    assert back.id != staff_id
    assert (await house.log_in(phone, store.id)).staff_id == back.id


async def test_managers_act_below_their_rank_and_inside_their_stores(house: House) -> None:
    merchant, store, owner = await house.shop()
    other = await house.store(merchant.id, "二店")
    _, phone = await house.hire(owner, "manager", store.id)
    manager = await house.log_in(phone, store.id)
    _, colleague_phone = await house.hire(owner, "manager", store.id)
    colleague = await house.log_in(colleague_phone, store.id)
    elsewhere_id, _ = await house.hire(owner, "cashier", other.id)
    staff = house.merchants.staff
    for role, place in (("owner", None), ("manager", store.id), ("cashier", other.id), ("auditor", None)):
        with pytest.raises(RoleTooLow):
            await staff.invite(manager, role=role, display_name="李", store_id=place, request_id="r")
    for target in (owner.staff_id, colleague.staff_id, elsewhere_id):
        with pytest.raises(RoleTooLow):
            await staff.revoke(manager, target or 0, request_id="r")
    with pytest.raises(RoleTooLow):
        await house.merchants.terminals.create(manager, store_id=other.id, kind="pc", label="", request_id="r")
    cashier_id, cashier_phone = await house.hire(manager, "cashier", store.id)
    seen = {s.id for s in (await staff.page(manager)).items}
    assert cashier_id in seen and elsewhere_id not in seen
    cashier = await house.log_in(cashier_phone, store.id)
    for forbidden in (
        staff.page(cashier),
        house.merchants.terminals.page(cashier),
        staff.revoke(cashier, cashier_id, request_id="r"),
        staff.invite(cashier, role="cashier", display_name="李", store_id=store.id, request_id="r"),
    ):
        with pytest.raises(RoleTooLow):
            await forbidden
    with pytest.raises(InvitationStoreRequired):
        await staff.invite(owner, role="cashier", display_name="李", store_id=None, request_id="r")


async def test_staff_of_another_merchant_do_not_exist(house: House) -> None:
    _, _, owner = await house.shop()
    _, _, stranger = await house.shop()
    with pytest.raises(StaffNotFound):
        await house.merchants.staff.revoke(owner, stranger.staff_id or 0, request_id="r")


async def test_the_last_owner_stays_even_when_two_revoke_each_other(house: House) -> None:
    _, store, owner = await house.shop()
    with pytest.raises(LastOwner):
        await house.merchants.staff.revoke(owner, owner.staff_id or 0, request_id="r")
    second_id, phone = await house.hire(owner, "owner", None)
    second = await house.log_in(phone, store.id)
    answers = await asyncio.gather(
        house.merchants.staff.revoke(owner, second_id, request_id="r"),
        house.merchants.staff.revoke(second, owner.staff_id or 0, request_id="r"),
        return_exceptions=True,
    )
    assert sum(isinstance(a, StaffRevoked | LastOwner) for a in answers) == 1, answers


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

    while await relay_once("test.acceptors", handle):
        pass
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

    async def handle(event: Any) -> None:
        await house.merchants.redrive(event)

    while await relay_once("test.repair", handle):
        pass
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


async def test_pages_end_and_show_everybody_once(house: House) -> None:
    _, store, owner = await house.shop()
    hired = {owner.staff_id or 0} | {(await house.hire(owner, "cashier", store.id))[0] for _ in range(4)}
    seen: list[int] = []
    cursor: str | None = None
    while True:
        page = await house.merchants.staff.page(owner, cursor=cursor, limit=2)
        seen += [s.id for s in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(hired)
    first = await house.merchants.registry.merchants(limit=1)
    second = await house.merchants.registry.merchants(cursor=first.next_cursor, limit=1)
    assert first.items[0].id < second.items[0].id


async def test_the_audit_holds_no_name_of_a_person(house: House) -> None:
    _, store, owner = await house.shop()
    await house.hire(owner, "cashier", store.id)
    for entry in await AuditEntry.all():
        assert "小李" not in f"{entry.before}{entry.after}"
        assert "王店主" not in f"{entry.before}{entry.after}"


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
