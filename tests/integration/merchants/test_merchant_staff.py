"""Staff on a real database: invited, joined, logged in, revoked."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from server.kit.audit import AuditEntry
from server.merchants.errors import (
    AlreadyStaff,
    InvitationRejected,
    InvitationStoreRequired,
    LastOwner,
    NotStaffHere,
    RoleTooLow,
    StaffNotFound,
    StaffRevoked,
)
from tests.support.merchant_house import House, claims


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
